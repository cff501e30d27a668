//! What spawning, changing and despawning entities asks of the network thread.

use bevy::prelude::*;
use bevy_ghost_client::{Ended, typed::Stamp};
use ghost_sync_core::wire::RoomName;

use super::{
    index::{Index, KnownMetadata, RoomRecord},
    outbox::Outbox,
    thread::NetworkThread,
};
use crate::{
    CloseRoom, Connection, CreateRoomError, DisconnectClient, Kick, Metadata, Player, Room,
    RoomConfig, Rooms, SetMetadata,
    events::{RoomRefused, publish},
};

/// Notes that the network thread has, or will have, the room of that entity.
pub(super) fn record_room(world: &mut World, room: Entity, name: RoomName, config: RoomConfig) {
    world.resource_mut::<Rooms>().by_name.insert(name.clone(), room);
    let record = RoomRecord {
        name,
        id: None,
        opened: false,
        wanted: Stamp::now(),
        closing: None,
        next: None,
        closed: None,
        players: 0,
        config,
        meta: KnownMetadata::default(),
    };
    world.resource_mut::<Index>().room_records.insert(room, record);
}

/// A room entity is there, or the room has another name: open it.
pub(crate) fn on_room_inserted(inserted: On<Insert, Room>, mut commands: Commands) {
    let entity = inserted.entity;
    commands.queue(move |world: &mut World| {
        let Some(name) = world.get::<Room>(entity).map(|room| room.name().clone()) else { return };
        world.entity_mut(entity).insert_if_new(Name::new(name.as_str().to_owned()));
        let known = world.resource::<Rooms>().by_name.get(&name).copied();
        if known.is_some_and(|known| known != entity) {
            refuse_name(world, entity, name);
            return;
        }
        world.resource_mut::<Rooms>().by_name.insert(name.clone(), entity);
        // A server that is about to stop opens none; the next opens all that are there.
        let active = world.resource::<NetworkThread>().takes_rooms();
        match world.resource_mut::<Index>().room_records.get_mut(&entity) {
            Some(record) if record.name == name && record.closing.is_none() => {}
            Some(record) => {
                record.next = Some(name);
                let open = record.closing.is_none();
                if open {
                    close_room(world, entity);
                }
            }
            None if active => open_room(world, entity, name),
            None => {}
        }
    });
}

/// Another room has the name that the room of an entity was to have.
fn refuse_name(world: &mut World, room: Entity, name: RoomName) {
    let reason = CreateRoomError::RoomAlreadyExists(name.clone());
    warn!("room {name:?} was not opened: {reason}");
    publish(world, RoomRefused { room, room_name: name, reason });
    let record = world.resource::<Index>().room_records.get(&room);
    let former = record.filter(|record| record.closing.is_none()).map(|it| it.name.clone());
    match former {
        Some(former) => drop(world.entity_mut(room).insert(Room::from(former))),
        None => Ended::mark(world, room),
    }
}

/// Asks the network thread for the room of an entity, and tells it what newcomers may know.
pub(super) fn open_room(world: &mut World, entity: Entity, name: RoomName) {
    let config = world.get::<RoomConfig>(entity).cloned().unwrap_or_default();
    world.resource_mut::<Index>().pending.push_back((name.clone(), entity));
    world.resource_mut::<Outbox>().create_room(name.clone(), &config);
    // From now on something may be said there.
    record_room(world, entity, name, config);
    tell_metadata(world, entity);
}

/// The room of that entity is to end, which stays.
fn close_room(world: &mut World, entity: Entity) {
    let mut index = world.resource_mut::<Index>();
    let message = index.closing_message(entity, "the room was closed");
    let Some(record) = index.room_records.get_mut(&entity) else { return };
    record.closing = Some(Stamp::now());
    let name = record.name.clone();
    world.resource_mut::<Outbox>().close_room(name, message);
}

/// A room entity goes, or gets another name.
pub(crate) fn on_room_discarded(
    discarded: On<Discard, Room>,
    names: Query<&Room>,
    mut rooms: ResMut<Rooms>,
) {
    let entity = discarded.entity;
    if let Ok(room) = names.get(entity)
        && rooms.by_name.get(room.name()) == Some(&entity)
    {
        rooms.by_name.remove(room.name());
    }
}

/// A room entity goes, or is no room any more: close the room that it was.
pub(crate) fn on_room_removed(
    removed: On<Remove, Room>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    let message = index.closing_message(removed.entity, "the room was closed");
    let Some(record) = index.room_records.get_mut(&removed.entity) else { return };
    record.next = None;
    if record.closing.is_none() {
        record.closing = Some(Stamp::now());
        outbox.close_room(record.name.clone(), message);
    }
}

/// A connection entity goes while the connection is there: cut it.
pub(crate) fn on_connection_removed(
    removed: On<Remove, Connection>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    // What is only despawned may come back at once.
    let bars = index.closing_messages.contains_key(&removed.entity);
    let message = index.closing_message(removed.entity, "closed by the server");
    if let Some(record) = index.connection_records.get_mut(&removed.entity)
        && record.closing.is_none()
    {
        record.closing = Some(Stamp::now());
        outbox.disconnect(record.conn, message, bars);
    }
}

/// A player entity goes while the seat is taken: put the client out of the room,
/// unless the whole room or the whole connection goes.
pub(crate) fn on_player_removed(
    removed: On<Remove, Player>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    let bars = index.closing_messages.contains_key(&removed.entity);
    let message = index.closing_message(removed.entity, "removed by the server");
    let index = &mut *index;
    let Some(seat) = index.seat_records.get_mut(&removed.entity) else { return };
    seat.ended.get_or_insert_with(Stamp::now);
    let room = index.room_records.get(&seat.room);
    let room_closes = room.is_none_or(|room| room.closing.is_some());
    let connection = index.connection_records.get(&seat.connection);
    let connection_closes = connection.is_none_or(|connection| connection.closing.is_some());
    if !room_closes && !connection_closes {
        outbox.kick(seat.conn, seat.name.clone(), message, bars);
    }
}

/// Tells the network thread which rooms have new rules.
pub(crate) fn configure_rooms(
    changed: Query<(Entity, &RoomConfig), (Changed<RoomConfig>, With<Room>)>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    for (room, config) in &changed {
        if let Some(record) = index.room_records.get_mut(&room)
            && record.closing.is_none()
            && record.config != *config
        {
            record.config = config.clone();
            outbox.configure_room(record.name.clone(), config);
        }
    }
}

/// Tells the network thread the rules of a room once more.
pub(super) fn configure_again(world: &mut World, name: &RoomName) {
    let Some(room) = world.resource::<Rooms>().get(name.as_str()) else { return };
    if let Some(record) = world.resource::<Index>().room_records.get(&room) {
        let config = record.config.clone();
        world.resource_mut::<Outbox>().configure_room(name.clone(), &config);
    }
}

pub(crate) fn on_kick(kick: On<Kick>, mut index: ResMut<Index>, mut commands: Commands) {
    index.closing_messages.insert(kick.player, kick.message.clone());
    end(&mut commands, kick.player);
}

pub(crate) fn on_disconnect_client(
    close: On<DisconnectClient>,
    mut index: ResMut<Index>,
    mut commands: Commands,
) {
    index.closing_messages.insert(close.connection, close.message.clone());
    end(&mut commands, close.connection);
}

pub(crate) fn on_close_room(
    close: On<CloseRoom>,
    mut index: ResMut<Index>,
    mut commands: Commands,
) {
    index.closing_messages.insert(close.room, close.message.clone());
    end(&mut commands, close.room);
}

pub(crate) fn on_set_metadata(set: On<SetMetadata>, mut commands: Commands) {
    let SetMetadata { entity, key, value } = set.clone();
    commands.queue(move |world: &mut World| {
        let index = world.resource::<Index>();
        let room = index.room_records.get(&entity).filter(|room| room.closing.is_none());
        if let Some(room) = room {
            let name = room.name.clone();
            world.resource_mut::<Outbox>().set_room_metadata(name, key, value);
        } else if let Some(connection) = index.connection_records.get(&entity) {
            let conn = connection.conn;
            world.resource_mut::<Outbox>().set_client_metadata(conn, key, value);
        } else if let Some(mut metadata) = world.get_mut::<Metadata>(entity) {
            // Nobody has been told of it yet: it is told as it will be then.
            metadata.apply(key, value);
        }
    });
}

/// Tells the network thread what systems have changed in the metadata of rooms and
/// connections.
pub(crate) fn tell_metadata_changes(
    changed: Query<(Entity, &Metadata), Changed<Metadata>>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    for (entity, metadata) in &changed {
        tell(entity, metadata, &mut index, &mut outbox);
    }
}

fn tell_metadata(world: &mut World, entity: Entity) {
    let Some(metadata) = world.get::<Metadata>(entity).cloned() else { return };
    world.resource_scope(|world, mut index: Mut<Index>| {
        tell(entity, &metadata, &mut index, &mut world.resource_mut::<Outbox>());
    });
}

fn tell(entity: Entity, metadata: &Metadata, index: &mut Index, outbox: &mut Outbox) {
    if let Some(room) = index.room_records.get_mut(&entity) {
        if room.closing.is_some() {
            // The room that the entity is next is told all of it.
            return;
        }
        for (key, value) in room.meta.ask(metadata) {
            outbox.set_room_metadata(room.name.clone(), key, value);
        }
    } else if let Some(connection) = index.connection_records.get_mut(&entity) {
        for (key, value) in connection.meta.ask(metadata) {
            outbox.set_client_metadata(connection.conn, key, value);
        }
    }
}

/// Despawns, and forgets the closing message if there was nobody to hear them.
fn end(commands: &mut Commands, entity: Entity) {
    commands.entity(entity).try_despawn();
    commands.queue(move |world: &mut World| {
        world.resource_mut::<Index>().closing_messages.remove(&entity);
    });
}
