//! What was said: what came, what did not, and what was not sent.

use bevy::prelude::*;
use bytes::Bytes;
use ghost_sync_core::wire::{GapReason, MessageType, RoomName};

use crate::typed::Sender;

/// Events of a room that this client will not get: it was too slow for them.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Gap {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The first missing place in the room's order.
    pub from: u64,
    /// The last missing place.
    pub to: u64,
    /// How many of them are own broadcasts, which would not have come anyway.
    pub own: u64,
    /// Whether this client's link, its program or the room's history was the limit.
    pub reason: GapReason,
}

/// An [`acknowledged`](crate::Broadcast::acknowledged) broadcast got its place.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Ack {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Which: broadcasts and messages to the server are counted from 1 on each connection.
    pub reference: u64,
    /// Place in the room's order.
    pub seq: u64,
}

/// A message that a system wrote did not leave.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Unsent {
    /// What it was: its type and its bytes; `None` if only the network thread could tell
    /// that it would not go.
    pub message: Option<(MessageType, Bytes)>,
    /// Why; its `Display` is for people.
    pub reason: UnsentReason,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Reflect, thiserror::Error)]
#[non_exhaustive]
pub enum UnsentReason {
    /// Wait for [`Connected`](crate::Connected).
    #[error("not connected")]
    NotConnected,
    /// Join a room first, or the room is gone.
    #[error("not in that room")]
    NotInRoom,
    /// More waits to leave than the outbox may hold; send again later.
    #[error("the outbox is full")]
    OutboxFull,
    /// The type is [registered](crate::GhostAppExt::add_ghost_message) as one that the
    /// server alone says; the log names it.
    #[error("it is said by the server alone")]
    SaidByServer,
    /// It cannot be written as bytes: a list in it is too long, say. The log has why.
    #[error("it cannot be encoded")]
    Unencodable,
    /// Split it, or raise `max_payload` of the server.
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    TooLarge {
        /// How long it is, in bytes.
        len: u32,
        /// The `max_payload` of the server, in bytes.
        max: u32,
    },
}

/// A payload came, whether its type is registered or not.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct PayloadReceived {
    /// The room's entity, if it came from or about one.
    pub room: Option<Entity>,
    /// Who said it, as the server vouches for it.
    pub sender: Sender,
    /// Place in the room's order, if it has one.
    pub seq: Option<u64>,
    /// Whether it was said before this client joined.
    pub replay: bool,
    /// The number of its type, [`MessageType::RAW`] for bytes of no type.
    pub message_type: MessageType,
    /// As they came; the server's `max_payload` limits them, 65,536 bytes by default.
    pub payload: Bytes,
}

/// A payload came whose bytes are no value of the type that it claims to be. It is left out.
/// Told after everything that came in one go with it.
///
/// Programs of different versions, usually: on connecting, only the names and fixed
/// sizes of types are compared.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Undecodable {
    /// The name under which the type is registered.
    pub type_name: String,
    /// The room's entity, if it came from or about one.
    pub room: Option<Entity>,
    /// Who said it, as the server vouches for it.
    pub sender: Sender,
    /// As they came; the server's `max_payload` limits them, 65,536 bytes by default.
    pub payload: Bytes,
}
