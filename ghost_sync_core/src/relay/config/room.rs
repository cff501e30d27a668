//! What a room is like.

use std::{num::NonZeroU32, time::Duration};

use super::validator::{Spoken, Validator};
use crate::relay::Verdict;

#[cfg(feature = "reflect")]
use bevy_reflect::std_traits::ReflectDefault;

/// Settings of one room.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoomConfig {
    /// Seats; `None`: only the server's own limit holds.
    pub capacity: Option<NonZeroU32>,
    /// What becomes of a broadcast.
    pub mode: RelayMode,
    /// What checks broadcasts before that; `None`: nothing does.
    pub validator: Option<Validator>,
    /// Whether the host is shown broadcasts that are relayed.
    pub observed: bool,
    /// Whether clients see the room in lists.
    pub listed: bool,
    /// Time after which the room is deleted when nobody is in it; `None`: never.
    pub remove_when_empty: Option<Duration>,
    /// What is kept of the past, for those who come back.
    pub history: RoomHistory,
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
#[cfg_attr(feature = "reflect", derive(bevy_reflect::Reflect), reflect(Debug, Default, PartialEq))]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomHistory {
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

impl RoomHistory {
    /// Nothing is kept: who comes back after it missed something is told the room as it is.
    pub const NONE: Self = Self { events: 0, bytes: 0, reliable: 0, age: Duration::ZERO };
}

impl Default for RoomHistory {
    fn default() -> Self {
        Self { events: 8192, bytes: 512 << 10, reliable: 2 << 20, age: Duration::from_secs(60) }
    }
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            capacity: None,
            mode: RelayMode::AtOnce,
            validator: None,
            observed: false,
            listed: true,
            remove_when_empty: None,
            history: RoomHistory::default(),
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

    /// With each broadcast of a client checked by this function, before [`mode`](Self::mode) says
    /// what becomes of it: [`Verdict::Accept`](crate::relay::Verdict::Accept) lets it pass,
    /// [`AcceptAs`](crate::relay::Verdict::AcceptAs) lets another payload pass in its place, and
    /// [`Reject`](crate::relay::Verdict::Reject) tells the sender why not
    /// ([`Refusal::Rejected`](crate::Refusal::Rejected)). A panic means no. What one client says
    /// is heard in the order in which it said it.
    ///
    /// It runs on the thread that has read the message, outside of all locks, and should take
    /// microseconds: it costs its room no more than that, where [`RelayMode::Moderated`] asks
    /// another thread, or the next frame. One that takes longer than a millisecond is moved to
    /// threads that may block, and the log says so. What the server says is not checked.
    ///
    /// ```
    /// use ghost_sync_core::{RoomConfig, Verdict};
    /// let short = RoomConfig::default().validator(|spoken| match spoken.payload.len() {
    ///     0..=200 => Verdict::Accept,
    ///     _ => Verdict::reject("at most 200 bytes"),
    /// });
    /// ```
    #[must_use]
    pub fn validator(mut self, check: impl Fn(&Spoken) -> Verdict + Send + Sync + 'static) -> Self {
        self.validator = Some(Validator::new(check));
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
    pub fn history(mut self, history: RoomHistory) -> Self {
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
    /// [`outbox_limit`](crate::relay::RelayConfig::outbox_limit), leaves early; an answer to one client takes along
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
pub(in crate::relay) const MAX_TICK: Duration = Duration::from_secs(1);

/// What becomes of a client's broadcast.
#[cfg_attr(feature = "reflect", derive(bevy_reflect::Reflect))]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RelayMode {
    /// It goes to the members at once.
    #[default]
    AtOnce,
    /// It goes to the host only, which decides what the room hears: an authoritative room.
    ServerOnly,
    /// The host is asked about each; order is kept per sender.
    Moderated,
}
