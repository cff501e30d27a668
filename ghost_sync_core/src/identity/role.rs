//! The most that somebody may be in a room.

use crate::wire::Role;

/// The most that somebody may be in a room; lower ones are allowed too.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MaxRole {
    /// It may watch.
    Spectator,
    /// It may play.
    #[default]
    Player,
    /// It may play, and see to it that others behave.
    Moderator,
}

impl MaxRole {
    /// Each of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::Spectator, Self::Player, Self::Moderator];

    /// Whether it includes to join as that.
    pub fn allows(self, role: Role) -> bool {
        match role {
            Role::Player => self >= Self::Player,
        }
    }

    /// What tokens call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spectator => "spectator",
            Self::Player => "player",
            Self::Moderator => "moderator",
        }
    }

    /// The one of that name; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_only_watch_may_not_play() {
        assert!(!MaxRole::Spectator.allows(Role::Player));
        assert!(MaxRole::Player.allows(Role::Player));
        assert!(MaxRole::Moderator.allows(Role::Player));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for role in MaxRole::ALL {
            assert_eq!(MaxRole::from_name(role.name()), Some(role));
        }
        assert_eq!(MaxRole::from_name("Player"), None);
    }
}
