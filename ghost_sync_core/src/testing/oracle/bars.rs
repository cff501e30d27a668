//! Who is kept out, and for how long: bans, what was called back, kicks, bad tokens.

mod ends;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{Mark, Oracle, RoomKey, SessionView, limits::Level};
use crate::{
    identity::{Identity, Revoke},
    relay::{ConnId, IpPrefix, LinkId, Who},
    wire::{ClientId, CloseReason, RoomId, UserId},
};

/// As whom somebody is known who comes back.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::testing) enum Known {
    User(UserId),
    Address(IpAddr),
}

#[derive(Debug, Default)]
pub(super) struct Bars {
    bans: Vec<Ban>,
    /// Where the ban of a client went that has not come back yet.
    banning: Option<Who>,
    revoked: Vec<Revoke>,
    /// Who was kicked from which room, until when.
    kicks: Vec<(RoomKey, Known, Instant)>,
    /// Who was disconnected, until when.
    disconnects: Vec<(Known, Instant)>,
    /// Until when somebody who was put out does not come in, at least.
    strikes: BTreeMap<Known, Instant>,
    /// Tokens from each address that were no good.
    failures: BTreeMap<IpAddr, (Level, usize)>,
    /// Why sessions were ended while they were away.
    ended_away: BTreeMap<ClientId, EndedAway>,
}

#[derive(Debug)]
struct Ban {
    who: Who,
    until: Option<Instant>,
}

#[derive(Debug)]
struct EndedAway {
    reason: CloseReason,
    identity: Option<std::sync::Arc<Identity>>,
    addr: IpAddr,
}

impl Known {
    pub(in crate::testing) fn at(addr: SocketAddr) -> Self {
        Self::Address(addr.ip())
    }
}

impl Bars {
    /// Why the session of a client was ended while it was away.
    pub(super) fn ended_away(&self, client_id: ClientId) -> Option<&CloseReason> {
        self.ended_away.get(&client_id).map(|ended| &ended.reason)
    }

    /// How long bans keep that one out from `now` on; each by itself.
    fn left(&self, now: Instant, addr: IpAddr, identity: Option<&Identity>) -> Vec<Option<u128>> {
        let hits = |who: &Who| match who {
            Who::Address(prefix) => {
                let bits = prefix.bits();
                IpPrefix::new(addr, bits) == *prefix
            }
            Who::User(user) => identity.is_some_and(|identity| identity.user == *user),
            Who::Token(id) => {
                identity.is_some_and(|identity| identity.token_id.as_ref() == Some(id))
            }
        };
        let in_force = self.bans.iter().filter(|ban| ban.until.is_none_or(|until| now < until));
        let hit = in_force.filter(|ban| hits(&ban.who));
        hit.map(|ban| ban.until.map(|until| (until - now).as_millis())).collect()
    }
}

impl SessionView {
    pub(super) fn known(&self) -> Known {
        self.user().cloned().map_or_else(|| Known::at(self.addr), Known::User)
    }
}

impl Oracle {
    /// The host bans somebody from now on.
    pub(in crate::testing) fn bans(&mut self, who: Who, lasts: Option<Duration>) {
        self.bars.bans.retain(|ban| ban.who != who);
        let until = lasts.map(|lasts| self.now + lasts);
        self.bars.bans.push(Ban { who, until });
    }

    /// The host bans a client: its user, or its address.
    pub(in crate::testing) fn bans_client(&mut self, conn: ConnId, lasts: Option<Duration>) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let who = match session.known() {
            Known::User(user) => Who::User(user),
            Known::Address(addr) => Who::Address(IpPrefix::new(addr, 32)),
        };
        self.bars.banning = Some(who.clone());
        self.bans(who, lasts);
    }

    /// Whom the relay says that it has banned.
    pub(in crate::testing) fn has_banned(&mut self, who: Option<Who>) {
        let due = self.bars.banning.take();
        if due != who {
            self.fail("I36", format!("{who:?} is banned in place of {due:?}"));
        }
    }

    /// The host ends a ban; whether it is in force.
    pub(in crate::testing) fn unbans(&mut self, who: &Who) -> bool {
        let now = self.now;
        let found = self.bars.bans.iter().position(|ban| ban.who == *who);
        found.is_some_and(|at| self.bars.bans.remove(at).until.is_none_or(|until| now < until))
    }

    /// The host calls tokens back. Nobody simulates as long as that is remembered.
    pub(in crate::testing) fn revokes(&mut self, revoke: Revoke) {
        self.bars.revoked.push(revoke);
    }

    pub(super) fn is_revoked(&self, identity: &Identity) -> bool {
        self.bars.revoked.iter().any(|revoke| match revoke {
            Revoke::Token(id) => identity.token_id.as_ref() == Some(id),
            Revoke::Session(id) => identity.session.as_ref() == Some(id),
            Revoke::Key(id) => identity.key_id.as_ref() == Some(id),
            Revoke::User { user, before } => {
                identity.user == *user && identity.issued.is_none_or(|issued| issued <= *before)
            }
        })
    }

    /// Whether nobody who is known so comes in now.
    pub(super) fn is_barred(&self, known: &Known) -> bool {
        let struck = self.bars.strikes.get(known).is_some_and(|until| self.now < *until);
        let mut kicks = self.bars.disconnects.iter();
        struck || kicks.any(|(who, until)| who == known && self.now < *until)
    }

    /// A session ended or lost its link for asking too much.
    pub(super) fn strikes(&mut self, known: Known) {
        let (now, bar) = (self.now, self.swarm.relay.gate.bar);
        let barred = self.bars.strikes.entry(known).or_insert(now);
        if *barred <= now {
            *barred = now + bar;
        }
    }

    /// A token from there was no good.
    pub(super) fn token_failed(&mut self, addr: SocketAddr) {
        let (now, rate) = (self.now, self.swarm.relay.gate.failures);
        let (level, count) = self.bars.failures.entry(addr.ip()).or_default();
        *count += 1;
        let before = level.clone();
        if !level.add(now, rate, 1.0, 1e-3) {
            // What is too much bars, and costs no more.
            *level = before;
            let until = now + self.swarm.relay.gate.bar;
            let barred = self.bars.strikes.entry(Known::at(addr)).or_insert(until);
            *barred = until.max(*barred);
            self.mark(Mark::FailuresBarred);
        }
    }

    /// A session begins, or goes on, with a link from there.
    pub(super) fn came_in(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let (known, client_id) = (session.known(), session.client_id);
        if self.is_barred(&known) {
            self.fail("I28", format!("{client_id} comes in as {known:?}, which is barred"));
        }
        self.check_barred(conn);
        let over = |ban: &Ban| ban.until.is_some_and(|until| until <= self.now);
        let Known::User(user) = known else { return };
        let banned = Who::User(user);
        if self.bars.bans.iter().any(|ban| ban.who == banned && over(ban)) {
            self.mark(Mark::BanOver);
        }
    }

    /// A session is none that is banned or called back.
    fn check_barred(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let identity = session.identity().map(|identity| &**identity);
        let banned = !self.bars.left(self.now, session.addr.ip(), identity).is_empty();
        let revoked = identity.is_some_and(|identity| self.is_revoked(identity));
        if banned || revoked {
            let (client_id, known) = (session.client_id, session.known());
            let seen = format!("{client_id} of {known:?}: banned {banned}, revoked {revoked}");
            self.fail("I36", seen);
        }
    }

    pub(super) fn check_bars(&mut self, relay: &crate::relay::Relay) {
        let now = self.now;
        for conn in self.conns().collect::<Vec<_>>() {
            self.check_barred(conn);
        }
        let bans = self.bars.bans.iter();
        let bans = bans.filter(|ban| ban.until.is_none_or(|until| now < until)).count();
        if relay.bans(now).count() != bans {
            self.fail("I36", format!("{bans} bans are in force, not as many as the relay says"));
        }
    }

    /// Somebody was kicked out of a room.
    pub(super) fn kicked(&mut self, conn: ConnId, room: RoomId) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let until = self.now + self.swarm.relay.kick_bar;
        self.bars.kicks.push(((self.era, room), session.known(), until));
    }

    /// Nobody joins a room that it was kicked from of late.
    pub(super) fn check_kicked(&mut self, conn: ConnId, room: RoomId) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let (known, key) = (session.known(), (self.era, room));
        let mut kicks = self.bars.kicks.iter();
        let last = kicks.rfind(|(from, who, _)| *from == key && *who == known);
        let Some((.., until)) = last else { return };
        if self.now < *until {
            let left = *until - self.now;
            self.fail("I36", format!("{known:?} is in {room:?} again, {left:?} too early"));
        } else {
            self.mark(Mark::KickBarOver);
        }
    }

    /// A join is refused for its rate where there is no rate but that of those kicked.
    pub(super) fn wrote_too_early(&mut self, link: LinkId, retry_after_ms: u32) {
        let limits = &self.swarm.relay.limits;
        if limits.requests.is_some() || limits.rooms.is_some() {
            return;
        }
        let Some(conn) = self.session_on(link) else { return };
        let session = &self.sessions[&conn];
        let (known, since) = (session.known(), session.quiet_since);
        let barred = self.bars.kicks.iter().any(|(_, who, until)| *who == known && since < *until);
        let most = self.swarm.relay.kick_bar.as_millis().max(1);
        self.mark(Mark::KickBar);
        if !barred || u128::from(retry_after_ms) > most {
            let seen = format!("{known:?} is kept out of a room for {retry_after_ms} ms: {barred}");
            self.fail("I36", seen);
        }
    }

    pub(super) fn forget_bars(&mut self) {
        self.bars = Bars::default();
    }
}
