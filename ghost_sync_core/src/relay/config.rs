//! What a relay allows, and for how long it waits.

mod room;
mod validator;

use std::{collections::BTreeSet, time::Duration};

use super::{
    deadlines::FOR_EVER, error::ConfigError, gate::GateConfig, limits::Limits,
    session::MAX_ROOMS_PER_CLIENT,
};
use crate::wire::{MAX_OVERHEAD, MAX_SERVER_FRAME, Protocol};

pub(super) use room::MAX_TICK;
pub use room::{RelayMode, RoomConfig, RoomHistory};
pub use validator::{Spoken, Validator};

/// The settings of a relay, and of every server around one: each stands here once.
///
/// The defaults suit a few hundred small rooms. Servers take it as a whole
/// (`ServerBuilder::relay`, and Bevy's `ServerConfig`), or field by field.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Clients at once, those that are away included: 1,024. Beside them, twice as many
    /// connections may be in their handshake, and at least 128; beyond that the one that has been
    /// silent longest is closed.
    pub max_clients: usize,
    /// Bytes of one message's payload: 65,536; at most [`MAX_SERVER_FRAME`] less
    /// [`MAX_OVERHEAD`].
    pub max_payload: usize,
    /// Rooms at once: 4,096.
    pub max_rooms: usize,
    /// Rooms that one client may be in at once. With 1 (the default), joining another room
    /// leaves the first; above, a join past the limit is refused. At most 2,862: a client that
    /// comes back names all of its rooms in its first message.
    pub rooms_per_client: usize,
    /// Time without any frame after which a client has lost its connection: 31 s, or 10 s
    /// [for games](Self::for_games), where others see within that time that a player is not
    /// there. Clients take it for the server's silence, too.
    pub idle_timeout: Duration,
    /// Time between pings, which measure the round trip too: 13 s, or 3 s
    /// [for games](Self::for_games). Two in a row without an answer disconnect.
    pub ping_interval: Duration,
    /// Time from the connection to a complete hello: 5 s.
    pub handshake_timeout: Duration,
    /// Time that an incomplete frame may stay incomplete: 10 s.
    pub frame_timeout: Duration,
    /// Time within which a client whose socket is full must take
    /// [`MIN_PROGRESS`] bytes or everything that waits: 10 s.
    pub write_timeout: Duration,
    /// Time that a closed connection gets to take its last bytes: 1 s; `write_timeout` if its socket
    /// is full, so that it hears why when it reads again.
    pub linger: Duration,
    /// Time that a client which lost its link keeps its seats, to come back and
    /// miss nothing: 30 s. Zero: none, it leaves at once. At most a quarter of `max_clients`,
    /// and at least 16, may be away. Beyond that a seat is taken from the address that holds
    /// most of them: the one that has been away longest.
    pub resume_grace: Duration,
    /// Bytes of history that all rooms together keep: 64 MiB. The oldest goes first.
    pub history_limit: usize,
    /// Time that the rules have for a decision, all frames and tickets of a Bevy server
    /// included: 2 s. Later means no.
    pub ask_timeout: Duration,
    /// Frames that may wait for one client before [`overflow`](Self::overflow) acts: 1,024.
    pub channel_capacity: usize,
    /// Bytes that may wait for one client: 1 MiB. Droppable messages go at half of it;
    /// a client that fills all of it with what must not be dropped is
    /// disconnected. What a frame costs beside its bytes counts. As much may be kept of what
    /// was sent to it alone and not confirmed, and as much wait of rosters and values for
    /// newcomers, beside those of one more join. Worst-case memory is three times this times
    /// `max_clients`, and what rooms keep: each its [`RoomHistory`] and as much again as this while
    /// a member is behind.
    pub outbox_limit: usize,
    /// When clients that are turned away, or put out by a shutdown, are asked to
    /// come back at the earliest: in 1 s.
    pub retry_after: Duration,
    /// Answers (to pings, lists and refused requests) that may wait while a client's socket is
    /// full: 32.
    pub max_owed_replies: usize,
    /// What is dropped when a client is behind.
    pub overflow: OverflowPolicy,
    /// How much clients may ask for in how much time.
    pub limits: Limits,
    /// How many connections may come from one address: 64, and any number from this machine.
    pub gate: GateConfig,
    /// Connections of one user at once, those that are away included: 8. It has a user if
    /// [tokens](HostConfig::auth) say which.
    pub links_per_user: usize,
    /// What becomes of one more. By default it is refused.
    pub many_links: ManyLinks,
    /// Whether members of a room see each other's users. They do by default.
    pub show_users: bool,
    /// How long somebody who was kicked stays out: of the room, or, if it was disconnected, of
    /// the server. 10 s; zero: not at all. Without a user it is known by its address.
    pub kick_bar: Duration,
    /// What a join to a room that is not there does. By default it is refused.
    pub create_on_join: CreateOnJoin,
    /// Settings of rooms that a join makes. A Bevy server gives each room its own components
    /// instead.
    pub room_defaults: RoomConfig,
    /// Keys of metadata that clients may set, in their hello and later; `None`: all but
    /// those that the server has set.
    pub client_metadata_keys: Option<BTreeSet<String>>,
    /// What the program around the relay is. Servers fill it in by themselves.
    pub host: HostConfig,
}

/// What the program around a relay wants to be asked, and knows.
///
/// Of use to those who drive a [`Relay`](super::Relay) themselves; a server puts its own in the
/// place of this.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// Whether the host decides about each connection.
    pub ask_connect: bool,
    /// Whether the host decides about each join.
    pub ask_join: bool,
    /// Whether the host decides about each change that a client makes to its metadata.
    pub ask_metadata: bool,
    /// Whether clients show tokens, which the host verifies.
    pub auth: AuthPolicy,
    /// The typed messages that the host knows: clients that know others are refused.
    /// `None`: it does not say, and fits every client.
    pub protocol: Option<Protocol>,
    /// Where the relay's own random numbers start (epochs, ping nonces).
    pub seed: u64,
}

impl RelayConfig {
    /// The defaults with the times of games: whoever falls silent is missed after 10 s, and is
    /// asked every 3 s.
    pub fn for_games() -> Self {
        let (idle_timeout, ping_interval) = (Duration::from_secs(10), Duration::from_secs(3));
        Self { idle_timeout, ping_interval, ..Self::default() }
    }

    /// Whether a server with these settings can serve anybody. [`Relay::new`](super::Relay::new)
    /// takes any.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting with which it cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (setting, given, least, most) in [
            ("max_clients", self.max_clients, 1, usize::MAX),
            ("max_payload", self.max_payload, 1, MAX_SERVER_FRAME - MAX_OVERHEAD),
            ("max_rooms", self.max_rooms, 1, usize::MAX),
            ("rooms_per_client", self.rooms_per_client, 1, MAX_ROOMS_PER_CLIENT),
            ("links_per_user", self.links_per_user, 1, usize::MAX),
            ("channel_capacity", self.channel_capacity, 1, usize::MAX),
            ("outbox_limit", self.outbox_limit, MIN_OUTBOX, usize::MAX),
            ("max_owed_replies", self.max_owed_replies, 1, usize::MAX),
        ] {
            if given < least {
                return Err(ConfigError::new(setting, given, format!("at least {least}")));
            }
            if given > most {
                return Err(ConfigError::new(setting, given, format!("at most {most}")));
            }
        }
        for (setting, given) in [
            ("idle_timeout", self.idle_timeout),
            ("ping_interval", self.ping_interval),
            ("handshake_timeout", self.handshake_timeout),
            ("frame_timeout", self.frame_timeout),
            ("write_timeout", self.write_timeout),
            ("ask_timeout", self.ask_timeout),
        ] {
            if given < SHORTEST {
                let given = format!("{given:?}");
                return Err(ConfigError::new(setting, given, format!("at least {SHORTEST:?}")));
            }
        }
        if self.ping_interval >= self.idle_timeout {
            let given = format!("{:?}", self.ping_interval);
            // Quiet clients would be disconnected before they are asked.
            let allowed = format!("less than the idle_timeout of {:?}", self.idle_timeout);
            return Err(ConfigError::new("ping_interval", given, allowed));
        }
        Ok(())
    }

    /// Sockets at once, of any kind: those of clients, of whoever has not said who it is, and
    /// those that wait for their last bytes.
    pub fn max_links(&self) -> usize {
        self.max_clients.max(MIN_GREETERS).saturating_mul(3)
    }

    /// With durations that can be added to a clock.
    pub(super) fn bounded(mut self) -> Self {
        for duration in [
            &mut self.idle_timeout,
            &mut self.ping_interval,
            &mut self.handshake_timeout,
            &mut self.frame_timeout,
            &mut self.write_timeout,
            &mut self.linger,
            &mut self.resume_grace,
            &mut self.ask_timeout,
            &mut self.kick_bar,
        ] {
            *duration = (*duration).min(FOR_EVER);
        }
        // A client may join again all the rooms that it was in.
        self.limits.requests =
            self.limits.requests.map(|rate| rate.at_least(self.rooms_per_client));
        self
    }
}

/// Bytes that a client whose socket is full must take within the write timeout.
pub const MIN_PROGRESS: usize = 16 * 1024;

/// Half of the connections that may be in their handshake, at least; as many as
/// there may be clients where those are more.
pub(super) const MIN_GREETERS: usize = 64;

/// The least [`RelayConfig::outbox_limit`]: what greets a client has to fit.
const MIN_OUTBOX: usize = 4096;

/// Times are counted in milliseconds on the wire.
const SHORTEST: Duration = Duration::from_millis(1);

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            max_clients: 1024,
            max_payload: 64 * 1024,
            max_rooms: 4096,
            rooms_per_client: 1,
            idle_timeout: Duration::from_secs(31),
            ping_interval: Duration::from_secs(13),
            handshake_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            resume_grace: Duration::from_secs(30),
            history_limit: 64 << 20,
            ask_timeout: Duration::from_secs(2),
            channel_capacity: 1024,
            outbox_limit: 1 << 20,
            retry_after: Duration::from_secs(1),
            max_owed_replies: 32,
            overflow: OverflowPolicy::default(),
            limits: Limits::default(),
            gate: GateConfig::default(),
            links_per_user: 8,
            many_links: ManyLinks::default(),
            show_users: true,
            kick_bar: Duration::from_secs(10),
            create_on_join: CreateOnJoin::default(),
            room_defaults: RoomConfig::default(),
            client_metadata_keys: None,
            host: HostConfig::default(),
        }
    }
}

/// What happens to the `Volatile` messages that wait for a client that is behind.
///
/// Superseded `Latest` messages always go first; `Reliable` ones and control
/// never go. Whatever goes is announced by a gap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OverflowPolicy {
    /// The oldest go.
    #[default]
    DropOldest,
    /// The newest go.
    DropNewest,
    /// All go: only `Latest`, `Reliable` and control stay.
    KeepLatest,
    /// None go: the client is disconnected at once.
    Disconnect,
}

/// What a join to a room that is not there does, unless it
/// [refuses](crate::wire::IfMissing::Refuse) to make one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CreateOnJoin {
    /// It is refused.
    #[default]
    Never,
    /// It makes the room.
    Always,
    /// It makes the room if the host says so.
    Ask,
}

/// Whether clients say with a token who they are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AuthPolicy {
    /// Nobody is asked, and tokens are not looked at: anybody may come in as anybody.
    #[default]
    Anonymous,
    /// Who shows a token is its user; others are nobody in particular.
    Optional,
    /// Nobody comes in without a token.
    Required,
}

/// What becomes of a connection of a user that has as many as it may have. Those that are
/// away make room first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ManyLinks {
    /// It is refused with [`TooManyLinks`](crate::CloseReason::TooManyLinks).
    #[default]
    Refuse,
    /// The oldest is closed, with [`TakenOver`](crate::CloseReason::TakenOver).
    CloseOldest,
}
