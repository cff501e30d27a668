//! Whether a sender of much waits for those who hear it.
//!
//! What is said must not be lost to a member whose line is slower than the sender's, nor close
//! it. So a sender of much is not read while somebody who hears it, and reads, is far behind.

use std::time::{Duration, Instant};

use super::{
    Relay,
    event::{ConnId, LinkId},
    session::Blocked,
};
use crate::wire::RoomId;

impl Relay {
    /// Whether somebody who hears `link` has a full socket, reads, and has more than half of
    /// its limit waiting. A sender of much then waits, as long as that is so. Past the write
    /// timeout it is read slowly: who takes less than that is closed in the end. It reads if it
    /// took anything within the last two seconds, however little.
    ///
    /// That it says nothing while it waits, or stops within a frame, is not held against the
    /// sender, nor that what it said meanwhile comes at once: its limits allow that.
    pub fn is_congested(&mut self, now: Instant, link: LinkId) -> bool {
        let Some(conn) = self.conn_on(link) else { return false };
        let seats = self.conns.get(conn).map_or(0, |sender| sender.seats.len());
        let congested = (0..seats).any(|at| {
            let room = self.conns[conn].seats[at].room;
            self.is_room_congested(now, room, conn)
        });
        let clock = self.clock(now);
        let Some(sender) = self.conns.get_mut(conn) else { return false };
        sender.budget.hold(clock, congested);
        if congested {
            sender.liveness.heard = now;
            sender.liveness.missed = 0;
            // The rest of a frame lies in the socket.
            sender.liveness.partial = sender.liveness.partial.map(|_| now);
        }
        congested
    }

    /// Whether somebody in the room besides `sender` is far behind. Who is not any more is
    /// looked at once: it is noted again when it is.
    fn is_room_congested(&mut self, now: Instant, room: RoomId, sender: ConnId) -> bool {
        let Some(mut hearers) = self.congested.remove(&room) else { return false };
        let mut found = false;
        hearers.retain(|hearer| {
            found = found || *hearer != sender && self.is_far_behind(now, *hearer);
            found || *hearer == sender
        });
        if !hearers.is_empty() {
            self.congested.insert(room, hearers);
        }
        found
    }

    /// Looks whether a connection is one that others wait for.
    pub(super) fn note_congestion(&mut self, now: Instant, conn: ConnId) {
        if self.is_far_behind(now, conn) {
            for held in &self.conns[conn].seats {
                self.congested.entry(held.room).or_default().insert(conn);
            }
        }
    }

    /// Nobody in the room waits for the connection any more.
    pub(super) fn forget_congestion(&mut self, room: RoomId, conn: ConnId) {
        if let Some(hearers) = self.congested.get_mut(&room) {
            hearers.remove(&conn);
            if hearers.is_empty() {
                self.congested.remove(&room);
            }
        }
    }

    fn is_far_behind(&self, now: Instant, conn: ConnId) -> bool {
        let Some(connection) = self.conns.get(conn).filter(|found| found.is_open()) else {
            return false;
        };
        connection.blocked.is_some_and(|blocked| blocked.reads(now))
            && self.waiting(conn).bytes > self.config.outbox_limit / 2
    }
}

impl Blocked {
    fn reads(&self, now: Instant) -> bool {
        now < self.last + READS
    }
}

/// Who took nothing for as long does not read. Lines of a megabyte a second show progress
/// every tenth of a second or two, slower ones less often.
const READS: Duration = Duration::from_secs(2);
