//! What is due next. One entry per connection, question and empty room, looked
//! at lazily: hearing from a peer moves nothing here.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    Relay,
    event::{AskId, ConnId, Output, RelayEvent},
    metadata::clamp_u32,
    outbox::ItemKind,
    session::{Session, Unacked},
};
use crate::wire::{CloseReason, RoomId, ServerMessage};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Due {
    Connection(ConnId),
    Ask(AskId),
    Room(RoomId),
}

#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Due)>);

impl Deadlines {
    pub(super) fn add(&mut self, at: Instant, due: Due) {
        self.0.insert((at, due));
    }

    pub(super) fn remove(&mut self, at: Instant, due: Due) {
        self.0.remove(&(at, due));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, due)| due)
    }
}

impl Relay {
    /// When [`Input::Tick`](super::Input::Tick) and then [`take_ready`](Self::take_ready) are
    /// needed at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let history = self.histories.first().map(|(at, _)| *at);
        self.deadlines.next().into_iter().chain(history).chain(self.pace.next()).min()
    }

    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        let late = self.deadlines.next().map(|due| now.saturating_duration_since(due));
        if let Some(late) = late.filter(|late| *late > ASLEEP) {
            // This process stood still: peers must not pay for it.
            self.conns.values_mut().for_each(|connection| connection.postpone(late));
            self.gate.refill();
            self.users.refill();
            // In whatever order: each moves by itself.
            self.rooms.values_mut().for_each(|room| room.postpone(late));
            for room in self.deleted.iter().copied() {
                if let Some(found) = self.rooms.get_mut(&room)
                    && let Some(at) = &mut found.expires
                {
                    self.deadlines.remove(*at, Due::Room(room));
                    *at += late;
                    self.deadlines.add(*at, Due::Room(room));
                }
            }
        }
        self.pace.tick(now);
        while let Some((at, room)) = self.histories.first().copied().filter(|(at, _)| *at <= now) {
            self.histories.remove(&(at, room));
            if let Some(found) = self.rooms.get_mut(&room) {
                found.history_due = None;
            }
            self.trim(now, room);
        }
        while let Some(due) = self.deadlines.pop(now) {
            match due {
                Due::Connection(conn) => self.connection_due(now, conn, out),
                Due::Ask(ask) => self.ask_expired(now, ask, out),
                Due::Room(room) => self.room_due(now, room, out),
            }
        }
    }

    /// Makes sure that the connection is looked at by its deadline.
    pub(super) fn schedule(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.deadline(&self.config) < connection.due {
            self.reschedule(conn);
        }
    }

    /// Has the connection looked at by its deadline, and not before.
    pub(super) fn reschedule(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        self.deadlines.remove(connection.due, Due::Connection(conn));
        connection.due = connection.deadline(&self.config);
        self.deadlines.add(connection.due, Due::Connection(conn));
    }

    /// When a connection is pinged next that is not to be pinged now.
    ///
    /// Those that are due at about the same time are pinged at the same moment: many
    /// pings cost little more than one then, as do their answers.
    pub(super) fn next_ping(&self, now: Instant) -> Instant {
        let at = now + self.config.ping_interval;
        let sweep = (self.config.ping_interval / SWEEPS).as_nanos().max(1);
        let Some(first) = self.first_connect else { return at };
        let late = at.saturating_duration_since(first).as_nanos() % sweep;
        let wait = if late == 0 { 0 } else { sweep - late };
        at + Duration::from_nanos(u64::try_from(wait).unwrap_or(0))
    }

    fn connection_due(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn) else { return };
        if let Session::Closing { until } = connection.session
            && until <= now
        {
            self.forget(conn, out);
            return;
        }
        if let Session::Away { until, reason } = &connection.session
            && *until <= now
        {
            let reason = reason.clone();
            self.end_session(now, conn, reason, out);
            return;
        }
        self.time_writes(now, conn);
        if let Some(reason) = self.overdue(now, conn) {
            self.close(now, conn, reason, out);
        } else {
            self.ping_if_due(now, conn);
            self.token_due(now, conn, out);
        }
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.due = connection.deadline(&self.config);
            self.deadlines.add(connection.due, Due::Connection(conn));
        }
    }

    /// Why the connection must end now, if it must.
    fn overdue(&self, now: Instant, conn: ConnId) -> Option<CloseReason> {
        let connection = self.conns.get(conn)?;
        let live = &connection.liveness;
        let config = &self.config;
        match connection.session {
            Session::Greeting { until } if until <= now => {
                return Some(CloseReason::HandshakeTimeout {
                    after_ms: millis(config.handshake_timeout),
                });
            }
            Session::Away { .. } | Session::Closing { .. } => return None,
            Session::Greeting { .. } | Session::Asking { .. } | Session::Open => {}
        }
        if let Some(blocked) = connection.blocked
            && blocked.since + config.write_timeout <= now
        {
            let queued = clamp_u32(self.waiting(conn).bytes);
            return Some(CloseReason::SlowConsumer { queued, max: clamp_u32(config.outbox_limit) });
        }
        let stalled = live.partial.is_some_and(|since| since + config.frame_timeout <= now);
        if live.heard + config.idle_timeout <= now || stalled {
            let after = if stalled { config.frame_timeout } else { config.idle_timeout };
            return Some(CloseReason::IdleTimeout { after_ms: millis(after) });
        }
        let unanswered = connection.is_open() && live.next_ping <= now && live.ping.is_some();
        (unanswered && live.missed + 1 >= MAX_MISSED_PINGS)
            .then_some(CloseReason::PingTimeout { missed: MAX_MISSED_PINGS })
    }

    fn ping_if_due(&mut self, now: Instant, conn: ConnId) {
        let nonce = self.random();
        let next_ping = self.next_ping(now);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if !connection.is_open() || connection.liveness.next_ping > now {
            return;
        }
        connection.liveness.next_ping = next_ping;
        // Behind a full socket a ping would measure the queue; the write timeout watches there.
        if connection.blocked.is_some_and(|blocked| blocked.owes) {
            return;
        }
        if connection.liveness.ping.is_some() {
            connection.liveness.missed += 1;
        }
        connection.liveness.ping = Some((nonce, now));
        connection.unacked = Unacked::default();
        let received = connection.requests;
        self.push(conn, ItemKind::Control, &ServerMessage::Ping { nonce, received });
    }

    pub(super) fn pong(&mut self, now: Instant, conn: ConnId, nonce: u64, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let live = &mut connection.liveness;
        let Some((_, sent)) = live.ping.take_if(|(expected, _)| *expected == nonce) else { return };
        live.missed = 0;
        let rtt = now.saturating_duration_since(sent);
        live.rtt = Some(rtt);
        let client_id = connection.client_id;
        out.push(Output::Event(RelayEvent::Rtt { conn, client_id, rtt }));
    }
}

/// A duration as the wire has it.
pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// A relay that looks at its deadlines this late was asleep itself.
const ASLEEP: Duration = Duration::from_secs(2);

const MAX_MISSED_PINGS: u8 = 2;

/// Moments in a ping interval at which pings go out.
const SWEEPS: u32 = 256;

/// Longer durations than this (some thirty years) are cut to it, lest clocks overflow.
pub(super) const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);
