//! What clients and addresses may ask for, reckoned in another way than the relay does.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{Cause, Known, Mark, Oracle};
use crate::{
    relay::{ConnId, Limits},
    wire::{ClientId, CloseReason, DisconnectReason, Rate},
};

/// Messages, and bytes of them, that were not paid back with time.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent {
    messages: Level,
    bytes: Level,
}

/// What was spent and not paid back.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    level: f64,
    at: Option<Instant>,
}

impl Spent {
    /// Adds a message; returns whether all of it was within the limits, as nearly as can be
    /// said.
    pub(super) fn add(&mut self, now: Instant, limits: &Limits, len: usize) -> bool {
        self.add_with(now, limits, len, ROUNDING)
    }

    /// The same, but what is nearly too much is too much.
    pub(super) fn add_strictly(&mut self, now: Instant, limits: &Limits, len: usize) -> bool {
        self.add_with(now, limits, len, -ROUNDING)
    }

    fn add_with(&mut self, now: Instant, limits: &Limits, len: usize, slack: f64) -> bool {
        let messages = self.messages.add(now, limits.messages, 1.0, slack);
        let bytes = self.bytes.add(now, limits.bytes, len.max(64) as f64, slack);
        messages && bytes
    }
}

impl Level {
    /// Spends so much; returns whether that is within the rate, give or take the slack.
    pub(super) fn add(&mut self, now: Instant, rate: Option<Rate>, cost: f64, slack: f64) -> bool {
        let Some(rate) = rate else { return true };
        let (per_second, burst) = rate.parts();
        let since = self.at.replace(now).map_or(0.0, |at| (now - at).as_secs_f64());
        self.level = (self.level - since * per_second).max(0.0) + cost;
        self.level <= burst.max(cost) + slack
    }
}

impl Oracle {
    /// The host was given a message of a session.
    pub(super) fn spends(&mut self, cause: &Cause, conn: ConnId, len: usize) {
        // What waited for a verdict was paid for when it came.
        if !matches!(cause, Cause::Bytes(_)) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if !session.spent.add(self.now, &self.swarm.relay.limits, len) {
            let seen =
                format!("too much is accepted of {}: {:?}", session.client_id, session.spent);
            self.fail("I28", seen);
        }
    }

    /// A session ended or lost its link, perhaps for asking too much.
    pub(super) fn put_out(&mut self, reason: &DisconnectReason, known: Known) {
        if !matches!(reason, DisconnectReason::Closed(CloseReason::RateLimited { .. })) {
            return;
        }
        self.mark(Mark::PutOut);
        self.strikes(known);
    }

    /// More sessions than may be are away from there, with one that is no longer.
    pub(super) fn is_crowded(&self, addr: SocketAddr) -> bool {
        let away = self.away_by_address().get(&addr.ip()).copied().unwrap_or(0);
        away >= self.swarm.relay.gate.away
    }

    /// A session was ended because too many were away.
    pub(super) fn evicted(&mut self, client_id: ClientId, addr: SocketAddr) {
        let away = self.away_by_address();
        let own = away.get(&addr.ip()).copied().unwrap_or(0) + 1;
        if let Some((other, count)) = away.iter().find(|(_, count)| **count > own) {
            let seen = format!("{client_id} of {addr} makes room, {own} are away from there");
            self.fail("I12", format!("{seen}, and {count} from {other}"));
        }
    }

    /// No address holds more than it may.
    pub(super) fn check_crowds(&mut self) {
        let most = self.swarm.relay.gate.away;
        let away = self.away_by_address();
        if let Some((addr, count)) = away.iter().find(|(_, count)| **count > most) {
            self.fail("I12", format!("{count} sessions are away from {addr}, at most {most}"));
        }
    }

    fn away_by_address(&self) -> BTreeMap<IpAddr, usize> {
        let mut counts = BTreeMap::new();
        for session in self.sessions.values().filter(|session| session.away.is_some()) {
            *counts.entry(session.addr.ip()).or_insert(0) += 1;
        }
        counts
    }
}

/// What two ways of reckoning may differ by.
const ROUNDING: f64 = 1e-3;
