//! JSON Web Signatures in their compact form, as far as tokens need them.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::keys::{Algorithm, Key, Keys};
use crate::wire::{AuthError, MAX_TOKEN};

/// The claims of a token that one of these keys has signed, and that key.
pub(super) fn open<'a>(token: &str, keys: &'a Keys) -> Result<(&'a Arc<Key>, Vec<u8>), AuthError> {
    if token.is_empty() {
        return Err(AuthError::Missing);
    }
    if token.len() > MAX_TOKEN {
        return Err(AuthError::Malformed);
    }
    let (text, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
    let (header, claims) = text.split_once('.').ok_or(AuthError::Malformed)?;
    let header: Header = object(&decode(header)?)?;
    let algorithm = header.algorithm()?;
    let (claims, signature) = (decode(claims)?, decode(signature)?);
    let key = keys.find(header.kid.as_deref()).ok_or(AuthError::UnknownKey)?;
    if algorithm != key.algorithm() || !key.verifies(text.as_bytes(), &signature) {
        return Err(AuthError::BadSignature);
    }
    Ok((key, claims))
}

/// What is to be signed: a header of that key, and the claims.
pub(super) fn signing_input(algorithm: Algorithm, kid: &str, claims: &[u8]) -> String {
    // No name of a key has a character that JSON would escape.
    let header = format!(r#"{{"alg":"{}","typ":"JWT","kid":"{kid}"}}"#, name(algorithm));
    format!("{}.{}", encode(header.as_bytes()), encode(claims))
}

/// The token of what was signed.
pub(super) fn with_signature(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", encode(signature))
}

/// Bytes as base64url.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A JSON object, and nothing before it.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, AuthError> {
    // Serde would take a list for a struct, too.
    if json.first() != Some(&b'{') {
        return Err(AuthError::Malformed);
    }
    serde_json::from_slice(json).map_err(|_| AuthError::Malformed)
}

/// Takes a value that may be left out, but not be `null`.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// All that a header may have: what else there is could name another key or another rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
}

impl Header {
    /// What it says, which must be what its key is for.
    fn algorithm(&self) -> Result<Algorithm, AuthError> {
        if self.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(AuthError::Malformed);
        }
        let known = [Algorithm::Ed25519, Algorithm::Hs256];
        let named = known.into_iter().find(|algorithm| name(*algorithm) == self.alg);
        named.ok_or(AuthError::Malformed)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| AuthError::Malformed)
}

/// What tokens call it.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Ed25519 => "EdDSA",
        Algorithm::Hs256 => "HS256",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::Material;

    fn keys(material: Material) -> Keys {
        let mut keys = Keys::new();
        keys.insert(Key::new("k", material).unwrap()).unwrap();
        keys
    }

    #[test]
    fn the_example_of_rfc_8037_is_verified() {
        let public = decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let keys = keys(Material::Ed25519(public.try_into().unwrap()));
        let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
            hgyY0il_MGCjP0JzlnLWG1PPO\
            t7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let (_, claims) = open(token, &keys).unwrap();
        assert_eq!(claims, b"Example of Ed25519 signing");
    }

    #[test]
    fn the_example_of_rfc_7515_is_verified() {
        let secret = decode(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        );
        let keys = keys(Material::hs256(&secret.unwrap()));
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let (_, claims) = open(token, &keys).unwrap();
        assert!(claims.starts_with(b"{\"iss\":\"joe\""));
    }
}
