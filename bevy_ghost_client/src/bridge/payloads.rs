//! Makes typed messages of the payloads that came: all at once that came without anything else
//! between them.

use std::vec::Drain;

use bevy::prelude::*;
use ghost_sync_core::{
    self as core, ServerEvent,
    embed::ClientUpdate,
    wire::{ClientId, RoomName, Seat},
};

use crate::{
    GhostClient, GhostClientEvent, JoinedRooms, Traffic,
    entities::{Member, SeatIndex},
    events::{PayloadReceived, Undecodable, publish},
    typed::{Arrival, ClientOrigin, MessageRegistry, Sender, Side, Unreadable},
};

/// Takes the payloads that are first among the updates; `arrivals` is memory for them.
pub(super) fn receive(
    world: &mut World,
    updates: &mut Drain<'_, ClientUpdate>,
    arrivals: &mut Vec<Arrival<ClientOrigin>>,
) {
    let mut received = Traffic::default();
    let (mut last, mut misdirected) = (None, Vec::new());
    while updates.as_slice().first().is_some_and(is_payload)
        && let Some(update) = updates.next()
    {
        if let Some(arrival) = arrival(world, update, &mut last) {
            let side = side(&arrival.origin);
            if !world.resource::<MessageRegistry>().allows(arrival.message_type, side) {
                misdirected.push(arrival.message_type);
                continue;
            }
            received.count(&arrival.payload);
            arrivals.push(arrival);
        }
    }
    for message_type in misdirected {
        world.resource_mut::<MessageRegistry>().count_misdirected(message_type);
    }
    if arrivals.is_empty() {
        return;
    }
    world.resource_mut::<GhostClient>().received += received;
    let unreadable = MessageRegistry::give_client(world, arrivals);
    let unreadable: Vec<_> = unreadable.into_iter().map(|it| undecodable(it, arrivals)).collect();
    world.write_message_batch(arrivals.drain(..).map(payload_received));
    for undecodable in unreadable {
        publish(world, undecodable);
    }
}

fn is_payload(update: &ClientUpdate) -> bool {
    let ClientUpdate::Event(event) = update else { return false };
    matches!(event, ServerEvent::Broadcast { .. } | ServerEvent::Direct { .. })
}

/// The room that the last message was about: most often it is that of the next, too.
struct LastRoom<'w> {
    name: RoomName,
    room: Entity,
    seats: Option<&'w SeatIndex>,
}

/// `None` for what was said in a room that this client is not in any more.
fn arrival<'w>(
    world: &'w World,
    update: ClientUpdate,
    last: &mut Option<LastRoom<'w>>,
) -> Option<Arrival<ClientOrigin>> {
    let ClientUpdate::Event(event) = update else { return None };
    if let ServerEvent::Broadcast { sender, room, seq, replay, message_type, data, .. } = event {
        let found = find_room(world, room, last)?;
        let sender = match sender {
            core::Sender::Server => Sender::Server,
            core::Sender::Player { seat, client_id } => {
                let player = found.seats.zip(client_id);
                let player = player.and_then(|(seats, id)| find_speaker(world, seats, seat, id));
                Sender::Player { player, client_id }
            }
        };
        let origin = ClientOrigin::Room { room: found.room, sender, seq, replay };
        Some(Arrival { origin, message_type, payload: data })
    } else if let ServerEvent::Direct { room, missed, message_type, data } = event {
        let room = room.and_then(|room| Some(find_room(world, room, last)?.room));
        let origin = ClientOrigin::Server { room, missed: missed.unwrap_or_default() };
        Some(Arrival { origin, message_type, payload: data })
    } else {
        None
    }
}

fn find_room<'a, 'w>(
    world: &'w World,
    name: RoomName,
    last: &'a mut Option<LastRoom<'w>>,
) -> Option<&'a LastRoom<'w>> {
    if last.as_ref().is_none_or(|last| last.name != name) {
        let room = world.resource::<JoinedRooms>().get(name.as_str())?;
        *last = Some(LastRoom { name, room, seats: world.get(room) });
    }
    last.as_ref()
}

/// The entity of a member, unless the game has despawned it. In history, a seat may have
/// been somebody else's.
fn find_speaker(
    world: &World,
    seats: &SeatIndex,
    seat: Seat,
    sender_id: ClientId,
) -> Option<Entity> {
    let member = *seats.0.get(&seat)?;
    (world.get::<Member>(member)?.client_id == sender_id).then_some(member)
}

fn payload_received(arrival: Arrival<ClientOrigin>) -> GhostClientEvent {
    let Arrival { origin, message_type, payload } = arrival;
    let (room, sender) = room_and_sender(origin);
    let (seq, replay) = match origin {
        ClientOrigin::Room { seq, replay, .. } => (Some(seq), replay),
        ClientOrigin::Server { .. } => (None, false),
    };
    GhostClientEvent::PayloadReceived(PayloadReceived {
        room,
        sender,
        seq,
        replay,
        message_type,
        payload,
    })
}

fn undecodable(unreadable: Unreadable, arrivals: &[Arrival<ClientOrigin>]) -> Undecodable {
    let Unreadable { at, type_name } = unreadable;
    let Arrival { origin, payload, .. } = &arrivals[at];
    let (room, sender) = room_and_sender(*origin);
    Undecodable { type_name, room, sender, payload: payload.clone() }
}

fn room_and_sender(origin: ClientOrigin) -> (Option<Entity>, Sender) {
    match origin {
        ClientOrigin::Room { room, sender, .. } => (Some(room), sender),
        ClientOrigin::Server { room, .. } => (room, Sender::Server),
    }
}

fn side(origin: &ClientOrigin) -> Side {
    if room_and_sender(*origin).1.is_server() { Side::Server } else { Side::Client }
}
