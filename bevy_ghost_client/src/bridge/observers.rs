//! Makes commands of what the game asks for.

use bevy::prelude::*;
use ghost_sync_core::{
    Request,
    embed::ClientCommand,
    wire::{Refusal, RoomName},
};

use super::{connection, outbox::Outbox, unanswered::refuse};
use crate::{
    GhostClient, JoinedRoom, JoinedRooms, Members,
    events::{JoinRefused, publish},
    requests::{Authenticate, Connect, Disconnect, Join, Leave, ListRooms, Ping, SetMetadata},
    typed::Stamp,
};

pub(crate) fn on_connect(connect: On<Connect>, mut commands: Commands) {
    let (connect, when) = (connect.clone(), Stamp::now());
    commands.queue(move |world: &mut World| connection::connect(world, connect, &when));
}

pub(crate) fn on_authenticate(show: On<Authenticate>, mut outbox: ResMut<Outbox>) {
    outbox.push(Request::Authenticate { token: show.token.clone() });
}

pub(crate) fn on_disconnect(_: On<Disconnect>, mut outbox: ResMut<Outbox>) {
    outbox.push(ClientCommand::Disconnect);
}

pub(crate) fn on_join(join: On<Join>, mut outbox: ResMut<Outbox>, mut commands: Commands) {
    let Join { room, options, if_nowhere } = join.clone();
    match RoomName::new(&room) {
        Ok(room) => outbox.push(Request::Join { room, options, if_nowhere }),
        Err(error) => {
            let why = error.to_string();
            let reason = Refusal::InvalidRoomName { room: room.clone(), why };
            let refused = JoinRefused { room_name: room, reason };
            commands.queue(|world: &mut World| publish(world, refused));
        }
    }
}

pub(crate) fn on_leave(
    leave: On<Leave>,
    rooms: ResMut<JoinedRooms>,
    outbox: ResMut<Outbox>,
    mut commands: Commands,
) {
    give_up(leave.room, rooms, outbox);
    commands.entity(leave.room).try_despawn();
}

/// A room entity is no room any more while its seat is there: the seat is given up.
pub(crate) fn on_room_removed(
    removed: On<Remove, JoinedRoom>,
    members: Query<&Members>,
    rooms: ResMut<JoinedRooms>,
    outbox: ResMut<Outbox>,
    mut commands: Commands,
) {
    give_up(removed.entity, rooms, outbox);
    // They go with the room's entity; but that may stay, without its components.
    for member in members.get(removed.entity).into_iter().flat_map(|members| members.iter()) {
        commands.entity(member).try_despawn();
    }
}

fn give_up(room: Entity, mut rooms: ResMut<JoinedRooms>, mut outbox: ResMut<Outbox>) {
    let Some(at) = rooms.rooms.iter().position(|&(_, known)| known == room) else { return };
    outbox.left.push((Stamp::now(), rooms.current()));
    let (name, room) = rooms.rooms.remove(at);
    outbox.push(Request::Leave { room: name.clone() });
    rooms.leaving.push((name, room));
}

pub(crate) fn on_ping(
    _: On<Ping>,
    mut outbox: ResMut<Outbox>,
    client: Res<GhostClient>,
    mut commands: Commands,
) {
    if client.away {
        // Nothing could be measured.
        commands.queue(|world: &mut World| refuse(world, &Request::Ping));
    } else {
        outbox.push(Request::Ping);
    }
}

pub(crate) fn on_list_rooms(_: On<ListRooms>, mut outbox: ResMut<Outbox>) {
    outbox.push(Request::ListRooms);
}

pub(crate) fn on_set_metadata(set: On<SetMetadata>, mut outbox: ResMut<Outbox>) {
    outbox.push(Request::SetMetadata { key: set.key.clone(), value: set.value.clone() });
}
