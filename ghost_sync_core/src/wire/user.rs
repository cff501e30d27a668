//! Who somebody is, whatever they are connected over: parsed once, then known to be good.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

#[cfg(feature = "reflect")]
use bevy_reflect::ReflectSerialize;

/// A user as the game's backend knows it: 1 to [`UserId::MAX_LEN`] bytes of UTF-8 without
/// control characters. Compared byte by byte. Not a secret.
///
/// One user may have several clients at a time, each with a
/// [`ClientId`](super::ClientId) of its own.
#[cfg_attr(
    feature = "reflect",
    derive(bevy_reflect::Reflect),
    reflect(opaque, Clone, Debug, Hash, PartialEq, Serialize)
)]
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserId(Arc<str>);

/// As text.
impl serde::Serialize for UserId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl UserId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks `id` and takes a copy of it.
    ///
    /// # Errors
    /// [`InvalidUserId`] when it is empty, too long, or holds a control character.
    pub fn new(id: &str) -> Result<Self, InvalidUserId> {
        if id.is_empty() {
            return Err(InvalidUserId::Empty);
        }
        if id.len() > Self::MAX_LEN {
            return Err(InvalidUserId::TooLong { len: id.len() });
        }
        if id.chars().any(char::is_control) {
            return Err(InvalidUserId::ControlCharacter);
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`UserId`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUserId {
    /// Give at least one character.
    #[error("the id of a user needs at least one character")]
    Empty,
    /// Shorten it.
    #[error("a user's id of {len} bytes is too long: at most {} are allowed", UserId::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Leave out line breaks, tabs, NUL and the like.
    #[error("the id of a user must not hold control characters")]
    ControlCharacter,
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for UserId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for UserId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for UserId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl FromStr for UserId {
    type Err = InvalidUserId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl TryFrom<&str> for UserId {
    type Error = InvalidUserId;

    fn try_from(id: &str) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_length_limit() {
        assert_eq!(UserId::new(""), Err(InvalidUserId::Empty));
        assert!(UserId::new(&"u".repeat(UserId::MAX_LEN)).is_ok());
        let len = UserId::MAX_LEN + 1;
        assert_eq!(UserId::new(&"u".repeat(len)), Err(InvalidUserId::TooLong { len }));
    }

    #[test]
    fn control_characters_are_refused_and_everything_else_is_kept_as_it_is() {
        for bad in ["a\nb", "\0", "a\tb", "\u{7f}", "\u{85}"] {
            assert_eq!(UserId::new(bad), Err(InvalidUserId::ControlCharacter));
        }
        for good in ["ada", "auth0|5f7c8ec7", "größe 🎮", "a@b.example"] {
            assert_eq!(UserId::new(good).unwrap(), good);
        }
    }
}
