//! What happens to a connection that is too far behind: `Volatile` messages go, as many as
//! the policy says; too much of what must stay ends the connection.

use std::time::Instant;

use super::{
    Relay,
    config::OverflowPolicy,
    event::{ConnId, Output},
    log::{Class, Log, Totals},
    metadata::clamp_u32,
    outbox::QueueLen,
    session::{SeatRef, Threshold},
};
use crate::wire::{CloseReason, Delivery};

impl Relay {
    /// Drops or closes if more waits for `conn`, whose socket is full, than may.
    ///
    /// Looks at counts only, however much waits; but for the moment in which it is closed.
    pub(super) fn check_overflow(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn).filter(|connection| connection.is_open())
        else {
            return;
        };
        if connection.outbox.replies() > self.config.max_owed_replies {
            let max = clamp_u32(self.config.max_owed_replies);
            return self.close(now, conn, CloseReason::TooManyRequests { max }, out);
        }
        self.time_writes(now, conn);
        let waiting = self.waiting(conn);
        let base = Threshold::of(&self.config);
        if waiting.frames > base.frames || waiting.bytes > base.bytes {
            if self.config.overflow == OverflowPolicy::Disconnect {
                // Its own messages, which it does not get, do not count.
                let len = self.queue_len(conn);
                if len.frames > base.frames || len.bytes > base.bytes {
                    return self.close_slow(now, conn, len.bytes, out);
                }
            } else {
                self.skip_volatile(conn, waiting, out);
            }
        }
        let lost = self.has_lost(conn);
        let must_stay = self.must_stay(conn);
        let recount_at = self.conns.get(conn).map_or(usize::MAX, |found| found.recount_at);
        if !lost && must_stay <= recount_at {
            return;
        }
        let limit = self.config.outbox_limit;
        let exact = self.must_stay_exactly(conn);
        if lost || exact > limit {
            return self.close_slow(now, conn, exact, out);
        }
        // Its own messages are counted too: look again when there are more.
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.recount_at = must_stay + limit / 8;
        }
    }

    /// Counts the time in which a full socket has to take something only while anything waits
    /// that must arrive.
    pub(super) fn time_writes(&mut self, now: Instant, conn: ConnId) {
        let owes = self.owes(conn);
        if let Some(blocked) = self.conns.get_mut(conn).and_then(|found| found.blocked.as_mut()) {
            if !owes || !blocked.owes {
                blocked.since = now;
            }
            blocked.owes = owes;
        }
    }

    /// Whether a room has forgotten what a connection must still be given.
    fn has_lost(&self, conn: ConnId) -> bool {
        let Some(connection) = self.conns.get(conn) else { return false };
        connection.seats.iter().any(|held| {
            self.rooms.get(&held.room).is_some_and(|room| {
                let cursor = room.member(held.seat).map_or(u64::MAX, |member| member.cursor);
                room.reliable.is_lost(cursor, held.seat)
            })
        })
    }

    /// Leaves out `Volatile` messages until half of what may wait does, if there are so many.
    fn skip_volatile(&mut self, conn: ConnId, waiting: Threshold, out: &mut Vec<Output>) {
        let base = Threshold::of(&self.config);
        let policy = self.config.overflow;
        let Some(connection) = self.conns.get(conn) else { return };
        for SeatRef { room, seat } in connection.seats.clone() {
            let Some(found) = self.rooms.get_mut(&room) else { continue };
            let Some(member) = found.member(seat) else { continue };
            let Some(behind) = member.behind.as_deref() else { continue };
            let cursor = member.cursor;
            let there = volatile(&found.log, cursor, behind.skipped());
            // Of half of what may wait, what others than these leave.
            let others = Threshold {
                frames: waiting.frames.saturating_sub(there.frames),
                bytes: waiting.bytes.saturating_sub(there.bytes),
            };
            let keep = match policy {
                OverflowPolicy::KeepLatest | OverflowPolicy::Disconnect => {
                    Threshold { frames: 0, bytes: 0 }
                }
                OverflowPolicy::DropOldest | OverflowPolicy::DropNewest => Threshold {
                    frames: (base.frames / 2).saturating_sub(others.frames),
                    bytes: (base.bytes / 2).saturating_sub(others.bytes),
                },
            };
            let fits = |totals: Totals| {
                totals.volatile as usize <= keep.frames
                    && totals.volatile_bytes as usize <= keep.bytes
            };
            if there.frames <= keep.frames && there.bytes <= keep.bytes {
                continue;
            }
            let (head, all) = (found.log.next(), found.log.totals_before(u64::MAX));
            let (from, to) = if policy == OverflowPolicy::DropNewest {
                let start = found.log.totals_before(cursor.max(found.log.first()));
                let past = found.log.find(cursor, |before| !fits(before.since(start)));
                (past.saturating_sub(1).max(cursor), head)
            } else {
                (cursor, found.log.find(cursor, |before| fits(all.since(before))))
            };
            let Some(behind) = found.behind_mut(seat) else { continue };
            behind.skip(cursor, from, to);
            let skipped = behind.skipped().to_vec();
            let left = volatile(&found.log, cursor, &skipped).frames;
            if there.frames > left {
                self.report_lag(conn, room, (there.frames - left) as u64, out);
            }
        }
    }

    /// Frames and bytes that wait for a connection, but for the newest values: their
    /// number has other bounds. Own messages count, which it does not get.
    pub(super) fn waiting(&self, conn: ConnId) -> Threshold {
        let Some(connection) = self.conns.get(conn) else {
            return Threshold { frames: 0, bytes: 0 };
        };
        let mut waiting =
            Threshold { frames: connection.outbox.frames(), bytes: connection.outbox.bytes() };
        // What an absent member missed waits in the room's history, not for it.
        for held in connection.seats.iter().filter(|_| !connection.is_away()) {
            let Some(room) = self.rooms.get(&held.room) else { continue };
            let Some(member) = room.member(held.seat) else { continue };
            let skipped = member.behind.as_deref().map_or(&[][..], |behind| behind.skipped());
            let volatile = volatile(&room.log, member.cursor, skipped);
            let since = room.log.totals_since(member.cursor);
            waiting.frames += since.reliable as usize + volatile.frames;
            waiting.bytes += since.reliable_bytes as usize + volatile.bytes;
        }
        waiting
    }

    /// Bytes that wait for a connection and must not be dropped.
    fn must_stay(&self, conn: ConnId) -> usize {
        let Some(connection) = self.conns.get(conn) else { return 0 };
        let in_rooms = connection.seats.iter().map(|held| {
            let Some(room) = self.rooms.get(&held.room) else { return 0 };
            let Some(member) = room.member(held.seat) else { return 0 };
            let log = room.log.totals_since(member.cursor).reliable_bytes as usize;
            let forgotten = member.cursor < room.log.first();
            log + if forgotten { room.reliable.bytes_since(member.cursor) } else { 0 }
        });
        connection.outbox.cost() + in_rooms.sum::<usize>()
    }

    /// What waits for a client: what it would be sent if it read all of it now, but for what
    /// may be lost of what is said to it alone.
    pub fn queue_len(&self, conn: ConnId) -> QueueLen {
        let Some(connection) = self.conns.get(conn) else { return QueueLen::default() };
        let mut len =
            QueueLen { frames: connection.outbox.frames(), bytes: connection.outbox.bytes() };
        for held in connection.seats.iter().filter(|_| !connection.is_away()) {
            let Some(room) = self.rooms.get(&held.room) else { continue };
            let Some(member) = room.member(held.seat) else { continue };
            let behind = member.behind.as_deref();
            let sizes = room.sizes_for(held.seat, member.cursor, behind);
            for (_, size) in sizes {
                len.frames += 1;
                len.bytes += size;
            }
        }
        len
    }

    /// The same as `must_stay`, without its own messages.
    fn must_stay_exactly(&self, conn: ConnId) -> usize {
        let Some(connection) = self.conns.get(conn) else { return 0 };
        let in_rooms = connection.seats.iter().map(|held| {
            let Some(room) = self.rooms.get(&held.room) else { return 0 };
            let Some(member) = room.member(held.seat) else { return 0 };
            let sizes = room.sizes_for(held.seat, member.cursor, member.behind.as_deref());
            let reliable = Class::Message(Delivery::Reliable);
            sizes.filter(|(class, _)| *class == reliable).map(|(_, size)| size).sum::<usize>()
        });
        connection.outbox.cost() + in_rooms.sum::<usize>()
    }

    fn close_slow(&mut self, now: Instant, conn: ConnId, queued: usize, out: &mut Vec<Output>) {
        let max = clamp_u32(self.config.outbox_limit);
        let reason = CloseReason::SlowConsumer { queued: clamp_u32(queued), max };
        self.close(now, conn, reason, out);
    }
}

/// The `Volatile` messages from `cursor` on that are not left out.
fn volatile(log: &Log, cursor: u64, skipped: &[(u64, u64)]) -> Threshold {
    let all = log.totals_since(cursor);
    let mut left = (all.volatile as usize, all.volatile_bytes as usize);
    for (from, to) in skipped {
        let start = log.totals_before((*from).max(cursor).max(log.first()));
        let gone = log.totals_before((*to).max(cursor).max(log.first())).since(start);
        left.0 = left.0.saturating_sub(gone.volatile as usize);
        left.1 = left.1.saturating_sub(gone.volatile_bytes as usize);
    }
    Threshold { frames: left.0, bytes: left.1 }
}
