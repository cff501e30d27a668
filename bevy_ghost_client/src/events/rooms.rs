//! Rooms: the own seat in them, and metadata.

use bevy::prelude::*;
use ghost_sync_core::wire::{LeaveReason, Refusal, RoomName, Seat};

/// This client has a seat in a room; the room's entity and all its members are there.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Joined {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The own member entity.
    pub player: Entity,
    /// The own seat.
    pub seat: Seat,
}

/// This client asked for a seat by itself, in place of one that it has lost, and got it.
/// What was said meanwhile is lost. [`Left`] (of the old entity) and [`Joined`] were told
/// before: a game that heeds those may ignore this.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Rejoined {
    /// The room's entity, which is new.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The own member entity.
    pub player: Entity,
    /// The own seat.
    pub seat: Seat,
    /// The entity that the room was until now: there with its members to the end of the
    /// frame, as [`Ended`](crate::Ended). `None` when it went earlier, with
    /// [`Disconnected`](crate::Disconnected).
    pub former: Option<Entity>,
}

/// This client asked for a seat by itself, in place of one that it has lost, and did not get
/// it: after a restart the server may not have that room. It is there no more, and in no room
/// at all where it may be in one only: back to the lobby.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// fn back_to_the_lobby(_: On<RejoinRefused>, mut commands: Commands) {
///     commands.trigger(Join::new("lobby"));
/// }
/// # App::new().add_observer(back_to_the_lobby);
/// ```
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct RejoinRefused {
    /// The room.
    pub room_name: RoomName,
    /// Why; its `Display` is for people.
    pub reason: Refusal,
}

/// The server gave no seat, or could not even be asked: the text is no room name, or there is
/// no connection any more.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct JoinRefused {
    /// The room asked for, as it was asked for.
    pub room_name: String,
    /// Why; its `Display` is for people.
    pub reason: Refusal,
}

/// This client's seat in a room is gone. The entity still is there to the end of the
/// frame, as [`Ended`](crate::Ended), unless it was despawned to leave.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Left {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// Why.
    pub reason: LeaveReason,
}

/// A room was deleted; nothing more can be said there. [`Left`] follows, unless
/// members keep their seats for now.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomDeleted {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The reason given.
    pub message: String,
}

/// [`Metadata`](crate::Metadata) of a room or a member has changed.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataChanged {
    /// The room's or the member's entity.
    pub entity: Entity,
    /// The key.
    pub key: String,
    /// The new value; `None`: removed.
    pub value: Option<String>,
    /// The version after the change.
    pub version: u64,
}
