//! Puts the network thread's questions to observers and collects the answers.

use std::time::Instant;

use bevy::prelude::*;
use bevy_ghost_client::{
    Metadata,
    typed::{Greeting, MessageRegistry},
};

use crate::{
    RoomConfig, Rooms,
    bridge::{AskId, Link, Outbox, Promise, Question},
    hooks::{
        ConnectRequest, CreateRoomRequest, Decision, GreetRequest, JoinRequest, MetadataRequest,
        Outcome, RelayRequest, Reply,
    },
    index::Index,
    sync::is_there,
};

/// What is still open about a question that was put off.
pub(crate) struct Waiting {
    /// Tickets that must be accepted.
    tickets: usize,
    /// What the tickets' holders tell the client then.
    greeting: Greeting,
    consequence: Consequence,
}

/// What a yes brings about here.
enum Consequence {
    Nothing,
    /// A room that a client may open.
    Room(Promise),
    /// A newcomer that is to be greeted.
    Greeting(GreetRequest),
}

/// Asks the observers; answers at once unless they put it off.
pub(crate) fn ask(world: &mut World, ask: AskId, question: Question) {
    let decision = Decision::new(ask, world.resource::<Link>().replies.0.clone());
    let Some((decision, consequence)) = run_observers(world, question, decision) else {
        answer(world, ask, Err("that is gone".to_owned()), Consequence::Nothing);
        return;
    };
    match decision.outcome() {
        Outcome::Accept => answer(world, ask, Ok(Greeting::default()), consequence),
        Outcome::Reject(reason) => answer(world, ask, Err(reason), consequence),
        Outcome::Deferred(tickets) => {
            let waiting = Waiting { tickets, greeting: Greeting::default(), consequence };
            world.resource_mut::<Link>().waiting.insert(ask, waiting);
        }
    }
}

/// Takes what tickets have said meanwhile.
pub(crate) fn take_replies(world: &mut World) {
    while let Ok(Reply { ask, verdict }) = world.resource::<Link>().replies.1.try_recv() {
        let mut link = world.resource_mut::<Link>();
        let Some(waiting) = link.waiting.get_mut(&ask) else { continue };
        waiting.tickets -= 1;
        let verdict = verdict.map(|greeting| waiting.greeting.append(greeting));
        if (verdict.is_err() || waiting.tickets == 0)
            && let Some(Waiting { greeting, consequence, .. }) = link.waiting.remove(&ask)
        {
            answer(world, ask, verdict.map(|()| greeting), consequence);
        }
    }
}

fn answer(
    world: &mut World,
    ask: AskId,
    mut verdict: Result<Greeting, String>,
    consequence: Consequence,
) {
    match (&mut verdict, consequence) {
        (Ok(greeting), Consequence::Greeting(mut request)) if is_there(world, request.room) => {
            // Only now, so that the state is that of the moment in which it comes in.
            world.trigger_ref(&mut request);
            request.greeting.append(std::mem::take(greeting));
            *greeting = request.greeting;
        }
        (Ok(_), Consequence::Room(promise))
            if world.resource::<Rooms>().get(promise.name.as_str()).is_none() =>
        {
            // The entity comes when the room is there, before the client does.
            let (name, metadata) = (promise.name.clone(), promise.metadata.clone());
            world.resource_mut::<Outbox>().answer_room(ask, &promise.config);
            if world.resource_mut::<Link>().promise(promise) {
                // Behind the room, and before anybody is let in.
                world.resource_mut::<Outbox>().describe_room(&name, &metadata);
            }
            return;
        }
        (
            Ok(_) | Err(_),
            Consequence::Nothing | Consequence::Room(..) | Consequence::Greeting(_),
        ) => {}
    }
    let mut registry = world.resource_mut::<MessageRegistry>();
    let verdict = verdict.map(|greeting| greeting.numbered(&mut registry));
    world.resource_mut::<Outbox>().answer(ask, verdict);
}

/// `None` when the question is about something that is gone.
fn run_observers(
    world: &mut World,
    question: Question,
    decision: Decision,
) -> Option<(Decision, Consequence)> {
    let index = world.resource::<Index>();
    match question {
        Question::Connect { client_id, addr, data, meta, .. } => {
            let metadata = Metadata::from(meta);
            let mut request = ConnectRequest { client_id, addr, data, metadata, decision };
            world.trigger_ref(&mut request);
            Some((request.decision, Consequence::Nothing))
        }
        Question::Greet { conn, client_id, room, name: room_name, seat, .. } => {
            let connection = *index.connections.get(&conn)?;
            let (player, record) = index.seat(room, seat)?;
            let room = record.room;
            if !is_there(world, player) || !is_there(world, connection) {
                return None;
            }
            let (player, greeting) = (Some(player), Greeting::default());
            let request = GreetRequest { room, room_name, connection, client_id, player, greeting };
            Some((decision, Consequence::Greeting(request)))
        }
        Question::Join { conn, client_id, addr, room, name, data } => {
            let (room, connection) = (*index.rooms.get(&room)?, *index.connections.get(&conn)?);
            let closing = index.room_records.get(&room).is_none_or(|room| room.closing.is_some());
            if closing || !is_there(world, connection) {
                return None;
            }
            let mut request =
                JoinRequest { room, room_name: name, connection, client_id, addr, data, decision };
            world.trigger_ref(&mut request);
            let JoinRequest { room_name, decision, .. } = request;
            let (player, greeting) = (None, Greeting::default());
            let request = GreetRequest { room, room_name, connection, client_id, player, greeting };
            Some((decision, Consequence::Greeting(request)))
        }
        Question::CreateRoom { conn, client_id, addr, name: room_name, data, options } => {
            let connection = *index.connections.get(&conn)?;
            if !is_there(world, connection) {
                return None;
            }
            let mut request = CreateRoomRequest {
                room_name,
                connection,
                client_id,
                addr,
                options,
                data,
                metadata: Metadata::default(),
                config: RoomConfig::default(),
                decision,
            };
            world.trigger_ref(&mut request);
            let CreateRoomRequest { room_name: name, metadata, config, decision, .. } = request;
            let since = Instant::now();
            Some((decision, Consequence::Room(Promise { name, config, metadata, since })))
        }
        Question::Relay { conn, client_id, room, seat, message_type, payload, .. } => {
            let connection = *index.connections.get(&conn)?;
            let (player, record) = index.seat(room, seat)?;
            if !is_there(world, player) || !is_there(world, connection) {
                return None;
            }
            let mut request = RelayRequest {
                room: record.room,
                player,
                connection,
                client_id,
                message_type,
                payload,
                decision,
            };
            world.trigger_ref(&mut request);
            Some((request.decision, Consequence::Nothing))
        }
        Question::SetMeta { conn, client_id, key, value } => {
            let connection = *index.connections.get(&conn)?;
            if !is_there(world, connection) {
                return None;
            }
            let mut request = MetadataRequest { connection, client_id, key, value, decision };
            world.trigger_ref(&mut request);
            Some((request.decision, Consequence::Nothing))
        }
    }
}
