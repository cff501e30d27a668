//! Makes typed messages of the payloads that came: all at once that came without anything else
//! between them.

use std::vec::Drain;

use bevy::{platform::collections::HashMap, prelude::*};
use bevy_ghost_client::{
    Traffic,
    typed::{Arrival, MessageRegistry, ServerOrigin, Side, Unreadable},
};
use bytes::Bytes;
use ghost_sync_core::{
    embed::ServerUpdate,
    relay::{ConnId, RelayEvent},
    wire::{ClientId, MessageType, RoomId, Seat},
};

use super::index::{Index, is_there};
use crate::{
    ConnectionStats, GhostServer, Observe, RoomConfig, RoomStats,
    events::{GhostServerEvent, PayloadReceived, Undecodable, publish},
};

/// A run of payloads, and who they are from. Empty when it was told, but for its memory.
#[derive(Default)]
pub(crate) struct PayloadRun {
    arrivals: Vec<Arrival<ServerOrigin>>,
    speakers: Vec<Speaker>,
    /// Where among the speakers somebody is; `None` for who is not heard any more.
    known: HashMap<Source, Option<usize>>,
}

/// Where something came from: a connection, and its seat if it is about a room.
type Source = (ConnId, Option<(RoomId, Seat)>);

/// Who speaks, looked up once for all that it says.
struct Speaker {
    connection: Entity,
    /// Player and room.
    seat: Option<(Entity, Entity)>,
    observe: Observe,
    received: Traffic,
}

/// What one client said in one message.
struct Payload {
    source: Source,
    client_id: ClientId,
    seq: Option<u64>,
    message_type: MessageType,
    payload: Bytes,
}

impl PayloadRun {
    /// Takes the payloads that are first among the updates.
    pub(super) fn receive(&mut self, world: &mut World, updates: &mut Drain<'_, ServerUpdate>) {
        let mut last = None;
        while updates.as_slice().first().is_some_and(is_payload)
            && let Some(payload) = updates.next().and_then(payload)
        {
            let speaker = match last {
                Some((source, speaker)) if source == payload.source => speaker,
                _ => self.find(world, payload.source),
            };
            last = Some((payload.source, speaker));
            if let Some(speaker) = speaker {
                self.note(world, speaker, payload);
            }
        }
        if !self.arrivals.is_empty() {
            self.tell(world);
        }
        self.speakers.clear();
        self.known.clear();
    }

    fn find(&mut self, world: &World, source: Source) -> Option<usize> {
        *self.known.entry(source).or_insert_with(|| {
            self.speakers.push(Speaker::find(world, source)?);
            Some(self.speakers.len() - 1)
        })
    }

    fn note(&mut self, world: &mut World, speaker: usize, payload: Payload) {
        let Payload { client_id, seq, message_type, payload, .. } = payload;
        if !world.resource::<MessageRegistry>().allows(message_type, Side::Client) {
            return world.resource_mut::<MessageRegistry>().count_misdirected(message_type);
        }
        let speaker = &mut self.speakers[speaker];
        if seq.is_some() && !is_observed(world, speaker.observe, message_type) {
            return;
        }
        let connection = speaker.connection;
        let origin = match speaker.seat {
            None => ServerOrigin::Connection { connection, client_id },
            Some((player, room)) => {
                ServerOrigin::Player { player, room, connection, client_id, seq }
            }
        };
        speaker.received.count(&payload);
        self.arrivals.push(Arrival { origin, message_type, payload });
    }

    fn tell(&mut self, world: &mut World) {
        let mut received = Traffic::default();
        for speaker in &self.speakers {
            received += speaker.received;
            if let Some(mut stats) = world.get_mut::<ConnectionStats>(speaker.connection) {
                stats.received += speaker.received;
            }
            let room = speaker.seat.map(|(_, room)| room);
            if let Some(mut stats) = room.and_then(|room| world.get_mut::<RoomStats>(room)) {
                stats.received += speaker.received;
            }
        }
        world.resource_mut::<GhostServer>().received += received;
        let unreadable = MessageRegistry::give_server(world, &self.arrivals).into_iter();
        let unreadable: Vec<_> = unreadable.map(|it| undecodable(it, &self.arrivals)).collect();
        world.write_message_batch(self.arrivals.drain(..).map(payload_received));
        for undecodable in unreadable {
            publish(world, undecodable);
        }
    }
}

impl Speaker {
    /// `None` for whom our own systems have put out.
    fn find(world: &World, (conn, seat): Source) -> Option<Self> {
        let index = world.resource::<Index>();
        let connection = *index.connections.get(&conn)?;
        if !is_there(world, connection) {
            return None;
        }
        let (mut observe, received) = (Observe::Nothing, Traffic::default());
        let Some((room, seat)) = seat else {
            return Some(Self { connection, seat: None, observe, received });
        };
        let (player, record) = index.seat(room, seat)?;
        if !is_there(world, player) {
            return None;
        }
        if let Some(config) = world.get::<RoomConfig>(record.room) {
            observe = config.observe;
        }
        Some(Self { connection, seat: Some((player, record.room)), observe, received })
    }
}

fn is_payload(update: &ServerUpdate) -> bool {
    let ServerUpdate::Event(event) = update else { return false };
    matches!(event, RelayEvent::Broadcast { .. } | RelayEvent::Message { .. })
}

fn payload(update: ServerUpdate) -> Option<Payload> {
    let ServerUpdate::Event(event) = update else { return None };
    if let RelayEvent::Broadcast {
        room, seat, conn, client_id, seq, message_type, payload, ..
    } = event
    {
        let source = (conn, Some((room, seat)));
        Some(Payload { source, client_id, seq: Some(seq), message_type, payload })
    } else if let RelayEvent::Message { conn, client_id, room, message_type, payload } = event {
        let source = (conn, room.map(|(room, _, seat)| (room, seat)));
        Some(Payload { source, client_id, seq: None, message_type, payload })
    } else {
        None
    }
}

fn is_observed(world: &World, observe: Observe, message_type: MessageType) -> bool {
    match observe {
        Observe::Everything => true,
        Observe::Registered => {
            message_type != MessageType::RAW
                && world.resource::<MessageRegistry>().knows(message_type)
        }
        Observe::Nothing => false,
    }
}

fn payload_received(arrival: Arrival<ServerOrigin>) -> GhostServerEvent {
    let Arrival { origin, message_type, payload } = arrival;
    let (connection, seat) = connection_and_seat(origin);
    let seq = match origin {
        ServerOrigin::Player { seq, .. } => seq,
        ServerOrigin::Connection { .. } => None,
    };
    GhostServerEvent::PayloadReceived(PayloadReceived {
        connection,
        seat,
        seq,
        message_type,
        payload,
    })
}

fn undecodable(unreadable: Unreadable, arrivals: &[Arrival<ServerOrigin>]) -> Undecodable {
    let Unreadable { at, type_name } = unreadable;
    let (connection, seat) = connection_and_seat(arrivals[at].origin);
    Undecodable { connection, seat, type_name, payload: arrivals[at].payload.clone() }
}

/// The connection, and player and room.
fn connection_and_seat(origin: ServerOrigin) -> (Entity, Option<(Entity, Entity)>) {
    match origin {
        ServerOrigin::Player { player, room, connection, .. } => (connection, Some((player, room))),
        ServerOrigin::Connection { connection, .. } => (connection, None),
    }
}
