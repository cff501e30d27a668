//! Which secrets are too easy to guess.

use super::InvalidKey;

/// Refuses what is short, known from examples, or repeats itself.
pub(in crate::auth) fn check(secret: &[u8]) -> Result<(), InvalidKey> {
    let text = String::from_utf8_lossy(secret).to_ascii_lowercase();
    let letters: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if EXAMPLES.iter().any(|example| letters.contains(example)) {
        return Err(InvalidKey::GuessableSecret);
    }
    if secret.len() < MIN_LEN {
        return Err(InvalidKey::ShortSecret { len: secret.len() });
    }
    // Whether all is there again after so many bytes: then no more than those were chosen.
    let repeats = |period: usize| secret[period..] == secret[..secret.len() - period];
    if (1..=16).any(repeats) {
        return Err(InvalidKey::GuessableSecret);
    }
    Ok(())
}

const MIN_LEN: usize = 32;

/// What manuals and generators write, with letters and digits alone.
const EXAMPLES: [&str; 8] = [
    "secret",
    "password",
    "changeme",
    "changethis",
    "replaceme",
    "yourkey",
    "example",
    "supersecure",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_and_those_of_examples_are_refused() {
        for weak in [
            "",
            "secret",
            "your-secret-key",
            "changeme",
            "your-256-bit-secret",
            "a-string-secret-at-least-256-bits-long",
            "SECRET-SECRET-SECRET-SECRET-SECRET",
            "please-change-me-please-change-me-please",
            "0123456789abcdef0123456789abcdef",
            "00000000000000000000000000000000",
            "correcthorsecorrecthorsecorrecthorse",
            "4f9c1a7be35d82064f9c1a7be35d820",
        ] {
            assert!(check(weak.as_bytes()).is_err(), "{weak}");
        }
    }

    #[test]
    fn what_generators_write_is_taken() {
        for good in [
            "9f2d5a3c8b7e41f06a1d9c2e5b8f7043a6d1e9c4b2f8075d3e6a1c9b4f2d8e70",
            "kJ8sV2mPqL5xW9zR3tY7uB1nC4dF6gHh",
            "d0b1c7a94e2f5368d0c1b7a94e2f5368",
        ] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        assert!(check(&(0..32).collect::<Vec<u8>>()).is_ok());
    }
}
