//! A new process of a client goes on with its session: it knows nothing, so before it is
//! welcomed the host is asked what to tell it first in each of its rooms.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    event::{AskId, ConnId, Output, Question},
    membership::Words,
    meta::MetaMap,
    questions::AskTarget,
    session::Session,
};
use crate::wire::{RoomId, SessionTicket};

/// A hello that shows the ticket of an earlier process.
#[derive(Debug)]
pub(super) struct Restart {
    pub(super) ticket: SessionTicket,
    /// What it would begin with if that session is over.
    pub(super) meta: MetaMap,
    pub(super) data: Bytes,
    /// Rooms that the host was asked about, with its answers.
    pub(super) asked: Vec<(RoomId, Greeting)>,
}

/// What a client is told first in a room.
#[derive(Debug)]
pub(super) enum Greeting {
    Asked(AskId),
    Decided(Words),
}

impl Relay {
    /// Asks the host how to greet in the rooms that it was not asked about yet, and goes
    /// on with the session when it has answered about all. Until then nothing changes for
    /// the rooms; if the session has ended meanwhile, a new one begins.
    pub(super) fn restart(
        &mut self,
        now: Instant,
        greeter: ConnId,
        restart: Restart,
        out: &mut Vec<Output>,
    ) {
        let Ok(conn) = self.session_of(&restart.ticket) else {
            return self.greeted(now, greeter, restart.meta, restart.data, out);
        };
        let mut restart = Box::new(restart);
        let mut waits = restart.asked.iter().any(|(_, it)| matches!(it, Greeting::Asked(_)));
        for held in self.conns[conn].seats.clone() {
            let room = held.room;
            let Some(found) = self.rooms.get(&room).filter(|found| !found.deleted) else {
                continue;
            };
            if !self.config.ask_join || restart.asked.iter().any(|(asked, _)| *asked == room) {
                continue;
            }
            let question = Question::Greet {
                conn,
                client_id: self.conns[conn].client_id,
                addr: self.conns[greeter].addr,
                room,
                name: found.name.clone(),
                seat: held.seat,
            };
            let ask = self.ask(now, AskTarget::Greet(greeter), question, out);
            restart.asked.push((room, Greeting::Asked(ask)));
            self.conns[greeter].session = Session::Asking { ask };
            waits = true;
        }
        if !waits {
            return self.begin_anew(now, greeter, conn, &restart, out);
        }
        // Who is back in time does not lose the seat over the host's thinking.
        let decided = now + self.config.ask_timeout;
        if let Session::Away { until, .. } = &mut self.conns[conn].session {
            *until = (*until).max(decided);
        }
        self.conns[greeter].restart = Some(restart);
    }

    /// Takes what a client is told first in a room. What is no such answer means nothing:
    /// the seat is its own already.
    pub(super) fn greeting_decided(
        &mut self,
        now: Instant,
        greeter: ConnId,
        ask: AskId,
        words: Words,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(greeter) else { return };
        let Some(mut restart) = connection.restart.take() else { return };
        for (_, greeting) in &mut restart.asked {
            if matches!(greeting, Greeting::Asked(asked) if *asked == ask) {
                *greeting = Greeting::Decided(words);
                break;
            }
        }
        if restart.asked.iter().any(|(_, it)| matches!(it, Greeting::Asked(_))) {
            connection.restart = Some(restart);
        } else {
            self.restart(now, greeter, *restart, out);
        }
    }
}

impl Restart {
    /// What the client is told first in a room.
    pub(super) fn words(&self, room: RoomId) -> &[(crate::wire::MessageType, Bytes)] {
        let found = self.asked.iter().find(|(asked, _)| *asked == room);
        match found {
            Some((_, Greeting::Decided(words))) => words,
            Some((_, Greeting::Asked(_))) | None => &[],
        }
    }

    /// Questions that were not answered.
    pub(super) fn asks(&self) -> impl Iterator<Item = AskId> {
        self.asked.iter().filter_map(|(_, greeting)| match greeting {
            Greeting::Asked(ask) => Some(*ask),
            Greeting::Decided(_) => None,
        })
    }
}
