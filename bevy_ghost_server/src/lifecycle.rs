//! What spawning, changing and despawning entities asks of the network thread.

use bevy::prelude::*;
use bevy_ghost_client::Ended;
use ghost_sync_core::wire::RoomName;

use crate::{
    CloseConnection, CloseRoom, Connection, Kick, Player, Room, RoomConfig, Rooms, SetMetadata,
    bridge::Outbox,
    events::{RoomRefused, publish},
    index::{Index, RoomRecord},
};

/// Notes that the network thread has, or will have, the room of that entity.
pub(crate) fn know_room(world: &mut World, room: Entity, name: RoomName, config: RoomConfig) {
    world.resource_mut::<Rooms>().by_name.insert(name.clone(), room);
    let record = RoomRecord {
        name,
        id: None,
        opened: false,
        closing: false,
        closed: None,
        players: 0,
        config,
    };
    world.resource_mut::<Index>().room_records.insert(room, record);
}

/// A room entity is there: open it.
pub(crate) fn on_room_inserted(inserted: On<Insert, Room>, mut commands: Commands) {
    let entity = inserted.entity;
    commands.queue(move |world: &mut World| {
        let Ok(room) = world.get_entity(entity) else { return };
        let (Some(name), config) = (room.get::<Room>(), room.get::<RoomConfig>()) else { return };
        let (name, config) = (name.name().clone(), config.cloned().unwrap_or_default());
        world.entity_mut(entity).insert_if_new(Name::new(name.as_str().to_owned()));
        let known = world.resource::<Rooms>().by_name.get(&name).copied();
        if known.is_some_and(|known| known != entity) {
            let reason = "there is a room of that name".to_owned();
            warn!("room {name:?} was not opened: {reason}");
            publish(world, RoomRefused { room: entity, room_name: name, reason });
            Ended::mark(world, entity);
        } else if !world.resource::<Index>().room_records.contains_key(&entity) {
            world.resource_mut::<Rooms>().by_name.insert(name.clone(), entity);
            if world.resource::<Outbox>().is_active() {
                open_room(world, entity, name, config);
            }
        }
    });
}

/// Asks the network thread for the room of an entity.
pub(crate) fn open_room(world: &mut World, entity: Entity, name: RoomName, config: RoomConfig) {
    world.resource_mut::<Outbox>().create_room(name.clone(), &config);
    world.resource_mut::<Index>().pending.push_back((name.clone(), entity));
    know_room(world, entity, name, config);
}

/// A room entity goes, or gets another name: close the room that it was.
pub(crate) fn on_room_discarded(
    discarded: On<Discard, Room>,
    names: Query<&Room>,
    mut rooms: ResMut<Rooms>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    let entity = discarded.entity;
    let Ok(room) = names.get(entity) else { return };
    if rooms.by_name.get(room.name()) == Some(&entity) {
        rooms.by_name.remove(room.name());
    }
    let message = index.words(entity, "the room was closed");
    if let Some(record) = index.room_records.get_mut(&entity)
        && !record.closing
    {
        record.closing = true;
        outbox.close_room(record.name.clone(), message);
    }
}

/// A connection entity goes while the connection is there: cut it.
pub(crate) fn on_connection_removed(
    removed: On<Remove, Connection>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    let message = index.words(removed.entity, "closed by the server");
    if let Some(record) = index.connection_records.get_mut(&removed.entity)
        && !record.closing
    {
        record.closing = true;
        outbox.kick(record.conn, message);
    }
}

/// A player entity goes while the seat is taken: put the client out of the room,
/// unless the whole room or the whole connection goes.
pub(crate) fn on_player_removed(
    removed: On<Remove, Player>,
    mut index: ResMut<Index>,
    mut outbox: ResMut<Outbox>,
) {
    let message = index.words(removed.entity, "removed by the server");
    let Some(seat) = index.seat_records.get(&removed.entity) else { return };
    let room_closes = index.room_records.get(&seat.room).is_none_or(|room| room.closing);
    let connection_closes =
        index.connection_records.get(&seat.connection).is_none_or(|it| it.closing);
    if !room_closes && !connection_closes {
        outbox.remove(seat.conn, seat.name.clone(), message);
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
            && record.config != *config
        {
            record.config = config.clone();
            outbox.configure_room(record.name.clone(), config);
        }
    }
}

/// Tells the network thread the rules of a room once more.
pub(crate) fn configure_again(world: &mut World, name: &RoomName) {
    let Some(room) = world.resource::<Rooms>().get(name.as_str()) else { return };
    if let Some(record) = world.resource::<Index>().room_records.get(&room) {
        let config = record.config.clone();
        world.resource_mut::<Outbox>().configure_room(name.clone(), &config);
    }
}

pub(crate) fn on_kick(kick: On<Kick>, mut index: ResMut<Index>, mut commands: Commands) {
    index.last_words.insert(kick.player, kick.message.clone());
    end(&mut commands, kick.player);
}

pub(crate) fn on_close_connection(
    close: On<CloseConnection>,
    mut index: ResMut<Index>,
    mut commands: Commands,
) {
    index.last_words.insert(close.connection, close.message.clone());
    end(&mut commands, close.connection);
}

pub(crate) fn on_close_room(
    close: On<CloseRoom>,
    mut index: ResMut<Index>,
    mut commands: Commands,
) {
    index.last_words.insert(close.room, close.message.clone());
    end(&mut commands, close.room);
}

pub(crate) fn on_set_metadata(set: On<SetMetadata>, index: Res<Index>, mut outbox: ResMut<Outbox>) {
    if let Some(room) = index.room_records.get(&set.entity) {
        outbox.set_room_meta(room.name.clone(), set.key.clone(), set.value.clone());
    } else if let Some(connection) = index.connection_records.get(&set.entity) {
        outbox.set_client_meta(connection.conn, set.key.clone(), set.value.clone());
    }
}

/// Despawns, and forgets the last words if there was nobody to hear them.
fn end(commands: &mut Commands, entity: Entity) {
    commands.entity(entity).try_despawn();
    commands.queue(move |world: &mut World| {
        world.resource_mut::<Index>().last_words.remove(&entity);
    });
}
