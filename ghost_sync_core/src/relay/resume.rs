//! Sessions that are taken up again over another link: whose they are, and whether they go on.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use super::{
    Relay,
    catch_up::{Behind, Reader},
    event::{ConnId, DisconnectReason, Output, RelayEvent},
    log::Origin,
    outbox::{Item, ItemKind},
    room::Room,
    session::{SeatRef, Secrets, Session, Threshold, Told},
};
use crate::wire::{
    CloseReason, Progress, ResumeFailure, RoomId, Secret, ServerMessage, SessionTicket,
};

/// What a client shows to take its session up again.
pub(super) struct Ticket {
    pub(super) epoch: u64,
    pub(super) session: SessionTicket,
    pub(super) attempt: u32,
    /// Numbered messages that it has.
    pub(super) received: u64,
    /// Its rooms, and how far it is there.
    pub(super) rooms: Vec<Progress>,
}

/// What a session that goes on is sent: its own messages and, per seat, from where on it
/// reads.
struct Plan {
    items: Vec<Item>,
    seats: Vec<(SeatRef, u64, Behind)>,
}

/// A stay in a room that is over, and which of its events is next to be told.
struct Stay {
    held: SeatRef,
    joined: u64,
    next: u64,
    before: u64,
    behind: Behind,
}

/// Why a session does not go on.
pub(super) enum Refused {
    Failed(ResumeFailure),
    /// The ticket is one that no client can have got.
    Bogus(String),
}

impl Relay {
    /// Takes a session up again over the link of `conn`, which has none yet.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        conn: ConnId,
        ticket: &Ticket,
        out: &mut Vec<Output>,
    ) {
        if std::mem::replace(&mut self.conns[conn].tried_resume, true) {
            let what = "a second resume".to_owned();
            return self.close(now, conn, CloseReason::Protocol { what }, out);
        }
        let held = match self.find_session(ticket) {
            Ok(held) => held,
            Err(Denied::Failed(reason)) => return self.fail_resume(conn, reason),
            Err(Denied::Barred(reason)) => return self.close(now, conn, reason, out),
        };
        if let Err(reason) = self.may_resume(now, held, ticket) {
            return self.close(now, conn, reason, out);
        }
        match self.plan(held, ticket) {
            Ok(plan) => self.go_on(now, conn, held, ticket, plan, out),
            Err(Refused::Failed(reason)) => {
                let gone = self.away_reason(held);
                self.conns[held].attempt = ticket.attempt;
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

    fn find_session(&self, ticket: &Ticket) -> Result<ConnId, Denied> {
        if ticket.epoch != self.epoch && planted!("wrong-resume-failure") {
            return Err(Denied::Failed(ResumeFailure::Expired));
        }
        if ticket.epoch != self.epoch {
            return Err(Denied::Failed(ResumeFailure::EpochChanged));
        }
        let conn = self.session_of(&ticket.session)?;
        // One that was under way for longer than a later one, or one of a program that
        // another has followed: that has had the newest secret only.
        let connection = &self.conns[conn];
        let newest = connection.secrets.newest.is_same(&ticket.session.secret);
        if ticket.attempt <= connection.attempt || connection.is_new_program && !newest {
            return Err(Denied::Failed(ResumeFailure::Denied));
        }
        Ok(conn)
    }

    /// The connection whose session a ticket is for.
    pub(super) fn session_of(&self, ticket: &SessionTicket) -> Result<ConnId, Denied> {
        let Some(conn) = self.clients.get(&ticket.client_id).copied() else {
            let known = self.barred.iter().find(|barred| {
                !planted!("kick-while-away-forgotten")
                    && barred.client_id == ticket.client_id
                    && barred.secrets.open_to(&ticket.secret)
            });
            return Err(match known {
                Some(barred) => Denied::Barred(barred.reason.clone()),
                None => Denied::Failed(ResumeFailure::Expired),
            });
        };
        if self.conns[conn].secrets.open_to(&ticket.secret) {
            return Ok(conn);
        }
        Err(Denied::Failed(ResumeFailure::Denied))
    }

    /// What the session is to be sent, if nothing of it is lost.
    fn plan(&mut self, conn: ConnId, ticket: &Ticket) -> Result<Plan, Refused> {
        let connection = self.conns.get_mut(conn).expect("the caller found it");
        let lost = connection.outbox.gone();
        let mut told = BTreeMap::new();
        for progress in &ticket.rooms {
            if told.insert(progress.room, *progress).is_some() {
                return Err(Refused::Bogus(format!("{:?} is named twice", progress.room)));
            }
        }
        if ticket.received < lost {
            let too_old = ResumeFailure::TooOld { room: RoomId(0), oldest: lost + 1 };
            return Err(Refused::Failed(too_old));
        }
        let less = u64::from(planted!("confirmed-message-again"));
        if !connection.outbox.confirm(ticket.received.saturating_sub(less)) {
            let received = ticket.received;
            return Err(Refused::Bogus(format!("{received} messages confirmed, fewer were sent")));
        }
        let rewound = connection.outbox.rewind(Threshold::of(&self.config));
        let plan = self.plan_events(conn, &rewound, told);
        if plan.is_err()
            && let Some(connection) = self.conns.get_mut(conn)
        {
            rewound.into_iter().for_each(|item| connection.outbox.push(item.kind, item.frame));
        }
        plan
    }

    /// What the session is to be sent: `rewound`, which is for it alone, and its rooms'
    /// events from where it was `told` to be.
    fn plan_events(
        &mut self,
        conn: ConnId,
        rewound: &[Item],
        mut told: BTreeMap<RoomId, Progress>,
    ) -> Result<Plan, Refused> {
        // The stays that ended since, by room. If there was a later one there, the
        // client's word is about the first of them.
        let mut stays: BTreeMap<RoomId, VecDeque<Stay>> = BTreeMap::new();
        for item in rewound {
            if let ItemKind::Left { room, seat, joined, since, before, own } = item.kind {
                let held = SeatRef { room, seat };
                let found = self.rooms.get(&room);
                let place = Place { held, since, end: before, own };
                let (next, behind) = place.reads_on(found, told.remove(&room))?;
                let stay = Stay { held, joined, next, before, behind };
                stays.entry(room).or_default().push_back(stay);
            }
        }
        let mut items = Vec::new();
        // A stay may have brought much history; the client may have had many stays.
        let mut budget = self.config.outbox_limit.max(MIN_COPIED);
        for item in rewound {
            match item.kind {
                ItemKind::Left { room, .. } => {
                    if let Some(mut stay) = stays.get_mut(&room).and_then(VecDeque::pop_front) {
                        let room = self.rooms.get_mut(&room);
                        stay.copy_events(room, u64::MAX, &mut budget, &mut items)?;
                    }
                }
                ItemKind::After { room, seat, before } => {
                    if let Some(stay) = stays.get_mut(&room).and_then(VecDeque::front_mut)
                        && stay.held.seat == seat
                    {
                        let room = self.rooms.get_mut(&room);
                        stay.copy_events(room, before, &mut budget, &mut items)?;
                    }
                }
                ItemKind::Control
                | ItemKind::Pong
                | ItemKind::Reply
                | ItemKind::Lane
                | ItemKind::Joined { .. }
                | ItemKind::Roster
                | ItemKind::Spared { .. }
                | ItemKind::Aside { .. }
                | ItemKind::Event { .. }
                | ItemKind::Gap { .. } => {}
            }
            items.push(item.clone());
        }
        let connection = self.conns.get(conn).expect("the caller found it");
        let mut seats = Vec::new();
        for held in &connection.seats {
            let Some(room) = self.rooms.get(&held.room) else { continue };
            let Some(member) = room.member(held.seat) else { continue };
            let (since, own) = (member.since, member.own);
            let place = Place { held: *held, since, end: room.log.next(), own };
            let (next, behind) = place.reads_on(Some(room), told.remove(&held.room))?;
            let next = if planted!("replay-starts-late") { next + 1 } else { next };
            let next = if planted!("replay-starts-early") { next.max(2) - 1 } else { next };
            seats.push((*held, next, behind));
        }
        if let Some((room, _)) = told.pop_first() {
            return Err(Refused::Bogus(format!("{room:?}, which it is not in")));
        }
        Ok(Plan { items, seats })
    }

    /// Gives the link of `greeter` to the session of `conn`; returns whether that
    /// was away.
    pub(super) fn attach(
        &mut self,
        now: Instant,
        greeter: ConnId,
        conn: ConnId,
        shown: Secret,
        restarted: bool,
        out: &mut Vec<Output>,
    ) -> Option<bool> {
        self.detach(now, conn, CloseReason::TakenOver);
        let new = self.conns.get_mut(greeter)?;
        let link = new.link.take()?;
        let (addr, mut secret) = (new.addr, new.secrets.newest);
        if planted!("secret-not-new") {
            secret = self.conns[conn].secrets.newest;
        }
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
        connection.told = Told::default();
        if planted!("references-per-link") {
            connection.reference = 0;
        }
        if planted!("limit-forgotten-on-reconnect") {
            connection.budget.refill();
        }
        connection.outbox.lose_link(Threshold::of(&self.config));
        let client_id = connection.client_id;
        self.schedule(conn);
        let resumed = RelayEvent::ConnectionResumed { conn, client_id, addr, restarted };
        out.push(Output::Event(resumed));
        Some(was_away)
    }

    /// Goes on with a session over the link of `greeter`.
    fn go_on(
        &mut self,
        now: Instant,
        greeter: ConnId,
        conn: ConnId,
        ticket: &Ticket,
        plan: Plan,
        out: &mut Vec<Output>,
    ) {
        let shown = ticket.session.secret;
        let Some(was_away) = self.attach(now, greeter, conn, shown, false, out) else { return };
        let connection = &mut self.conns[conn];
        connection.attempt = ticket.attempt;
        connection.is_new_program = false;
        let (secret, mut received) = (connection.secrets.newest, connection.requests);
        if planted!("request-carried-out-twice") {
            received = received.saturating_sub(1);
        }
        if planted!("request-skipped-at-resume") {
            received += 1;
        }
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
        if !deleted && !planted!("back-not-told") {
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
    Barred(CloseReason),
}

/// A seat that a client has or had, as the relay knows it.
struct Place {
    held: SeatRef,
    /// Its first event, and the one after its last.
    since: u64,
    end: u64,
    /// Own messages in it that the client does not hear.
    own: u64,
}

impl Place {
    /// From where on a client reads that is where it says, and how.
    fn reads_on(
        &self,
        room: Option<&Room>,
        told: Option<Progress>,
    ) -> Result<(u64, Behind), Refused> {
        let Self { held: SeatRef { room: id, seat }, since, end, own } = *self;
        let last = told.map_or_else(|| since.saturating_sub(1), |told| told.last);
        let next = last.saturating_add(1);
        let known = told.map_or(0, |told| told.own);
        if next < since && !planted!("resume-reads-the-past") {
            let first = since - 1;
            return Err(Refused::Bogus(format!("event {last} of a stay that began after {first}")));
        }
        if next > end {
            let most = end - 1;
            return Err(Refused::Bogus(format!("event {last} of a stay that has {most}")));
        }
        let Some(own) = own.checked_sub(known) else {
            return Err(Refused::Bogus(format!("{known} messages of its own, of {own}")));
        };
        let too_old = |oldest| Refused::Failed(ResumeFailure::TooOld { room: id, oldest });
        let Some(room) = room else {
            // All that it missed were its own words, or there is nobody to tell it.
            return if next + own >= end {
                Ok((end, Behind::default()))
            } else {
                Err(too_old(end))
            };
        };
        if next < end && room.reliable.is_lost(next, seat) {
            return Err(too_old(room.reliable.oldest_for(seat)));
        }
        let here = (next.max(room.log.first())..end).filter_map(|seq| room.log.entry(seq));
        let here = here.filter(|entry| entry.origin.withholds_message(seat));
        let Some(forgotten) = own.checked_sub(here.count() as u64) else {
            return Err(Refused::Bogus(format!("{known} messages of its own up to event {last}")));
        };
        // What was to be heard at once or not at all is not said now.
        Ok((next, Behind::since(next, end, forgotten)))
    }
}

impl Stay {
    /// Copies the events of the stay from the next on, up to before `until`.
    fn copy_events(
        &mut self,
        room: Option<&mut Room>,
        until: u64,
        budget: &mut usize,
        items: &mut Vec<Item>,
    ) -> Result<(), Refused> {
        let Some(room) = room else { return Ok(()) };
        if planted!("ended-stay-not-replayed") {
            return Ok(());
        }
        let end = until.min(self.before);
        let behind = std::mem::take(&mut self.behind);
        let (place, range) = ((self.joined, self.next), (end, self.before));
        let mut reader = Reader::new(room, self.held, place, range, behind, *budget);
        reader.run();
        if reader.cursor < end {
            let too_old = ResumeFailure::TooOld { room: self.held.room, oldest: self.before };
            return Err(Refused::Failed(too_old));
        }
        *budget = reader.budget();
        self.next = reader.cursor.min(self.before);
        items.append(&mut reader.items);
        self.behind = reader.behind;
        Ok(())
    }
}

/// Bytes of ended stays that a resume may bring back, at least.
const MIN_COPIED: usize = 1 << 20;
