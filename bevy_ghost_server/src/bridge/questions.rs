//! Puts the network thread's questions to observers and collects the answers.

use std::time::Instant;

use bevy::{platform::collections::HashMap, prelude::*};
use bevy_ghost_client::{
    Metadata,
    typed::{Greeting, MessageRegistry},
};
use crossbeam_channel::{Receiver, Sender};
use ghost_sync_core::relay::Question;

use super::{
    allowed_rooms::{AllowedRoom, AllowedRooms},
    index::{Index, is_there},
    outbox::Outbox,
};
use crate::{
    AskId, RoomConfig, Rooms,
    hooks::{
        ConnectRequest, CreateRoomRequest, Decision, GreetRequest, JoinRequest, Outcome,
        RelayRequest, Reply, SetMetadataRequest,
    },
};

/// The questions that wait for tickets, and the way on which these answer.
#[derive(Resource)]
pub(crate) struct Questions {
    deferred: HashMap<AskId, Deferred>,
    replies: (Sender<Reply>, Receiver<Reply>),
}

impl Default for Questions {
    fn default() -> Self {
        Self { deferred: HashMap::default(), replies: crossbeam_channel::unbounded() }
    }
}

impl Questions {
    /// What tickets say, until [`take_replies`] has taken it.
    pub(crate) fn replies(&self) -> &Receiver<Reply> {
        &self.replies.1
    }
}

/// What is still open about a question that was put off.
struct Deferred {
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
    AllowRoom(AllowedRoom),
    /// A newcomer that is to be greeted.
    Greet(GreetRequest),
}

/// Asks the observers; answers at once unless they put it off.
pub(super) fn ask(world: &mut World, ask: AskId, question: Question) {
    let decision = Decision::new(ask, world.resource::<Questions>().replies.0.clone());
    let Some((decision, consequence)) = run_observers(world, question, decision) else {
        answer(world, ask, Err("that is gone".to_owned()), Consequence::Nothing);
        return;
    };
    match decision.outcome() {
        Outcome::Accept => answer(world, ask, Ok(Greeting::default()), consequence),
        Outcome::Reject(reason) => answer(world, ask, Err(reason), consequence),
        Outcome::Deferred(tickets) => {
            let deferred = Deferred { tickets, greeting: Greeting::default(), consequence };
            world.resource_mut::<Questions>().deferred.insert(ask, deferred);
        }
    }
}

/// Takes what tickets have said meanwhile.
pub(super) fn take_replies(world: &mut World) {
    while let Ok(Reply { ask, verdict }) = world.resource::<Questions>().replies.1.try_recv() {
        let mut questions = world.resource_mut::<Questions>();
        let Some(question) = questions.deferred.get_mut(&ask) else { continue };
        question.tickets -= 1;
        let verdict = verdict.map(|greeting| question.greeting.append(greeting));
        if (verdict.is_err() || question.tickets == 0)
            && let Some(Deferred { greeting, consequence, .. }) = questions.deferred.remove(&ask)
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
        (Ok(greeting), Consequence::Greet(mut request)) if is_there(world, request.room) => {
            // Only now, so that the state is that of the moment in which it comes in.
            world.trigger_ref(&mut request);
            request.greeting.append(std::mem::take(greeting));
            *greeting = request.greeting;
        }
        (Ok(_), Consequence::AllowRoom(room))
            if world.resource::<Rooms>().get(room.name.as_str()).is_none() =>
        {
            // The entity comes when the room is there, before the client does.
            let (name, metadata) = (room.name.clone(), room.metadata.clone());
            world.resource_mut::<Outbox>().answer_room(ask, &room.config);
            if world.resource_mut::<AllowedRooms>().allow(room) {
                // Behind the room, and before anybody is let in.
                world.resource_mut::<Outbox>().describe_room(&name, &metadata);
            }
            return;
        }
        (
            Ok(_) | Err(_),
            Consequence::Nothing | Consequence::AllowRoom(..) | Consequence::Greet(_),
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
        Question::Connect { client_id, addr, data, meta, user_agent, identity, .. } => {
            let metadata = Metadata::from(meta);
            let mut request =
                ConnectRequest { client_id, addr, identity, data, metadata, user_agent, decision };
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
            Some((decision, Consequence::Greet(request)))
        }
        Question::Join { conn, client_id, addr, room, name, data, identity, .. } => {
            let (room, connection) = (*index.rooms.get(&room)?, *index.connections.get(&conn)?);
            let closing = index.room_records.get(&room).is_none_or(|room| room.closing.is_some());
            if closing || !is_there(world, connection) {
                return None;
            }
            let mut request = JoinRequest {
                room,
                room_name: name,
                connection,
                client_id,
                addr,
                identity,
                data,
                decision,
            };
            world.trigger_ref(&mut request);
            let JoinRequest { room_name, decision, .. } = request;
            let (player, greeting) = (None, Greeting::default());
            let request = GreetRequest { room, room_name, connection, client_id, player, greeting };
            Some((decision, Consequence::Greet(request)))
        }
        Question::CreateRoom {
            conn,
            client_id,
            addr,
            name: room_name,
            data,
            options,
            identity,
            ..
        } => {
            let connection = *index.connections.get(&conn)?;
            if !is_there(world, connection) {
                return None;
            }
            let mut request = CreateRoomRequest {
                room_name,
                connection,
                client_id,
                addr,
                identity,
                options,
                data,
                metadata: Metadata::default(),
                config: RoomConfig::default(),
                decision,
            };
            world.trigger_ref(&mut request);
            let CreateRoomRequest { room_name: name, metadata, config, decision, .. } = request;
            let since = Instant::now();
            Some((decision, Consequence::AllowRoom(AllowedRoom { name, config, metadata, since })))
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
        Question::SetMetadata { conn, client_id, key, value } => {
            let connection = *index.connections.get(&conn)?;
            if !is_there(world, connection) {
                return None;
            }
            let mut request = SetMetadataRequest { connection, client_id, key, value, decision };
            world.trigger_ref(&mut request);
            Some((request.decision, Consequence::Nothing))
        }
    }
}
