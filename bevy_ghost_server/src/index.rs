//! Which entity stands for which connection, room and seat of the network thread.
//!
//! Entries outlive their entities until the network thread has confirmed the
//! end, so that last words find their way and each end is told exactly once.

use std::collections::{BTreeMap, VecDeque};

use bevy::{platform::collections::HashMap, prelude::*};
use bevy_ghost_client::{Metadata, typed::Stamp};
use ghost_sync_core::wire::{ClientId, RoomId, RoomName, Seat};

use crate::{RoomConfig, bridge::ConnId};

#[derive(Default, Resource)]
pub(crate) struct Index {
    pub(crate) connections: HashMap<ConnId, Entity>,
    pub(crate) rooms: HashMap<RoomId, Entity>,
    pub(crate) seats: HashMap<(RoomId, Seat), Entity>,
    pub(crate) connection_records: HashMap<Entity, ConnectionRecord>,
    pub(crate) room_records: HashMap<Entity, RoomRecord>,
    pub(crate) seat_records: HashMap<Entity, SeatRecord>,
    /// Rooms asked for and not yet confirmed, in the order of asking.
    pub(crate) pending: VecDeque<(RoomName, Entity)>,
    /// Clients that did not get in for their typed messages.
    pub(crate) mismatches: u64,
    /// What to say to whoever is on that entity when it is despawned.
    pub(crate) last_words: HashMap<Entity, String>,
}

pub(crate) struct ConnectionRecord {
    pub(crate) conn: ConnId,
    pub(crate) client_id: ClientId,
    /// When the end was asked for here.
    pub(crate) closing: Option<Stamp>,
    pub(crate) meta: KnownMeta,
}

pub(crate) struct RoomRecord {
    pub(crate) name: RoomName,
    pub(crate) id: Option<RoomId>,
    /// Whether it was told to be open; only then its end is told.
    pub(crate) opened: bool,
    /// When the room was asked for here.
    pub(crate) wanted: Stamp,
    /// When the end was asked for here.
    pub(crate) closing: Option<Stamp>,
    /// The room that the entity is to be after this one.
    pub(crate) next: Option<RoomName>,
    /// What the network thread said when it ended the room; players may still have to leave.
    pub(crate) closed: Option<String>,
    /// Players that were told to have joined and not yet to have left.
    pub(crate) players: usize,
    /// The rules that the network thread was told last.
    pub(crate) config: RoomConfig,
    pub(crate) meta: KnownMeta,
}

/// Metadata as the network thread knows it.
#[derive(Clone, Default)]
pub(crate) struct KnownMeta {
    /// As it has said.
    pub(crate) confirmed: BTreeMap<String, String>,
    /// As it was asked to have it.
    pub(crate) asked: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) struct SeatRecord {
    pub(crate) room: Entity,
    pub(crate) name: RoomName,
    pub(crate) connection: Entity,
    pub(crate) conn: ConnId,
    pub(crate) client_id: ClientId,
    pub(crate) seat: Seat,
    /// Whether it was told to be away and not yet to be back.
    pub(crate) away: bool,
    /// When the end was asked for here.
    pub(crate) ended: Option<Stamp>,
}

impl KnownMeta {
    /// The network thread has said so.
    pub(crate) fn confirm(&mut self, key: &str, value: Option<&str>) {
        for known in [&mut self.confirmed, &mut self.asked] {
            match value {
                Some(value) => known.insert(key.to_owned(), value.to_owned()),
                None => known.remove(key),
            };
        }
    }

    /// It was asked for elsewhere.
    pub(crate) fn expect(&mut self, wanted: &Metadata) {
        self.asked = wanted.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }

    /// What to ask for, so that it is as in `wanted`; notes that it was asked.
    pub(crate) fn ask(&mut self, wanted: &Metadata) -> Vec<(String, Option<String>)> {
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
    pub(crate) fn take_pending(&mut self, name: &RoomName) -> Option<Entity> {
        let at = self.pending.iter().position(|(pending, _)| pending == name)?;
        self.pending.remove(at).map(|(_, room)| room)
    }

    pub(crate) fn take_connection(&mut self, conn: ConnId) -> Option<Entity> {
        let connection = self.connections.remove(&conn)?;
        self.connection_records.remove(&connection);
        Some(connection)
    }

    pub(crate) fn take_seat(&mut self, room: RoomId, seat: Seat) -> Option<(Entity, SeatRecord)> {
        let player = self.seats.remove(&(room, seat))?;
        Some((player, self.seat_records.remove(&player)?))
    }

    pub(crate) fn seat(&self, room: RoomId, seat: Seat) -> Option<(Entity, &SeatRecord)> {
        let player = *self.seats.get(&(room, seat))?;
        Some((player, self.seat_records.get(&player)?))
    }

    /// The metadata that the network thread knows of an entity.
    pub(crate) fn known_meta(&mut self, entity: Entity) -> Option<&mut KnownMeta> {
        let room = self.room_records.get_mut(&entity).map(|room| &mut room.meta);
        room.or_else(|| self.connection_records.get_mut(&entity).map(|it| &mut it.meta))
    }

    pub(crate) fn words(&mut self, entity: Entity, otherwise: &str) -> String {
        self.last_words.remove(&entity).unwrap_or_else(|| otherwise.to_owned())
    }
}
