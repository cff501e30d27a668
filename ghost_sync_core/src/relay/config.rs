//! What a relay allows, and for how long it waits.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use super::{deadlines::FOR_EVER, error::ConfigError, gate::GateConfig, limits::Limits};
use crate::wire::{MAX_OVERHEAD, MAX_SERVER_FRAME, Protocol};

/// Limits and habits of a relay. The defaults suit a few hundred small rooms.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayConfig {
    /// Clients at once, those that are away included. Twice as many connections
    /// (but 128) may be in their handshake besides; who is silent longest then goes.
    pub max_clients: usize,
    /// Bytes of one message's payload, up to [`MAX_SERVER_FRAME`] less [`MAX_OVERHEAD`].
    pub max_payload: usize,
    /// Rooms at once.
    pub max_rooms: usize,
    /// Rooms that one client may be in at once. With 1, joining another room
    /// leaves the first; above, a join past the limit is refused.
    pub rooms_per_client: usize,
    /// Time without any frame after which a client is disconnected.
    pub idle_timeout: Duration,
    /// Time between pings; two in a row without an answer disconnect.
    pub ping_interval: Duration,
    /// Time from the connection to a complete hello.
    pub handshake_timeout: Duration,
    /// Time that an incomplete frame may stay incomplete.
    pub frame_timeout: Duration,
    /// Time within which a client whose socket is full must take
    /// [`MIN_PROGRESS`] bytes or everything that waits.
    pub write_timeout: Duration,
    /// Time that a closed connection gets to take its last bytes; `write_timeout` if its socket
    /// is full, so that it hears why when it reads again.
    pub linger: Duration,
    /// Time that a client which lost its link keeps its seats, to come back and
    /// miss nothing; zero: none, it leaves at once. At most a quarter of
    /// `max_clients` (but 16) may be away; who is away longest goes first.
    pub resume_grace: Duration,
    /// Bytes of history that all rooms together keep. The oldest goes first.
    pub history_limit: usize,
    /// Time that the host has for a decision; later means no.
    pub ask_timeout: Duration,
    /// Frames that may wait for one client before [`overflow`](Self::overflow) acts.
    pub channel_capacity: usize,
    /// Bytes that may wait for one client. Droppable messages go at half of it;
    /// a client that fills all of it with what must not be dropped is
    /// disconnected. What a frame costs beside its bytes counts. As much may be kept of what
    /// was sent to it alone and not confirmed, and as much wait of rosters and values for
    /// newcomers, beside those of one more join. Worst-case memory is three times this times
    /// `max_clients`, and what rooms keep: each its [`History`] and as much again as this while
    /// a member is behind.
    pub outbox_limit: usize,
    /// When clients that are turned away, or put out by a shutdown, are asked to
    /// come back at the earliest.
    pub retry_after: Duration,
    /// Answers (to pings, lists and refused requests) that may wait while a
    /// client's socket is full.
    pub max_owed_replies: usize,
    /// What is dropped when a client is behind.
    pub overflow: OverflowPolicy,
    /// How much clients may ask for in how much time.
    pub limits: Limits,
    /// How many connections may come from one address.
    pub gate: GateConfig,
    /// What a join to a room that is not there does.
    pub create_on_join: CreateOnJoin,
    /// Settings of rooms made by a join.
    pub room_defaults: RoomConfig,
    /// Whether the host decides about each connection.
    pub ask_connect: bool,
    /// Whether the host decides about each join.
    pub ask_join: bool,
    /// Whether the host decides about each change that a client makes to its metadata.
    pub ask_meta: bool,
    /// Keys of metadata that clients may set, in their hello and later; `None`: all but
    /// those that the server has set.
    pub client_meta_keys: Option<BTreeSet<String>>,
    /// The typed messages that the host knows: clients that know others are refused.
    /// `None`: it does not say, and fits every client.
    pub protocol: Option<Protocol>,
    /// Where the relay's own random numbers start (epochs, ping nonces).
    pub seed: u64,
}

impl RelayConfig {
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
            ("rooms_per_client", self.rooms_per_client, 1, usize::MAX),
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
            create_on_join: CreateOnJoin::default(),
            room_defaults: RoomConfig::default(),
            ask_connect: false,
            ask_join: false,
            ask_meta: false,
            client_meta_keys: None,
            protocol: None,
            seed: 0,
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

/// Settings of one room.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoomConfig {
    /// Seats; `None`: only the server's own limit holds.
    pub capacity: Option<NonZeroU32>,
    /// What becomes of a broadcast.
    pub mode: RelayMode,
    /// Whether the host is shown broadcasts that are relayed.
    pub observed: bool,
    /// Whether clients see the room in lists.
    pub listed: bool,
    /// Time after which the room is deleted when nobody is in it; `None`: never.
    pub remove_when_empty: Option<Duration>,
    /// What is kept of the past, for those who come back.
    pub history: History,
    /// Events of the past that a newcomer may ask for.
    pub replay: u32,
    /// Values of `Latest` that are kept for newcomers of each client, up to 16 KiB of them
    /// and 1 MiB for the room; past it the client's oldest goes. Of the server's own,
    /// 1,024 and 256 KiB are kept besides. 64 by default.
    pub retain: usize,
    /// Time between two flushes of what is said, up to a second; `None`: as soon as can be.
    pub tick: Option<Duration>,
}

/// How much of a room's past is kept: what all of `events`, `bytes` and `age` allow, and of
/// what must not be lost as much as `reliable` and `age` do.
///
/// It is what a player that lost its connection can be given when it comes back,
/// what newcomers may ask for, and what a recording is made of. A player that comes back is
/// given every `Reliable` message and each change of membership and metadata that it missed,
/// and the newest `Latest` values. Where the room does not keep all of that any more, the
/// player keeps its seat and is told the room as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct History {
    /// Events. 8192 by default.
    pub events: usize,
    /// Bytes. 512 KiB by default.
    pub bytes: usize,
    /// Bytes of `Reliable` messages, membership and metadata beyond that, with what it costs
    /// to find them again. 2 MiB by default.
    pub reliable: usize,
    /// Age. A minute by default; longer while somebody is away whose seat is held for longer.
    pub age: Duration,
}

impl History {
    /// Nothing is kept: who comes back after it missed something is told the room as it is.
    pub const NONE: Self = Self { events: 0, bytes: 0, reliable: 0, age: Duration::ZERO };
}

impl Default for History {
    fn default() -> Self {
        Self { events: 8192, bytes: 512 << 10, reliable: 2 << 20, age: Duration::from_secs(60) }
    }
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            capacity: None,
            mode: RelayMode::Relay,
            observed: false,
            listed: true,
            remove_when_empty: None,
            history: History::default(),
            replay: 0,
            retain: 64,
            tick: None,
        }
    }
}

impl RoomConfig {
    /// With this many seats; 0: only the server's own limit holds.
    #[must_use]
    pub fn capacity(mut self, seats: u32) -> Self {
        self.capacity = NonZeroU32::new(seats);
        self
    }

    /// With broadcasts treated like this.
    #[must_use]
    pub fn mode(mut self, mode: RelayMode) -> Self {
        self.mode = mode;
        self
    }

    /// With relayed broadcasts shown to the host.
    #[must_use]
    pub fn observed(mut self) -> Self {
        self.observed = true;
        self
    }

    /// Left out of the list that clients see.
    #[must_use]
    pub fn unlisted(mut self) -> Self {
        self.listed = false;
        self
    }

    /// With this much of the past kept.
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// With up to so many events of the past for newcomers who ask; none by default.
    #[must_use]
    pub fn replay(mut self, events: u32) -> Self {
        self.replay = events;
        self
    }

    /// With up to so many values of `Latest` of each client kept for newcomers, 64 by
    /// default; see [`retain`](Self::retain).
    #[must_use]
    pub fn retain(mut self, values: usize) -> Self {
        self.retain = values;
        self
    }

    /// With what is said sent at most once in this time, all of it together.
    ///
    /// Without a tick (the default) a message leaves at once, or, when the server's core is
    /// nearly full (85 %), after a wait for others that lasts at most 12 ms and is as short as
    /// the load allows. With a tick everybody gets one batch a tick, whatever the load: a
    /// message waits half a tick on average and a whole one at most, and costs less where
    /// others come along. Measured with 16 rooms of 16 players who speak at 60 Hz and a tick
    /// of 16 ms: 8 ms in the median for 32 % of a core. With 64 such rooms the server makes
    /// batches nearly as large by itself.
    /// What was said after a silence of a tick leaves at once; a batch of 16 KiB, or of a quarter of
    /// [`outbox_limit`](RelayConfig::outbox_limit), leaves early; an answer to one client takes along
    /// what waits for it. A tick is cut to one second, zero is none.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = (!tick.is_zero()).then_some(tick);
        self
    }

    /// Deleted after this time without players.
    #[must_use]
    pub fn remove_when_empty(mut self, after: Duration) -> Self {
        self.remove_when_empty = Some(after);
        self
    }
}

/// The longest tick.
pub(super) const MAX_TICK: Duration = Duration::from_secs(1);

/// What becomes of a client's broadcast.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RelayMode {
    /// It goes to the members at once.
    #[default]
    Relay,
    /// It goes to the host only.
    Server,
    /// The host is asked about each; order is kept per sender.
    Moderated,
}
