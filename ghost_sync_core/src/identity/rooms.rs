//! Which rooms somebody may join, said before they exist.

use std::{fmt, str::FromStr, sync::Arc};

use crate::wire::RoomName;

/// One room by its name, or all whose names begin alike: `lobby`, `match-*`, `*`.
///
/// A `*` may be the last character and no other: no pattern names a room with a `*` in its
/// name, except all of its kind at once.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RoomPattern(Arc<str>);

impl RoomPattern {
    /// Checks `text` and takes a copy of it.
    ///
    /// # Errors
    /// [`InvalidRoomPattern`] when it is empty, too long, holds a control character, or a `*`
    /// that is not the last character.
    pub fn new(text: &str) -> Result<Self, InvalidRoomPattern> {
        let start = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() {
            return Err(InvalidRoomPattern::Empty);
        }
        if start.len() > RoomName::MAX_LEN {
            return Err(InvalidRoomPattern::TooLong { len: text.len() });
        }
        if start.contains('*') {
            return Err(InvalidRoomPattern::StarInside);
        }
        if start.chars().any(char::is_control) {
            return Err(InvalidRoomPattern::ControlCharacter);
        }
        Ok(Self(text.into()))
    }

    /// Whether a room of that name is meant.
    pub fn covers(&self, room: &RoomName) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => room.as_str().starts_with(start),
            None => *room == *self.0,
        }
    }

    /// Whether each room that `other` means is meant by this too.
    pub fn covers_pattern(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => other.0.strip_suffix('*').unwrap_or(&other.0).starts_with(start),
            None => self == other,
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Rooms that somebody may join: any, or those that one of some patterns means.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RoomPatterns(Option<Arc<[RoomPattern]>>);

impl RoomPatterns {
    /// The most patterns.
    pub const MAX: usize = 128;

    /// Each room.
    pub fn any() -> Self {
        Self(None)
    }

    /// No room.
    pub fn none() -> Self {
        Self(Some([].into()))
    }

    /// Rooms that one of these patterns means; with none of them, no room.
    ///
    /// # Errors
    /// [`InvalidRoomPattern`] when one is no pattern, or there are more than
    /// [`RoomPatterns::MAX`].
    pub fn new<T: AsRef<str>>(
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidRoomPattern> {
        let patterns = patterns.into_iter().take(Self::MAX + 1);
        let patterns: Arc<[_]> =
            patterns.map(|text| RoomPattern::new(text.as_ref())).collect::<Result<_, _>>()?;
        if patterns.len() > Self::MAX {
            return Err(InvalidRoomPattern::TooMany);
        }
        Ok(Self(Some(patterns)))
    }

    /// Whether a room of that name may be joined.
    pub fn covers(&self, room: &RoomName) -> bool {
        let Some(patterns) = &self.0 else { return true };
        patterns.iter().any(|pattern| pattern.covers(room))
    }

    /// Whether each of those rooms may be joined.
    pub fn covers_pattern(&self, other: &RoomPattern) -> bool {
        let Some(patterns) = &self.0 else { return true };
        patterns.iter().any(|pattern| pattern.covers_pattern(other))
    }

    /// Whether each room that `other` allows is allowed by this too, pattern for pattern.
    pub fn covers_all(&self, other: &Self) -> bool {
        match other.patterns() {
            Some(patterns) => patterns.iter().all(|pattern| self.covers_pattern(pattern)),
            None => self.is_any(),
        }
    }

    /// Whether each room is allowed.
    pub fn is_any(&self) -> bool {
        let Some(patterns) = &self.0 else { return true };
        patterns.iter().any(|pattern| pattern.as_str() == "*")
    }

    /// The patterns; `None` for [`RoomPatterns::any`].
    pub fn patterns(&self) -> Option<&[RoomPattern]> {
        self.0.as_deref()
    }
}

/// Why a text is not a [`RoomPattern`], or texts are not [`RoomPatterns`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoomPattern {
    /// Give at least one character; `*` is every room.
    #[error("a pattern of rooms needs at least one character")]
    Empty,
    /// Shorten it: no name is as long.
    #[error(
        "a pattern of rooms of {len} bytes is too long: names have {} at most",
        RoomName::MAX_LEN
    )]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Put the `*` at the end, or leave it out.
    #[error("a pattern of rooms may have a * at its end only")]
    StarInside,
    /// Leave out line breaks, tabs, NUL and the like.
    #[error("a pattern of rooms must not hold control characters")]
    ControlCharacter,
    /// Name rooms so that they begin alike, and use a `*`.
    #[error("too many patterns of rooms: {} at most", RoomPatterns::MAX)]
    TooMany,
}

impl fmt::Debug for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RoomPattern {
    type Err = InvalidRoomPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> RoomPattern {
        RoomPattern::new(text).unwrap()
    }

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn a_name_means_that_room_and_a_star_all_that_begin_alike() {
        assert!(pattern("lobby").covers(&room("lobby")));
        assert!(!pattern("lobby").covers(&room("lobby2")));
        assert!(!pattern("lobby").covers(&room("Lobby")));
        for name in ["match-1", "match-", "match-*"] {
            assert!(pattern("match-*").covers(&room(name)));
            assert!(pattern("*").covers(&room(name)));
        }
        assert!(!pattern("match-*").covers(&room("match")));
    }

    #[test]
    fn a_pattern_covers_those_that_mean_no_more() {
        for (wide, narrow) in [
            ("*", "*"),
            ("*", "lobby"),
            ("match-*", "match-*"),
            ("match-*", "match-1"),
            ("match-*", "match-1*"),
            ("lobby", "lobby"),
        ] {
            assert!(pattern(wide).covers_pattern(&pattern(narrow)), "{wide} {narrow}");
        }
        for (one, other) in
            [("match-1", "match-*"), ("match-*", "*"), ("match-*", "match*"), ("a", "b")]
        {
            assert!(!pattern(one).covers_pattern(&pattern(other)), "{one} {other}");
        }
    }

    #[test]
    fn any_is_covered_by_any_alone_and_none_by_everything() {
        let some = RoomPatterns::new(["lobby", "match-*"]).unwrap();
        let all = RoomPatterns::new(["lobby", "*"]).unwrap();
        let (any, none) = (RoomPatterns::any(), RoomPatterns::none());
        assert!(any.covers_all(&some) && any.covers_all(&any) && all.covers_all(&any));
        assert!(!some.covers_all(&any) && !none.covers_all(&some));
        for rooms in [&some, &all, &any, &none] {
            assert!(rooms.covers_all(&none));
        }
        assert!(!none.covers(&room("lobby")) && any.covers(&room("lobby")));
        assert!(some.covers(&room("match-9")) && !some.covers(&room("den")));
    }

    #[test]
    fn the_edges_of_what_is_a_pattern() {
        use InvalidRoomPattern::*;
        let long = "r".repeat(RoomName::MAX_LEN);
        assert!(RoomPattern::new(&long).is_ok());
        assert!(RoomPattern::new(&format!("{long}*")).is_ok());
        assert_eq!(RoomPattern::new(&format!("{long}r")), Err(TooLong { len: long.len() + 1 }));
        assert_eq!(RoomPattern::new(""), Err(Empty));
        assert_eq!(RoomPattern::new("a*b"), Err(StarInside));
        assert_eq!(RoomPattern::new("**"), Err(StarInside));
        assert_eq!(RoomPattern::new("a\n*"), Err(ControlCharacter));
        let many = |count| RoomPatterns::new(std::iter::repeat_n("a", count));
        assert!(many(RoomPatterns::MAX).is_ok());
        assert_eq!(many(RoomPatterns::MAX + 1), Err(TooMany));
    }
}
