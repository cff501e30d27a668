//! What a client shows to be somebody; never shown by us.

use std::fmt;

/// A token as text: whoever has it is that user, for as long as it is good. Neither `Debug` nor
/// `Display` shows any of it, so that it does not reach a log.
///
/// ```
/// use ghost_sync_core::Token;
/// let token = Token::new("eyJ0eXAiOi…")?;
/// assert_eq!(format!("{token} {token:?}"), "(token) Token(..)");
/// # Ok::<(), ghost_sync_core::TokenTooLong>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Token(Box<str>);

impl Token {
    /// The longest token, in bytes.
    pub const MAX_LEN: usize = 8192;

    /// Takes that text for a token; whether it is one is found by who verifies it.
    ///
    /// # Errors
    /// [`TokenTooLong`] when it has more than [`Token::MAX_LEN`] bytes.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, TokenTooLong> {
        let text = text.into();
        if text.len() > Self::MAX_LEN {
            return Err(TokenTooLong { len: text.len() });
        }
        Ok(Self(text))
    }

    /// The text: for the wire, and for who verifies it. Never for a log or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why a text is no [`Token`]: put less into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a token of {len} bytes is too long: at most {} are allowed", Token::MAX_LEN)]
pub struct TokenTooLong {
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_length_limit() {
        let text = |len: usize| "t".repeat(len);
        assert_eq!(Token::new(text(Token::MAX_LEN)).unwrap().expose().len(), Token::MAX_LEN);
        let len = Token::MAX_LEN + 1;
        assert_eq!(Token::new(text(len)), Err(TokenTooLong { len }));
    }
}
