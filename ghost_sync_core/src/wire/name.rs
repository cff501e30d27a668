//! Room names: parsed once, then known to be good.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

#[cfg(feature = "reflect")]
use bevy_reflect::ReflectSerialize;

/// The name of a room: 1 to [`RoomName::MAX_LEN`] bytes of UTF-8 without
/// control characters. Compared byte by byte: `Lobby` and `lobby` differ.
#[cfg_attr(
    feature = "reflect",
    derive(bevy_reflect::Reflect),
    reflect(opaque, Clone, Debug, Hash, PartialEq, Serialize)
)]
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RoomName(Arc<str>);

/// As text.
impl serde::Serialize for RoomName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl RoomName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks `name` and takes a copy of it.
    ///
    /// # Errors
    /// [`InvalidRoomName`] when it is empty, too long, or holds a control character.
    pub fn new(name: &str) -> Result<Self, InvalidRoomName> {
        if name.is_empty() {
            return Err(InvalidRoomName::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(InvalidRoomName::TooLong { len: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Err(InvalidRoomName::ControlCharacter);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`RoomName`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoomName {
    /// Give at least one character.
    #[error("a room name needs at least one character")]
    Empty,
    /// Shorten it.
    #[error("a room name of {len} bytes is too long: at most {} are allowed", RoomName::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Leave out line breaks, tabs, NUL and the like.
    #[error("a room name must not hold control characters")]
    ControlCharacter,
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RoomName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for RoomName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for RoomName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl FromStr for RoomName {
    type Err = InvalidRoomName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<&str> for RoomName {
    type Error = InvalidRoomName;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_the_length_limit() {
        assert_eq!(RoomName::new(""), Err(InvalidRoomName::Empty));
        assert!(RoomName::new(&"a".repeat(RoomName::MAX_LEN)).is_ok());
        let len = RoomName::MAX_LEN + 1;
        assert_eq!(RoomName::new(&"a".repeat(len)), Err(InvalidRoomName::TooLong { len }));
    }

    #[test]
    fn control_characters_are_refused_and_everything_else_is_kept_as_it_is() {
        for bad in ["a\nb", "\0", "a\tb", "\u{7f}", "\u{85}"] {
            assert_eq!(RoomName::new(bad), Err(InvalidRoomName::ControlCharacter));
        }
        for good in ["../", "*", "a b", "räume", "🎮👨‍👩‍👧", "a.b>c"] {
            assert_eq!(RoomName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn case_twins_are_different_rooms() {
        assert_ne!(RoomName::new("Lobby").unwrap(), RoomName::new("lobby").unwrap());
    }
}
