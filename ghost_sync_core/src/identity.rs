//! Who a client is and what it may do there: what a verified token says, or a program's own
//! check. Knows no token, no signature and no wall clock.

mod meta;
mod revocations;
mod role;
mod rooms;

pub use meta::{InvalidLockedMeta, LockedMeta};
pub use revocations::{Revocations, RevocationsFull, Revoke};
pub use role::MaxRole;
pub use rooms::{InvalidRoomPattern, RoomPattern, RoomPatterns};

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::wire::UserId;

/// The longest that an identity may last from one token, and so the longest that a revocation
/// must be remembered: a day.
pub const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Who a client is, and what that lets it do.
///
/// ```
/// use ghost_sync_core::{Identity, RoomPatterns, UserId};
/// let ada = Identity {
///     rooms: RoomPatterns::new(["lobby", "match-*"])?,
///     ..Identity::new(UserId::new("ada").unwrap())
/// };
/// # Ok::<(), ghost_sync_core::InvalidRoomPattern>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The login that it comes from, if it has a name: revoked as one.
    pub session: Option<Arc<str>>,
    /// The token that said so, if it has a name.
    pub token_id: Option<Arc<str>>,
    /// The key that the token was signed with, if there was one.
    pub key_id: Option<Arc<str>>,
    /// Where it may join. Everywhere by default.
    pub rooms: RoomPatterns,
    /// The most that it may be there. A player by default.
    pub role: MaxRole,
    /// Whether its joins may make rooms. No by default.
    pub create: bool,
    /// Metadata that was vouched for: the client can change none of these keys.
    pub meta: LockedMeta,
    /// When whoever vouches for it said so; compared with [`Revoke::User`] and nothing else.
    pub issued: Option<SystemTime>,
    /// When it ends. Never by default.
    pub expires: Option<Instant>,
}

impl Identity {
    /// That user, who may join every room as a player until further notice.
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            session: None,
            token_id: None,
            key_id: None,
            rooms: RoomPatterns::any(),
            role: MaxRole::default(),
            create: false,
            meta: LockedMeta::default(),
            issued: None,
            expires: None,
        }
    }
}
