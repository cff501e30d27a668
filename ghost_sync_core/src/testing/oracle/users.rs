//! Who is who: what the host found out about tokens, against what the relay makes of it.

mod grants;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use super::{Mark, Oracle, SessionView, bars::Known};
use crate::{
    identity::Identity,
    relay::{AuthPolicy, ConnId, DisconnectReason, LinkId, Relay},
    wire::{AuthError, ClientId, CloseReason, RoomName, UserId},
};

/// What the host knows of those who show tokens.
#[derive(Debug, Default)]
pub(super) struct Users {
    /// Whose token was shown over a link whose client has no session yet.
    shown: BTreeMap<LinkId, Signed>,
    /// What the host says about the token that the relay is told of.
    verdict: Option<Verdict>,
    /// The session that has another token as soon as the relay is done.
    replacing: Option<Replacing>,
    /// The session that has got another one.
    replaced: Option<ConnId>,
}

/// A token that is good, and since when the relay knows it.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) identity: Arc<Identity>,
    since: Instant,
    /// Whether its client was told over this link that it expires.
    told: bool,
    /// Whether that may be told of the token before yet.
    late: bool,
}

#[derive(Debug)]
struct Verdict {
    conn: ConnId,
    author: Option<usize>,
    found: Result<Arc<Identity>, AuthError>,
}

#[derive(Debug)]
struct Replacing {
    conn: ConnId,
    signed: Signed,
    /// Whether a new process goes on with the session.
    restarted: bool,
}

impl Signed {
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.identity.expires.is_some_and(|expires| expires <= now)
    }

    /// When its client must have been told that it expires: a fifth of what was left of it
    /// before its end, or half a minute.
    fn notice(&self) -> Option<Instant> {
        let expires = self.identity.expires?;
        let life = expires.saturating_duration_since(self.since);
        Some(expires - (life / 5).min(std::time::Duration::from_secs(30)))
    }
}

impl SessionView {
    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.signed.as_ref().map(|signed| &signed.identity)
    }

    pub(super) fn user(&self) -> Option<&UserId> {
        self.identity().map(|identity| &identity.user)
    }

    fn may_enter(&self, room: &RoomName) -> bool {
        self.identity().is_none_or(|identity| identity.rooms.covers(room))
    }
}

impl Oracle {
    /// The host is to look at a token that came from there.
    pub(in crate::testing) fn asked_for_identity(
        &mut self,
        link: LinkId,
        conn: ConnId,
        from: Known,
    ) {
        if self.swarm.relay.host.auth == AuthPolicy::Anonymous {
            self.fail("I35", "a token is looked at where nobody needs one");
        }
        // Who has shown a good one is known by its user.
        let unknown = !self.sessions.contains_key(&conn) && self.shown_on(link).is_none();
        if unknown && self.is_barred(&from) {
            self.fail("I28", format!("a token from {from:?} is looked at, which is barred"));
        }
    }

    /// The host says in time whose token that is.
    pub(in crate::testing) fn verifies(
        &mut self,
        (link, conn, addr): (LinkId, ConnId, SocketAddr),
        author: Option<usize>,
        found: &Result<Identity, AuthError>,
    ) {
        let found = found.clone().and_then(|identity| {
            if self.is_revoked(&identity) { Err(AuthError::Revoked) } else { Ok(identity) }
        });
        let found = found.map(Arc::new);
        let session = self.sessions.get(&conn).map(SessionView::user);
        let is_other =
            |identity: &Arc<Identity>| session.is_some_and(|user| user != Some(&identity.user));
        if found.as_ref().map_or(true, is_other) {
            self.token_failed(addr);
        }
        self.ended_last = None;
        if let Ok(identity) = found.clone() {
            let signed = Signed { identity, since: self.now, told: false, late: false };
            match self.sessions.get(&conn) {
                None => drop(self.users.shown.insert(link, signed)),
                Some(session) if session.user() == Some(&signed.identity.user) => {
                    self.users.replacing = Some(Replacing { conn, signed, restarted: false });
                }
                Some(_) => {}
            }
        }
        self.users.verdict = Some(Verdict { conn, author, found });
    }

    /// The relay knows whose token that is, and has done what follows.
    pub(in crate::testing) fn has_verified(&mut self) {
        let Some(Verdict { conn, author, found }) = self.users.verdict.take() else { return };
        let refused = match self.ended_last.take() {
            Some(DisconnectReason::Closed(CloseReason::Unauthenticated { why })) => Some(why),
            _ => None,
        };
        match found {
            Err(why) if refused != Some(why) => {
                self.fail("I35", format!("a token is no good, {why}, and is refused: {refused:?}"));
            }
            Err(_) => {}
            Ok(identity) => {
                let session = self.sessions.get(&conn);
                if session.is_some_and(|session| session.user() != Some(&identity.user)) {
                    self.fail("I35", format!("{conn:?} has the token of {}", identity.user));
                }
                if let (Some(why), Some(author)) = (refused, author)
                    && self.ended_before(author, why).is_none()
                {
                    self.fail("I35", format!("{author} is refused for a good token: {why}"));
                }
                if refused == Some(AuthError::WrongUser) {
                    self.mark(Mark::WrongUser);
                }
            }
        }
    }

    /// The same reason, if that client's session was ended for it while it was away.
    fn ended_before(&self, author: usize, why: AuthError) -> Option<&CloseReason> {
        let reason = self.bars.ended_away(self.authors[author].client_id)?;
        (*reason == CloseReason::Unauthenticated { why }).then_some(reason)
    }

    /// A session begins: who it is must be what the host found out.
    pub(super) fn introduced(
        &mut self,
        conn: ConnId,
        link: Option<LinkId>,
        told: Option<&Arc<Identity>>,
    ) {
        let signed = link.and_then(|link| self.users.shown.remove(&link));
        let known = signed.as_ref().map(|signed| &signed.identity);
        if known != told {
            self.fail("I35", format!("{conn:?} is said to be {told:?}, was found to be {known:?}"));
        }
        if known.is_none() && self.swarm.relay.host.auth == AuthPolicy::Required {
            self.fail("I35", format!("{conn:?} comes in without a token"));
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let vouched = known.map_or(&[][..], |identity| identity.meta.entries());
        session.locked.extend(vouched.iter().map(|(key, _)| key.clone()));
        let right = vouched.iter().all(|(key, value)| session.meta.get(key) == Some(value));
        session.signed = signed;
        if !right {
            self.fail("I30", format!("{conn:?} comes in without what its token vouches for"));
        }
        let user = self.sessions[&conn].user().cloned();
        if let Some(user) = user {
            let (count, most) = (self.links_of(&user), self.swarm.relay.links_per_user);
            if count > most {
                self.fail("I35", format!("{user} has {count} sessions, at most {most}"));
            }
        }
    }

    /// A session has another link: with a token of its user, or a good one from before.
    pub(super) fn taken_up(&mut self, conn: ConnId, link: LinkId, restarted: bool) {
        let fresh = self.users.shown.remove(&link);
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let user = session.user().cloned();
        if let Some(signed) = &mut session.signed {
            (signed.told, signed.late) = (false, false);
        }
        let expired = session.signed.as_ref().is_some_and(|signed| signed.is_expired(now));
        match fresh {
            Some(signed) if user.as_ref() == Some(&signed.identity.user) => {
                self.users.replacing = Some(Replacing { conn, signed, restarted });
                self.mark(Mark::ResumedWithToken);
            }
            Some(signed) => {
                let other = &signed.identity.user;
                self.fail("I35", format!("{conn:?} of {user:?} is taken up by {other}"));
            }
            None if expired => {
                self.fail("I35", format!("{conn:?} is taken up on a token that has expired"));
            }
            None if user.is_some() => self.mark(Mark::ResumedWithoutToken),
            None => {}
        }
    }

    /// A session has another token.
    pub(super) fn token_replaced(&mut self, conn: ConnId, identity: &Arc<Identity>) {
        let due = self.users.replacing.take().filter(|due| due.conn == conn);
        let Some(due) = due.filter(|due| due.signed.identity == *identity) else {
            return self.fail("I35", format!("{conn:?} has a token that nobody verified"));
        };
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I16", format!("{conn:?} has another token after its end"));
        };
        let now = self.now;
        let before = session.signed.replace(due.signed);
        if let (Some(before), Some(signed)) = (before, &mut session.signed) {
            let due = before.notice().is_some_and(|notice| notice <= now);
            signed.late = due && !before.told || before.late;
        }
        let away = session.away.is_some();
        self.users.replaced = Some(conn);
        self.mark(if away { Mark::RenewedWhileAway } else { Mark::Renewed });
    }

    /// Whether a change of metadata is one that a fresh token vouches for.
    pub(super) fn is_vouched(&self, conn: ConnId, key: &str, value: Option<&str>) -> bool {
        let due = self.users.replacing.as_ref().filter(|due| due.conn == conn);
        due.is_some_and(|due| value.is_some() && due.signed.identity.meta.value(key) == value)
    }

    /// Whether a new process goes on with the session, and what its token is for is not
    /// settled.
    pub(super) fn is_arriving(&self, conn: ConnId) -> bool {
        self.users.replacing.as_ref().is_some_and(|due| due.conn == conn && due.restarted)
    }

    /// The relay has done something: what had to follow at once has.
    pub(in crate::testing) fn acted(&mut self) {
        self.acts += 1;
        if let Some(due) = self.users.replacing.take()
            && self.sessions.contains_key(&due.conn)
        {
            self.fail("I35", format!("{:?} keeps its old token", due.conn));
        }
        let Some(conn) = self.users.replaced.take() else { return };
        let Some(session) = self.sessions.get(&conn) else { return };
        let vouched = session.identity().map(|identity| identity.meta.entries());
        let mut vouched = vouched.unwrap_or_default().iter();
        let missing = vouched.find(|(key, value)| session.meta.get(key) != Some(value));
        let missing = missing.map(|missing| format!("{conn:?} has not got {missing:?}"));
        self.judge("I30", missing);
        self.check_grant(conn);
    }

    /// The session of a client.
    pub(in crate::testing) fn conn_of(&self, client_id: ClientId) -> Option<ConnId> {
        let mut sessions = self.sessions.iter();
        sessions.find(|(_, session)| session.client_id == client_id).map(|(conn, _)| *conn)
    }

    pub(super) fn session_on(&self, link: LinkId) -> Option<ConnId> {
        let mut sessions = self.sessions.iter();
        sessions.find(|(_, session)| session.link == Some(link)).map(|(conn, _)| *conn)
    }

    /// Requests that nobody knows yet were said: they end no connection.
    pub(in crate::testing) fn unknown_requests_ended_nothing(&mut self) {
        if let Some(DisconnectReason::Closed(CloseReason::Protocol { what })) = &self.ended_last {
            let seen = format!("an unknown request ends a connection: {what}");
            self.fail("I26", seen);
        }
    }

    /// Who greets over a link, if it showed a good token.
    pub(super) fn shown_on(&self, link: LinkId) -> Option<&Arc<Identity>> {
        self.users.shown.get(&link).map(|signed| &signed.identity)
    }

    /// The link of a greeter is over.
    pub(super) fn forget_greeter(&mut self, link: LinkId) {
        self.users.shown.remove(&link);
    }

    pub(super) fn forget_users(&mut self) {
        self.users = Users::default();
    }

    /// A client is told that its token expires.
    pub(super) fn wrote_expiring(&mut self, link: LinkId, in_ms: u32) {
        let now = self.now;
        self.mark(Mark::TokenExpiring);
        let session = self.session_on(link).and_then(|conn| self.sessions.get_mut(&conn));
        // One that is over is told what waited.
        let Some(session) = session else { return };
        let Some(signed) = session.signed.as_mut() else {
            return self.fail("I35", "somebody without a token is told that it expires");
        };
        if signed.late && signed.notice().is_none_or(|notice| now < notice) {
            signed.late = false;
            return;
        }
        let again = std::mem::replace(&mut signed.told, true);
        let (notice, expires) = (signed.notice(), signed.identity.expires);
        let left = expires.map_or(0, |at| at.saturating_duration_since(now).as_millis());
        if again {
            self.fail("I35", format!("{link:?} is told twice that its token expires"));
        }
        if notice.is_none_or(|notice| now < notice) || u128::from(in_ms.max(1)) < left.max(1) {
            self.fail("I35", format!("a token is said to expire in {in_ms} ms, in {left} ms"));
        }
    }

    /// What must be true of users at every step.
    pub(super) fn check_users(&mut self, relay: &Relay) {
        let now = self.now;
        let mut seen = None;
        for (conn, session) in &self.sessions {
            let Some(signed) = &session.signed else { continue };
            let user = &signed.identity.user;
            if relay.identity_of(*conn).as_ref() != Some(&signed.identity) {
                seen = Some(format!("{conn:?} is not {:?}", signed.identity));
            }
            let Some(link) = session.link.filter(|_| relay.next_deadline() > Some(now)) else {
                continue;
            };
            if signed.is_expired(now) {
                seen = Some(format!("the token of {user} has expired, and {conn:?} has a link"));
            }
            let mut slices = [std::io::IoSlice::new(&[]); 1];
            let waits = relay.is_dirty() || relay.transmit(link, &mut slices).slices > 0;
            if signed.notice().is_some_and(|notice| notice <= now) && !signed.told && !waits {
                seen = Some(format!("{user} is not told that its token expires"));
            }
            if relay.conns_of_user(user).len() != self.links_of(user) {
                seen = Some(format!("{user} has {:?}", relay.conns_of_user(user)));
            }
        }
        self.judge("I35", seen);
        for conn in self.conns().collect::<Vec<_>>() {
            self.check_grant(conn);
        }
    }
}
