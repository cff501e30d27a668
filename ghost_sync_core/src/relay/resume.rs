//! Sessions that are taken up again over another link: whose they are, and whether they go on.

mod plan;

use std::time::Instant;

use super::{
    Relay,
    away::EndedAway,
    event::{ConnId, DisconnectReason, Output, RelayEvent},
    log::Origin,
    outbox::ItemKind,
    plants,
    room::Room,
    session::{SeatRef, Secrets, Session, Threshold, Unacked},
    tokens::Signed,
};
use crate::wire::{
    CloseReason, Decoder, Resume, ResumeFailure, Secret, ServerMessage, SessionTicket,
};
use plan::{Plan, Refused};

impl Relay {
    /// Takes a session up again over the link of `conn`, which has none yet.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        conn: ConnId,
        resume: &Resume,
        out: &mut Vec<Output>,
    ) {
        if std::mem::replace(&mut self.conns[conn].tried_resume, true) {
            let what = "a second resume".to_owned();
            return self.close(now, conn, CloseReason::Protocol { what }, out);
        }
        let held = match self.find_session(now, resume) {
            Ok(held) => held,
            Err(Denied::Failed(reason)) => return self.fail_resume(conn, reason),
            Err(Denied::Ended(reason)) => return self.close(now, conn, reason, out),
        };
        let allowed = self.check_user(now, conn, held);
        if let Err(reason) = allowed.and_then(|()| self.may_resume(now, held, resume)) {
            return self.close(now, conn, reason, out);
        }
        match self.plan(held, resume) {
            Ok(plan) => self.go_on(now, conn, held, resume, plan, out),
            Err(Refused::Failed(reason)) => {
                let gone = self.away_reason(held);
                self.conns[held].attempt = resume.attempt;
                self.detach(now, held, CloseReason::TakenOver);
                let may_hold = self.refusing.is_none() && !self.config.resume_grace.is_zero();
                if self.conns[held].seats.is_empty() || !may_hold {
                    self.end_session(now, held, gone, out);
                } else if !self.conns[held].is_away() {
                    // Its seats are held: it may go on from what is now.
                    self.go_away(now, held, DisconnectReason::ConnectionClosed, out);
                }
                self.fail_resume(conn, reason);
            }
            Err(Refused::Bogus(what)) => {
                let reason = CloseReason::Protocol { what };
                self.detach(now, held, reason.clone());
                self.end_session(now, held, DisconnectReason::Closed(reason.clone()), out);
                self.close(now, conn, reason, out);
            }
        }
    }

    fn fail_resume(&mut self, conn: ConnId, reason: ResumeFailure) {
        self.push(conn, ItemKind::Control, &ServerMessage::ResumeFailed { reason });
    }

    fn find_session(&self, now: Instant, resume: &Resume) -> Result<ConnId, Denied> {
        if resume.epoch != self.epoch {
            return Err(Denied::Failed(plants::epoch_changed()));
        }
        let conn = self.session_of(now, &resume.session)?;
        // One that was under way for longer than a later one, or one of a program that
        // another has followed: that has had the newest secret only.
        let connection = &self.conns[conn];
        let newest = connection.secrets.newest.is_same(&resume.session.secret);
        if resume.attempt <= connection.attempt || connection.is_new_program && !newest {
            return Err(Denied::Failed(ResumeFailure::Denied));
        }
        Ok(conn)
    }

    /// The connection whose session a ticket is for.
    pub(super) fn session_of(
        &self,
        now: Instant,
        ticket: &SessionTicket,
    ) -> Result<ConnId, Denied> {
        let Some(conn) = self.clients.get(&ticket.client_id).copied() else {
            let known = self.ended_away.iter().find(|ended| {
                ended.client_id == ticket.client_id && ended.secrets.open_to(&ticket.secret)
            });
            return Err(match plants::ended_while_away(known) {
                Some(ended) => self.why_ended(now, ended),
                None => Denied::Failed(ResumeFailure::Expired),
            });
        };
        if self.conns[conn].secrets.open_to(&ticket.secret) {
            return Ok(conn);
        }
        Err(Denied::Failed(ResumeFailure::Denied))
    }

    /// What a client is told whose session was ended while it was away.
    fn why_ended(&self, now: Instant, ended: &EndedAway) -> Denied {
        if !matches!(ended.reason, CloseReason::Banned { .. }) {
            return Denied::Ended(ended.reason.clone());
        }
        // As the ban is now; if it is over the client may begin anew.
        match self.check_ban_of(now, ended.identity.as_deref(), ended.addr) {
            Err(reason) => Denied::Ended(reason),
            Ok(()) => Denied::Failed(ResumeFailure::Expired),
        }
    }

    /// Gives the link of `greeter` to the session of `conn`; returns whether that
    /// was away, and the token that the greeter showed, which replaces the session's.
    pub(super) fn attach(
        &mut self,
        now: Instant,
        greeter: ConnId,
        conn: ConnId,
        shown: Secret,
        restarted: bool,
        out: &mut Vec<Output>,
    ) -> Option<(bool, Option<Box<Signed>>)> {
        self.detach(now, conn, CloseReason::TakenOver);
        let new = self.conns.get_mut(greeter)?;
        let link = new.link.take()?;
        let (addr, secret, fresh) = (new.addr, new.secrets.newest, new.signed.take());
        // What the link has sent of its next frame, where the session waited for a verdict.
        let decoder = std::mem::replace(&mut new.decoder, Decoder::new(0));
        let partial = new.liveness.partial;
        let secret = plants::new_secret(secret, || self.conns[conn].secrets.newest);
        self.forget(greeter, out);
        self.links[link] = conn;
        self.no_longer_away(conn);
        let next_ping = self.next_ping(now);
        self.unblock(conn);
        let connection = &mut self.conns[conn];
        let was_away = connection.is_away();
        connection.link = Some(link);
        connection.addr = addr;
        // The answer with the last one may have been lost: what it shows stays good.
        connection.secrets = Secrets { newest: secret, old: Some(shown) };
        connection.session = Session::Open;
        connection.liveness.heard = now;
        connection.liveness.next_ping = next_ping;
        connection.liveness.ping = None;
        connection.liveness.missed = 0;
        connection.decoder = decoder;
        connection.liveness.partial = partial;
        if let Some(signed) = &mut connection.signed {
            signed.catch_up(now);
        }
        connection.unacked = Unacked::default();
        connection.reference = plants::reference(connection.reference);
        if plants::limits_begin_anew() {
            connection.budget.refill();
        }
        connection.outbox.lose_link(Threshold::of(&self.config));
        let client_id = connection.client_id;
        self.schedule(conn);
        let resumed = RelayEvent::ConnectionResumed { conn, client_id, addr, restarted };
        out.push(Output::Event(resumed));
        Some((was_away, fresh))
    }

    /// Goes on with a session over the link of `greeter`.
    fn go_on(
        &mut self,
        now: Instant,
        greeter: ConnId,
        conn: ConnId,
        resume: &Resume,
        plan: Plan,
        out: &mut Vec<Output>,
    ) {
        let shown = resume.session.secret;
        let attached = self.attach(now, greeter, conn, shown, false, out);
        let Some((was_away, fresh)) = attached else { return };
        let connection = &mut self.conns[conn];
        connection.attempt = resume.attempt;
        connection.is_new_program = false;
        let secret = connection.secrets.newest;
        let received = plants::carried_out(connection.requests);
        self.push(conn, ItemKind::Control, &ServerMessage::Resumed { secret, received });
        let outbox = &mut self.conns[conn].outbox;
        plan.items.into_iter().for_each(|item| outbox.push(item.kind, item.frame));
        self.set_behind(conn, true);
        for (held, cursor, behind) in &plan.seats {
            self.set_cursor(*held, |_| *cursor);
            if let Some(room) = self.rooms.get_mut(&held.room) {
                room.set_behind(held.seat, Some(Box::new(behind.clone())));
            }
        }
        for (held, ..) in plan.seats {
            if was_away {
                self.mark_back(now, conn, held, false, out);
            }
        }
        // What it changes comes after the answer, and what the rooms said before.
        if let Some(fresh) = fresh {
            self.replace_token(now, conn, *fresh, out);
        }
    }

    /// Puts a member that is back to the event that it gets next, and returns that.
    pub(super) fn set_cursor(&mut self, held: SeatRef, next: impl FnOnce(&Room) -> u64) -> u64 {
        let Some(room) = self.rooms.get_mut(&held.room) else { return 1 };
        let next = next(room);
        if let Some(member) = room.member_mut(held.seat) {
            member.cursor = next;
        }
        room.set_away(held.seat, false);
        next
    }

    pub(super) fn mark_back(
        &mut self,
        now: Instant,
        conn: ConnId,
        held: SeatRef,
        restarted: bool,
        out: &mut Vec<Output>,
    ) {
        let SeatRef { room, seat } = held;
        let Some(found) = self.rooms.get(&room) else { return };
        let (name, deleted) = (found.name.clone(), found.deleted);
        if !deleted && plants::back_is_told() {
            self.append(now, room, Origin::of(seat), 32, |buf, seq| {
                ServerMessage::PlayerBack { room, seq, seat }.encode(buf);
            });
        }
        let client_id = self.conns[conn].client_id;
        let back = RelayEvent::PlayerBack { room, name, seat, conn, client_id, restarted };
        out.push(Output::Event(back));
    }
}

/// Why a ticket leads to no session.
pub(super) enum Denied {
    Failed(ResumeFailure),
    /// The session was ended on purpose.
    Ended(CloseReason),
}
