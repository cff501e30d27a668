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
    codec::{Buffer, Codec},
    parcels::{
        Arrival, ClientOrigin, ClientParcel, ClientReceiver, ServerOrigin, ServerParcel,
        ServerReceiver,
    },
};

/// What can be done with a type of which only the number is known.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) add_client: fn(&mut App),
    pub(super) add_server: fn(&mut App),
    pub(super) take_client: fn(&mut World, MessageType, &mut Buffer, &mut Vec<ClientParcel>),
    pub(super) take_server: fn(&mut World, MessageType, &mut Buffer, &mut Vec<ServerParcel>),
    pub(super) give_client: Give<ClientOrigin>,
    pub(super) give_server: Give<ServerOrigin>,
}

/// Decodes those of the arrivals that are of the type, and writes them.
pub(super) type Give<O> = fn(&mut World, &[Arrival<O>], &[usize], &mut Failures);

/// Which arrivals are not what their type says, and what is wrong with them.
pub(super) type Failures = Vec<(usize, ReadError)>;

impl Ends {
    pub(super) fn of<T: Codec>() -> Self {
        Self {
            add_client: add_client::<T>,
            add_server: add_server::<T>,
            take_client: take_client::<T>,
            take_server: take_server::<T>,
            give_client: give_client::<T>,
            give_server: give_server::<T>,
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
    buffer: &mut Buffer,
    out: &mut Vec<ClientParcel>,
) {
    let mut push = |room, to, message: &T| {
        if let Some((message_type, payload)) = encode(message, message_type, buffer) {
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
    buffer: &mut Buffer,
    out: &mut Vec<ServerParcel>,
) {
    let mut push = |to, message: &T| {
        if let Some((message_type, payload)) = encode(message, message_type, buffer) {
            out.push(ServerParcel { to, message_type, payload });
        }
    };
    drain(world, |it: ToRoom<T>| {
        push(ServerReceiver::Room(it.room, it.delivery, it.flags), &it.message)
    });
    drain(world, |it: ToPlayer<T>| push(ServerReceiver::Player(it.player), &it.message));
    drain(world, |it: ToConnection<T>| {
        push(ServerReceiver::Connection(it.connection), &it.message)
    });
    drain(world, |it: ToEveryone<T>| push(ServerReceiver::Everyone, &it.message));
}

fn give_client<T: Codec>(
    world: &mut World,
    arrivals: &[Arrival<ClientOrigin>],
    ts: &[usize],
    failed: &mut Failures,
) {
    let from_room = write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
        let ClientOrigin::Room { room, sender, seq, replay } = origin else { return None };
        Some(move |message| FromRoom { room, sender, seq, replay, message })
    });
    if from_room < ts.len() {
        write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
            let ClientOrigin::Server { room } = origin else { return None };
            Some(move |message| FromServer { room, message })
        });
    }
}

fn give_server<T: Codec>(
    world: &mut World,
    arrivals: &[Arrival<ServerOrigin>],
    ts: &[usize],
    failed: &mut Failures,
) {
    let from_players = write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
        let ServerOrigin::Player { player, room, connection, client_id, seq } = origin else {
            return None;
        };
        Some(move |message| FromPlayer { player, room, connection, client_id, seq, message })
    });
    if from_players < ts.len() {
        write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
            let ServerOrigin::Connection { connection, client_id } = origin else { return None };
            Some(move |message| FromConnection { connection, client_id, message })
        });
    }
}

/// Decodes what goes into one kind of envelope, and returns how many there were.
fn write<T: Codec, M: Message, F: FnOnce(T) -> M, O: Copy>(
    world: &mut World,
    arrivals: &[Arrival<O>],
    ts: &[usize],
    failed: &mut Failures,
    envelope: impl Fn(O) -> Option<F>,
) -> usize {
    let Some(mut messages) = world.get_resource_mut::<Messages<M>>() else { return 0 };
    let mut count = 0;
    messages.write_batch(ts.iter().filter_map(|&at| {
        let Arrival { origin, message_type, payload } = &arrivals[at];
        let envelope = envelope(*origin)?;
        count += 1;
        let message = T::decode(*message_type, payload);
        message.map_err(|error| failed.push((at, error))).ok().map(envelope)
    }));
    count
}

fn drain<M: Message>(world: &mut World, take: impl FnMut(M)) {
    if let Some(mut messages) = world.get_resource_mut::<Messages<M>>()
        && !messages.is_empty()
    {
        messages.drain().for_each(take);
    }
}

fn encode<T: Codec>(
    message: &T,
    message_type: MessageType,
    buffer: &mut Buffer,
) -> Option<(MessageType, Bytes)> {
    message
        .encode(message_type, buffer)
        .inspect_err(|error| error!("cannot encode a {}: {error}", type_name::<T>()))
        .ok()
}
