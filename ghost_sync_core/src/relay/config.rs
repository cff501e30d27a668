//! What a relay allows, and for how long it waits.

use std::{num::NonZeroU32, time::Duration};

use super::deadlines::FOR_EVER;
use crate::wire::Protocol;

/// Limits and habits of a relay. The defaults suit a few hundred small rooms.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayConfig {
    /// Clients at once, those that are away included. Twice as many connections
    /// (but 128) may be in their handshake besides; who is silent longest then goes.
    pub max_clients: usize,
    /// Bytes of one message's payload.
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
    /// disconnected. As much may be kept of what was sent to it alone and not
    /// confirmed. Worst-case memory is twice this times `max_clients`.
    pub outbox_limit: usize,
    /// When clients that are turned away, or put out by a shutdown, are asked to
    /// come back at the earliest.
    pub retry_after: Duration,
    /// Answers (to pings, lists and refused requests) that may wait while a
    /// client's socket is full.
    pub max_owed_replies: usize,
    /// What is dropped when a client is behind.
    pub overflow: OverflowPolicy,
    /// What a join to a room that is not there does.
    pub create_on_join: CreateOnJoin,
    /// Settings of rooms made by a join.
    pub room_defaults: RoomConfig,
    /// Whether the host decides about each connection.
    pub ask_connect: bool,
    /// Whether the host decides about each join.
    pub ask_join: bool,
    /// The typed messages that the host knows.
    pub protocol: Protocol,
    /// Where the relay's own random numbers start (epochs, ping nonces).
    pub seed: u64,
}

impl RelayConfig {
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
        self
    }
}

/// Bytes that a client whose socket is full must take within the write timeout.
pub const MIN_PROGRESS: usize = 16 * 1024;

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
            create_on_join: CreateOnJoin::default(),
            room_defaults: RoomConfig::default(),
            ask_connect: false,
            ask_join: false,
            protocol: Protocol::default(),
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

/// What a join to a room that is not there does.
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
    /// Values of `Latest` that are kept for newcomers. Those past it are not.
    pub retain: usize,
    /// Time between two flushes of what is said, up to a second; `None`: as soon as can be.
    pub tick: Option<Duration>,
}

/// How much of a room's past is kept: what all three limits allow.
///
/// It is what a player that lost its connection can be given when it comes back,
/// what newcomers may ask for, and what a recording is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct History {
    /// Events. 8192 by default.
    pub events: usize,
    /// Bytes. 512 KiB by default.
    pub bytes: usize,
    /// Age. A minute by default; longer while somebody is away whose seat is held for longer.
    pub age: Duration,
}

impl History {
    /// Nothing is kept, and so nobody can come back: who loses its connection joins anew.
    pub const NONE: Self = Self { events: 0, bytes: 0, age: Duration::ZERO };
}

impl Default for History {
    fn default() -> Self {
        Self { events: 8192, bytes: 512 << 10, age: Duration::from_secs(60) }
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
            retain: 1024,
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

    /// With up to so many values of `Latest` kept for newcomers; 1024 by default.
    #[must_use]
    pub fn retain(mut self, values: usize) -> Self {
        self.retain = values;
        self
    }

    /// With what is said sent at most once in this time, all of it together.
    ///
    /// Without a tick (the default) a message leaves at once, or, when the server's core is
    /// nearly full (85 %), after a wait for others that lasts at most 6 ms and is as short as
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
