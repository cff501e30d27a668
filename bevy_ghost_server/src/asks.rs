//! Puts the network thread's questions to observers and collects the answers.

use bevy::prelude::*;
use bevy_ghost_client::Metadata;

use crate::{
    RoomConfig,
    bridge::{AskId, Link, Outbox, Question},
    hooks::{
        ConnectRequest, CreateRoomRequest, Decision, JoinRequest, Outcome, RelayRequest, Reply,
    },
    index::Index,
};

/// Asks the observers; answers at once unless they put it off.
pub(crate) fn ask(world: &mut World, ask: AskId, question: Question) {
    let decision = Decision::new(ask, world.resource::<Link>().replies.0.clone());
    let Some(decision) = run_observers(world, question, decision) else {
        answer(world, ask, Err("that is gone".to_owned()));
        return;
    };
    match decision.outcome() {
        Outcome::Accept => answer(world, ask, Ok(())),
        Outcome::Reject(reason) => answer(world, ask, Err(reason)),
        Outcome::Deferred(tickets) => {
            world.resource_mut::<Link>().waiting.insert(ask, tickets);
        }
    }
}

/// Takes what tickets have said meanwhile.
pub(crate) fn take_replies(world: &mut World) {
    while let Ok(Reply { ask, verdict }) = world.resource::<Link>().replies.1.try_recv() {
        let mut link = world.resource_mut::<Link>();
        let Some(missing) = link.waiting.get_mut(&ask) else { continue };
        *missing -= 1;
        if verdict.is_err() || *missing == 0 {
            link.waiting.remove(&ask);
            answer(world, ask, verdict);
        }
    }
}

fn answer(world: &mut World, ask: AskId, verdict: Result<(), String>) {
    world.resource_mut::<Outbox>().answer(ask, verdict);
}

/// `None` when the question is about something that is gone.
fn run_observers(world: &mut World, question: Question, decision: Decision) -> Option<Decision> {
    let index = world.resource::<Index>();
    match question {
        Question::Connect { client_id, addr, data, meta, .. } => {
            let metadata = Metadata::from(meta);
            let mut request = ConnectRequest { client_id, addr, data, metadata, decision };
            world.trigger_ref(&mut request);
            Some(request.decision)
        }
        Question::Join { conn, client_id, addr, room, name, data } => {
            let (room, connection) = (*index.rooms.get(&room)?, *index.connections.get(&conn)?);
            let mut request =
                JoinRequest { room, name, connection, client_id, addr, data, decision };
            world.trigger_ref(&mut request);
            Some(request.decision)
        }
        Question::CreateRoom { conn, client_id, name } => {
            let connection = *index.connections.get(&conn)?;
            let config = RoomConfig::default();
            let mut request = CreateRoomRequest { name, connection, client_id, config, decision };
            world.trigger_ref(&mut request);
            if !request.is_rejected() && request.config != RoomConfig::default() {
                let CreateRoomRequest { name, config, .. } = &request;
                world.resource_mut::<Index>().granted.insert(name.clone(), config.clone());
            }
            Some(request.decision)
        }
        Question::Relay { conn, client_id, room, seat, message_type, payload, .. } => {
            let connection = *index.connections.get(&conn)?;
            let (player, record) = index.seat(room, seat)?;
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
            Some(request.decision)
        }
    }
}
