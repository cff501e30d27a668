//! What the book tells backends in other languages to do, done.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Instant, SystemTime},
};

use ghost_sync_core::{
    RoomPatterns,
    auth::{Algorithm, Keys, TokenIssuer, TokenVerifier},
};

use crate::support::*;

const CHAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/book/src/tokens.md");

/// The programs of the chapter in that language.
fn programs(language: &str) -> Vec<String> {
    let chapter = fs::read_to_string(CHAPTER).unwrap();
    let mut programs = Vec::new();
    let mut rest = chapter.as_str();
    while let Some((_, from)) = rest.split_once(&format!("```{language}\n")) {
        let (program, behind) = from.split_once("```").unwrap();
        programs.push(program.to_owned());
        rest = behind;
    }
    assert!(!programs.is_empty(), "no program in {language}");
    programs
}

/// What a program says that is read from standard input; `None`, loudly, where nothing runs it.
fn run(program: &str, interpreter: &[&str], dir: &Path) -> Option<String> {
    let child = Command::new(interpreter[0])
        .args(&interpreter[1..])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skipped(interpreter[0]);
            return None;
        }
        child => child.unwrap(),
    };
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{program}{out}{err}");
    Some(out.trim().to_owned())
}

/// Straight to the terminal: what tests print is shown only when they fail.
fn skipped(program: &str) {
    let words = format!(
        "\nSKIPPED: there is no {program} here, so the book's words on it were not tried\n"
    );
    std::io::stderr().write_all(words.as_bytes()).unwrap();
}

/// Makes the keys as the book says; `None` where OpenSSL is not installed.
fn keys(dir: &Path) -> Option<Keys> {
    if Command::new("openssl").arg("version").output().is_err() {
        skipped("openssl");
        return None;
    }
    for program in programs("sh") {
        run(&program, &["sh", "-eu"], dir)?;
    }
    Some(Keys::from_dir(dir.join("keys")).unwrap())
}

fn is_ada(keys: Keys, token: &str, kid: &str) {
    let verifier = TokenVerifier::new(keys);
    let who = verifier.verify(token, SystemTime::now(), Instant::now()).unwrap();
    assert_eq!((who.user, who.key_id.as_deref()), (ada(), Some(kid)));
    assert_eq!(who.rooms, RoomPatterns::new(["lobby", "match-*"]).unwrap());
}

#[test]
fn keys_are_made_as_the_book_says() {
    let dir = Dir::new();
    let Some(keys) = keys(dir.path()) else { return };
    let names: Vec<_> = keys.iter().collect();
    assert_eq!(names, [("2026-11", Algorithm::Ed25519), ("dev", Algorithm::Hs256)]);
    let issuer = TokenIssuer::from_file(dir.path().join("private/2026-11.pem")).unwrap();
    let rooms = RoomPatterns::new(["lobby", "match-*"]).unwrap();
    let token = issuer.sign_access(&ada(), &rooms, None, secs(60)).unwrap();
    is_ada(keys, token.expose(), "2026-11");
}

#[test]
fn a_token_of_the_books_python_is_taken() {
    let dir = Dir::new();
    let Some(keys) = keys(dir.path()) else { return };
    let [program] = &programs("python")[..] else { panic!("one program") };
    let Some(token) = run(program, &["python3", "-"], dir.path()) else { return };
    is_ada(keys, &token, "dev");
}

#[test]
fn a_token_of_the_books_node_is_taken() {
    let dir = Dir::new();
    let Some(keys) = keys(dir.path()) else { return };
    let [program] = &programs("js")[..] else { panic!("one program") };
    let Some(token) = run(program, &["node", "-"], dir.path()) else { return };
    is_ada(keys, &token, "2026-11");
}
