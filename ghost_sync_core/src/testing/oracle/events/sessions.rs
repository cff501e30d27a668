//! Sessions as the host is told of them: opened, lost, resumed, closed.

use std::net::SocketAddr;

use crate::{
    relay::{ConnId, DisconnectReason, LinkId},
    testing::oracle::{About, Away, Cause, Mark, Oracle, SessionView, room::RoomLog},
    wire::{ClientId, CloseReason, RoomId},
};

impl Oracle {
    pub(super) fn opened(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        client_id: ClientId,
        meta: Vec<(String, String)>,
        addr: SocketAddr,
    ) -> Option<LinkId> {
        let asked = matches!(cause, Cause::Answer { conn: asked, about: About::Connect, accepted: true, .. } if *asked == conn);
        if self.swarm.relay.host.ask_connect && !asked {
            self.fail("I19", format!("{conn:?} is open without the host's yes: {cause:?}"));
        }
        let link = cause.link().or_else(|| self.asking.remove(&conn));
        self.opened += 1;
        let session = SessionView {
            client_id,
            addr,
            order: self.opened,
            signed: None,
            quiet_since: self.now,
            opened_at: self.now,
            left_act: 0,
            spent: Default::default(),
            link,
            away: None,
            seats: Default::default(),
            meta: meta.into_iter().collect(),
            meta_version: 0,
            locked: Default::default(),
            wishes: Default::default(),
            last_room: RoomId(0),
        };
        let known = self.sessions.values().any(|known| known.client_id == client_id)
            || self.ended.contains(&client_id);
        if known || self.sessions.insert(conn, session).is_some() {
            self.fail("I15", format!("{client_id} is opened twice"));
        }
        if self.sessions.len() > self.swarm.relay.max_clients {
            self.fail("I18", format!("{} clients are open", self.sessions.len()));
        }
        link
    }

    pub(super) fn closed(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        client_id: ClientId,
        reason: &DisconnectReason,
    ) {
        match reason {
            DisconnectReason::Closed(CloseReason::IdleTimeout { .. }) => {
                self.mark(Mark::IdleTimeout)
            }
            DisconnectReason::Closed(CloseReason::PingTimeout { .. }) => {
                self.mark(Mark::PingTimeout)
            }
            DisconnectReason::Closed(CloseReason::SlowConsumer { .. }) => {
                self.mark(Mark::SlowConsumer);
            }
            _ => {}
        }
        self.ended_last = Some(reason.clone());
        let Some(session) = self.sessions.remove(&conn) else {
            return self.fail("I9", format!("{conn:?} is closed twice"));
        };
        // Of one that was away it is why it was.
        if session.away.is_none() {
            self.put_out(reason, session.known());
        }
        if let DisconnectReason::Closed(reason) = reason {
            self.check_end(cause, &session, reason);
        }
        let makes_room = self.makes_room(cause, &session);
        if session.client_id != client_id || !session.seats.is_empty() {
            self.fail("I9", format!("{client_id} is closed and keeps {:?}", session.seats));
        }
        let kicked = matches!(reason, DisconnectReason::Closed(CloseReason::Kicked { .. }));
        let revoked =
            matches!(reason, DisconnectReason::Closed(CloseReason::Unauthenticated { .. }));
        let banned = matches!(reason, DisconnectReason::Closed(CloseReason::Banned { .. }));
        if kicked && session.away.is_some() {
            self.mark(Mark::KickedWhileAway);
        }
        if (kicked || revoked)
            && session.away.is_some()
            && let Some(author) = self.owners.get(&client_id)
        {
            self.authors[*author].barred = true;
        }
        self.ended.insert(client_id);
        let own = self.feeding.is_some() && self.owners.get(&client_id) == self.feeding.as_ref();
        let Some(away) = session.away else {
            if let Some(from) = cause.link()
                && session.link.is_some_and(|link| link != from)
                && !own
                && !makes_room
                && !(revoked && matches!(cause, Cause::Token(_)))
            {
                self.fail("I15", format!("{client_id} is ended by what somebody else says"));
            }
            return;
        };
        let most = (self.swarm.relay.max_clients / 4).max(16);
        let aways = self.sessions.values().filter(|other| other.away.is_some()).count();
        match cause {
            Cause::Tick if self.now >= away.earliest => self.mark(Mark::GraceExpired),
            Cause::Disconnect(ended) if *ended == conn => {}
            Cause::Shutdown => {}
            Cause::Bytes(_) | Cause::Token(_) if own => {}
            // Why is looked at above.
            Cause::Host | Cause::Token(_) if banned || revoked => {}
            _ if makes_room => {}
            // Too much may wait for it, or it may make room.
            _ if matches!(reason, DisconnectReason::Closed(CloseReason::SlowConsumer { .. })) => {}
            _ if self.is_crowded(session.addr) => self.mark(Mark::AwayEvicted),
            _ if aways >= most => {
                self.mark(Mark::AwayEvicted);
                self.evicted(client_id, session.addr);
            }
            _ => self.fail(
                "I9",
                format!(
                    "{client_id} is ended {:?} before its grace is over, for {reason}, by {cause:?}",
                    away.earliest.saturating_duration_since(self.now)
                ),
            ),
        }
    }

    pub(super) fn lost(&mut self, cause: &Cause, conn: ConnId, reason: &DisconnectReason) {
        if matches!(reason, DisconnectReason::Closed(CloseReason::SlowConsumer { .. })) {
            self.mark(Mark::SlowConsumer);
        }
        if let Some(session) = self.sessions.remove(&conn) {
            self.put_out(reason, session.known());
            if matches!(reason, DisconnectReason::Closed(CloseReason::TokenExpired)) {
                self.check_expired(&session);
            }
            self.sessions.insert(conn, session);
        }
        if matches!(reason, DisconnectReason::Closed(CloseReason::IdleTimeout { .. })) {
            self.mark(Mark::IdleTimeout);
        }
        if matches!(reason, DisconnectReason::Closed(CloseReason::PingTimeout { .. })) {
            self.mark(Mark::PingTimeout);
        }
        if let (Cause::Bytes(_), DisconnectReason::Closed(_)) = (cause, reason)
            && let Some(session) = self.sessions.get(&conn)
            && let Some(author) = self.owners.get(&session.client_id)
        {
            let messages = self.authors[*author].messages.iter_mut();
            let just_now = messages.filter(|message| message.fed_at == self.acts);
            just_now.for_each(|message| message.doubtful = true);
        }
        let (now, grace) = (self.now, self.swarm.relay.resume_grace);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I9", format!("{conn:?} is lost and was not there: {cause:?}"));
        };
        let held = !session.seats.is_empty() && !grace.is_zero() && session.away.is_none();
        session.away = Some(Away { earliest: now + grace, latest: now + grace });
        session.link = None;
        if !held || self.stopping {
            self.fail("I9", format!("{conn:?} is held and must not be: {reason}"));
        }
    }

    pub(super) fn resumed(&mut self, cause: &Cause, conn: ConnId, client_id: ClientId) {
        let Some(link) = cause.link() else {
            return self.fail("I15", format!("{client_id} is resumed by {cause:?}"));
        };
        let mut kept: usize = 0;
        if let Some(author) = self.owners.get(&client_id)
            && let Some((first, lane)) = self.lanes.get_mut(&client_id)
        {
            let received = self.authors[*author].received;
            while *first <= received && lane.pop_front().is_some() {
                *first += 1;
            }
            kept = lane.iter().sum();
            lane.clear();
            *first = received + 1;
        }
        let most = self.swarm.relay.outbox_limit;
        if kept > most {
            self.fail("I12", format!("{kept} bytes were kept for {client_id}, of {most}"));
        }
        if let (Some(author), Some(session)) =
            (self.owners.get(&client_id), self.sessions.get(&conn))
        {
            let head = |room: &RoomId| self.rooms.get(&(self.era, *room)).map_or(0, RoomLog::head);
            let heads = session.seats.keys().map(|room| (*room, head(room)));
            self.authors[*author].resumed_at = heads.collect();
        }
        if let Some(author) = self.owners.get(&client_id)
            && std::mem::replace(&mut self.authors[*author].resumed_unseen, true)
        {
            self.marks.reach(Mark::OldSecret);
        }
        self.linked(link, conn, client_id);
        self.taken_up(conn, link, false);
    }

    /// A new process goes on with a session.
    pub(super) fn begun_anew(&mut self, conn: ConnId, client_id: ClientId) {
        match self.heir.take() {
            Some((link, author)) => {
                self.inherited(link, author, client_id);
                self.linked(link, conn, client_id);
                self.taken_up(conn, link, true);
            }
            None => self.fail("I15", format!("{client_id} goes on as nobody")),
        }
    }

    /// A session has another link.
    pub(super) fn linked(&mut self, link: LinkId, conn: ConnId, client_id: ClientId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I14", format!("{client_id} is resumed after its end"));
        };
        session.link = Some(link);
        // What was said before may be said again.
        session.quiet_since = session.opened_at;
        match session.away.take() {
            None => self.mark(Mark::TookOver),
            Some(away) if away.latest < now => {
                self.fail("I14", format!("{client_id} is resumed after its grace"));
            }
            Some(_) => {}
        }
    }
}
