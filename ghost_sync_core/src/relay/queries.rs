//! What the host can look up: rooms, players, clients, numbers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Relay,
    config::RoomConfig,
    event::ConnId,
    room::{HistoryPage, Member, RoomInfo},
};
use crate::{
    identity::Identity,
    wire::{ClientId, MemberInfo, MetadataEntry, RoomId, RoomName, Seat},
};

impl Relay {
    /// The settings of the room called `name`.
    pub fn room_config(&self, name: &str) -> Option<&RoomConfig> {
        Some(&self.rooms.get(self.names.get(name)?)?.config)
    }

    /// The number of the room called `name`.
    pub fn room_id(&self, name: &str) -> Option<RoomId> {
        self.names.get(name).copied()
    }

    /// Rooms that can be joined.
    pub fn room_count(&self) -> usize {
        self.names.len()
    }

    /// The rooms that can be joined, sorted by name.
    pub fn rooms(&self) -> impl Iterator<Item = RoomInfo> {
        self.names.iter().filter_map(|(name, room)| {
            let found = self.rooms.get(room)?;
            Some(RoomInfo {
                id: *room,
                name: name.clone(),
                players: found.members().len(),
                capacity: found.config.capacity,
                is_full: found.is_full(),
                mode: found.config.mode,
                epoch: found.epoch,
                seq: found.log.next() - 1,
                meta_version: found.meta.version(),
                meta: found.meta.to_vec(),
            })
        })
    }

    /// Players of a room, in the order of their seats.
    pub fn members(&self, name: &str) -> Option<impl Iterator<Item = (Seat, ConnId, ClientId)>> {
        let room = self.rooms.get(self.names.get(name)?)?;
        Some(room.members().iter().map(|member| (member.seat, member.conn, member.client_id)))
    }

    /// How many players are in a room.
    pub fn player_count(&self, name: &str) -> Option<usize> {
        Some(self.rooms.get(self.names.get(name)?)?.members().len())
    }

    /// What a room keeps of what happened from event `from` on, as far as it is
    /// kept, and up to about `max_bytes` (but at least one event).
    pub fn history(&self, name: &str, from: u64, max_bytes: usize) -> Option<HistoryPage> {
        self.history_of(self.room_id(name)?, from, max_bytes)
    }

    /// Metadata of a room and its version.
    pub fn room_metadata(&self, name: &str) -> Option<(u64, Vec<MetadataEntry>)> {
        let room = self.rooms.get(self.names.get(name)?)?;
        Some((room.meta.version(), room.meta.to_vec()))
    }

    /// Metadata of a client and its version.
    pub fn client_metadata(&self, conn: ConnId) -> Option<(u64, Vec<MetadataEntry>)> {
        let connection = self.present(conn).ok()?;
        Some((connection.meta.version(), connection.meta.to_vec()))
    }

    /// Clients whose handshake is complete, those that are away included.
    pub fn clients(&self) -> impl Iterator<Item = (ConnId, ClientId)> {
        let present = self.conns.iter().filter(|(_, connection)| connection.is_present());
        present.map(|(conn, connection)| (conn, connection.client_id))
    }

    /// How many clients' handshakes are complete, those that are away included.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// How many clients are away: they lost their links, and their seats are held.
    pub fn away_count(&self) -> usize {
        self.away.len()
    }

    /// Bytes of history that all rooms together keep.
    pub fn history_bytes(&self) -> u64 {
        self.history_bytes
    }

    /// Connections of any kind, those in their handshake or closing included.
    pub fn connection_count(&self) -> usize {
        self.conns.len()
    }

    /// The connection of a client.
    pub fn conn_of(&self, client_id: ClientId) -> Option<ConnId> {
        self.clients.get(&client_id).copied()
    }

    /// The rooms that a client is in, oldest seat first, those deleted softly included.
    pub fn rooms_of(&self, conn: ConnId) -> impl Iterator<Item = (RoomId, &RoomName)> {
        let seats = self.conns.get(conn).map_or(&[][..], |connection| &connection.seats);
        seats.iter().filter_map(|held| Some((held.room, &self.rooms.get(&held.room)?.name)))
    }

    /// Who a client is, if its token said so.
    pub fn identity_of(&self, conn: ConnId) -> Option<Arc<Identity>> {
        self.present(conn).ok()?.identity().cloned()
    }

    /// The public id of a client.
    pub fn client_of(&self, conn: ConnId) -> Option<ClientId> {
        self.present(conn).ok().map(|found| found.client_id)
    }

    /// Where a client comes from.
    pub fn addr_of(&self, conn: ConnId) -> Option<SocketAddr> {
        self.conns.get(conn).map(|connection| connection.addr)
    }

    /// The last measured round trip to a client.
    pub fn rtt_of(&self, conn: ConnId) -> Option<Duration> {
        self.conns.get(conn)?.liveness.rtt
    }

    /// A member, as rosters show it.
    pub(super) fn member_info(&self, member: &Member) -> Option<MemberInfo> {
        let connection = self.conns.get(member.conn)?;
        Some(MemberInfo {
            seat: member.seat,
            client_id: member.client_id,
            meta_version: connection.meta.version(),
            meta: connection.meta.to_vec(),
            away: member.away,
            user: self.shown_user(connection),
        })
    }
}
