//! How much of the past rooms keep, each by itself and all of them together.

use std::{
    ops::Bound,
    time::{Duration, Instant},
};

use super::{Relay, plants};
use crate::wire::RoomId;

impl Relay {
    /// Forgets what a room need not keep, and sees to it that it is looked at again.
    pub(super) fn trim(&mut self, now: Instant, room: RoomId) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        found.trim(now);
        let (kept, before) = found.recount();
        self.history_bytes = self.history_bytes + kept - before;
        self.watch_history(now, room);
    }

    pub(super) fn trim_later(&mut self, room: RoomId) {
        if self.trim_rooms.last() != Some(&room) {
            self.trim_rooms.push(room);
        }
    }

    fn watch_history(&mut self, now: Instant, room: RoomId) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        let old = found.history_due;
        match (old, found.history_ends(now)) {
            (Some(old), None) => {
                self.histories.remove(&(old, room));
                found.history_due = None;
            }
            // Looked at lazily: later is found out then.
            (Some(old), Some(due)) if old <= due && old > now => {}
            (_, Some(due)) => {
                if let Some(old) = old {
                    self.histories.remove(&(old, room));
                }
                let due = due.max(now + SHORTEST_WATCH);
                found.history_due = Some(due);
                self.histories.insert((due, room));
            }
            (None, None) => {}
        }
    }

    /// Keeps the rooms' histories within what they may take together: the rooms
    /// with the oldest events give up half of theirs.
    pub(super) fn bound_history(&mut self, now: Instant) {
        let limit = plants::history_limit(self.config.history_limit as u64);
        // From where it stopped: rooms that somebody still needs all of save no others.
        let (mut needed, mut is_again) = (0, self.passed.is_none());
        while self.history_bytes > limit && needed < MAX_NEEDED {
            let after = self.passed.map_or(Bound::Unbounded, Bound::Excluded);
            let next = self.histories.range((after, Bound::Unbounded)).next().copied();
            let Some((due, room)) = next else {
                self.passed = None;
                if std::mem::replace(&mut is_again, true) {
                    break;
                }
                continue;
            };
            let Some(found) = self.rooms.get_mut(&room) else {
                self.histories.remove(&(due, room));
                continue;
            };
            found.trim_half();
            let (kept, before) = found.recount();
            self.history_bytes = self.history_bytes + kept - before;
            if kept >= before {
                self.passed = Some((due, room));
                needed += 1;
                continue;
            }
            found.history_due = None;
            self.histories.remove(&(due, room));
            self.watch_history(now, room);
        }
        if self.history_bytes <= limit {
            self.passed = None;
        }
    }
}

/// Rooms that are passed over at a time because somebody still needs all they keep.
const MAX_NEEDED: usize = 64;

/// A room's history is not looked at more often than this for its age.
const SHORTEST_WATCH: Duration = Duration::from_millis(100);
