//! Keys that change while a server runs.

use ghost_sync_core::{
    AuthError, Token,
    auth::{Grant, Keys, KeysError, Reload, TokenIssuer, TokenKind, TokenVerifier},
};

use crate::support::*;

fn token(issuer: &TokenIssuer) -> Token {
    issuer.sign(TokenKind::Access, &Grant::new(ada(), secs(60)), wall(NOW)).unwrap()
}

fn is_taken(verifier: &TokenVerifier, token: &Token) -> Result<(), AuthError> {
    show(verifier, token.expose()).map(drop)
}

#[test]
fn an_old_key_is_good_until_it_is_taken_away() {
    let dir = Dir::new();
    dir.write("hs.secret", SECRET);
    let verifier = TokenVerifier::new(Keys::from_dir(dir.path()).unwrap());
    let (old, new) = (token(&hs256()), token(&ed25519()));
    assert_eq!(is_taken(&verifier, &old), Ok(()));
    assert_eq!(is_taken(&verifier, &new), Err(AuthError::UnknownKey));
    assert!(matches!(verifier.reload(), Reload::Unchanged));

    dir.write("ed.pem", PUBLIC_PEM);
    assert!(matches!(verifier.reload(), Reload::Changed));
    assert_eq!((is_taken(&verifier, &old), is_taken(&verifier, &new)), (Ok(()), Ok(())));

    dir.remove("hs.secret");
    assert!(matches!(verifier.reload(), Reload::Changed));
    assert_eq!(is_taken(&verifier, &old), Err(AuthError::UnknownKey));
    assert_eq!(is_taken(&verifier, &new), Ok(()));
}

#[test]
fn a_key_that_changes_under_its_name_is_seen() {
    let dir = Dir::new();
    dir.write("hs.secret", SECRET);
    let verifier = TokenVerifier::new(Keys::from_dir(dir.path()).unwrap());
    let old = token(&hs256());
    dir.write("hs.secret", b"6a1d9c2e5b8f70439f2d5a3c8b7e41f0");
    assert!(matches!(verifier.reload(), Reload::Changed));
    assert_eq!(is_taken(&verifier, &old), Err(AuthError::BadSignature));
    dir.remove("hs.secret").write("hs.once.secret", SECRET);
    assert!(matches!(verifier.reload(), Reload::Changed));
    assert_eq!(is_taken(&verifier, &old), Ok(()));
    assert_eq!(is_taken(&verifier, &old), Err(AuthError::Revoked));
}

#[test]
fn a_key_for_one_use_stays_one_when_its_file_is_read_again() {
    let dir = Dir::new();
    dir.write("hs.secret", SECRET);
    let keys = Keys::from_dir(dir.path()).unwrap().single_use("hs").unwrap();
    let verifier = TokenVerifier::new(keys);
    let once = token(&hs256());
    assert_eq!(is_taken(&verifier, &once), Ok(()));
    assert!(matches!(verifier.reload(), Reload::Unchanged));
    dir.write("ed.pem", PUBLIC_PEM);
    assert!(matches!(verifier.reload(), Reload::Changed));
    assert_eq!(is_taken(&verifier, &once), Err(AuthError::Revoked));
    assert_eq!(is_taken(&verifier, &token(&ed25519())), Ok(()));
}

#[test]
fn where_something_is_wrong_the_old_keys_stay_and_it_is_said_once() {
    let dir = Dir::new();
    dir.write("hs.secret", SECRET);
    let verifier = TokenVerifier::new(Keys::from_dir(dir.path()).unwrap());
    let old = token(&hs256());

    dir.write("ed.pem", &PUBLIC_PEM[..40]);
    assert!(matches!(verifier.reload(), Reload::Broken(KeysError::File { .. })));
    assert!(matches!(verifier.reload(), Reload::StillBroken));
    assert_eq!(is_taken(&verifier, &old), Ok(()));
    assert_eq!(verifier.keys().len(), 1);

    dir.remove("ed.pem").remove("hs.secret");
    assert!(matches!(verifier.reload(), Reload::Broken(KeysError::Empty { .. })));
    assert!(matches!(verifier.reload(), Reload::StillBroken));
    assert_eq!(is_taken(&verifier, &old), Ok(()));

    dir.write("hs.secret", SECRET);
    assert!(matches!(verifier.reload(), Reload::Unchanged));
    dir.remove("hs.secret");
    assert!(matches!(verifier.reload(), Reload::Broken(KeysError::Empty { .. })));
}

#[test]
fn keys_that_were_given_stay_beside_those_that_are_read() {
    let dir = Dir::new();
    dir.write("ed.pem", PUBLIC_PEM);
    let keys = Keys::from_dir(dir.path()).unwrap().hs256("hs", SECRET).unwrap();
    let verifier = TokenVerifier::new(keys);
    dir.remove("ed.pem").write("ed2.pem", PUBLIC_PEM);
    assert!(matches!(verifier.reload(), Reload::Changed));
    assert_eq!(is_taken(&verifier, &token(&hs256())), Ok(()));
    assert_eq!(is_taken(&verifier, &token(&ed25519())), Err(AuthError::UnknownKey));
    let fixed = TokenVerifier::new(hs256().keys().clone());
    assert!(matches!(fixed.reload(), Reload::Unchanged));
}
