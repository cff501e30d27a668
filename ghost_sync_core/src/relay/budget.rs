//! What each connection has used up of its limits, and what comes of asking for more.

use std::time::{Duration, Instant};

use super::{
    Relay,
    config::RelayMode,
    deadlines::millis,
    event::{ConnId, LinkId, Output},
    limits::Limits,
};
use crate::wire::{Bucket, CloseReason, Cost, Progress, Rate, Refusal, Resume, RoomId};

/// One connection's buckets. They outlive its links, or who comes back had full ones.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Messages, their bytes, and the bytes that they become.
    said: [Bucket; 3],
    requests: Bucket,
    pings: Bucket,
    resumes: Bucket,
    excess: Excess,
    /// Since when it is not read for the sake of others, if it is not.
    held_since: Option<u64>,
    /// For how long it was not, with full buckets: what it said meanwhile comes at once.
    held: u64,
}

/// How much was refused lately, as the time that it would have taken.
#[derive(Debug, Default)]
struct Excess {
    since: u64,
    /// While the client could not yet know that it asks for too much, and after that.
    unknowing: u64,
    knowing: u64,
}

impl Budget {
    /// Takes what a message costs out of all buckets, or out of none.
    fn say(&mut self, now: u64, limits: &Limits, cost: Cost) -> Result<(), Duration> {
        let rates = [limits.messages, limits.bytes, limits.fan_out];
        let costs = [cost.messages, cost.bytes, cost.fan_out];
        let mut said = self.said;
        let (mut wait, mut excess) = (Duration::ZERO, 0);
        for ((bucket, rate), cost) in said.iter_mut().zip(rates).zip(costs) {
            if let Err(missing) = bucket.check(now, rate, cost) {
                wait = wait.max(missing);
                excess = excess.max(time(rate, cost));
            }
        }
        if wait.is_zero() {
            self.said = said;
            return Ok(());
        }
        let late = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        if let Some(held) = self.held.checked_sub(late) {
            self.held = held;
            self.said.iter_mut().for_each(|bucket| bucket.earlier(late));
            return self.say(now, limits, cost);
        }
        self.excess.add(now, excess);
        Err(wait)
    }

    /// Takes a request that costs so much.
    fn ask(&mut self, now: u64, limits: &Limits, cost: u64) -> Result<(), Duration> {
        let taken = self.requests.check(now, limits.requests, cost);
        taken.inspect_err(|_| self.excess.add(now, time(limits.requests, cost)))
    }

    fn ping(&mut self, now: u64, limits: &Limits) -> Result<(), Duration> {
        let taken = self.pings.check(now, limits.pings, 1);
        taken.inspect_err(|_| self.excess.add(now, time(limits.pings, 1)))
    }

    /// Notes whether it is not read for the sake of others.
    pub(super) fn hold(&mut self, now: u64, is_held: bool) {
        if let Some(since) = self.held_since {
            let since = since.max(now.saturating_sub(LONGEST_HOLD));
            let full = self.said.iter().map(|bucket| bucket.full_at()).fold(since, u64::max);
            self.held = self.held.saturating_add(now.saturating_sub(full)).min(WINDOW);
        }
        self.held_since = is_held.then_some(now);
    }

    /// All buckets are full again.
    pub(super) fn refill(&mut self) {
        *self = Self::default();
    }
}

impl Excess {
    fn add(&mut self, now: u64, time: u64) {
        if now.saturating_sub(self.since) > WINDOW {
            *self = Self { since: now, ..Self::default() };
        }
        let known = now.saturating_sub(self.since) >= UNKNOWING;
        let sum = if known { &mut self.knowing } else { &mut self.unknowing };
        // One message to a large room may take many seconds by itself.
        *sum = sum.saturating_add(time.min(MOST_OF_ONE));
    }

    fn is_any(&self) -> bool {
        self.unknowing > 0 || self.knowing > 0
    }

    fn is_strike(&self) -> bool {
        self.knowing > STRIKE || self.unknowing > FLOOD
    }
}

fn time(rate: Option<Rate>, cost: u64) -> u64 {
    rate.map_or(0, |rate| rate.time(cost))
}

impl Relay {
    /// The relay's clock: nanoseconds since the first connection.
    pub(super) fn clock(&self, now: Instant) -> u64 {
        let since = self
            .first_connect
            .map_or_else(Default::default, |first| now.saturating_duration_since(first));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes a message of `len` bytes to a room, or to the host, out of what its sender
    /// may say.
    pub(super) fn may_say(
        &mut self,
        now: Instant,
        conn: ConnId,
        heard_in: Option<RoomId>,
        len: usize,
    ) -> Result<(), Refusal> {
        let now = self.clock(now);
        let Some(connection) = self.conns.get_mut(conn) else { return Ok(()) };
        let room = heard_in.filter(|room| connection.seat_in(*room).is_some());
        let room = room.and_then(|room| self.rooms.get(&room));
        let room = room.filter(|room| room.config.mode != RelayMode::ServerOnly);
        let cost = Cost::message(len, room.map_or(0, |room| room.members().len()));
        let limits = &self.config.limits;
        connection.budget.say(now, limits, cost).map_err(refusal)?;
        let key = connection.signed.as_ref().and_then(|signed| signed.key);
        let Some(user) = key.and_then(|key| self.users.get_mut(key)) else { return Ok(()) };
        let taken = user.say(now, limits, cost.bytes);
        taken.map_err(|wait| {
            connection.budget.excess.add(now, time(limits.user_messages, 1));
            refusal(wait)
        })
    }

    /// Takes a request out of what its sender may ask for.
    pub(super) fn may_ask(&mut self, now: Instant, conn: ConnId, cost: u64) -> Result<(), Refusal> {
        let now = self.clock(now);
        let Some(connection) = self.conns.get_mut(conn) else { return Ok(()) };
        connection.budget.ask(now, &self.config.limits, cost).map_err(refusal)
    }

    /// Whether a ping is to be answered.
    pub(super) fn may_ping(&mut self, now: Instant, conn: ConnId) -> bool {
        let now = self.clock(now);
        let connection = self.conns.get_mut(conn);
        connection.is_none_or(|found| found.budget.ping(now, &self.config.limits).is_ok())
    }

    /// Whether the session of `conn` may be taken up again by another process.
    pub(super) fn may_begin_anew(&mut self, now: Instant, conn: ConnId) -> Result<(), CloseReason> {
        let now = self.clock(now);
        let Some(connection) = self.conns.get_mut(conn) else { return Ok(()) };
        let taken = connection.budget.resumes.check(now, self.config.limits.resumes, 1);
        taken.map_err(|wait| CloseReason::RateLimited { retry_after_ms: millis_up(wait) })
    }

    /// Whether the session of `conn` may be taken up again where its client says.
    pub(super) fn may_resume(
        &mut self,
        now: Instant,
        conn: ConnId,
        resume: &Resume,
    ) -> Result<(), CloseReason> {
        let past = |Progress { room, last, .. }: &Progress| {
            let log = &self.rooms.get(room)?.log;
            let next = last.saturating_add(1).clamp(log.first(), log.next());
            Some(log.end() - log.start_of(next))
        };
        let past = resume.rooms.iter().filter_map(past).fold(0, u64::saturating_add);
        if past > FREE_PAST { self.may_begin_anew(now, conn) } else { Ok(()) }
    }

    /// Takes a room that a join makes out of what may be made from where that comes from.
    pub(super) fn may_make_room(&mut self, now: Instant, conn: ConnId) -> Result<(), Refusal> {
        let now = self.clock(now);
        let Some(connection) = self.conns.get(conn) else { return Ok(()) };
        let rate = self.config.limits.rooms;
        let key = connection.signed.as_ref().and_then(|signed| signed.key);
        let made = match key.and_then(|key| self.users.get_mut(key)) {
            Some(user) => user.rooms.check(now, rate, 1),
            None => self.gate.may_make_room(now, connection.addr, rate),
        };
        made.map_err(refusal)
    }

    /// Why its user, or nobody from where that connection comes from, may come in, if so.
    pub(super) fn check_bar(&self, now: Instant, conn: ConnId) -> Result<(), CloseReason> {
        let Some(connection) = self.conns.get(conn) else { return Ok(()) };
        let now = self.clock(now);
        let barred = match connection.identity() {
            Some(identity) => self.users.barred_for(now, &identity.user),
            None => self.gate.barred_for(now, connection.addr),
        };
        match barred {
            Some(left) => Err(CloseReason::RateLimited { retry_after_ms: millis_up(left) }),
            None => Ok(()),
        }
    }

    /// Whether a connection went on for too long after it was refused.
    pub(super) fn is_struck(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some_and(|found| found.budget.excess.is_strike())
    }

    /// Puts a connection out for asking too much, and bars its user, or where it comes from.
    pub(super) fn put_out(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let at = self.clock(now);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.budget.excess = Excess::default();
        let addr = connection.addr;
        let key = connection.signed.as_ref().and_then(|signed| signed.key);
        let bar = match key.and_then(|key| self.users.get_mut(key)) {
            Some(user) => {
                user.bar.strike(at, self.config.gate.bar);
                user.bar.left(at)
            }
            None => self.gate.strike(at, addr),
        };
        let bar = bar.unwrap_or(UNBARRED);
        let reason = CloseReason::RateLimited { retry_after_ms: millis_up(bar) };
        self.close(now, conn, reason, out);
    }

    /// Whether a client was refused something just now for asking too much: reading from it
    /// may wait.
    pub fn is_over_limit(&self, now: Instant, link: LinkId) -> bool {
        let connection = self.conn_on(link).and_then(|conn| self.conns.get(conn));
        connection.is_some_and(|found| {
            let excess = &found.budget.excess;
            excess.is_any() && self.clock(now).saturating_sub(excess.since) <= WINDOW
        })
    }
}

fn refusal(wait: Duration) -> Refusal {
    Refusal::RateLimited { retry_after_ms: millis_up(wait) }
}

/// Milliseconds, rounded up: who comes then is not too early.
fn millis_up(duration: Duration) -> u32 {
    millis(duration.saturating_add(Duration::from_nanos(999_999))).max(1)
}

/// Bytes of the past that a resume may bring at any time.
const FREE_PAST: u64 = 64 << 10;

/// Who is refused so much within the window, as time that it would have taken, is put out.
const STRIKE: u64 = 4 * 1_000_000_000;

/// After its first refusal a client is not blamed for what was on its way: not for so long,
/// and not for so much.
const UNKNOWING: u64 = 1_000_000_000;
const FLOOD: u64 = 20 * 1_000_000_000;
const WINDOW: u64 = 10 * 1_000_000_000;

/// A sender that is held is looked at again within so much.
const LONGEST_HOLD: u64 = 1_000_000_000;

/// What one refusal adds to that at most.
const MOST_OF_ONE: u64 = 1_000_000_000;

/// When somebody who is put out and not barred is asked to come back.
const UNBARRED: Duration = Duration::from_secs(1);
