//! What a client shows to say who it is.

use std::fmt;

use bytes::Bytes;
use wincode::{SchemaRead, SchemaWrite};

/// A token: bytes that a server can check, at most [`MAX_TOKEN`](super::MAX_TOKEN) of them; empty
/// for none. Whoever has it is that user, so [`Debug`](fmt::Debug) never shows it.
#[derive(Clone, Copy, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Token<B = Bytes>(pub B);

impl<B: AsRef<[u8]>> Token<B> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_empty()
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Token<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Token()" } else { "Token(..)" })
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(Bytes::copy_from_slice(token.as_bytes()))
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token.into())
    }
}

impl Token {
    /// The text, for the wire and for whoever verifies it, never for a log; empty where the bytes
    /// are no text, which no token is.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same, lent.
    pub fn lend(&self) -> Token<&[u8]> {
        Token(&self.0)
    }
}

impl Token<&[u8]> {
    /// A copy of its own.
    pub fn copied(self) -> Token {
        Token(Bytes::copy_from_slice(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ClientMessage, Hello};

    #[test]
    fn a_token_is_never_shown() {
        let token = Token(&b"secret"[..]);
        let hello = ClientMessage::Hello(Hello { token, ..Hello::default() });
        for shown in [format!("{hello:?}"), format!("{token:?}"), format!("{:?}", token.copied())] {
            assert!(shown.contains("Token(..)") && !shown.contains("secret"), "{shown}");
            assert!(!shown.contains(&format!("{}", b's')), "{shown}");
        }
    }
}
