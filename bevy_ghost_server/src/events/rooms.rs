//! Rooms, and metadata.

use bevy::prelude::*;
use ghost_sync_core::wire::RoomName;

use crate::{CreateRoomError, MetaError};

/// Clients can join a room.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomOpened {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
}

/// A room could not be opened; its entity goes at the end of the frame, unless it is open
/// under another name: then it stays as it is.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomRefused {
    /// The entity.
    #[event_target]
    pub room: Entity,
    /// The name.
    pub room_name: RoomName,
    /// Why; its `Display` is for people.
    pub reason: CreateRoomError,
}

/// The last player has left a room, which stays.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomEmptied {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
}

/// A room is gone. The entity still is there to the end of the frame, as
/// [`Ended`](crate::Ended), unless it was despawned to close it.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomClosed {
    /// The entity that the room was.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The reason given.
    pub message: String,
}

/// [`Metadata`](crate::Metadata) of a room or a connection has changed.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataChanged {
    /// The room's or the connection's entity.
    pub entity: Entity,
    /// The key.
    pub key: String,
    /// The new value; `None`: removed.
    pub value: Option<String>,
    /// The version after the change.
    pub version: u64,
}

/// Metadata of a room or a connection that a system has set is not what clients are told:
/// the component is what it was before.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataRefused {
    /// The room's or the connection's entity.
    pub entity: Entity,
    /// The key.
    pub key: String,
    /// The value that it was to have; `None`: none.
    pub value: Option<String>,
    /// Why; its `Display` is for people.
    pub reason: MetaError,
}
