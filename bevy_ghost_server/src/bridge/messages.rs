//! Makes commands of the typed messages that systems have written, and tells which of them are
//! not sent.

use bevy::prelude::*;
use bevy_ghost_client::{
    Delivery, MessageType, SendFlags, Traffic,
    typed::{MessageRegistry, ServerPayload, ServerRecipient, Side, Stamp},
};
use bytes::Bytes;
use ghost_sync_core::{
    embed::{Audience, ServerCommand},
    relay::ServerSendError,
};

use super::{index::Index, thread::NetworkThread};
use crate::{
    GhostServer, RoomStats, Rooms,
    events::{Unsent, UnsentReason, publish},
};

/// Makes commands of payloads, counts them, and tells which are for nobody.
pub(super) fn to_commands(
    world: &mut World,
    payloads: &mut Vec<ServerPayload>,
    commands: &mut Vec<(Stamp, ServerCommand)>,
) {
    let (mut sent, mut unsent) = (Traffic::default(), Vec::new());
    let mut rooms: Vec<(Entity, Traffic)> = Vec::new();
    world.resource_scope(|world, mut registry: Mut<MessageRegistry>| {
        let (index, thread) = (world.resource::<Index>(), world.resource::<NetworkThread>());
        for payload in payloads.drain(..) {
            let ServerPayload { stamp, to, message_type, bytes } = payload;
            let payload = bytes.as_ref().ok().cloned();
            let command = bytes.map_err(|_| UnsentReason::Unencodable).and_then(|payload| {
                if !registry.may_say(message_type, Side::Server) {
                    return Err(UnsentReason::SaidByClients);
                }
                thread.check(&stamp, &payload)?;
                command(index, &stamp, &to, message_type, payload).ok_or(UnsentReason::Gone)
            });
            match (command, payload) {
                (Ok((when, command)), Some(payload)) => {
                    commands.push((when.unwrap_or(stamp), command));
                    sent.count(&payload);
                    if let ServerRecipient::Room { room, .. } = to {
                        if rooms.last().is_none_or(|&(last, _)| last != room) {
                            rooms.push((room, Traffic::default()));
                        }
                        if let Some((_, sent)) = rooms.last_mut() {
                            sent.count(&payload);
                        }
                    }
                }
                (Ok(_), None) => {}
                (Err(reason), payload) => {
                    let payload = payload.unwrap_or_default();
                    unsent.push(Unsent { to, message_type, payload, reason });
                }
            }
        }
    });
    for (room, sent) in rooms {
        if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
            stats.sent += sent;
        }
    }
    let mut server = world.resource_mut::<GhostServer>();
    server.sent += sent;
    server.undelivered += unsent.len() as u64;
    for unsent in unsent {
        publish(world, unsent);
    }
}

/// What to ask for, so that it is said; when, if not at the moment in which it was said.
/// `None` when nobody is there to hear it.
fn command(
    index: &Index,
    stamp: &Stamp,
    to: &ServerRecipient,
    message_type: MessageType,
    payload: Bytes,
) -> Option<(Option<Stamp>, ServerCommand)> {
    let in_time = |end: &Option<Stamp>| end.as_ref().is_none_or(|end| stamp < end);
    let (conn, room, delivery) = match to {
        ServerRecipient::Room { room, delivery, flags, except } => {
            let record = index.room_records.get(room).filter(|room| in_time(&room.closing))?;
            let when = (*stamp < record.wanted).then(|| record.wanted.same());
            let (room, delivery) = (record.name.clone(), *delivery);
            let seat = |player| index.seat_records.get(player);
            let here = except.iter().filter_map(seat).filter(|seat| seat.name == record.name);
            let except = here.map(|seat| seat.conn).collect();
            let command = match delivery {
                Delivery::Latest(key) if flags.contains(SendFlags::FORGET) => {
                    ServerCommand::BroadcastLast { room, key, except, message_type, payload }
                }
                Delivery::Latest(_) | Delivery::Reliable | Delivery::Volatile => {
                    ServerCommand::Broadcast { room, delivery, except, message_type, payload }
                }
            };
            return Some((when, command));
        }
        ServerRecipient::Everyone => {
            return Some((None, ServerCommand::BroadcastAll { message_type, payload }));
        }
        ServerRecipient::Player { player, delivery } => {
            let seat = index.seat_records.get(player).filter(|seat| in_time(&seat.ended))?;
            (seat.conn, Some(seat.name.clone()), *delivery)
        }
        ServerRecipient::Connection { connection, delivery } => {
            let record = index.connection_records.get(connection)?;
            (in_time(&record.closing).then_some(record.conn)?, None, *delivery)
        }
    };
    let conns = vec![conn];
    Some((None, ServerCommand::Direct { conns, room, delivery, message_type, payload }))
}

/// The relay could not say something.
pub(super) fn unsent(
    world: &mut World,
    to: Audience,
    message_type: MessageType,
    payload: Bytes,
    error: ServerSendError,
) {
    let (index, delivery) = (world.resource::<Index>(), Delivery::Reliable);
    let to = match to {
        Audience::Room(name) => world.resource::<Rooms>().get(name.as_str()).map(|room| {
            let (flags, except) = (SendFlags::NONE, Vec::new());
            ServerRecipient::Room { room, delivery, flags, except }
        }),
        Audience::Clients { conns, .. } => {
            let connection = conns.first().and_then(|conn| index.connections.get(conn)).copied();
            connection.map(|connection| ServerRecipient::Connection { connection, delivery })
        }
        Audience::Everybody => Some(ServerRecipient::Everyone),
    };
    world.resource_mut::<GhostServer>().undelivered += 1;
    let Some(to) = to else { return debug!("not sent, to somebody who is gone: {error}") };
    let reason = match error {
        ServerSendError::RoomNotFound(_) | ServerSendError::ClientNotFound(_) => UnsentReason::Gone,
        ServerSendError::PayloadTooLarge { len, max } => UnsentReason::TooLarge { len, max },
        ServerSendError::SaidByClients { .. } => UnsentReason::SaidByClients,
        ServerSendError::TooManyLeftOut { max } => UnsentReason::TooManyLeftOut { max },
        other => return warn!("not sent: {other}"),
    };
    publish(world, Unsent { to, message_type, payload, reason });
}
