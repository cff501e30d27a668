//! Tokens: what a first message waits for, what a good one allows, and its end. Whether one is
//! good the host says; what follows from that is decided here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Relay,
    config::AuthPolicy,
    deadlines::{FOR_EVER, millis},
    event::{ConnId, Output, RelayEvent},
    handshake::Newcomer,
    metadata::{MetadataChange, Owner},
    outbox::ItemKind,
    plants,
    session::{Connection, Session},
    users::UserKey,
};
use crate::{
    identity::{Identity, RevocationsFull, Revoke},
    wire::{
        AuthError, CloseReason, LeaveReason, MAX_TOKEN, Refusal, Resume, RoomName, ServerMessage,
        SessionTicket, Token,
    },
};

/// Who a connection is, as its token says.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) identity: Arc<Identity>,
    /// The user, once the connection counts as one of it.
    pub(super) key: Option<UserKey>,
    expires: Option<Instant>,
    /// When the client is told that its token expires, and whether it was, over this link.
    notice: Option<Instant>,
    told: bool,
}

/// What a client said first, which waits for the verdict about its token.
#[derive(Debug)]
pub(super) enum First {
    Hello { newcomer: Newcomer, ticket: Option<SessionTicket> },
    Resume(Resume<'static>),
}

impl Signed {
    fn new(now: Instant, identity: Arc<Identity>) -> Self {
        // What has expired already is found so at once.
        let expires = identity.expires.filter(|_| plants::tokens_expire());
        let lasts = expires.map(|at| at.saturating_duration_since(now).min(FOR_EVER));
        let expires = lasts.map(|lasts| now + lasts);
        let notice = lasts.map(|lasts| now + lasts - (lasts / 5).min(NOTICE));
        Self { identity, key: None, expires, notice, told: false }
    }

    /// What came due before its session was there, or while that was away, is due now, and not
    /// then: a relay that is so late with its deadlines takes itself to have slept. What was said
    /// over the last link may not have arrived.
    pub(super) fn catch_up(&mut self, now: Instant) {
        for due in [&mut self.expires, &mut self.notice].into_iter().flatten() {
            *due = (*due).max(now);
        }
        self.told = false;
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// As the wire has it.
    fn expires_ms(&self, now: Instant) -> u32 {
        let left = |expires: Instant| millis(expires.saturating_duration_since(now)).max(1);
        self.expires.map_or(0, left)
    }
}

impl Connection {
    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.signed.as_ref().map(|signed| &signed.identity)
    }

    /// Whether its token lets it into a room of that name. Whoever has none may go anywhere.
    pub(super) fn may_enter(&self, room: &RoomName) -> bool {
        self.identity().is_none_or(|identity| identity.rooms.covers(room))
    }

    /// When something has to be done about its token.
    pub(super) fn token_due(&self) -> Option<Instant> {
        let signed = self.signed.as_ref().filter(|_| self.is_open())?;
        signed.notice.filter(|_| !signed.told).or(signed.expires)
    }
}

impl Relay {
    /// Goes on with what a client said first once its token is verified, if it has to be.
    pub(super) fn identify(
        &mut self,
        now: Instant,
        conn: ConnId,
        token: Token<&[u8]>,
        first: First,
        out: &mut Vec<Output>,
    ) {
        let resumes = matches!(first, First::Resume(_));
        let missing = match self.config.host.auth {
            AuthPolicy::Anonymous => return self.identified(now, conn, first, None, out),
            AuthPolicy::Optional => false,
            // A session has shown one.
            AuthPolicy::Required => !resumes,
        };
        if token.is_empty() {
            if missing && plants::tokens_are_required() {
                return self.unauthenticated(now, conn, AuthError::Missing, out);
            }
            return self.identified(now, conn, first, None, out);
        }
        if token.0.len() > MAX_TOKEN {
            return self.unauthenticated(now, conn, AuthError::Malformed, out);
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.first = Some(Box::new(first));
        let ask = self.ask_for_identity(now, conn, token.copied(), out);
        self.conns[conn].session = Session::Asking { ask };
    }

    /// Takes the verdict about a token.
    pub(super) fn verified(
        &mut self,
        now: Instant,
        conn: ConnId,
        verdict: Result<Identity, AuthError>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let first = connection.first.take();
        let checked = verdict.and_then(|identity| self.check_revoked(now, identity));
        let identity = match checked {
            Ok(identity) => Arc::new(identity),
            Err(why) => return self.unauthenticated(now, conn, why, out),
        };
        match first {
            Some(first) => self.identified(now, conn, *first, Some(identity), out),
            None => self.authenticated(now, conn, identity, out),
        }
    }

    /// No verdict about a token in time: that is not the client's fault.
    pub(super) fn not_verified(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.first.take().is_some() {
            let after_ms = millis(self.config.ask_timeout);
            return self.close(now, conn, CloseReason::HandshakeTimeout { after_ms }, out);
        }
        if let Some((request, _)) = connection.verifying.take() {
            let after_ms = millis(self.config.ask_timeout);
            self.refuse_join(conn, request, Refusal::TimedOut { after_ms });
        }
    }

    fn unauthenticated(
        &mut self,
        now: Instant,
        conn: ConnId,
        why: AuthError,
        out: &mut Vec<Output>,
    ) {
        let at = self.clock(now);
        if why != AuthError::Missing
            && let Some(connection) = self.conns.get(conn)
        {
            self.gate.token_failed(at, connection.addr);
        }
        self.close(now, conn, CloseReason::Unauthenticated { why }, out);
    }

    /// Goes on with what a client said first, as that user.
    fn identified(
        &mut self,
        now: Instant,
        conn: ConnId,
        first: First,
        identity: Option<Arc<Identity>>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.session = Session::Greeting { until: now + self.config.handshake_timeout };
        connection.signed = identity.map(|identity| Box::new(Signed::new(now, identity)));
        self.schedule(conn);
        let banned = self
            .check_ban(now, conn)
            .or_else(|reason| if plants::banned_come_back() { Ok(()) } else { Err(reason) });
        if let Err(reason) = banned.and_then(|()| self.check_bar(now, conn)) {
            return self.close(now, conn, reason, out);
        }
        match first {
            First::Hello { newcomer, ticket } => self.introduced(now, conn, newcomer, ticket, out),
            First::Resume(resume) => self.resume(now, conn, &resume, out),
        }
    }

    /// Whether the session of `held` may be taken up by `greeter` as far as their tokens say; it
    /// needs none of its own if that of the session is good.
    pub(super) fn check_user(
        &self,
        now: Instant,
        greeter: ConnId,
        held: ConnId,
    ) -> Result<(), CloseReason> {
        let Some(signed) = self.conns[held].signed.as_ref() else {
            return match self.conns[greeter].signed {
                // Nobody in particular does not become somebody on the way.
                Some(_) => Err(CloseReason::Unauthenticated { why: AuthError::WrongUser }),
                None => Ok(()),
            };
        };
        match self.conns[greeter].signed.as_ref() {
            Some(fresh) if fresh.identity.user == signed.identity.user => Ok(()),
            Some(_) if !plants::other_users_are_refused() => Ok(()),
            Some(_) => Err(CloseReason::Unauthenticated { why: AuthError::WrongUser }),
            None if signed.is_expired(now) => Err(CloseReason::TokenExpired),
            // Who shows a token was looked at when that was known.
            None => self.check_bar(now, held),
        }
    }

    /// Whether a connection's token is good still when it is about to open.
    pub(super) fn check_expiry(&mut self, now: Instant, conn: ConnId) -> Result<(), CloseReason> {
        let signed = self.conns.get_mut(conn).and_then(|found| found.signed.as_mut());
        let Some(signed) = signed else { return Ok(()) };
        if signed.is_expired(now) {
            return Err(CloseReason::TokenExpired);
        }
        signed.catch_up(now);
        Ok(())
    }

    /// Shows the host another token of an open session.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        conn: ConnId,
        request: u32,
        token: Token<&[u8]>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get(conn) else { return };
        let refusal = if connection.signed.is_none() {
            let what = "who came without a token cannot show one later: connect with it".to_owned();
            Refusal::Forbidden { what }
        } else if connection.verifying.is_some() {
            Refusal::Busy
        } else if token.is_empty() || token.0.len() > MAX_TOKEN {
            return self.unauthenticated(now, conn, AuthError::Malformed, out);
        } else {
            let ask = self.ask_for_identity(now, conn, token.copied(), out);
            self.conns[conn].verifying = Some((request, ask));
            return;
        };
        self.refuse_join(conn, request, refusal);
    }

    /// An open session has another token, which is good.
    fn authenticated(
        &mut self,
        now: Instant,
        conn: ConnId,
        identity: Arc<Identity>,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let verifying = connection.verifying.take();
        let (Some((request, _)), Some(signed)) = (verifying, &connection.signed) else { return };
        if signed.identity.user != identity.user {
            return self.unauthenticated(now, conn, AuthError::WrongUser, out);
        }
        let fresh = Signed::new(now, identity);
        let answer = ServerMessage::Authenticated { request, expires_ms: fresh.expires_ms(now) };
        self.push(conn, ItemKind::Reply, &answer);
        self.replace_token(now, conn, fresh, out);
        if let Err(reason) = self.check_ban(now, conn) {
            self.close(now, conn, reason, out);
        }
    }

    /// From here on the fresh token says what the client may; it leaves rooms that it does not
    /// cover.
    pub(super) fn replace_token(
        &mut self,
        now: Instant,
        conn: ConnId,
        mut fresh: Signed,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        fresh.catch_up(now);
        fresh.key = connection.signed.as_ref().and_then(|signed| signed.key);
        let identity = fresh.identity.clone();
        if plants::renewals_count() {
            connection.signed = Some(Box::new(fresh));
        }
        self.vouch(now, conn, &identity, out);
        for room in self.conns[conn].seats.iter().map(|held| held.room).collect::<Vec<_>>() {
            let covered =
                |room| self.rooms.get(&room).is_none_or(|it| identity.rooms.covers(&it.name));
            if !covered(room) && plants::seats_go_with_grants() {
                self.leave(now, conn, room, LeaveReason::NotAllowed, out);
            }
        }
        let client_id = self.conns[conn].client_id;
        out.push(Output::Event(RelayEvent::TokenReplaced { conn, client_id, identity }));
        self.schedule(conn);
    }

    /// Sets the metadata that a token vouches for; the client cannot change it from then on.
    fn vouch(&mut self, now: Instant, conn: ConnId, identity: &Identity, out: &mut Vec<Output>) {
        let known = self.conns[conn].meta.to_vec();
        for (key, value) in identity.meta.entries() {
            if !known.iter().any(|(of, is)| of == key && is == value)
                || !self.conns[conn].meta.is_servers(key)
            {
                let change = MetadataChange { key, value: Some(value), if_version: None };
                // What is too much stays unset: the host's own limit was checked with the token.
                let _ = self.change_client_metadata(now, conn, Owner::Server, change, out);
            }
        }
    }

    /// Does what is due about a token: tells that it expires, or ends what it allowed.
    pub(super) fn token_due(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn).filter(|found| found.is_open()) else {
            return;
        };
        let Some(signed) = connection.signed.as_mut() else { return };
        if signed.is_expired(now) {
            return self.close(now, conn, CloseReason::TokenExpired, out);
        }
        if !signed.told && signed.notice.is_some_and(|notice| notice <= now) {
            signed.told = true;
            if !plants::ends_are_announced() {
                return;
            }
            let in_ms = signed.expires_ms(now);
            self.push(conn, ItemKind::Control, &ServerMessage::TokenExpiring { in_ms });
        }
    }

    /// The user that others see a client as; empty if there is none, or it is not shown.
    pub(super) fn shown_user(&self, connection: &Connection) -> String {
        let shown = connection.identity().filter(|_| self.config.show_users);
        shown.map_or_else(String::new, |identity| identity.user.to_string())
    }

    /// What the welcome says of a client's token: its user, and when it expires.
    pub(super) fn signed_as(&self, now: Instant, conn: ConnId) -> (String, u32) {
        match self.conns.get(conn).and_then(|found| found.signed.as_ref()) {
            Some(signed) => (signed.identity.user.to_string(), signed.expires_ms(now)),
            None => (String::new(), 0),
        }
    }

    /// Ends every session of such tokens, away ones too: they are told
    /// [`AuthError::Revoked`], and are refused for as long as such a token can be good.
    ///
    /// # Errors
    /// [`RevocationsFull`]; then sessions are ended, and such tokens are good for new ones.
    pub fn revoke(
        &mut self,
        now: Instant,
        revoke: &Revoke,
        out: &mut Vec<Output>,
    ) -> Result<(), RevocationsFull> {
        let remembered = self.revocations.revoke(revoke, now);
        let meant = self.conns.iter().filter(|(_, connection)| {
            connection.identity().is_some_and(|identity| revoke.covers(identity))
        });
        for conn in meant.map(|(conn, _)| conn).collect::<Vec<_>>() {
            if !(plants::revoking_spares_the_away() && self.conns[conn].is_away()) {
                let reason = CloseReason::Unauthenticated { why: AuthError::Revoked };
                self.close(now, conn, reason, out);
            }
        }
        remembered
    }

    fn check_revoked(&self, now: Instant, identity: Identity) -> Result<Identity, AuthError> {
        self.revocations.check(&identity, now).map(|()| identity)
    }
}

/// How long before its end a client is told of it, at most.
const NOTICE: Duration = Duration::from_secs(30);
