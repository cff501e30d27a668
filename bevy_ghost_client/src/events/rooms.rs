//! Rooms: the own seat in them, and metadata.

use bevy::prelude::*;
use ghost_sync_core::wire::{LeaveReason, Refusal, RoomName, Seat};

/// This client has a seat in a room; the room's entity and all its members are there.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Joined {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The own entity there, with [`LocalPlayer`](crate::LocalPlayer).
    pub player: Entity,
    /// The own number in the room, which nobody else gets there.
    pub seat: Seat,
}

/// This client asked for a seat by itself, in place of one that it has lost, and got it.
/// What was said meanwhile is lost. [`Left`] (of the old entity) and [`Joined`] were told
/// before: a game that heeds those may ignore this.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Rejoined {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom), which is new; observers of the room's
    /// former entity do not hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// The own entity there, with [`LocalPlayer`](crate::LocalPlayer).
    pub player: Entity,
    /// The own number in the room, which nobody else gets there.
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
    /// The room that this client was in.
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
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// Why; its `Display` is for people.
    pub reason: LeaveReason,
}

/// A room was deleted; nothing more can be said there. [`Left`] follows, unless
/// members keep their seats for now.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomDeleted {
    /// The entity with [`JoinedRoom`](crate::JoinedRoom); observers attached to it hear this.
    #[event_target]
    pub room: Entity,
    /// Tells which room it was when the entity is gone.
    pub room_name: RoomName,
    /// What the server said about it, for people.
    pub message: String,
}

/// [`Metadata`](crate::Metadata) of a room or a member has changed.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataChanged {
    /// The room's or the member's entity.
    pub entity: Entity,
    /// 1 to 64 bytes, without control characters.
    pub key: String,
    /// The new value; `None`: removed.
    pub value: Option<String>,
    /// Greater by one with each change of this entity's metadata.
    pub version: u64,
}
