//! Why somebody is not who it says it is.

use wincode::{SchemaRead, SchemaWrite};

/// Why a token was not taken. It says no more than this: who tries tokens learns little from
/// it, and an honest client what to do next.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, SchemaRead, SchemaWrite, thiserror::Error)]
pub enum AuthError {
    /// There is none, and this server asks for one.
    #[error("a token is needed")]
    #[wincode(tag = 1)]
    Missing,
    /// It is not built like a token of this format, or says something that no token may say.
    #[error("the token is malformed")]
    #[wincode(tag = 2)]
    Malformed,
    /// It names a key that this server does not have, or none where there are several.
    /// Sign with a key that is there; it may have been replaced.
    #[error("the token names an unknown key")]
    #[wincode(tag = 3)]
    UnknownKey,
    /// It was not signed by the key that it names, or was changed since.
    #[error("the token has a bad signature")]
    #[wincode(tag = 4)]
    BadSignature,
    /// Its time is over. Fetch a fresh one.
    #[error("the token has expired")]
    #[wincode(tag = 5)]
    Expired,
    /// Its time has not come. Set the clocks of those who sign and of the server.
    #[error("the token is not valid yet")]
    #[wincode(tag = 6)]
    NotYetValid,
    /// It is meant for something else, or comes from somebody else.
    #[error("the token is not for this server")]
    #[wincode(tag = 7)]
    WrongAudience,
    /// It, its login, its user's older tokens or its key were called back; or it was good for
    /// one use, and was used.
    #[error("the token was revoked")]
    #[wincode(tag = 8)]
    Revoked,
    /// Its user is not let in for now.
    #[error("banned")]
    #[wincode(tag = 9)]
    Banned,
}

impl AuthError {
    /// Each of them, by number.
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Malformed,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::Revoked,
        Self::Banned,
    ];

    /// The number that stands for it on the wire and in logs.
    pub fn code(self) -> u8 {
        match self {
            Self::Missing => 1,
            Self::Malformed => 2,
            Self::UnknownKey => 3,
            Self::BadSignature => 4,
            Self::Expired => 5,
            Self::NotYetValid => 6,
            Self::WrongAudience => 7,
            Self::Revoked => 8,
            Self::Banned => 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::wire::codec;

    #[test]
    fn the_code_is_the_tag_on_the_wire() {
        for (error, code) in AuthError::ALL.into_iter().zip(1..) {
            assert_eq!(error.code(), code);
            let mut frame = BytesMut::new();
            codec::write(&mut frame, &error);
            assert_eq!(&frame[..], [code]);
            assert_eq!(codec::read(&frame, |_| true), Ok(error));
        }
    }
}
