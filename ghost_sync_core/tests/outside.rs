//! A client in another language, which knows `PROTOCOL.md` alone, on a real server.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Stdio},
};

use ghost_sync_core::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_joins_talks_and_resumes() {
    let server = Server::builder().bind("127.0.0.1:0").room("den").build().run().await.unwrap();
    let addr = server.local_addr().unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/client.py");
    let ran = Command::new("python3")
        .args([program, &addr.ip().to_string(), &addr.port().to_string(), "den"])
        .stdin(Stdio::null())
        .output();
    let ran = match ran {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Straight to the terminal: what tests print is shown only when they fail.
            let words = "\nSKIPPED: there is no python3 here, so no outside client was tried\n";
            std::io::stderr().write_all(words.as_bytes()).unwrap();
            return;
        }
        ran => ran.unwrap(),
    };
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    let steps: Vec<_> = out.lines().collect();
    assert_eq!(steps, ["joined", "talked", "resumed", "refused", "mismatched"]);
}
