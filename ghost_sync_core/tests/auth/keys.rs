//! Keys as files, and what is wrong with some.

use std::{error::Error, fs};

use ghost_sync_core::auth::{Algorithm, InvalidKey, Keys, KeysError, TokenIssuer};

use crate::support::*;

/// The file that is to blame, and what for.
fn blamed(dir: &Dir) -> (String, InvalidKey) {
    let error = Keys::from_dir(dir.path()).unwrap_err();
    let KeysError::File { path, source } = error else { panic!("{error:?}") };
    (path.file_name().unwrap().to_str().unwrap().to_owned(), source)
}

#[test]
fn a_directory_gives_its_keys_and_other_files_are_passed_over() {
    let dir = Dir::new();
    dir.write("2026-11.pem", PUBLIC_PEM).write("b.secret", [SECRET, b"\n"].concat());
    dir.write("c.once.secret", [b"x", SECRET, b"\r\n"].concat());
    dir.write("README", "keys").write(".hidden.pem", "x").write("a.pem~", "x").write("a.key", "x");
    let keys = Keys::from_dir(dir.path()).unwrap();
    let names: Vec<_> = keys.iter().collect();
    let (ed, hs) = (Algorithm::Ed25519, Algorithm::Hs256);
    assert_eq!(names, [("2026-11", ed), ("b", hs), ("c", hs)]);
}

#[test]
fn a_directory_that_is_not_there_or_has_no_key_is_named() {
    let dir = Dir::new();
    let missing = dir.path().join("keys");
    let error = Keys::from_dir(&missing).unwrap_err();
    assert!(matches!(&error, KeysError::Dir { path, .. } if *path == missing), "{error:?}");
    assert!(error.to_string().contains(missing.to_str().unwrap()) && error.source().is_some());
    dir.write("README", "nothing yet");
    let error = Keys::from_dir(dir.path()).unwrap_err();
    assert!(matches!(error, KeysError::Empty { path } if path == dir.path()));
    let file = Keys::from_dir(dir.path().join("README")).unwrap_err();
    assert!(matches!(file, KeysError::Dir { .. }));
}

#[test]
fn a_file_that_is_no_key_is_named_with_what_is_wrong() {
    let long = [b'a'; 20_000];
    for (name, text, is_it) in [
        ("a.pem", &b"garbage"[..], (|why| matches!(why, InvalidKey::NotAPublicKey)) as fn(_) -> _),
        ("a.pem", b"", |why| matches!(why, InvalidKey::NotAPublicKey)),
        ("a.pem", PRIVATE_PEM.as_bytes(), |why| matches!(why, InvalidKey::PrivateKey)),
        ("a.pem", b"\xff\xfe-\0-\0", |why| matches!(why, InvalidKey::NotText)),
        ("a.pem", &long, |why| matches!(why, InvalidKey::NotAKeyFile)),
        ("a.secret", b"", |why| matches!(why, InvalidKey::ShortSecret { len: 0 })),
        ("a.secret", &SECRET[..31], |why| matches!(why, InvalidKey::ShortSecret { len: 31 })),
        ("a.secret", b"secret\n", |why| matches!(why, InvalidKey::GuessableSecret)),
        ("a.secret", b"your-secret-key", |why| matches!(why, InvalidKey::GuessableSecret)),
        ("a.secret", b"changeme", |why| matches!(why, InvalidKey::GuessableSecret)),
        ("a.secret", &[b'0'; 32], |why| matches!(why, InvalidKey::GuessableSecret)),
        ("a.secret", &[7; 32], |why| matches!(why, InvalidKey::NotText)),
        ("a.secret", b"two lines of text\nare not what is meant", |why| {
            matches!(why, InvalidKey::NotText)
        }),
        ("a b.secret", SECRET, |why| matches!(why, InvalidKey::Name)),
        ("a.once.pem", b"garbage", |why| matches!(why, InvalidKey::NotAPublicKey)),
    ] {
        let dir = Dir::new();
        dir.write("z.pem", PUBLIC_PEM).write(name, text);
        let (file, why) = blamed(&dir);
        let words = why.to_string();
        assert!(is_it(why), "{name}: {words}");
        assert_eq!(file, name);
    }
}

#[test]
fn two_keys_of_one_name_are_refused() {
    for other in ["a.secret", "a.once.pem", "a.once.secret"] {
        let dir = Dir::new();
        let text = if other.ends_with("pem") { PUBLIC_PEM.as_bytes() } else { SECRET };
        dir.write("a.pem", PUBLIC_PEM).write(other, text);
        assert!(matches!(blamed(&dir), (_, InvalidKey::Duplicate)));
    }
    let twice = Keys::new().hs256("a", SECRET).unwrap().ed25519("a", PUBLIC_PEM);
    assert!(matches!(twice, Err(InvalidKey::Duplicate)));
}

#[test]
fn names_and_numbers_of_keys_are_bounded() {
    for bad in ["", ".a", "../a", "a/b", "ä", "a b", &"k".repeat(65)] {
        assert!(matches!(Keys::new().hs256(bad, SECRET), Err(InvalidKey::Name)), "{bad}");
    }
    let mut keys = Keys::new();
    for kid in 0..Keys::MAX {
        keys = keys.hs256(&kid.to_string(), SECRET).unwrap();
    }
    assert!(matches!(keys.hs256("more", SECRET), Err(InvalidKey::TooMany)));
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_opened() {
    use std::os::unix::fs::symlink;
    let dir = Dir::new();
    fs::create_dir(dir.path().join("a.pem")).unwrap();
    assert!(matches!(blamed(&dir), (_, InvalidKey::NotAKeyFile)));
    let dir = Dir::new();
    symlink("/dev/zero", dir.path().join("a.secret")).unwrap();
    assert!(matches!(blamed(&dir), (_, InvalidKey::NotAKeyFile)));
    let dir = Dir::new();
    symlink("nowhere", dir.path().join("a.secret")).unwrap();
    assert!(matches!(blamed(&dir), (_, InvalidKey::Unreadable(_))));
    // As Kubernetes mounts secrets.
    let dir = Dir::new();
    dir.write("..data", SECRET);
    symlink("..data", dir.path().join("a.secret")).unwrap();
    assert_eq!(Keys::from_dir(dir.path()).unwrap().len(), 1);
}

#[test]
fn an_issuer_reads_its_key_from_a_file() {
    let dir = Dir::new();
    dir.write("ed.pem", PRIVATE_PEM).write("hs.secret", SECRET).write("public.pem", PUBLIC_PEM);
    for (name, kid) in [("ed.pem", "ed"), ("hs.secret", "hs")] {
        let issuer = TokenIssuer::from_file(dir.path().join(name)).unwrap();
        let grant = ghost_sync_core::auth::Grant::new(ada(), secs(60));
        let kind = ghost_sync_core::auth::TokenKind::Access;
        let token = issuer.sign(kind, &grant, wall(NOW)).unwrap();
        let who = show(&verifier(), token.expose()).unwrap();
        assert_eq!(who.key_id.as_deref(), Some(kid));
    }
    let fails = |name: &str| {
        let error = TokenIssuer::from_file(dir.path().join(name)).unwrap_err();
        let KeysError::File { path, source } = error else { panic!("{error:?}") };
        assert_eq!(path, dir.path().join(name));
        source
    };
    assert!(matches!(fails("public.pem"), InvalidKey::NotAPrivateKey));
    assert!(matches!(fails("missing.pem"), InvalidKey::Unreadable(_)));
}
