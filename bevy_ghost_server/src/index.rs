//! Which entity stands for which connection, room and seat of the network thread.
//!
//! Entries outlive their entities until the network thread has confirmed the
//! end, so that last words find their way and each end is told exactly once.

use std::collections::VecDeque;

use bevy::{platform::collections::HashMap, prelude::*};
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
    /// What to say to whoever is on that entity when it is despawned.
    pub(crate) last_words: HashMap<Entity, String>,
}

pub(crate) struct ConnectionRecord {
    pub(crate) conn: ConnId,
    pub(crate) client_id: ClientId,
    pub(crate) closing: bool,
}

pub(crate) struct RoomRecord {
    pub(crate) name: RoomName,
    pub(crate) id: Option<RoomId>,
    /// Whether it was told to be open; only then its end is told.
    pub(crate) opened: bool,
    /// Whether the end was asked for here.
    pub(crate) closing: bool,
    /// What the network thread said when it ended the room; players may still have to leave.
    pub(crate) closed: Option<String>,
    /// Players that were told to have joined and not yet to have left.
    pub(crate) players: usize,
    /// The rules that the network thread was told last.
    pub(crate) config: RoomConfig,
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

    pub(crate) fn words(&mut self, entity: Entity, otherwise: &str) -> String {
        self.last_words.remove(&entity).unwrap_or_else(|| otherwise.to_owned())
    }
}
