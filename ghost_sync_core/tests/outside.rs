//! A client in another language, which knows `PROTOCOL.md` alone, on a real server.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ghost_sync_core::{Auth, AuthError, Identity, Server, ServerBuilder, Token, UserId};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_joins_talks_and_resumes() {
    let steps = ["joined", "talked", "resumed", "refused", "mismatched"];
    play(Server::builder(), &[], &steps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_says_who_it_is_and_renews_that() {
    let auth = Auth::required(|token: Token, _| async move {
        let lasts = match &token.0[..] {
            b"ada" => Duration::from_secs(3600),
            b"ada for a moment" => Duration::from_secs(3),
            _ => return Err(AuthError::BadSignature),
        };
        let expires = Some(Instant::now() + lasts);
        Ok(Identity { expires, ..Identity::new(UserId::new("ada").unwrap()) })
    });
    let steps = ["kept out", "signed in", "renewed", "expired", "came back"];
    play(Server::builder().auth(auth), &["tokens"], &steps).await;
}

/// Lets the client play a scene on a server, and checks the steps that it says it has made.
async fn play(server: ServerBuilder, scene: &[&str], steps: &[&str]) {
    let server = server.bind("127.0.0.1:0").room("den").build().run().await;
    let addr = server.expect("a server").local_addr().expect("on a socket");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/client.py");
    let ran = Command::new("python3")
        .args([program, &addr.ip().to_string(), &addr.port().to_string(), "den"])
        .args(scene)
        .stdin(Stdio::null())
        .output();
    let ran = match ran {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Straight to the terminal: what tests print is shown only when they fail.
            let words = "\nSKIPPED: there is no python3 here, so no outside client was tried\n";
            std::io::stderr().write_all(words.as_bytes()).expect("a terminal");
            return;
        }
        ran => ran.expect("python3 runs"),
    };
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    let made: Vec<_> = out.lines().collect();
    assert_eq!(made, steps);
}
