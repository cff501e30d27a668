//! When a room's events go out, and to whom: an event is logged, then the room waits for company
//! or for its tick.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{
    Relay, catch_up,
    event::{LinkId, Output},
    log::Origin,
    pace::{Pace, Pending},
};
use crate::wire::RoomId;

impl Relay {
    /// Appends an event to a room's log.
    pub(super) fn append(
        &mut self,
        now: Instant,
        room: RoomId,
        origin: Origin,
        size: usize,
        encode: impl FnOnce(&mut BytesMut, u64),
    ) -> u64 {
        let Some(found) = self.rooms.get_mut(&room) else { return 0 };
        // Of all rooms of a client together, a part of what may wait for it.
        let most = self.config.outbox_limit / self.config.rooms_per_client.max(1) / 4;
        let full = FULL_BATCH.min(most as u64);
        let seq = found.append(now, origin, size, encode);
        let (kept, before) = found.recount();
        self.history_bytes = self.history_bytes + kept - before;
        let unflushed = found.unflushed();
        let together = usize::try_from(unflushed).unwrap_or(usize::MAX);
        let together = together.saturating_mul(self.config.rooms_per_client);
        self.pending_bytes = self.pending_bytes.max(together);
        let (tick, full) = (found.tick(), unflushed > full);
        if tick.is_none() {
            let members = found.members().len();
            self.pace.said(now, &mut found.company, members);
        }
        match found.pending {
            Pending::Nothing => {
                let due = match tick {
                    Some(tick) => Pace::at_tick(now, tick, found.last_flush),
                    None => self.pace.in_company(now, &found.company),
                };
                found.pending = if full { Pending::Due } else { due };
                self.pace.list(now, room, found.pending, tick.is_some());
            }
            Pending::Until(at) if full => {
                self.pace.unlist(at, room);
                found.pending = Pending::Due;
                self.pace.list(now, room, Pending::Due, tick.is_some());
            }
            Pending::Until(_) if tick.is_none() => self.pace.grew(now),
            Pending::Until(_) | Pending::Due => {}
        }
        seq
    }

    /// Appends the links that have something to send and whose sockets are not known to
    /// be full to `ready`, each once.
    ///
    /// Call it again after writing to them: it also frees what was sent.
    pub fn take_ready(&mut self, now: Instant, ready: &mut Vec<LinkId>, out: &mut Vec<Output>) {
        self.pending_bytes = 0;
        self.tidy(now);
        let mut blocked = Vec::new();
        let mut due = self.pace.take(now);
        for (room, listed) in due.drain(..) {
            let Some(found) = self.rooms.get_mut(&room) else { continue };
            // It may have left since, and wait again.
            if found.pending != listed {
                continue;
            }
            found.flushed(now);
            let members = found.members().len();
            self.pace.flushed(&mut found.company, members);
            found.advance_cursors(|member| {
                let Some(connection) = self.conns.get_mut(member.conn) else { return };
                if connection.blocked.is_some() {
                    blocked.push(member.conn);
                } else if !connection.ready {
                    connection.ready = true;
                    self.ready.push(member.conn);
                }
            });
            self.trim_rooms.push(room);
        }
        self.pace.reuse(due);
        for conn in blocked {
            self.check_overflow(now, conn, out);
            self.note_congestion(now, conn);
        }
        let mut listed = std::mem::take(&mut self.ready);
        for conn in listed.drain(..) {
            let Some(connection) = self.conns.get_mut(conn) else { continue };
            connection.ready = false;
            match connection.link {
                _ if connection.blocked.is_some() => {
                    self.check_overflow(now, conn, out);
                    self.note_congestion(now, conn);
                }
                Some(link) => {
                    connection.outbox.admit_asides(&connection.seats);
                    if connection.behind {
                        self.read_on(conn, catch_up::WINDOW, out);
                    }
                    ready.push(link);
                }
                None => self.end_if_overfull(now, conn, out),
            }
        }
        // Closing a slow connection may have made others ready; they stay for the next call.
        listed.append(&mut self.ready);
        self.ready = listed;
    }

    /// Whether [`take_ready`](Self::take_ready) has something to do now; what waits for
    /// its time is in [`next_deadline`](Self::next_deadline).
    pub fn is_dirty(&self) -> bool {
        self.pace.is_due() || !(self.ready.is_empty() && self.trim_rooms.is_empty())
    }

    /// Whether rooms have something to send whose time has not come.
    pub fn is_waiting(&self) -> bool {
        self.pace.next().is_some()
    }

    /// Bytes of events that one client may have to be sent at the next
    /// [`take_ready`](Self::take_ready): those of the fullest room, times the rooms of a client.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Frees what everybody was sent; [`take_ready`](Self::take_ready) does so first.
    pub fn tidy(&mut self, now: Instant) {
        for room in std::mem::take(&mut self.trim_rooms) {
            self.trim(now, room);
        }
        self.bound_history(now);
    }

    /// Writing to connections took from `began` to `ended`. When that and reading take up
    /// nearly all of the time, rooms without a tick of their own wait for company before
    /// they are ready.
    pub fn wrote(&mut self, began: Instant, ended: Instant) {
        self.pace.wrote(began, ended);
    }

    /// How long a room without a tick of its own waits for company.
    pub fn flush_delay(&self) -> Duration {
        self.pace.delay()
    }
}

/// Bytes of new events with which a room waits no longer: more of them would not make
/// a write any cheaper.
const FULL_BATCH: u64 = 16 << 10;
