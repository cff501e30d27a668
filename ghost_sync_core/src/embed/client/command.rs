//! What a frame-polled program may ask its client for.

use bytes::Bytes;

use crate::wire::{Delivery, JoinOptions, MessageType, RoomName, SendFlags};

/// Something that a client is to do.
///
/// What is said before the first connection is there waits for it, like joins; what is said
/// after a join waits for its answer. Of [`Latest`](Delivery::Latest) values the newest waits,
/// [`Volatile`](Delivery::Volatile) ones do not, and 1 MiB may wait together. What cannot wait
/// is told as [`ServerEvent::Error`](crate::client::ServerEvent::Error).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientCommand {
    /// Asks for a seat; without a connection, as soon as there is one.
    Join {
        /// The room.
        room: RoomName,
        /// What else is wanted; of that not the replay when the client joins again by
        /// itself.
        options: JoinOptions,
        /// Whether to ask only where the client is in no room then and has asked for
        /// none. If it is somewhere, nothing is told about this join.
        if_nowhere: bool,
    },
    /// Gives a seat up.
    Leave {
        /// The room.
        room: RoomName,
    },
    /// Says something to a room.
    Broadcast {
        /// The room; `None` for the one that was joined last.
        room: Option<RoomName>,
        /// How hard to try.
        delivery: Delivery,
        /// Whether to echo, whether to acknowledge.
        flags: SendFlags,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// Says something to the server program.
    Send {
        /// The room that it is about; `None` for the one that was joined last, or none at all.
        room: Option<RoomName>,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// Measures the way to the server and back.
    Ping,
    /// Asks for the server's rooms.
    ListRooms,
    /// Sets or removes an entry of the own metadata, on later connections too.
    SetMeta {
        /// The key.
        key: String,
        /// The new value; `None` removes the key.
        value: Option<String>,
    },
    /// Says goodbye; nothing follows but
    /// [`Disconnected`](super::ClientUpdate::Disconnected).
    Disconnect,
}

impl ClientCommand {
    /// Whether it says something, to a room or to the server.
    pub(super) fn is_said(&self) -> bool {
        matches!(self, Self::Broadcast { .. } | Self::Send { .. })
    }

    /// What keeping the command costs, in bytes.
    pub(super) fn cost(&self) -> usize {
        let payload = match self {
            Self::Broadcast { payload, .. } | Self::Send { payload, .. } => payload.len(),
            Self::Join { options, .. } => options.len(),
            Self::Leave { .. }
            | Self::Ping
            | Self::ListRooms
            | Self::SetMeta { .. }
            | Self::Disconnect => 0,
        };
        size_of::<Self>() + payload
    }
}

/// The background has not kept up with what was said; the message was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{queued} bytes are waiting to leave: at most {max} are allowed")]
pub struct OutboxFull {
    /// Bytes that wait.
    pub queued: usize,
    /// Bytes that may wait.
    pub max: usize,
}
