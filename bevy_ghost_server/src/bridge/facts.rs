//! Makes the entities what the network thread says they are, and tells the facts.

use std::{sync::Arc, time::Instant};

use bevy::prelude::*;
use bevy_ghost_client::{Ended, Metadata, NamedAs};
use bytes::Bytes;
use ghost_sync_core::{
    embed::MetadataOwner,
    identity::Identity,
    relay::{ConnId, MetadataError, RelayEvent},
    wire::{ClientId, CloseReason, LeaveReason, RoomId, RoomName, Seat},
};

use super::{
    allowed_rooms::AllowedRooms,
    index::{
        ConnectionRecord, Index, KnownMetadata, RoomRecord, SeatRecord, find_connection, is_there,
    },
    observers,
};
use crate::{
    Away, Connection, ConnectionStats, CreateRoomError, DisconnectReason, GhostServer, InRoom,
    Player, Room, RoomStats, Rooms, SeatOf, SignedIn, User,
    events::{
        ConnectionClosed, ConnectionOpened, Lagged, MetadataChanged, MetadataRefused, PlayerAway,
        PlayerBack, PlayerJoined, PlayerLeft, RoomClosed, RoomEmptied, RoomOpened, RoomRefused,
        publish,
    },
};

/// Takes over one event.
pub(super) fn apply(world: &mut World, event: RelayEvent) {
    match event {
        RelayEvent::ConnectionOpened { conn, client_id, addr, meta, identity } => {
            let metadata = Metadata::from(meta);
            let mut known = KnownMetadata::default();
            metadata.iter().for_each(|(key, value)| known.confirm(key, Some(value)));
            let connection = world.spawn((Connection { client_id, addr }, metadata)).id();
            let user = identity.as_ref().map(|identity| identity.user.clone());
            if let Some(identity) = identity {
                sign_in(world, connection, identity);
            }
            let mut index = world.resource_mut::<Index>();
            index.connections.insert(conn, connection);
            let (closing, meta) = (None, known);
            let record = ConnectionRecord { conn, client_id, user: user.clone(), closing, meta };
            index.connection_records.insert(connection, record);
            world.resource_mut::<GhostServer>().connections += 1;
            publish(world, ConnectionOpened { connection, client_id, addr, user });
        }
        RelayEvent::TokenReplaced { conn, identity, .. } => {
            if let Some(connection) = find_connection(world, conn) {
                sign_in(world, connection, identity);
            }
        }
        RelayEvent::ConnectionClosed { conn, client_id, reason } => {
            let taken = world.resource_mut::<Index>().take_connection(conn);
            let Some(connection) = taken else { return };
            let mut server = world.resource_mut::<GhostServer>();
            server.connections = server.connections.saturating_sub(1);
            publish(world, ConnectionClosed { connection, client_id, reason });
            Ended::mark(world, connection);
        }
        RelayEvent::ConnectionLost { conn, client_id, reason } => {
            log(world, || format!("{client_id} is away: {reason}"));
            if let Some(connection) = find_connection(world, conn) {
                world.entity_mut(connection).insert(Away);
            }
        }
        RelayEvent::ConnectionResumed { conn, client_id, addr, .. } => {
            let Some(connection) = find_connection(world, conn) else { return };
            log(world, || format!("{client_id} is back"));
            let mut connection = world.entity_mut(connection);
            connection.remove::<Away>();
            if connection.get::<Connection>().is_some_and(|known| known.addr != addr) {
                connection.insert(Connection { client_id, addr });
            }
        }
        RelayEvent::RoomCreated { room, name } => room_created(world, room, name),
        RelayEvent::RoomDeleted { room: id, name, message } => {
            let mut index = world.resource_mut::<Index>();
            let Some(&room) = index.rooms.get(&id) else { return };
            let Some(record) = index.room_records.get_mut(&room) else { return };
            record.closed = Some(message);
            if record.next.as_ref() != Some(&name) {
                forget_name(world, &name, room);
            }
            close_if_empty(world, room);
        }
        RelayEvent::RoomEmptied { room, name } => {
            if let Some(&room) = world.resource::<Index>().rooms.get(&room)
                && is_there(world, room)
            {
                publish(world, RoomEmptied { room, room_name: name });
            }
        }
        RelayEvent::PlayerJoined { room, name, seat, conn, client_id, data, .. } => {
            player_joined(world, room, name, seat, conn, client_id, data);
        }
        RelayEvent::PlayerLeft { room, seat, reason, .. } => {
            if let Some((player, seat)) = world.resource_mut::<Index>().take_seat(room, seat) {
                player_left(world, player, seat, reason);
            }
        }
        RelayEvent::PlayerAway { room, name: room_name, seat, client_id, .. } => {
            let Some((player, record)) = set_away(world, room, seat, true) else { return };
            let SeatRecord { room, connection, .. } = record;
            world.entity_mut(player).insert(Away);
            publish(world, PlayerAway { room, room_name, player, connection, client_id, seat });
        }
        RelayEvent::PlayerBack { room, name: room_name, seat, client_id, restarted, .. } => {
            let Some((player, record)) = set_away(world, room, seat, false) else { return };
            let SeatRecord { room, connection, .. } = record;
            world.entity_mut(player).remove::<Away>();
            publish(
                world,
                PlayerBack { room, room_name, player, connection, client_id, seat, restarted },
            );
        }
        RelayEvent::Lagged { room, seat, dropped, .. } => {
            let Some((player, record)) = world.resource::<Index>().seat(room, seat) else { return };
            let room = record.room;
            world.resource_mut::<GhostServer>().dropped += dropped;
            if is_there(world, player) {
                publish(world, Lagged { room, player, dropped });
            }
        }
        // Taken many at once, see `payloads`.
        RelayEvent::Broadcast { .. } | RelayEvent::Message { .. } => {}
        RelayEvent::RoomMetadataChanged { room, version, key, value, .. } => {
            let entity = world.resource::<Index>().rooms.get(&room).copied();
            change_metadata(world, entity, key, value, version);
        }
        RelayEvent::ClientMetadataChanged { conn, version, key, value, .. } => {
            let entity = world.resource::<Index>().connections.get(&conn).copied();
            change_metadata(world, entity, key, value, version);
        }
        RelayEvent::Rtt { conn, rtt, .. } => {
            let connection = world.resource::<Index>().connections.get(&conn).copied();
            let stats = connection.and_then(|it| world.get_mut::<ConnectionStats>(it));
            if let Some(mut stats) = stats {
                stats.rtt = Some(rtt);
            }
        }
        RelayEvent::HandshakeFailed { addr, reason } => {
            debug!("{addr} did not get in: {reason}");
            if let DisconnectReason::Closed(CloseReason::ProtocolMismatch { .. }) = reason {
                // The first, the second, the fourth and so on: nobody floods the log.
                let mut index = world.resource_mut::<Index>();
                index.mismatches += 1;
                let count = index.mismatches;
                if count.is_power_of_two() {
                    warn!(
                        "{addr} registers other typed messages, {count} by now; its log says which"
                    );
                }
            }
        }
        RelayEvent::JoinAbandoned { name, client_id, reason, .. } => {
            debug!("{client_id} did not come to {name:?}: {reason}");
        }
        other => debug!("an event that this version does not know: {other:?}"),
    }
}

/// A connection is what its token says.
fn sign_in(world: &mut World, connection: Entity, identity: Arc<Identity>) {
    let user = User(identity.user.clone());
    world.entity_mut(connection).insert((user, SignedIn(identity)));
}

/// Says something of a client in the log, if there is room for it.
fn log(world: &mut World, line: impl FnOnce() -> String) {
    match world.resource_mut::<Index>().lines.take(Instant::now()) {
        Some(0) => info!("{}", line()),
        Some(left_out) => info!("{} ({left_out} lines like this were left out)", line()),
        None => debug!("{}", line()),
    }
}

/// A room that was asked for is not to be had.
pub(super) fn room_refused(world: &mut World, name: RoomName, reason: CreateRoomError) {
    let Some(room) = world.resource_mut::<Index>().take_pending(&name) else {
        // A client was faster, and its room has taken the entity: give it the rules too.
        observers::configure_again(world, &name);
        return;
    };
    world.resource_mut::<Index>().room_records.remove(&room);
    forget_name(world, &name, room);
    warn!("room {name:?} was not opened: {reason}");
    publish(world, RoomRefused { room, room_name: name, reason });
    Ended::mark(world, room);
}

/// The network thread has nothing any more: the server has stopped.
pub(super) fn forget_all(world: &mut World) {
    let seats = std::mem::take(&mut world.resource_mut::<Index>().seats);
    for player in seats.into_values() {
        if let Some(seat) = world.resource_mut::<Index>().seat_records.remove(&player) {
            player_left(world, player, seat, LeaveReason::Disconnected);
        }
    }
    let index = std::mem::take(&mut *world.resource_mut::<Index>());
    for (connection, record) in index.connection_records {
        let reason = DisconnectReason::ConnectionClosed;
        publish(world, ConnectionClosed { connection, client_id: record.client_id, reason });
        Ended::mark(world, connection);
    }
    for (room, record) in index.room_records {
        if record.closing.is_some() && record.opened {
            let message = "the server stopped".to_owned();
            publish(world, RoomClosed { room, room_name: record.name, message });
        }
        if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
            stats.open = false;
        }
    }
    let mut server = world.resource_mut::<GhostServer>();
    server.addr = None;
    server.handle = None;
    server.connections = 0;
}

fn room_created(world: &mut World, id: RoomId, name: RoomName) {
    let pending = world.resource_mut::<Index>().take_pending(&name);
    let room = pending.unwrap_or_else(|| adopt_room(world, &name));
    let mut index = world.resource_mut::<Index>();
    index.rooms.insert(id, room);
    let Some(record) = index.room_records.get_mut(&room) else { return };
    record.id = Some(id);
    if record.closing.is_some() {
        return;
    }
    record.opened = true;
    if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
        stats.open = true;
    }
    publish(world, RoomOpened { room, room_name: name });
}

/// Gives an entity to a room that a client opened.
fn adopt_room(world: &mut World, name: &RoomName) -> Entity {
    let allowed = world.resource_mut::<AllowedRooms>().take(name);
    let (config, metadata) =
        allowed.map_or_else(Default::default, |allowed| (allowed.config, allowed.metadata));
    let room = world.spawn_empty().id();
    // Inserting a `Room` asks the network thread to open it, unless it is known.
    observers::record_room(world, room, name.clone(), config.clone());
    // The network thread was told with the verdict.
    if let Some(known) = world.resource_mut::<Index>().known_metadata(room) {
        known.expect(&metadata);
    }
    world.entity_mut(room).insert((Room::from(name.clone()), config, metadata));
    room
}

fn player_left(world: &mut World, player: Entity, seat: SeatRecord, reason: LeaveReason) {
    let SeatRecord { room, name, connection, client_id, seat, away, .. } = seat;
    let mut server = world.resource_mut::<GhostServer>();
    server.players = server.players.saturating_sub(1);
    server.away = server.away.saturating_sub(usize::from(away));
    if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
        stats.players = stats.players.saturating_sub(1);
    }
    if let Some(record) = world.resource_mut::<Index>().room_records.get_mut(&room) {
        record.players -= 1;
    }
    publish(
        world,
        PlayerLeft { room, room_name: name, player, connection, client_id, seat, reason },
    );
    Ended::mark(world, player);
    close_if_empty(world, room);
}

/// Tells the end of a room when the network thread has ended it and nobody is in it any more.
fn close_if_empty(world: &mut World, room: Entity) {
    let mut index = world.resource_mut::<Index>();
    let Some(record) = index.room_records.get_mut(&room) else { return };
    if record.players > 0 || record.closed.is_none() {
        return;
    }
    let Some(record) = index.room_records.remove(&room) else { return };
    if let Some(id) = record.id {
        index.rooms.remove(&id);
    }
    let RoomRecord { name, closed, opened, next, closing, .. } = record;
    if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
        stats.open = false;
    }
    if let Some(message) = closed.filter(|_| opened) {
        publish(world, RoomClosed { room, room_name: name, message });
    }
    if let Some(next) = next {
        observers::open_room(world, room, next);
    } else if closing.is_none() || world.get::<Room>(room).is_some() {
        Ended::mark(world, room);
    }
}

fn forget_name(world: &mut World, name: &RoomName, room: Entity) {
    let mut rooms = world.resource_mut::<Rooms>();
    if rooms.by_name.get(name) == Some(&room) {
        rooms.by_name.remove(name);
    }
}

fn player_joined(
    world: &mut World,
    room_id: RoomId,
    name: RoomName,
    seat: Seat,
    conn: ConnId,
    client_id: ClientId,
    data: Bytes,
) {
    let index = world.resource::<Index>();
    let Some(&room) = index.rooms.get(&room_id) else { return };
    let Some(&connection) = index.connections.get(&conn) else { return };
    let user = index.connection_records.get(&connection).and_then(|record| record.user.clone());
    // Whoever comes while room or connection are being closed is on the way out already.
    if !is_there(world, room) || !is_there(world, connection) {
        return;
    }
    let seat_of = (SeatOf(connection), NamedAs(connection));
    let player = world.spawn((InRoom(room), seat_of, Player { client_id, seat })).id();
    if let Some(user) = &user {
        world.entity_mut(player).insert(User(user.clone()));
    }
    let record = SeatRecord {
        room,
        name: name.clone(),
        connection,
        conn,
        client_id,
        seat,
        away: false,
        ended: None,
    };
    let mut index = world.resource_mut::<Index>();
    index.seats.insert((room_id, seat), player);
    index.seat_records.insert(player, record);
    if let Some(record) = index.room_records.get_mut(&room) {
        record.players += 1;
    }
    world.resource_mut::<GhostServer>().players += 1;
    if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
        stats.players += 1;
    }
    publish(
        world,
        PlayerJoined { room, room_name: name, player, connection, client_id, seat, user, data },
    );
}

/// Notes whether a player is away. `None` if it was so before, or our own systems have
/// put it out.
fn set_away(
    world: &mut World,
    room: RoomId,
    seat: Seat,
    away: bool,
) -> Option<(Entity, SeatRecord)> {
    let mut index = world.resource_mut::<Index>();
    let player = *index.seats.get(&(room, seat))?;
    let record = index.seat_records.get_mut(&player)?;
    if std::mem::replace(&mut record.away, away) == away {
        return None;
    }
    let record = record.clone();
    let mut server = world.resource_mut::<GhostServer>();
    server.away = if away { server.away + 1 } else { server.away.saturating_sub(1) };
    is_there(world, player).then_some((player, record))
}

fn change_metadata(
    world: &mut World,
    entity: Option<Entity>,
    key: String,
    value: Option<String>,
    version: u64,
) {
    let Some(entity) = entity.filter(|&entity| is_there(world, entity)) else { return };
    if let Some(known) = world.resource_mut::<Index>().known_metadata(entity) {
        known.confirm(&key, value.as_deref());
    }
    if let Some(mut metadata) = world.get_mut::<Metadata>(entity) {
        metadata.apply(key.clone(), value.clone());
    }
    publish(world, MetadataChanged { entity, key, value, version });
}

/// Metadata that was asked for is not to be had: the component is what clients know.
pub(super) fn metadata_refused(
    world: &mut World,
    of: MetadataOwner,
    key: String,
    value: Option<String>,
    reason: MetadataError,
) {
    let index = world.resource::<Index>();
    let entity = match of {
        MetadataOwner::Room(name) => world.resource::<Rooms>().get(name.as_str()),
        MetadataOwner::Client(conn) => index.connections.get(&conn).copied(),
    };
    let Some(entity) = entity.filter(|&entity| is_there(world, entity)) else { return };
    let mut index = world.resource_mut::<Index>();
    let Some(known) = index.known_metadata(entity) else { return };
    let confirmed = known.confirmed.get(&key).cloned();
    known.confirm(&key, confirmed.as_deref());
    if let Some(mut metadata) = world.get_mut::<Metadata>(entity) {
        metadata.apply(key.clone(), confirmed);
    }
    warn!("metadata {key:?} was not set: {reason}");
    publish(world, MetadataRefused { entity, key, value, reason });
}
