//! Keeping somebody out, and letting it in again.

use std::time::{Duration, SystemTime};

use bevy::prelude::*;
use ghost_sync_core::{
    identity,
    relay::{IpPrefix, Who},
    wire::UserId,
};

/// Asks to keep somebody out, in place of an earlier ban of the same. Whoever is meant and here is
/// told, and is gone, away or not: [`ConnectionClosed`](crate::ConnectionClosed) follows for each,
/// with [`CloseReason::Banned`](crate::CloseReason::Banned).
///
/// For ever, unless it is [`lasting`](Self::lasting). Bans hold when the server is started again by
/// this program, and may be made while none runs. What was not done is told as
/// [`BanRefused`](crate::BanRefused); [`ServerHandle::bans`](crate::ServerHandle::bans) lists what is
/// in force.
///
/// ```
/// # use std::time::Duration;
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::prelude::*;
/// # #[derive(SchemaRead, SchemaWrite)]
/// # struct Chat(String);
/// fn ban_spammers(mut chat: MessageReader<FromPlayer<Chat>>, mut commands: Commands) {
///     for said in chat.read().filter(|said| said.message.0.contains("cheap gold")) {
///         let hour = Duration::from_secs(3600);
///         commands.trigger(Ban::player(said.player).lasting(hour).because("advertising"));
///     }
/// }
/// # App::new().add_ghost_message::<Chat>().add_systems(Update, ban_spammers);
/// ```
#[derive(Clone, Debug, Event, PartialEq, Reflect)]
#[reflect(opaque)]
pub struct Ban {
    /// Whom.
    pub target: BanTarget,
    /// For how long; `None`: for ever.
    pub lasts: Option<Duration>,
    /// Why, for the banned.
    pub message: String,
}

/// Whom a ban keeps out.
#[derive(Clone, Debug, Eq, PartialEq, Reflect)]
#[reflect(opaque)]
pub enum BanTarget {
    /// The client that an entity with [`Player`](crate::Player) or
    /// [`Connection`](crate::Connection) is: its user, or, if it has none, the address that it
    /// comes from (of IPv6 the first 64 bits, which one household has).
    Client(Entity),
    /// Whoever that is.
    Who(Who),
}

impl Ban {
    /// The client that plays there: its user, else its address.
    pub fn player(player: Entity) -> Self {
        Self::of(BanTarget::Client(player))
    }

    /// The client of that connection: its user, else its address.
    pub fn connection(connection: Entity) -> Self {
        Self::of(BanTarget::Client(connection))
    }

    /// A user, from wherever it comes.
    pub fn user(user: UserId) -> Self {
        Self::of(BanTarget::Who(Who::User(user)))
    }

    /// Everybody who comes from these addresses.
    ///
    /// ```
    /// # use bevy_ghost_server::{InvalidIpPrefix, prelude::*};
    /// let ban = Ban::address("192.0.2.0/24".parse()?);
    /// # Ok::<(), InvalidIpPrefix>(())
    /// ```
    pub fn address(prefix: IpPrefix) -> Self {
        Self::of(BanTarget::Who(Who::Address(prefix)))
    }

    /// For so long, from now on.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { lasts: Some(time), ..self }
    }

    /// With words for the banned.
    #[must_use]
    pub fn because(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    fn of(target: BanTarget) -> Self {
        Self { target, lasts: None, message: String::new() }
    }
}

/// Asks to end a ban. Where there is none of exactly that user or range, it is told as
/// [`BanRefused`](crate::BanRefused).
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::prelude::*;
/// /// Forgives everybody.
/// fn amnesty(server: Res<GhostServer>, mut commands: Commands) {
///     let Some(server) = server.handle() else { return };
///     for ban in server.bans() {
///         commands.trigger(Unban { who: ban.who });
///     }
/// }
/// # App::new().add_systems(Update, amnesty);
/// ```
#[derive(Clone, Debug, Event, PartialEq, Reflect)]
#[reflect(opaque)]
pub struct Unban {
    /// Whose.
    pub who: Who,
}

impl Unban {
    /// That of a user.
    pub fn user(user: UserId) -> Self {
        Self { who: Who::User(user) }
    }

    /// That of these addresses: the range as it was banned, no part of it.
    pub fn address(prefix: IpPrefix) -> Self {
        Self { who: Who::Address(prefix) }
    }
}

/// Asks to call tokens back before their time is over. Sessions that were opened with one are
/// ended, away or not, with
/// [`AuthError::Revoked`](crate::AuthError::Revoked); from now on it is refused.
///
/// The running server remembers it for a day, as long as a token may be good, and keys for good; a
/// server that is started again has forgotten it. What was not done is told as
/// [`RevokeRefused`](crate::RevokeRefused).
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::prelude::*;
/// fn log_out_everywhere(user: In<UserId>, mut commands: Commands) {
///     commands.trigger(Revoke::user(user.0));
/// }
/// # let _ = IntoSystem::into_system(log_out_everywhere);
/// ```
#[derive(Clone, Debug, Event, PartialEq, Reflect)]
#[reflect(opaque)]
pub struct Revoke {
    /// Which.
    pub tokens: identity::Revoke,
}

impl Revoke {
    /// One token, by its name (`jti`).
    pub fn token(id: &str) -> Self {
        identity::Revoke::token(id).into()
    }

    /// All tokens of one login (`sid`).
    pub fn session(id: &str) -> Self {
        identity::Revoke::session(id).into()
    }

    /// Tokens of a user that were issued up to now, by this machine's clock. The user may come
    /// back with a new one; a [`Ban`] keeps it out.
    pub fn user(user: UserId) -> Self {
        identity::Revoke::user(user, SystemTime::now()).into()
    }

    /// All tokens that were signed with a key (`kid`).
    pub fn key(id: &str) -> Self {
        identity::Revoke::key(id).into()
    }
}

impl From<identity::Revoke> for Revoke {
    fn from(tokens: identity::Revoke) -> Self {
        Self { tokens }
    }
}
