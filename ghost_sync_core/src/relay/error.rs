//! Why an operation of the host was not carried out.

use std::fmt::Display;

use crate::wire::{InvalidMetadataKey, InvalidRoomName, RoomName};

/// A setting with which a server cannot serve anybody. Set it to what is allowed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{setting} is {given}, must be {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's name, as in [`RelayConfig`](super::RelayConfig).
    pub setting: &'static str,
    /// What it is set to.
    pub given: String,
    /// What it may be set to.
    pub allowed: String,
}

impl ConfigError {
    pub(super) fn new(setting: &'static str, given: impl Display, allowed: String) -> Self {
        Self { setting, given: given.to_string(), allowed }
    }
}

/// Why a room was not created.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateRoomError {
    /// A room of that name is there already; use it.
    #[error("room {0:?} already exists")]
    RoomAlreadyExists(RoomName),
    /// Choose another name.
    #[error(transparent)]
    InvalidName(#[from] InvalidRoomName),
    /// Raise `max_rooms`, or delete rooms first. After 4,294,967,295 rooms there are no numbers
    /// for further ones: start the server again.
    #[error("the server is out of rooms: {max} at most")]
    TooManyRooms {
        /// The limit.
        max: usize,
    },
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped,
}

/// There is no room of that name (any more).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("room {0:?} not found")]
pub struct RoomNotFound(pub String);

/// There is no such client (any more).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("client not found")]
pub struct ClientNotFound;

/// Why the host's message was not sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerSendError {
    /// Create the room first.
    #[error(transparent)]
    RoomNotFound(#[from] RoomNotFound),
    /// The client is gone.
    #[error(transparent)]
    ClientNotFound(#[from] ClientNotFound),
    /// Send less at a time.
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    PayloadTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The type was added to the protocol as one that clients alone say.
    #[error("{name} is said by clients alone")]
    SaidByClients {
        /// The type's name.
        name: String,
    },
    /// Leave fewer out, or say it to those who are to hear it alone.
    #[error("a broadcast can leave {max} members out, not more")]
    TooManyLeftOut {
        /// The limit.
        max: usize,
    },
}

/// Why metadata was not changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Create the room first.
    #[error(transparent)]
    RoomNotFound(#[from] RoomNotFound),
    /// The client is gone.
    #[error(transparent)]
    ClientNotFound(#[from] ClientNotFound),
    /// Remove or shorten entries.
    #[error("metadata is limited to {max_bytes} bytes and {max_entries} entries")]
    TooLarge {
        /// Bytes of all keys and values.
        max_bytes: usize,
        /// Keys.
        max_entries: usize,
    },
    /// Read the metadata again, then decide again.
    #[error("metadata is at version {current}")]
    Conflict {
        /// The version that is there.
        current: u64,
    },
    /// Give the key another name.
    #[error("{key:?} is not a key of metadata: {why}")]
    InvalidKey {
        /// The text, cut to 32 characters.
        key: String,
        /// What is wrong with it.
        why: InvalidMetadataKey,
    },
    /// The server has set or removed that key, and a client wants to change it.
    #[error("metadata {0:?} is the server's")]
    OwnedByServer(String),
}

/// No more bans are remembered: end some, or ban ranges of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there are {max} bans already, and may not be more")]
pub struct TooManyBans {
    /// The limit.
    pub max: usize,
}

/// Why a client was not banned.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BanClientError {
    /// The client is gone.
    #[error(transparent)]
    ClientNotFound(#[from] ClientNotFound),
    /// The client has no user, and where it comes from everybody may come from: a proxy on
    /// this machine, say. Have clients show tokens, or ban an address by itself.
    #[error("the client has no user, and its address is one that others share")]
    SharedAddress,
    /// No more bans are remembered.
    #[error(transparent)]
    TooManyBans(#[from] TooManyBans),
}
