//! A new process of a client goes on with its session: it knows nothing, so before it is
//! welcomed the host is asked what to tell it first in each of its rooms.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    event::{AskId, ConnId, DisconnectReason, Output, Question, RelayEvent},
    handshake::Newcomer,
    membership::FirstWords,
    outbox::Outbox,
    plants,
    questions::AskTarget,
    session::Session,
};
use crate::wire::{CloseReason, LeaveReason, RoomId, SessionTicket};

/// A hello that shows the ticket of an earlier process.
#[derive(Debug)]
pub(super) struct Restart {
    pub(super) ticket: SessionTicket,
    /// What it would begin with if that session is over.
    pub(super) newcomer: Newcomer,
    /// Rooms that the host was asked about, with its answers.
    pub(super) asked: Vec<(RoomId, Greeting)>,
}

/// What a client is told first in a room.
#[derive(Debug)]
pub(super) enum Greeting {
    Asked(AskId),
    Decided(FirstWords),
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
        let Ok(conn) = self.session_of(now, &restart.ticket) else {
            return self.greeted(now, greeter, restart.newcomer, out);
        };
        // Either may have come up while the host was asked.
        let allowed =
            self.check_bar(now, greeter).and_then(|()| self.check_user(now, greeter, conn));
        if let Err(reason) = allowed {
            return self.close(now, greeter, reason, out);
        }
        let mut restart = Box::new(restart);
        let mut waits = restart.asked.iter().any(|(_, it)| matches!(it, Greeting::Asked(_)));
        for held in self.conns[conn].seats.clone() {
            let room = held.room;
            let Some(found) = self.rooms.get(&room).filter(|found| !found.deleted) else {
                continue;
            };
            if !self.config.host.ask_join || restart.asked.iter().any(|(asked, _)| *asked == room) {
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
        words: FirstWords,
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

    /// Goes on with a session whose client has forgotten everything but its
    /// ticket, over the link of `greeter`: it is told its seats anew. Its rooms and the host
    /// see it go and come back, also where nobody had missed it yet.
    fn begin_anew(
        &mut self,
        now: Instant,
        greeter: ConnId,
        conn: ConnId,
        restart: &Restart,
        out: &mut Vec<Output>,
    ) {
        let connection = &self.conns[conn];
        if !connection.is_away() && !connection.seats.is_empty() {
            let reason = DisconnectReason::Closed(CloseReason::TakenOver);
            let client_id = connection.client_id;
            out.push(Output::Event(RelayEvent::ConnectionLost { conn, client_id, reason }));
            for at in 0..self.conns[conn].seats.len() {
                self.mark_away(now, conn, self.conns[conn].seats[at], out);
            }
        }
        let shown = restart.ticket.secret;
        let attached = self.attach(now, greeter, conn, shown, true, out);
        let Some((_, fresh)) = attached else { return };
        // Before it is welcomed to the rooms that it may still be in.
        if let Some(fresh) = fresh {
            self.replace_token(now, conn, *fresh, out);
        }
        self.withdraw_all(conn);
        while let Some(room) = self.deleted_room_of(conn) {
            self.leave(now, conn, room, LeaveReason::Disconnected, out);
        }
        self.set_behind(conn, false);
        let connection = &mut self.conns[conn];
        connection.outbox = Outbox::new(connection.outbox.keep());
        connection.requests = 0;
        connection.reference = 0;
        connection.attempt = 0;
        connection.is_new_program = true;
        self.welcome(now, conn);
        for at in 0..self.conns[conn].seats.len() {
            let held = self.conns[conn].seats[at];
            self.mark_back(now, conn, held, true, out);
            let next = self.set_cursor(held, |room| room.log.next());
            if let Some(room) = self.rooms.get_mut(&held.room)
                && let Some(member) = room.member_mut(held.seat)
            {
                // What it is told begins here.
                (member.joined, member.since, member.own) = (next - 1, next, 0);
            }
            self.greet(conn, held.room, held.seat, next - 1, next, 0);
            let words = plants::first_words(restart.words(held.room));
            self.tell_first(conn, held.room, words);
        }
    }

    /// A room of the connection that was deleted softly.
    fn deleted_room_of(&self, conn: ConnId) -> Option<RoomId> {
        let mut rooms = self.conns.get(conn)?.seats.iter().map(|held| held.room);
        rooms.find(|room| self.rooms.get(room).is_none_or(|found| found.deleted))
    }
}

impl Restart {
    /// What the client is told first in a room.
    fn words(&self, room: RoomId) -> &[(crate::wire::MessageType, Bytes)] {
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
