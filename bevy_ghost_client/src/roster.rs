//! Finds the entities of those whom messages name.

use bevy::{ecs::system::SystemParam, prelude::*};
use ghost_sync_core::wire::{ClientId, Seat};

use crate::{
    Ended,
    entities::{Member, MemberOf, SeatIndex},
};

/// Finds members by what messages can name: see [`schema`](crate::schema#players-and-rooms-in-messages).
#[derive(Debug, SystemParam)]
pub struct Roster<'w, 's> {
    seats: Query<'w, 's, &'static SeatIndex>,
    members: Query<'w, 's, (Entity, &'static Member, &'static MemberOf), Without<Ended>>,
}

impl Roster<'_, '_> {
    /// The member on a seat of the room of that entity. `None` when the seat is free, or was
    /// somebody else's when that was said.
    pub fn by_seat(&self, room: Entity, seat: Seat) -> Option<Entity> {
        let member = *self.seats.get(room).ok()?.0.get(&seat)?;
        self.members.contains(member).then_some(member)
    }

    /// The member that a client is in the room of that entity.
    pub fn by_client(&self, room: Entity, client_id: ClientId) -> Option<Entity> {
        let mut members = self.members.iter();
        let found = members.find(|(_, it, of)| it.client_id == client_id && of.0 == room);
        found.map(|(member, ..)| member)
    }
}
