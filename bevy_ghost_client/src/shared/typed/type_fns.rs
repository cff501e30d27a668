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
    codec::{Buffer, Codec},
    envelopes::{
        Broadcast, FromConnection, FromPlayer, FromRoom, FromServer, ToConnection, ToEveryone,
        ToPlayer, ToRoom, ToServer,
    },
    order::Stamp,
    payload::{
        Arrival, ClientOrigin, ClientPayload, ClientRecipient, ServerOrigin, ServerPayload,
        ServerRecipient, Unencodable,
    },
};
use crate::shared::kept;

/// What can be done with a type of which only the number is known.
#[derive(Clone, Copy)]
pub(super) struct TypeFns {
    pub(super) add_client: fn(&mut App),
    pub(super) add_server: fn(&mut App),
    pub(super) take_client: fn(&mut World, MessageType, &mut Buffer, &mut Vec<ClientPayload>),
    pub(super) take_server: fn(&mut World, MessageType, &mut Buffer, &mut Vec<ServerPayload>),
    pub(super) give_client: Give<ClientOrigin>,
    pub(super) give_server: Give<ServerOrigin>,
}

/// Decodes those of the arrivals that are of the type, and writes them.
pub(super) type Give<O> = fn(&mut World, &Arrivals<'_, O>, &[usize], &mut Failures);

/// Arrivals, and the number of the first: the next has the next.
pub(super) struct Arrivals<'a, O> {
    pub(super) first: u64,
    pub(super) all: &'a [Arrival<O>],
}

/// Which arrivals are not what their type says, and what is wrong with them.
pub(super) type Failures = Vec<(usize, ReadError)>;

impl TypeFns {
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
    app.add_message::<Broadcast<T>>().add_message::<ToServer<T>>();
    kept::add_message::<FromRoom<T>>(app);
    kept::add_message::<FromServer<T>>(app);
}

fn add_server<T: Codec>(app: &mut App) {
    app.add_message::<ToRoom<T>>()
        .add_message::<ToPlayer<T>>()
        .add_message::<ToConnection<T>>()
        .add_message::<ToEveryone<T>>();
    kept::add_message::<FromPlayer<T>>(app);
    kept::add_message::<FromConnection<T>>(app);
}

fn take_client<T: Codec>(
    world: &mut World,
    message_type: MessageType,
    buffer: &mut Buffer,
    out: &mut Vec<ClientPayload>,
) {
    let mut push = |stamp, room, to, message: &T| {
        let (message_type, bytes) = encode(message, message_type, buffer);
        out.push(ClientPayload { stamp, room, to, message_type, bytes });
    };
    drain(world, |it: Broadcast<T>, last| {
        let to = ClientRecipient::Room { delivery: it.delivery, flags: it.flags };
        push(it.stamp.ascend(last), it.room, to, &it.message);
    });
    drain(world, |it: ToServer<T>, last| {
        push(it.stamp.ascend(last), it.room, ClientRecipient::Server, &it.message);
    });
}

fn take_server<T: Codec>(
    world: &mut World,
    message_type: MessageType,
    buffer: &mut Buffer,
    out: &mut Vec<ServerPayload>,
) {
    let mut push = |stamp, to, message: &T| {
        let (message_type, bytes) = encode(message, message_type, buffer);
        out.push(ServerPayload { stamp, to, message_type, bytes });
    };
    drain(world, |it: ToRoom<T>, last| {
        let ToRoom { room, delivery, flags, except, .. } = it;
        let to = ServerRecipient::Room { room, delivery, flags, except };
        push(it.stamp.ascend(last), to, &it.message);
    });
    drain(world, |it: ToPlayer<T>, last| {
        let ToPlayer { player, delivery, .. } = it;
        let to = ServerRecipient::Player { player, delivery };
        push(it.stamp.ascend(last), to, &it.message);
    });
    drain(world, |it: ToConnection<T>, last| {
        let ToConnection { connection, delivery, .. } = it;
        let to = ServerRecipient::Connection { connection, delivery };
        push(it.stamp.ascend(last), to, &it.message);
    });
    drain(world, |it: ToEveryone<T>, last| {
        push(it.stamp.ascend(last), ServerRecipient::Everyone, &it.message);
    });
}

fn give_client<T: Codec>(
    world: &mut World,
    arrivals: &Arrivals<'_, ClientOrigin>,
    ts: &[usize],
    failed: &mut Failures,
) {
    let from_room = write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
        let ClientOrigin::Room { room, sender, seq, replay } = origin else { return None };
        Some(move |arrival, message| FromRoom { room, sender, seq, replay, arrival, message })
    });
    if from_room < ts.len() {
        write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
            let ClientOrigin::Server { room, missed } = origin else { return None };
            Some(move |arrival, message| FromServer { room, missed, arrival, message })
        });
    }
}

fn give_server<T: Codec>(
    world: &mut World,
    arrivals: &Arrivals<'_, ServerOrigin>,
    ts: &[usize],
    failed: &mut Failures,
) {
    let from_players = write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
        let ServerOrigin::Player { player, room, connection, client_id, seq } = origin else {
            return None;
        };
        Some(move |_, message| FromPlayer { player, room, connection, client_id, seq, message })
    });
    if from_players < ts.len() {
        write::<T, _, _, _>(world, arrivals, ts, failed, |origin| {
            let ServerOrigin::Connection { connection, client_id } = origin else { return None };
            Some(move |_, message| FromConnection { connection, client_id, message })
        });
    }
}

/// Decodes what goes into one kind of envelope, and returns how many there were.
fn write<T: Codec, M: Message, F: FnOnce(u64, T) -> M, O: Copy>(
    world: &mut World,
    arrivals: &Arrivals<'_, O>,
    ts: &[usize],
    failed: &mut Failures,
    envelope: impl Fn(O) -> Option<F>,
) -> usize {
    let Some(mut messages) = world.get_resource_mut::<Messages<M>>() else { return 0 };
    let mut count = 0;
    messages.write_batch(ts.iter().filter_map(|&at| {
        let Arrival { origin, message_type, payload } = &arrivals.all[at];
        let envelope = envelope(*origin)?;
        count += 1;
        let message = T::decode(*message_type, payload);
        let message = message.map_err(|error| failed.push((at, error))).ok()?;
        Some(envelope(arrivals.first + at as u64, message))
    }));
    count
}

/// Takes all messages of a type, in the order in which they were written.
fn drain<M: Message>(world: &mut World, mut take: impl FnMut(M, &mut Stamp)) {
    if let Some(mut messages) = world.get_resource_mut::<Messages<M>>()
        && !messages.is_empty()
    {
        let mut last = Stamp::FIRST;
        messages.drain().for_each(|message| take(message, &mut last));
    }
}

fn encode<T: Codec>(
    message: &T,
    registered: MessageType,
    buffer: &mut Buffer,
) -> (MessageType, Result<Bytes, Unencodable>) {
    match message.encode(registered, buffer) {
        Ok((message_type, payload)) => (message_type, Ok(payload)),
        Err(error) => {
            error!("cannot encode a {}: {error}", type_name::<T>());
            (registered, Err(Unencodable))
        }
    }
}
