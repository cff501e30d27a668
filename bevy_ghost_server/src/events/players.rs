//! Players and their seats.

use bevy::prelude::*;
use bytes::Bytes;
use ghost_sync_core::wire::{ClientId, LeaveReason, RoomName, Seat, UserId};

/// A client has a seat in a room. The player's entity and its components are there to
/// the end of the frame, even if the client is gone already.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerJoined {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity with [`Player`](crate::Player).
    pub player: Entity,
    /// The entity with its [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, which nobody else gets there.
    pub seat: Seat,
    /// The user that it is, if its token said so; also there as [`User`](crate::User).
    pub user: Option<UserId>,
    /// What the client said with its request.
    pub data: Bytes,
}

/// A seat is free. Told once for each [`PlayerJoined`], whatever the end was.
///
/// Who loses the connection does not leave yet: that is [`PlayerAway`] first, and this
/// only when [`resume_grace`](crate::RelayConfig::resume_grace) is over, with the reason
/// for the loss.
///
/// The player's entity still is there to the end of the frame, as
/// [`Ended`](crate::Ended), unless the server's own systems despawned it (or its
/// room, or its connection).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerLeft {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity that the player was.
    pub player: Entity,
    /// The entity with its [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// The number that it had in the room, which nobody else gets there.
    pub seat: Seat,
    /// Why; its `Display` is for people.
    pub reason: LeaveReason,
}

/// A player has lost its connection; its seat is held. Its entity and that of its
/// connection are [`Away`](crate::Away). [`PlayerBack`] follows, or, after
/// [`resume_grace`](crate::RelayConfig::resume_grace), [`PlayerLeft`].
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerAway {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity with [`Player`](crate::Player).
    pub player: Entity,
    /// The entity with its [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, which nobody else gets there.
    pub seat: Seat,
}

/// A player that was away is back, on the same entities.
///
/// Its program is the one it was, and is given what it missed, unless it is
/// [`restarted`](Self::restarted).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerBack {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The entity with [`Player`](crate::Player).
    pub player: Entity,
    /// The entity with its [`Connection`](crate::Connection).
    pub connection: Entity,
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, which nobody else gets there.
    pub seat: Seat,
    /// Whether its program was started anew, so that it knows nothing of the room but who
    /// is there, the newest values, and what [`GreetRequest`](crate::GreetRequest) told it.
    pub restarted: bool,
}

/// A player was too slow for some of its room's messages and was told that they are missing.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Lagged {
    /// The entity with [`Room`](crate::Room); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// The entity with [`Player`](crate::Player).
    pub player: Entity,
    /// Messages that it does not get.
    pub dropped: u64,
}
