//! What one run does.

use std::time::Duration;

use ghost_sync_core::Delivery;

use crate::dialect::Dialect;

/// Time before anything is measured.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How the server is spoken to.
    pub(crate) dialect: Dialect,
    /// How many rooms.
    pub(crate) rooms: u32,
    /// Members of each.
    pub(crate) members: u16,
    /// Of these, how many talk: the first.
    pub(crate) senders: u16,
    /// Of these, how many never read: the last.
    pub(crate) stalled: u16,
    /// When they talk.
    pub(crate) load: Load,
    /// Bytes of each message.
    pub(crate) payload: usize,
    /// How hard the server shall try.
    pub(crate) delivery: Delivery,
    /// Time measured, after [`WARM_UP`].
    pub(crate) measured: Duration,
    /// What room names start with.
    pub(crate) prefix: String,
    /// Threads that read.
    pub(crate) threads: usize,
}

/// When senders talk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// At a fixed rate, whatever the server does.
    Paced {
        /// Messages per second of each sender.
        rate: f64,
        /// Whether all talk at the same moment.
        burst: bool,
    },
    /// Each sends again when its own message came back.
    Saturated {
        /// Messages of each sender in flight.
        window: u32,
    },
    /// Never; nobody joins either. Pings go to and fro.
    Idle,
    /// Never; the server talks by itself.
    Listen,
}

impl Plan {
    /// Connections in all.
    pub(crate) fn connections(&self) -> usize {
        self.rooms as usize * usize::from(self.members)
    }

    /// The name of a room; `None` if nobody joins.
    pub(crate) fn room(&self, room: u32) -> Option<String> {
        (!matches!(self.load, Load::Idle)).then(|| format!("{}{room}", self.prefix))
    }

    /// Whether senders send again when they hear themselves.
    pub(crate) fn closed_loop(&self) -> bool {
        matches!(self.load, Load::Saturated { .. })
    }

    /// Whether senders hear themselves.
    pub(crate) fn echo(&self) -> bool {
        self.closed_loop() || self.dialect.always_echoes()
    }

    /// Members that hear a message.
    pub(crate) fn listeners(&self) -> u64 {
        u64::from(self.members - self.stalled) - u64::from(!self.echo())
    }

    /// In one line, for people.
    pub(crate) fn title(&self) -> String {
        let Self { rooms, members, senders, payload, .. } = self;
        let load = match self.load {
            Load::Idle => return format!("{} idle connections", self.connections()),
            Load::Listen => return format!("{} listeners", self.connections()),
            Load::Paced { rate, burst: false } => format!("{rate} Hz"),
            Load::Paced { rate, burst: true } => format!("{rate} Hz in bursts"),
            Load::Saturated { window } => format!("{window} in flight each"),
        };
        let stalled = match self.stalled {
            0 => String::new(),
            stalled => format!(", {stalled} stalled"),
        };
        let how = if self.dialect == Dialect::Ghost {
            format!("{:?}", self.delivery)
        } else {
            self.dialect.name().to_owned()
        };
        format!(
            "{rooms} x {members} members, {senders} senders{stalled}, {payload} B, {load}, {how}"
        )
    }
}
