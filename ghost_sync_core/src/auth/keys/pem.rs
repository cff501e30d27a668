//! Ed25519 keys as OpenSSL writes them.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::InvalidKey;

/// The public key in a PEM file: an RFC 8410 SubjectPublicKeyInfo.
pub(super) fn public_ed25519(text: &str) -> Result<[u8; 32], InvalidKey> {
    if text.contains("PRIVATE KEY-----") {
        return Err(InvalidKey::PrivateKey);
    }
    let der = body(text, "PUBLIC KEY").ok_or(InvalidKey::NotAPublicKey)?;
    let key = der.strip_prefix(&SPKI_ED25519).ok_or(InvalidKey::NotAPublicKey)?;
    key.try_into().map_err(|_| InvalidKey::NotAPublicKey)
}

/// The PKCS#8 document of a private key in a PEM file.
pub(in crate::auth) fn private_ed25519(text: &str) -> Result<Vec<u8>, InvalidKey> {
    body(text, "PRIVATE KEY").ok_or(InvalidKey::NotAPrivateKey)
}

/// What is between the lines of that label, if nothing else is there.
fn body(text: &str, label: &str) -> Option<Vec<u8>> {
    let text = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let text = text.strip_suffix(&format!("-----END {label}-----"))?;
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

/// A sequence of the algorithm 1.3.101.112 and a bit string of 32 bytes, which follow.
const SPKI_ED25519: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of RFC 8410, section 10.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn the_examples_of_rfc_8410_are_read() {
        let public = public_ed25519(PUBLIC).unwrap();
        assert_eq!(&public[..4], [0x19, 0xbf, 0x44, 0x09]);
        assert_eq!(public_ed25519(&PUBLIC.replace('\n', "\r\n")).unwrap(), public);
        assert_eq!(private_ed25519(PRIVATE).unwrap().len(), 48);
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        assert!(matches!(public_ed25519(PRIVATE), Err(InvalidKey::PrivateKey)));
        let p256 = "-----BEGIN PUBLIC KEY-----\n\
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n\
            q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n\
            -----END PUBLIC KEY-----";
        let twice = PUBLIC.repeat(2);
        let short = PUBLIC.replace("MCow", "");
        for bad in ["", "keys", p256, &twice, &short, &PUBLIC.replace("Gb9E", "Gb9!")] {
            assert!(matches!(public_ed25519(bad), Err(InvalidKey::NotAPublicKey)), "{bad}");
        }
    }
}
