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
    ) {
        let asked = matches!(cause, Cause::Answer { conn: asked, about: About::Connect, accepted: true, .. } if *asked == conn);
        if self.swarm.relay.host.ask_connect && !asked {
            self.fail("I19", format!("{conn:?} is open without the host's yes: {cause:?}"));
        }
        let link = if let Cause::Bytes(link) = cause { Some(*link) } else { None };
        let session = SessionView {
            client_id,
            addr,
            spent: Default::default(),
            link: link.or_else(|| self.asking.remove(&conn)),
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
        let Some(session) = self.sessions.remove(&conn) else {
            return self.fail("I9", format!("{conn:?} is closed twice"));
        };
        // Of one that was away it is why it was.
        if session.away.is_none() {
            self.put_out(reason, session.addr);
        }
        if session.client_id != client_id || !session.seats.is_empty() {
            self.fail("I9", format!("{client_id} is closed and keeps {:?}", session.seats));
        }
        let kicked = matches!(reason, DisconnectReason::Closed(CloseReason::Kicked { .. }));
        let kicked_away = kicked && session.away.is_some();
        if kicked_away {
            self.mark(Mark::KickedWhileAway);
            if let Some(author) = self.owners.get(&client_id) {
                self.authors[*author].barred = true;
            }
        }
        self.ended.insert(client_id);
        let own = self.feeding.is_some() && self.owners.get(&client_id) == self.feeding.as_ref();
        let Some(away) = session.away else {
            if let Cause::Bytes(from) = cause
                && session.link.is_some_and(|link| link != *from)
                && !own
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
            Cause::Bytes(_) if own => {}
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
        if let Some(session) = self.sessions.get(&conn) {
            self.put_out(reason, session.addr);
        }
        if matches!(reason, DisconnectReason::Closed(CloseReason::IdleTimeout { .. })) {
            self.mark(Mark::IdleTimeout);
        }
        if matches!(reason, DisconnectReason::Closed(CloseReason::PingTimeout { .. })) {
            self.mark(Mark::PingTimeout);
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
        let Cause::Bytes(link) = cause else {
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
        self.linked(*link, conn, client_id);
    }

    /// A new process goes on with a session.
    pub(super) fn begun_anew(&mut self, conn: ConnId, client_id: ClientId) {
        match self.heir.take() {
            Some((link, author)) => {
                self.inherited(link, author, client_id);
                self.linked(link, conn, client_id);
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
        match session.away.take() {
            None => self.mark(Mark::TookOver),
            Some(away) if away.latest < now => {
                self.fail("I14", format!("{client_id} is resumed after its grace"));
            }
            Some(_) => {}
        }
    }
}
