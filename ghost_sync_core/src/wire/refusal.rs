//! Why a request was not carried out.

use wincode::{SchemaRead, SchemaWrite};

use super::InvalidMetadataKey;

/// Why the server did not do what a client asked; the connection goes on.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no room of that name (or it is being deleted).
    #[error("room {room:?} not found")]
    RoomNotFound {
        /// The name asked for.
        room: String,
    },
    /// No seat is left; try later.
    #[error("room {room:?} is full: {capacity} players at most")]
    RoomFull {
        /// The room.
        room: String,
        /// Its number of seats.
        capacity: u32,
    },
    /// That text cannot name a room.
    #[error("{room:?} is not a room name: {why}")]
    InvalidRoomName {
        /// The text, cut to 32 characters.
        room: String,
        /// What is wrong with it.
        why: String,
    },
    /// The client is in that room already.
    #[error("already in room {room:?}")]
    AlreadyJoined {
        /// The room.
        room: String,
    },
    /// The client is in as many rooms as the server allows, or waits for another join.
    #[error("in too many rooms: {max} at most")]
    TooManyRooms {
        /// The limit per client.
        max: u32,
    },
    /// The server cannot hold more rooms.
    #[error("the server is out of rooms: {max} at most")]
    ServerOutOfRooms {
        /// The limit of the server.
        max: u32,
    },
    /// The client is not in that room; join it first.
    #[error("not in that room")]
    NotInRoom,
    /// The rules said no.
    #[error("{message}")]
    Rejected {
        /// The reason given by the rules.
        message: String,
    },
    /// The rules did not answer in time, which means no.
    #[error("no decision within {after_ms} ms")]
    TimedOut {
        /// The limit in milliseconds.
        after_ms: u32,
    },
    /// The payload is too long.
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    PayloadTooLarge {
        /// Its length in bytes.
        len: u32,
        /// The limit in bytes.
        max: u32,
    },
    /// Metadata would grow past its limit.
    #[error("metadata is limited to {max_bytes} bytes and {max_entries} entries")]
    MetadataTooLarge {
        /// Bytes of all keys and values.
        max_bytes: u32,
        /// Keys.
        max_entries: u32,
    },
    /// Somebody else changed the metadata first.
    #[error("metadata is at version {current}")]
    MetadataConflict {
        /// The version that is there.
        current: u64,
    },
    /// The server program cannot take more messages now; send again later.
    #[error("the server is busy")]
    Busy,
    /// More than the server's limits allow in this time; ask again after the time given.
    #[error("too much in too short a time: ask again in {retry_after_ms} ms")]
    RateLimited {
        /// When it would be taken at the earliest, in milliseconds.
        retry_after_ms: u32,
    },
    /// This client may not do that, whenever it asks.
    #[error("not allowed: {what}")]
    Forbidden {
        /// What, and who may.
        what: String,
    },
    /// This server does not know requests of that kind.
    #[error("requests of kind {kind} are not supported here")]
    #[wincode(tag = 18)]
    Unsupported {
        /// The request's tag on the wire.
        kind: u8,
    },
    /// That text cannot be a key of metadata.
    #[error("{key:?} is not a key of metadata: {why}")]
    #[wincode(tag = 19)]
    InvalidMetadataKey {
        /// The text, cut to 32 characters.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// There was no connection to ask on. A client tells its own program so; no server says
    /// it. Ask again once connected.
    #[error("not connected")]
    #[wincode(tag = 254)]
    NotConnected,
    /// The session ended before the server had confirmed the request: nobody knows whether
    /// it arrived. A client tells its own program so; no server says it.
    #[error("the session ended before the server confirmed it: nobody knows whether it arrived")]
    #[wincode(tag = 255)]
    Unconfirmed,
}

impl Refusal {
    /// Whether only a client itself can find it.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::NotConnected | Self::Unconfirmed)
    }

    /// That there would be more metadata than this.
    pub(crate) fn metadata_too_large(max_bytes: usize, max_entries: usize) -> Self {
        let clamp = |limit| u32::try_from(limit).unwrap_or(u32::MAX);
        Self::MetadataTooLarge { max_bytes: clamp(max_bytes), max_entries: clamp(max_entries) }
    }

    /// That `key` is no key of metadata.
    pub(crate) fn invalid_metadata_key(key: &str, why: InvalidMetadataKey) -> Self {
        Self::InvalidMetadataKey { key: key.chars().take(32).collect(), why: why.to_string() }
    }
}
