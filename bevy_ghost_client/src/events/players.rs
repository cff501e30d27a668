//! Other members of the rooms.

use bevy::prelude::*;
use ghost_sync_core::wire::{ClientId, LeaveReason, RoomName, Seat};

/// Somebody else took a seat in a room that this client is in. The member's entity is
/// there to the end of the frame, even if it has left again.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerJoined {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity with [`Member`](crate::Member), spawned just now.
    pub player: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, which nobody else gets there.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// Somebody else's seat is free. The member's entity still is there to the end of the
/// frame, as [`Ended`](crate::Ended).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerLeft {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity that the member was.
    pub player: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// The number that it had in the room, which nobody else gets there.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
    /// Why; its `Display` is for people.
    pub reason: LeaveReason,
}

/// Somebody else has lost the connection; the seat is held, and the member's entity is
/// [`Away`](crate::Away). [`PlayerBack`] or [`PlayerLeft`] follows.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerAway {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity with [`Member`](crate::Member).
    pub player: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, which nobody else gets there.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// Somebody else who was away is back, and has missed nothing.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerBack {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity with [`Member`](crate::Member).
    pub player: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, which nobody else gets there.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}
