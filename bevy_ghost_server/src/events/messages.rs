//! What was said: what came, what did not, and what was not sent.

use bevy::prelude::*;
use bevy_ghost_client::typed::ServerRecipient;
use bytes::Bytes;
use ghost_sync_core::wire::{ClientId, MessageType};

/// A client said more, while a frame lasted, than its share of what may wait: its latest
/// payloads (or changes of its metadata), which systems will not see. Players got what
/// was theirs, and what other clients said is there. Comes after everything that is there
/// of that client.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Missed {
    /// The entity with [`Connection`](crate::Connection); observers attached to it hear this.
    #[event_target]
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Payloads, and changes of its metadata.
    pub messages: u64,
}

/// A message that a system wrote is not sent: to anybody.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Unsent {
    /// For whom it was.
    pub to: ServerRecipient,
    /// The number of its type, [`MessageType::RAW`] for bytes of no type.
    pub message_type: MessageType,
    /// The bytes; none where it could not be written as bytes.
    pub payload: Bytes,
    /// Why; its `Display` is for people.
    pub reason: UnsentReason,
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Reflect, thiserror::Error)]
#[non_exhaustive]
pub enum UnsentReason {
    /// Start the server first, and say nothing after [`StopServer`](crate::StopServer).
    #[error("the server does not run")]
    NotRunning,
    /// The room, the player or the connection is not there (any more).
    #[error("it is for nobody")]
    Gone,
    /// The type is [registered](crate::GhostAppExt::add_ghost_message) as one that clients
    /// alone say; the log names it.
    #[error("it is said by clients alone")]
    SaidByClients,
    /// Split it, or raise [`max_payload`](crate::RelayConfig::max_payload).
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    TooLarge {
        /// How long it is, in bytes.
        len: usize,
        /// The [`max_payload`](crate::RelayConfig::max_payload) of the server, in bytes.
        max: usize,
    },
    /// Leave fewer out, or say it to those alone who are to hear it.
    #[error("a message to a room can leave {max} players out, not more")]
    TooManyLeftOut {
        /// Players that one message may leave out.
        max: usize,
    },
    /// It cannot be written as bytes: a list in it is too long, say. The log has why.
    #[error("it cannot be encoded")]
    Unencodable,
}

/// A payload came, whether its type is registered or not.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct PayloadReceived {
    /// The entity with [`Connection`](crate::Connection).
    pub connection: Entity,
    /// Player and room, if it came from or about a room.
    pub seat: Option<(Entity, Entity)>,
    /// Place in the room's order, if the room has heard it.
    pub seq: Option<u64>,
    /// The number of its type, [`MessageType::RAW`] for bytes of no type.
    pub message_type: MessageType,
    /// As they came: at most [`max_payload`](crate::RelayConfig::max_payload) bytes.
    pub payload: Bytes,
}

/// A payload came whose bytes are no value of the type that it claims to be. It is left out.
/// Told after everything that came in one go with it.
///
/// Programs of different versions, usually: on connecting, only the names and fixed
/// sizes of types are compared. Or somebody tries what happens.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Undecodable {
    /// The entity with [`Connection`](crate::Connection); observers attached to it hear this.
    #[event_target]
    pub connection: Entity,
    /// Player and room, if it came from or about a room.
    pub seat: Option<(Entity, Entity)>,
    /// The name under which the type is registered.
    pub type_name: String,
    /// As they came: at most [`max_payload`](crate::RelayConfig::max_payload) bytes.
    pub payload: Bytes,
}
