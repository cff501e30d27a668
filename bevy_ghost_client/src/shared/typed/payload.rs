//! Payloads between the typed envelopes of a world and its bridge.

use bevy::ecs::entity::Entity;
use bytes::Bytes;
use ghost_sync_core::wire::{ClientId, Delivery, MessageType, SendFlags};

use super::{envelopes::Sender, order::Stamp};

/// A message cannot be written as bytes: a list in it is too long, say.
#[derive(Clone, Copy, Debug)]
pub struct Unencodable;

/// One payload on its way out of a client.
#[derive(Debug)]
pub struct ClientPayload {
    /// When it was said.
    pub stamp: Stamp,
    /// The room asked for.
    pub room: Option<Entity>,
    /// Who is to get it.
    pub to: ClientRecipient,
    /// The number of its type.
    pub message_type: MessageType,
    /// The message as bytes; an error where it cannot be encoded, which the log has said.
    pub bytes: Result<Bytes, Unencodable>,
}

/// Who is to get what a client says.
#[derive(Clone, Copy, Debug)]
pub enum ClientRecipient {
    /// Everybody else in the room.
    Room {
        /// Whether it may be dropped or replaced on its way.
        delivery: Delivery,
        /// Whether it is echoed, acknowledged, or the last of its key.
        flags: SendFlags,
    },
    /// The server program.
    Server,
}

/// One payload on its way out of a server.
#[derive(Debug)]
pub struct ServerPayload {
    /// When it was said.
    pub stamp: Stamp,
    /// Who is to get it.
    pub to: ServerRecipient,
    /// The number of its type.
    pub message_type: MessageType,
    /// The message as bytes; an error where it cannot be encoded, which the log has said.
    pub bytes: Result<Bytes, Unencodable>,
}

/// Who is to get what a server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServerRecipient {
    /// Everybody in a room.
    Room {
        /// The entity with `Room`.
        room: Entity,
        /// Whether it may be dropped or replaced on its way.
        delivery: Delivery,
        /// Whether it is echoed, acknowledged, or the last of its key.
        flags: SendFlags,
        /// The entities of players who are left out.
        except: Vec<Entity>,
    },
    /// One player.
    Player {
        /// The entity with `Player`.
        player: Entity,
        /// Whether it may be dropped or replaced on its way.
        delivery: Delivery,
    },
    /// One client.
    Connection {
        /// The entity with `Connection`.
        connection: Entity,
        /// Whether it may be dropped or replaced on its way.
        delivery: Delivery,
    },
    /// Every client.
    Everyone,
}

/// One payload on its way in.
#[derive(Clone, Debug)]
pub struct Arrival<O> {
    /// Where it came from.
    pub origin: O,
    /// The number of its type.
    pub message_type: MessageType,
    /// As they came: what they mean is up to the type.
    pub payload: Bytes,
}

/// An arrival that is not what its type says.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its place among the arrivals.
    pub at: usize,
    /// The name under which the type is registered.
    pub type_name: String,
}

/// Where a payload came from that is for a client.
#[derive(Clone, Copy, Debug)]
pub enum ClientOrigin {
    /// From its room.
    Room {
        /// The entity with `JoinedRoom`.
        room: Entity,
        /// As the server vouches for it.
        sender: Sender,
        /// Place in the room's order.
        seq: u64,
        /// Whether it was said before the client joined.
        replay: bool,
    },
    /// From the server program.
    Server {
        /// The room it is about.
        room: Option<Entity>,
        /// Messages before it that were lost.
        missed: u32,
    },
}

/// Where a payload came from that is for a server.
#[derive(Clone, Copy, Debug)]
pub enum ServerOrigin {
    /// From a player.
    Player {
        /// The entity with `Player`.
        player: Entity,
        /// The entity with `Room`.
        room: Entity,
        /// The entity with `Connection`.
        connection: Entity,
        /// The same in every room, for as long as the client's session goes on.
        client_id: ClientId,
        /// Place in the room's order, if it has one.
        seq: Option<u64>,
    },
    /// From a client outside of any room.
    Connection {
        /// The entity with `Connection`.
        connection: Entity,
        /// The same in every room, for as long as the client's session goes on.
        client_id: ClientId,
    },
}
