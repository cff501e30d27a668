//! Which entity stands for which connection, room and seat of the network thread.
//!
//! Entries outlive their entities until the network thread has confirmed the
//! end, so that closing messages find their way and each end is told exactly once.

use std::collections::{BTreeMap, VecDeque};

use bevy::{platform::collections::HashMap, prelude::*};
use bevy_ghost_client::{Metadata, typed::Stamp};
use ghost_sync_core::{
    relay::ConnId,
    wire::{ClientId, RoomId, RoomName, Seat, UserId},
};

use super::lines::Lines;
use crate::RoomConfig;

#[derive(Default, Resource)]
pub(crate) struct Index {
    pub(super) connections: HashMap<ConnId, Entity>,
    pub(super) rooms: HashMap<RoomId, Entity>,
    pub(super) seats: HashMap<(RoomId, Seat), Entity>,
    pub(super) connection_records: HashMap<Entity, ConnectionRecord>,
    pub(super) room_records: HashMap<Entity, RoomRecord>,
    pub(super) seat_records: HashMap<Entity, SeatRecord>,
    /// Rooms asked for and not yet confirmed, in the order of asking.
    pub(super) pending: VecDeque<(RoomName, Entity)>,
    /// Clients that did not get in for their typed messages.
    pub(super) mismatches: u64,
    /// What the log says of clients that are away or back.
    pub(super) lines: Lines,
    /// What to say to whoever is on that entity when it is despawned.
    pub(super) closing_messages: HashMap<Entity, String>,
}

pub(super) struct ConnectionRecord {
    pub(super) conn: ConnId,
    pub(super) client_id: ClientId,
    pub(super) user: Option<UserId>,
    /// When the end was asked for here.
    pub(super) closing: Option<Stamp>,
    pub(super) meta: KnownMetadata,
}

pub(super) struct RoomRecord {
    pub(super) name: RoomName,
    pub(super) id: Option<RoomId>,
    /// Whether it was told to be open; only then its end is told.
    pub(super) opened: bool,
    /// When the room was asked for here.
    pub(super) wanted: Stamp,
    /// When the end was asked for here.
    pub(super) closing: Option<Stamp>,
    /// The room that the entity is to be after this one.
    pub(super) next: Option<RoomName>,
    /// What the network thread said when it ended the room; players may still have to leave.
    pub(super) closed: Option<String>,
    /// Players that were told to have joined and not yet to have left.
    pub(super) players: usize,
    /// The rules that the network thread was told last.
    pub(super) config: RoomConfig,
    pub(super) meta: KnownMetadata,
}

/// Metadata as the network thread knows it.
#[derive(Clone, Default)]
pub(super) struct KnownMetadata {
    /// As it has said.
    pub(super) confirmed: BTreeMap<String, String>,
    /// As it was asked to have it.
    pub(super) asked: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(super) struct SeatRecord {
    pub(super) room: Entity,
    pub(super) name: RoomName,
    pub(super) connection: Entity,
    pub(super) conn: ConnId,
    pub(super) client_id: ClientId,
    pub(super) seat: Seat,
    /// Whether it was told to be away and not yet to be back.
    pub(super) away: bool,
    /// When the end was asked for here.
    pub(super) ended: Option<Stamp>,
}

impl KnownMetadata {
    /// The network thread has said so.
    pub(super) fn confirm(&mut self, key: &str, value: Option<&str>) {
        for known in [&mut self.confirmed, &mut self.asked] {
            match value {
                Some(value) => known.insert(key.to_owned(), value.to_owned()),
                None => known.remove(key),
            };
        }
    }

    /// It was asked for elsewhere.
    pub(super) fn expect(&mut self, wanted: &Metadata) {
        self.asked = wanted.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }

    /// What to ask for, so that it is as in `wanted`; notes that it was asked.
    pub(super) fn ask(&mut self, wanted: &Metadata) -> Vec<(String, Option<String>)> {
        let gone = self.asked.keys().filter(|key| wanted.get(key).is_none());
        let gone = gone.map(|key| (key.clone(), None));
        let new = wanted
            .iter()
            .filter(|(key, value)| self.asked.get(*key).is_none_or(|known| known != value));
        let new = new.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        let changes: Vec<_> = gone.chain(new).collect();
        self.asked = wanted.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        changes
    }
}

impl Index {
    /// Takes the first unconfirmed room of that name.
    pub(super) fn take_pending(&mut self, name: &RoomName) -> Option<Entity> {
        let at = self.pending.iter().position(|(pending, _)| pending == name)?;
        self.pending.remove(at).map(|(_, room)| room)
    }

    pub(super) fn take_connection(&mut self, conn: ConnId) -> Option<Entity> {
        let connection = self.connections.remove(&conn)?;
        self.connection_records.remove(&connection);
        Some(connection)
    }

    pub(super) fn take_seat(&mut self, room: RoomId, seat: Seat) -> Option<(Entity, SeatRecord)> {
        let player = self.seats.remove(&(room, seat))?;
        Some((player, self.seat_records.remove(&player)?))
    }

    pub(super) fn seat(&self, room: RoomId, seat: Seat) -> Option<(Entity, &SeatRecord)> {
        let player = *self.seats.get(&(room, seat))?;
        Some((player, self.seat_records.get(&player)?))
    }

    /// The metadata that the network thread knows of an entity.
    pub(super) fn known_metadata(&mut self, entity: Entity) -> Option<&mut KnownMetadata> {
        let room = self.room_records.get_mut(&entity).map(|room| &mut room.meta);
        room.or_else(|| self.connection_records.get_mut(&entity).map(|it| &mut it.meta))
    }

    pub(super) fn closing_message(&mut self, entity: Entity, otherwise: &str) -> String {
        self.closing_messages.remove(&entity).unwrap_or_else(|| otherwise.to_owned())
    }
}

/// The entity of a connection, unless our own systems have despawned it.
pub(super) fn find_connection(world: &World, conn: ConnId) -> Option<Entity> {
    let connection = *world.resource::<Index>().connections.get(&conn)?;
    is_there(world, connection).then_some(connection)
}

/// Whether our own systems have not despawned it: whom they have put out is not heard
/// any more, even if the network thread does not know yet.
pub(super) fn is_there(world: &World, entity: Entity) -> bool {
    world.get_entity(entity).is_ok()
}
