//! The rooms that this client is in, and who else is there, as entities.

use bevy::{platform::collections::HashMap, prelude::*};
use ghost_sync_core::wire::{ClientId, RoomName, Seat};

use crate::Metadata;

/// A room that this client has a seat in.
///
/// Spawned when the server says [`Joined`](crate::Joined), despawned when the
/// seat is lost. Despawning it by hand gives the seat up. Put what belongs to
/// the room on this entity: it goes when the room goes.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
#[require(Metadata)]
pub struct JoinedRoom {
    /// Its name; also there as Bevy's [`Name`].
    pub name: RoomName,
    /// Seats; `None` where only the server's own limit holds.
    pub capacity: Option<u32>,
    /// Random, new for each incarnation of the room.
    pub epoch: u64,
}

/// A player in a [`JoinedRoom`], as this client sees it; the own one too, which
/// has [`LocalPlayer`] beside it.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
#[require(Metadata)]
pub struct Member {
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, from 1 up, which nobody else gets there.
    pub seat: Seat,
}

/// Marks the [`Member`] that this client itself is.
#[derive(Clone, Component, Copy, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
pub struct LocalPlayer;

/// The room that a [`Member`] is in.
#[derive(Clone, Component, Copy, Debug, Eq, PartialEq, Reflect)]
#[reflect(Component, Debug, PartialEq)]
#[relationship(relationship_target = Members)]
pub struct MemberOf(pub Entity);

/// The members of a [`JoinedRoom`]; never empty, since this client is one. Those that
/// have left in this frame are among them, as [`Ended`](crate::Ended).
#[derive(Component, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
#[relationship_target(relationship = MemberOf, linked_spawn)]
pub struct Members(Vec<Entity>);

/// The members of a [`JoinedRoom`] by seat.
#[derive(Component, Default)]
pub(crate) struct SeatIndex(pub(crate) HashMap<Seat, Entity>);
