//! How one type gets in and out of a world.

use std::any::type_name;

use bevy::{
    app::App,
    ecs::{
        message::{Message, Messages},
        world::World,
    },
    log::error,
};
use bytes::Bytes;
use ghost_sync_core::wire::MessageType;
use wincode::ReadError;

use super::{
    Broadcast, FromConnection, FromPlayer, FromRoom, FromServer, ToConnection, ToEveryone,
    ToPlayer, ToRoom, ToServer,
    codec::Codec,
    parcels::{ClientParcel, ClientReceiver, Origin, ServerParcel, ServerReceiver},
};

/// What can be done with a type of which only the number is known.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) add_client: fn(&mut App),
    pub(super) add_server: fn(&mut App),
    pub(super) take_client: fn(&mut World, MessageType, &mut Vec<ClientParcel>),
    pub(super) take_server: fn(&mut World, MessageType, &mut Vec<ServerParcel>),
    pub(super) give: fn(&mut World, Origin, MessageType, &Bytes) -> Result<(), ReadError>,
}

impl Ends {
    pub(super) fn of<T: Codec>() -> Self {
        Self {
            add_client: add_client::<T>,
            add_server: add_server::<T>,
            take_client: take_client::<T>,
            take_server: take_server::<T>,
            give: give::<T>,
        }
    }
}

fn add_client<T: Codec>(app: &mut App) {
    app.add_message::<Broadcast<T>>()
        .add_message::<ToServer<T>>()
        .add_message::<FromRoom<T>>()
        .add_message::<FromServer<T>>();
}

fn add_server<T: Codec>(app: &mut App) {
    app.add_message::<ToRoom<T>>()
        .add_message::<ToPlayer<T>>()
        .add_message::<ToConnection<T>>()
        .add_message::<ToEveryone<T>>()
        .add_message::<FromPlayer<T>>()
        .add_message::<FromConnection<T>>();
}

fn take_client<T: Codec>(
    world: &mut World,
    message_type: MessageType,
    out: &mut Vec<ClientParcel>,
) {
    let mut push = |room, to, message: &T| {
        if let Some((message_type, payload)) = encode(message, message_type) {
            out.push(ClientParcel { room, to, message_type, payload });
        }
    };
    drain(world, |it: Broadcast<T>| {
        push(it.room, ClientReceiver::Room { delivery: it.delivery, flags: it.flags }, &it.message);
    });
    drain(world, |it: ToServer<T>| push(it.room, ClientReceiver::Server, &it.message));
}

fn take_server<T: Codec>(
    world: &mut World,
    message_type: MessageType,
    out: &mut Vec<ServerParcel>,
) {
    let mut push = |to, message: &T| {
        if let Some((message_type, payload)) = encode(message, message_type) {
            out.push(ServerParcel { to, message_type, payload });
        }
    };
    drain(world, |it: ToRoom<T>| push(ServerReceiver::Room(it.room, it.delivery), &it.message));
    drain(world, |it: ToPlayer<T>| push(ServerReceiver::Player(it.player), &it.message));
    drain(world, |it: ToConnection<T>| {
        push(ServerReceiver::Connection(it.connection), &it.message)
    });
    drain(world, |it: ToEveryone<T>| push(ServerReceiver::Everyone, &it.message));
}

fn give<T: Codec>(
    world: &mut World,
    origin: Origin,
    message_type: MessageType,
    payload: &Bytes,
) -> Result<(), ReadError> {
    let message = T::decode(message_type, payload)?;
    match origin {
        Origin::Room { room, player, sender_id, seq, replay } => {
            world.write_message(FromRoom { room, player, sender_id, seq, replay, message });
        }
        Origin::Server { room } => {
            world.write_message(FromServer { room, message });
        }
        Origin::Player { player, room, connection, client_id, seq } => {
            world.write_message(FromPlayer { player, room, connection, client_id, seq, message });
        }
        Origin::Connection { connection, client_id } => {
            world.write_message(FromConnection { connection, client_id, message });
        }
    }
    Ok(())
}

fn drain<M: Message>(world: &mut World, take: impl FnMut(M)) {
    if let Some(mut messages) = world.get_resource_mut::<Messages<M>>()
        && !messages.is_empty()
    {
        messages.drain().for_each(take);
    }
}

fn encode<T: Codec>(message: &T, message_type: MessageType) -> Option<(MessageType, Bytes)> {
    message
        .encode(message_type)
        .inspect_err(|error| error!("cannot encode a {}: {error}", type_name::<T>()))
        .ok()
}
