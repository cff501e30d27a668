//! How connections end: what they are told, what they give back, when they are forgotten.

use std::time::{Duration, Instant};

use super::{
    Relay,
    deadlines::Due,
    event::{ConnId, DisconnectReason, LinkId, Output, RelayEvent},
    outbox::ItemKind,
    plants,
    session::{Connection, Session},
};
use crate::wire::{ClientId, CloseReason, Secret, ServerMessage};

impl Relay {
    /// Ends a connection with a reason that it is told; a session that may come
    /// back is held.
    pub(super) fn close(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: CloseReason,
        out: &mut Vec<Output>,
    ) {
        if self.conns.get(conn).is_none_or(Connection::is_closing) {
            return;
        }
        let reason_to_part = DisconnectReason::Closed(reason.clone());
        if self.is_held(conn, &reason_to_part) {
            self.detach(now, conn, reason);
            return self.go_away(now, conn, reason_to_part, out);
        }
        if self.conns.get(conn).is_some_and(Connection::is_away) {
            self.note_ended_away(conn, reason);
            return self.end_session(now, conn, reason_to_part, out);
        }
        let for_too_much = matches!(
            reason,
            CloseReason::SlowConsumer { .. }
                | CloseReason::TooManyRequests { .. }
                | CloseReason::RateLimited { .. }
        );
        // Where there are many connections, what waits for one that does not read goes too:
        // the next crowd fills its own.
        let many = self.links.len() > self.config.max_clients;
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.outbox.forget_kept();
        if for_too_much || many && connection.blocked.is_some() {
            connection.outbox.take();
        } else if self.refusing.is_none() {
            self.take_out(conn, out);
        }
        let frame = ServerMessage::Close { reason: reason.clone() }.to_frame();
        self.part(now, conn, DisconnectReason::Closed(reason), out);
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.outbox.forget_asides();
        }
        self.push_frame(conn, ItemKind::Control, frame);
        let linger = self.linger(self.conns.get(conn).is_some_and(|found| found.blocked.is_some()));
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.session = Session::Closing { until: now + linger };
        self.schedule(conn);
    }

    /// How long a closed connection gets to take its last bytes. Who has not read for a
    /// while would not hear why it was closed, if that were over before it reads again.
    pub(super) fn linger(&self, blocked: bool) -> Duration {
        // Where there are many connections, nobody waits long for one that is over.
        if blocked && self.refusing.is_none() && self.links.len() <= self.config.max_clients {
            self.config.linger.max(self.config.write_timeout)
        } else {
            self.config.linger
        }
    }

    /// Takes the end of a link whose socket is gone.
    pub(super) fn disconnected(
        &mut self,
        now: Instant,
        link: LinkId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        let Some(conn) = self.links.remove(link) else { return };
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.link = None;
        self.gate.disconnected(connection.addr);
        if self.is_held(conn, &reason) {
            return self.go_away(now, conn, reason, out);
        }
        if self.conns.get(conn).is_some_and(|connection| !connection.is_closing()) {
            self.part(now, conn, reason, out);
        }
        self.forget(conn, out);
    }

    /// Frees everything that a connection holds in rooms, and tells the host.
    pub(super) fn part(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let (client_id, addr) = (connection.client_id, connection.addr);
        let was_open = connection.is_present();
        if connection.is_half_open() {
            self.gate.greeted(addr);
        }
        self.withdraw_all(conn);
        self.leave_user(conn);
        self.conns[conn].session = Session::Closing { until: now + self.config.linger };
        while let Some(held) = self.conns.get(conn).and_then(|found| found.seats.first()) {
            self.leave(now, conn, held.room, reason.as_leave(), out);
        }
        if was_open {
            self.clients.remove(&client_id);
        }
        out.push(Output::Event(if was_open {
            RelayEvent::ConnectionClosed { conn, client_id, reason }
        } else {
            RelayEvent::HandshakeFailed { addr, reason }
        }));
    }

    /// Lets a client go that said goodbye, once it has got what was said before.
    pub(super) fn farewell(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        if self.conns.get(conn).is_some_and(Connection::is_open) {
            self.take_out(conn, out);
        }
        self.part(now, conn, DisconnectReason::Closed(CloseReason::Requested), out);
        let Some(connection) = self.conns.get(conn) else { return };
        if self.has_pending(connection) {
            self.schedule(conn);
            self.make_ready(conn);
        } else {
            self.forget(conn, out);
        }
    }

    /// Removes a connection that holds nothing in rooms any more, and its link.
    pub(super) fn forget(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        self.leave_user(conn);
        let Some(connection) = self.conns.remove(conn) else { return };
        self.blocked.remove(&conn);
        self.deadlines.remove(connection.due, Due::Connection(conn));
        if connection.is_half_open() {
            self.gate.greeted(connection.addr);
        }
        if let Some(link) = connection.link {
            self.links.remove(link);
            self.gate.disconnected(connection.addr);
            out.push(Output::Disconnect { link });
        }
    }

    /// Takes the link from a connection and closes it with a reason that it is told.
    pub(super) fn detach(&mut self, now: Instant, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(link) = connection.link.take() else { return };
        let id = ClientId::nil();
        let mut rest = Connection::new(now, connection.addr, id, Secret::default(), &self.config);
        rest.link = Some(link);
        let partial = connection.outbox.take_partial();
        rest.outbox.written_partly(partial, true);
        rest.blocked = connection.blocked.take();
        let blocked = rest.blocked.is_some();
        let until = now + self.linger(blocked);
        rest.session = Session::Closing { until };
        rest.due = until;
        let due = rest.due;
        let rest = self.conns.insert(rest);
        if blocked {
            self.blocked.remove(&conn);
            self.blocked.insert(rest);
        }
        if plants::old_link_is_fenced() {
            self.links[link] = rest;
        }
        self.deadlines.add(due, Due::Connection(rest));
        self.push(rest, ItemKind::Control, &ServerMessage::Close { reason });
    }
}
