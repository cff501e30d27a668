//! What a token is to say.

use std::time::Duration;

use crate::{
    identity::{LockedMeta, MaxRole, RoomPatterns},
    wire::UserId,
};

/// What a token is to say.
///
/// ```
/// use std::time::Duration;
/// use ghost_sync_core::{MaxRole, UserId, auth::Grant};
/// let ada = UserId::new("ada")?;
/// let grant = Grant { role: MaxRole::Moderator, ..Grant::new(ada, Duration::from_secs(3600)) };
/// # Ok::<(), ghost_sync_core::InvalidUserId>(())
/// ```
#[derive(Clone, Debug)]
pub struct Grant {
    /// The user.
    pub user: UserId,
    /// Where it may join. Everywhere by default.
    pub rooms: RoomPatterns,
    /// The login's name (`sid`), 1 to 64 bytes without control characters. None by default.
    pub session: Option<String>,
    /// The token's name (`jti`), as long. A random one by default.
    pub token_id: Option<String>,
    /// The most that it may be. A player by default.
    pub role: MaxRole,
    /// Whether its joins may make rooms. No by default.
    pub create: bool,
    /// Metadata that it cannot change itself. None by default.
    pub meta: LockedMeta,
    /// How long the token is good, in whole seconds.
    pub life: Duration,
}

impl Grant {
    /// That user, in every room, as a player.
    pub fn new(user: UserId, life: Duration) -> Self {
        Self {
            user,
            rooms: RoomPatterns::any(),
            session: None,
            token_id: None,
            role: MaxRole::default(),
            create: false,
            meta: LockedMeta::default(),
            life,
        }
    }

    pub(super) fn plain(
        user: &UserId,
        rooms: RoomPatterns,
        session: Option<&str>,
        life: Duration,
    ) -> Self {
        let session = session.map(str::to_owned);
        Self { rooms, session, ..Self::new(user.clone(), life) }
    }
}
