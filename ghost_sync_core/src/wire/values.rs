//! What messages are made of.

use wincode::{SchemaRead, SchemaWrite};

use super::{ClientId, MetadataEntry, RoomId, Seat};

/// How hard the relay tries to deliver a message.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, SchemaRead, SchemaWrite)]
pub enum Delivery {
    /// Never dropped while the receiver is connected; a receiver that falls too
    /// far behind is disconnected instead. For chat and commands.
    #[default]
    Reliable,
    /// May be dropped when the receiver lags, which it is told. For effects.
    Volatile,
    /// A newer message of the same sender and key replaces an older one that
    /// has not left yet, which the receiver is told. For state.
    Latest(u32),
}

/// What a sender asks for beside delivery, as bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct SendFlags(pub u8);

impl SendFlags {
    /// Nothing beside delivery.
    pub const NONE: Self = Self(0);
    /// Deliver to the sender too.
    pub const ECHO: Self = Self(1);
    /// Answer with [`ServerMessage::Ack`](super::ServerMessage::Ack).
    pub const ACK: Self = Self(2);
    /// With [`Delivery::Latest`] only: the message is the last of its key. It is delivered
    /// like others, and then there is no value of that key for newcomers.
    pub const FORGET: Self = Self(4);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all bits are known, and may come with that delivery.
    pub(super) fn is_valid(self, delivery: Delivery) -> bool {
        let known = Self::ECHO.with(Self::ACK).with(Self::FORGET);
        let forgettable = matches!(delivery, Delivery::Latest(_)) || !self.contains(Self::FORGET);
        known.contains(self) && forgettable
    }
}

/// Why a range of a room's events was not delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
#[non_exhaustive]
pub enum GapReason {
    /// The receiver read too slowly.
    Lagged,
    /// The receiving program did not take its events in time.
    InboxFull,
    /// The room has forgotten what might be dropped. What it still has of the range
    /// follows.
    #[wincode(tag = 3)]
    Forgotten,
}

/// How much of a room's history a join asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub enum Replay {
    /// None of it.
    #[default]
    Nothing,
    /// The last so many events.
    Last(u32),
    /// From this event on, as far as it is kept; nothing if the room was made
    /// anew meanwhile.
    Since {
        /// The room's epoch.
        epoch: u64,
        /// The first event wanted.
        seq: u64,
    },
}

/// What a client shows to take its session up again. Never logged.
#[derive(
    Clone,
    Copy,
    Default,
    Eq,
    PartialEq,
    SchemaRead,
    SchemaWrite,
    serde::Deserialize,
    serde::Serialize,
)]
pub struct Secret(pub [u8; 16]);

impl Secret {
    /// Whether both are the same; takes as long whichever bytes differ.
    pub fn is_same(&self, other: &Self) -> bool {
        u128::from_le_bytes(self.0) ^ u128::from_le_bytes(other.0) == 0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What another process needs to go on with a session, if this one dies: whoever
/// has it is that player. Keep it like a password.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite, serde::Deserialize, serde::Serialize,
)]
pub struct SessionTicket {
    /// Whose session.
    pub client_id: ClientId,
    /// Its newest secret.
    pub secret: Secret,
}

/// How far a client is in a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Progress {
    /// The room.
    pub room: RoomId,
    /// The last event that it was given or told a gap about; one less than the first if
    /// there was none yet.
    pub last: u64,
    /// Numbers up to that event which it found to be own broadcasts, in this stay.
    pub own: u64,
}

/// A member of a room, as rosters show it.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct MemberInfo {
    /// Its number in the room.
    pub seat: Seat,
    /// Its public id.
    pub client_id: ClientId,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<MetadataEntry>,
    /// Whether its connection is lost and its seat is held for it.
    pub away: bool,
    /// The user that it is, as its token says; empty: nobody in particular, or the server does
    /// not show it.
    pub user: String,
}

/// A room, as lists show it.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct RoomSummary {
    /// The name.
    pub name: String,
    /// Players in it now.
    pub players: u32,
    /// Seats; 0 where only the server's own limit holds.
    pub capacity: u32,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<MetadataEntry>,
}
