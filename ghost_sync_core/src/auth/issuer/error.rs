//! Why there is no token.

use std::time::Duration;

use crate::wire::{AuthError, MAX_TOKEN};

/// Why there is no token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Let it live for at least a second, and at most that.
    #[error("a token of this kind lives for 1 s to {} s", max.as_secs())]
    Life {
        /// The longest.
        max: Duration,
    },
    /// Give 1 to 64 bytes without control characters.
    #[error("the name of a token or a login has 1 to 64 bytes without control characters")]
    Name,
    /// Put less into it: fewer rooms, less metadata.
    #[error("a token of {len} bytes is too long: at most {MAX_TOKEN} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The system has no random numbers. Try again, or name the token.
    #[error("no random name can be had for the token")]
    NoRandom,
}

/// Why a refresh token gave no access token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// It is not good (any more). Let the user log in.
    #[error("the refresh token was refused")]
    Refused(#[source] AuthError),
    /// Ask for rooms that it covers.
    #[error("the refresh token does not cover all of these rooms")]
    Rooms,
    /// It is of another login.
    #[error("the refresh token is of another login")]
    Session,
    /// What is asked for cannot be signed.
    #[error("the access token cannot be made")]
    Sign(#[source] SignError),
}

impl From<AuthError> for RefreshError {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}

impl From<SignError> for RefreshError {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
    }
}
