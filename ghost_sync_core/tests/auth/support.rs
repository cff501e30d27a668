//! Keys, a moment, and tokens made by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ghost_sync_core::{
    AuthError, Identity, UserId,
    auth::{TokenIssuer, TokenVerifier},
};
use ring::{hmac, signature::Ed25519KeyPair};
use serde_json::{Value, json};

/// Of RFC 8410, section 10.3.
pub(crate) const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
pub(crate) const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";
pub(crate) const SECRET: &[u8] = b"9f2d5a3c8b7e41f06a1d9c2e5b8f7043";

/// The second in which tokens are made and shown.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn wall(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn ada() -> UserId {
    UserId::new("ada").unwrap()
}

pub(crate) fn ed25519() -> TokenIssuer {
    TokenIssuer::ed25519("ed", PRIVATE_PEM).unwrap()
}

pub(crate) fn hs256() -> TokenIssuer {
    TokenIssuer::hs256("hs", SECRET).unwrap()
}

/// Takes tokens of `ed25519()` and of `hs256()`.
pub(crate) fn verifier() -> TokenVerifier {
    TokenVerifier::new(ed25519().keys().clone().hs256("hs", SECRET).unwrap())
}

/// What it finds in a token that is shown at `NOW`.
pub(crate) fn show(verifier: &TokenVerifier, token: &str) -> Result<Identity, AuthError> {
    verifier.verify(token, wall(NOW), Instant::now())
}

/// Claims that are taken at `NOW`.
pub(crate) fn claims() -> Value {
    json!({ "kind": "access", "aud": "ghost", "sub": "ada", "iat": NOW, "exp": NOW + 3600 })
}

/// The claims, with that instead.
pub(crate) fn with(key: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[key] = value.into();
    claims
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Any header and any claims, signed with that secret.
pub(crate) fn mac_with(secret: &[u8], header: &str, claims: impl AsRef<[u8]>) -> String {
    let text = format!("{}.{}", b64(header), b64(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{text}.{}", b64(hmac::sign(&key, text.as_bytes())))
}

/// The same, signed with the secret that the verifier has.
pub(crate) fn mac(header: &str, claims: impl AsRef<[u8]>) -> String {
    mac_with(SECRET, header, claims)
}

/// A header as it should be, and any claims.
pub(crate) fn signed(claims: &Value) -> String {
    signed_text(claims.to_string())
}

/// The same of claims that need be no JSON.
pub(crate) fn signed_text(claims: impl AsRef<[u8]>) -> String {
    mac(r#"{"alg":"HS256","typ":"JWT","kid":"hs"}"#, claims)
}

/// Any header and any claims, signed with the private key.
pub(crate) fn ed_signed(header: &str, claims: &Value) -> String {
    let der = PRIVATE_PEM.lines().nth(1).unwrap();
    let der = base64::engine::general_purpose::STANDARD.decode(der).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
    let text = format!("{}.{}", b64(header), b64(claims.to_string()));
    format!("{text}.{}", b64(pair.sign(text.as_bytes())))
}

/// A directory that is gone at the end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("ghost-auth-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    pub(crate) fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.0.join(name)).unwrap();
        self
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
