//! Other members of the rooms.

use bevy::prelude::*;
use ghost_sync_core::wire::{ClientId, LeaveReason, RoomName, Seat};

/// Somebody else took a seat in a room that this client is in. The member's entity is
/// there to the end of the frame, even if it has left again.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerJoined {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The new member's entity.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// Somebody else's seat is free. The member's entity still is there to the end of the
/// frame, as [`Ended`](crate::Ended).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerLeft {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The entity that the member was.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat that it had.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
    /// Why.
    pub reason: LeaveReason,
}

/// Somebody else has lost the connection; the seat is held, and the member's entity is
/// [`Away`](crate::Away). [`PlayerBack`] or [`PlayerLeft`] follows.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerAway {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The member's entity.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// Somebody else who was away is back, and has missed nothing.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerBack {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The member's entity.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}
