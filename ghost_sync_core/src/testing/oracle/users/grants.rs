//! What users may do: where they may be, what they may make, how often they may be there.

use std::sync::Arc;

use crate::{
    identity::Identity,
    relay::{ConnId, LinkId, ManyLinks},
    testing::oracle::{About, Cause, Mark, Oracle, SessionView},
    wire::{RoomId, RoomName, UserId},
};

impl Oracle {
    /// A session is where its token lets it be.
    pub(in crate::testing::oracle) fn check_grant(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let stranger = session.seats.keys().find(|room| {
            let log = self.rooms.get(&(self.era, **room));
            log.is_some_and(|log| !session.may_enter(&log.name))
        });
        let seen = stranger.map(|room| format!("{conn:?} is in {room:?}, which it may not enter"));
        self.judge("I35", seen);
    }

    /// Somebody has a seat: its token is for that room.
    pub(in crate::testing::oracle) fn let_in(
        &mut self,
        conn: ConnId,
        room: RoomId,
        told: Option<&Arc<Identity>>,
    ) {
        let known = self.sessions.get(&conn).and_then(SessionView::identity);
        if known != told {
            let seen = format!("{conn:?} joins {room:?} as {told:?} and is {known:?}");
            self.fail("I35", seen);
        }
        self.check_grant(conn);
        self.check_kicked(conn, room);
    }

    /// A question about a client: the host is told who it is.
    pub(in crate::testing) fn asked_about(
        &mut self,
        conn: ConnId,
        link: Option<LinkId>,
        told: Option<&Arc<Identity>>,
    ) {
        let shown = link.and_then(|link| self.users.shown.get(&link));
        let signed = self.sessions.get(&conn).map_or(shown, |session| session.signed.as_ref());
        let known = signed.map(|signed| &signed.identity);
        if known != told {
            self.fail("I35", format!("the host is asked about {told:?}, which is {known:?}"));
        }
    }

    /// A join makes a room: the token of who joins lets it.
    pub(in crate::testing::oracle) fn check_maker(&mut self, cause: &Cause, name: &RoomName) {
        let conn = match cause {
            Cause::Answer { conn, about: About::CreateRoom | About::Join(_), .. } => Some(*conn),
            Cause::Bytes(link) | Cause::Token(link) => self.session_on(*link),
            _ => None,
        };
        let Some(session) = conn.and_then(|conn| self.sessions.get(&conn)) else { return };
        let Some(identity) = session.identity() else { return };
        if !identity.create {
            self.fail("I35", format!("{} makes {name:?} and must not", identity.user));
        } else if !identity.rooms.covers(name) {
            self.fail("I35", format!("{} makes {name:?} and may not join it", identity.user));
        }
    }

    /// Sessions of a user, with and without links.
    pub(in crate::testing::oracle) fn links_of(&self, user: &UserId) -> usize {
        self.sessions.values().filter(|session| session.user() == Some(user)).count()
    }

    /// Whether a session that is over had to make room for another one of its user.
    pub(in crate::testing::oracle) fn makes_room(
        &mut self,
        cause: &Cause,
        session: &SessionView,
    ) -> bool {
        let newcomer = match cause {
            Cause::Bytes(link) | Cause::Token(link) => Some(*link),
            Cause::Answer { conn, about: About::Connect, .. } => self.asking.get(conn).copied(),
            _ => None,
        };
        let newcomer = newcomer.and_then(|link| self.shown_on(link));
        let (Some(newcomer), Some(user)) = (newcomer, session.user()) else { return false };
        let others = self.sessions.values().filter(|other| other.user() == Some(user));
        let (mut count, mut first, mut away) = (1, true, false);
        for other in others {
            count += 1;
            away |= other.away.is_some();
            first &= session.order < other.order;
        }
        let full = newcomer.user == *user && count >= self.swarm.relay.links_per_user;
        if session.away.is_some() {
            if full {
                self.mark(Mark::UserAwayEvicted);
            }
            return full;
        }
        let oldest = self.swarm.relay.many_links == ManyLinks::CloseOldest;
        if full && oldest {
            self.mark(Mark::OldestLinkClosed);
        }
        full && oldest && first && !away
    }
}
