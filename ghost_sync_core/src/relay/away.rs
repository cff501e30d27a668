//! How many sessions are held for those who lost their links, and who makes room for others.

use std::{net::SocketAddr, time::Instant};

use super::{
    Relay,
    event::{ConnId, Output},
};

impl Relay {
    /// A session is held from now on.
    pub(super) fn now_away(&mut self, conn: ConnId) {
        self.away.push_back(conn);
        if let Some(connection) = self.conns.get(conn) {
            self.gate.went_away(connection.addr);
        }
    }

    /// A session is no longer held, if it was.
    pub(super) fn no_longer_away(&mut self, conn: ConnId) {
        let Some(at) = self.away.iter().position(|away| *away == conn) else { return };
        self.away.remove(at);
        if let Some(connection) = self.conns.get(conn) {
            self.gate.came_back(connection.addr);
        }
    }

    /// Ends what is held past the limits: of one address its oldest, of all the oldest of
    /// the address that most are held for, so that a flood puts out its own.
    pub(super) fn bound_away(&mut self, now: Instant, from: SocketAddr, out: &mut Vec<Output>) {
        if planted!("any-number-away") {
            return;
        }
        if self.gate.is_crowded(from)
            && let Some(oldest) = self.oldest_away(|addr| self.gate.is_same(addr, from))
        {
            self.end_away(now, oldest, out);
        }
        let most = (self.config.max_clients / 4).max(MIN_AWAY);
        while self.away.len() > most {
            let held = |addr| self.gate.away_from(addr);
            let worst = self.away.iter().filter_map(|away| Some(held(self.conns.get(*away)?.addr)));
            let worst = worst.max().unwrap_or(0);
            let worst = if planted!("away-flood-evicts-others") { 0 } else { worst };
            let Some(oldest) = self.oldest_away(|addr| held(addr) >= worst) else { return };
            self.end_away(now, oldest, out);
        }
    }

    fn oldest_away(&self, of: impl Fn(SocketAddr) -> bool) -> Option<ConnId> {
        let is_of = |away: &&ConnId| self.conns.get(**away).is_some_and(|found| of(found.addr));
        self.away.iter().find(is_of).copied()
    }

    fn end_away(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let reason = self.away_reason(conn);
        self.end_session(now, conn, reason, out);
    }
}

/// Clients that may be away, at least.
const MIN_AWAY: usize = 16;
