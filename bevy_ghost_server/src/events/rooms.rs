//! Rooms, and metadata.

use bevy::prelude::*;
use ghost_sync_core::wire::RoomName;

use crate::{CreateRoomError, MetadataError};

/// Clients can join a room.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomOpened {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
}

/// A room could not be opened; its entity goes at the end of the frame, unless it is open
/// under another name: then it stays as it is.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomRefused {
    /// The entity that was to be the room.
    #[event_target]
    pub room: Entity,
    /// The name that it was to have.
    pub room_name: RoomName,
    /// Why; its `Display` is for people.
    pub reason: CreateRoomError,
}

/// A room has as many players as it has seats: time to begin, or to open another.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomFilled {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Its name.
    pub room_name: RoomName,
}

/// A room that was full has a seat again.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomHasSpace {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Its name.
    pub room_name: RoomName,
}

/// The last player has left a room, which stays.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomEmptied {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
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
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// What was said about it, for people.
    pub message: String,
}

/// [`Metadata`](crate::Metadata) of a room or a connection has changed.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataChanged {
    /// The room's or the connection's entity.
    pub entity: Entity,
    /// 1 to 64 bytes, without control characters.
    pub key: String,
    /// The new value; `None`: removed.
    pub value: Option<String>,
    /// Greater by one with each change of this entity's metadata.
    pub version: u64,
}

/// Metadata of a room or a connection that a system has set is not what clients are told:
/// the component is what it was before.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataRefused {
    /// The room's or the connection's entity.
    pub entity: Entity,
    /// As it was asked for; it need not be a valid key.
    pub key: String,
    /// The value that it was to have; `None`: none.
    pub value: Option<String>,
    /// Why; its `Display` is for people.
    pub reason: MetadataError,
}
