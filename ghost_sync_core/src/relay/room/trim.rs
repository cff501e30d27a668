//! What a room may forget: nothing that a member still needs, nor what its history keeps.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::{MIN_NEWEST, Room};
use crate::{
    relay::{
        config::RoomHistory,
        deadlines::{FOR_EVER, millis},
        log::{Class, Log, Spared},
    },
    wire::Delivery,
};

impl Room {
    /// Forgets what every member has been given and history does not keep.
    pub(in crate::relay) fn trim(&mut self, now: Instant) {
        self.copies = FxHashMap::default();
        let RoomHistory { events, bytes, reliable, .. } = self.config.history;
        let (head, clock, age) = (self.log.next(), self.clock(now), millis(self.age()));
        let is_history = |log: &Log, seq: u64| {
            let count = usize::try_from(head - seq).unwrap_or(usize::MAX);
            let size = usize::try_from(log.end() - log.start_of(seq)).unwrap_or(usize::MAX);
            let at = log.entry(seq).map_or(clock, |entry| entry.at);
            count <= events && size <= bytes && clock.wrapping_sub(at) < age
        };
        let needed = self.needed();
        let mut keep = self.log.first();
        while keep < needed && !is_history(&self.log, keep) {
            keep += 1;
        }
        self.forget(keep);
        // Who is behind may need more than history keeps; nobody needs what is too old.
        let (wanted, limit) = (self.wanted(), self.outbox_limit.max(reliable as u64));
        while let Some(front) = self.reliable.front() {
            let is_wanted = front.seq >= wanted;
            let most = if is_wanted { limit } else { reliable as u64 };
            let is_old = !is_wanted && clock.wrapping_sub(front.at) >= age;
            if self.reliable.len() <= most && !is_old {
                break;
            }
            self.reliable.pop();
        }
        self.forget_former();
    }

    /// Forgets the older half of its history, to free memory for other rooms.
    pub(in crate::relay) fn trim_half(&mut self) {
        let before = self.kept_bytes();
        let first = self.log.first();
        let half = first + (self.log.next() - first).div_ceil(2);
        self.forget(half.min(self.needed()));
        if self.kept_bytes() >= before {
            let wanted = self.wanted();
            let most = self.reliable.len() / 2;
            while self.reliable.len() > most
                && self.reliable.front().is_some_and(|front| front.seq < wanted)
            {
                self.reliable.pop();
            }
        }
        self.forget_former();
    }

    /// When its oldest event becomes too old.
    pub(in crate::relay) fn history_ends(&self, now: Instant) -> Option<Instant> {
        let oldest = self.reliable.front().map(|kept| kept.at);
        let oldest = oldest.or_else(|| Some(self.log.entry(self.log.first())?.at))?;
        let age = Duration::from_millis(self.clock(now).wrapping_sub(oldest).into());
        Some(now + self.age().saturating_sub(age))
    }

    /// How old events may become: who is away must find those of its absence.
    fn age(&self) -> Duration {
        let away = self.members.iter().any(|member| member.away);
        let grace = if away { self.grace } else { Duration::ZERO };
        self.config.history.age.max(grace).min(FOR_EVER)
    }

    /// The oldest event that the log must have for somebody who has not been given it.
    ///
    /// For those who are behind it keeps as much as may wait for a member; what is older
    /// and may not be lost they find among what is kept apart.
    fn needed(&self) -> u64 {
        let start = self.log.end().saturating_sub(self.outbox_limit);
        let least = if self.behind == 0 || self.log.start_of(self.log.first()) >= start {
            self.log.first()
        } else {
            self.log.event_at(start).0
        };
        let present = self.members.iter().filter(|member| !member.away);
        let cursors = present.map(|member| match member.behind {
            Some(_) => member.cursor.max(least),
            None => member.cursor,
        });
        cursors.min().unwrap_or_else(|| self.log.next())
    }

    /// The oldest event that a member which is there has not been given.
    fn wanted(&self) -> u64 {
        let present = self.members.iter().filter(|member| !member.away);
        present.map(|member| member.cursor).min().unwrap_or_else(|| self.log.next())
    }

    /// Forgets the events before `keep`, but for the newest values, and what may not be
    /// lost: that is kept apart.
    fn forget(&mut self, keep: u64) {
        let wanted = self.wanted();
        for seq in self.log.first()..keep {
            let Some(entry) = self.log.entry(seq).copied() else { continue };
            let origin = entry.origin;
            if let Class::Message(Delivery::Latest(key)) = origin.class {
                self.latest.keep(origin.sender, key, seq, &self.log);
                let is_newest = self.newest.get(&(origin.sender, key)) == Some(&seq);
                if is_newest && self.behind == 0 {
                    self.newest.remove(&(origin.sender, key));
                }
            } else if origin.must_arrive() && !entry.superseded {
                // Whoever needs an older one needs this one too.
                let is_needed = wanted <= seq || self.reliable.front().is_some();
                if self.config.history.reliable > 0 || is_needed {
                    self.reliable.push(seq, &entry, self.log.bytes(seq));
                } else {
                    self.reliable.lose(seq, origin);
                }
            }
            if self.behind > 0 && matches!(origin.class, Class::Message(_)) {
                self.forget_spared(seq, origin.spared);
            }
        }
        self.log.trim(keep);
        if self.newest.len() > self.newest_limit {
            self.newest.retain(|_, seq| *seq >= keep);
            self.newest_limit = MIN_NEWEST.max(self.newest.len() * 2);
        }
    }

    /// Notes with those who are spared event `seq`, a message, that it is forgotten.
    fn forget_spared(&mut self, seq: u64, spared: Spared) {
        for seat in spared.seats() {
            if let Some(member) = self.member_mut(seat)
                && member.cursor <= seq
                && let Some(behind) = &mut member.behind
            {
                behind.forgot_own(seq);
            }
        }
    }

    /// Forgets who had seats in events that are not kept.
    fn forget_former(&mut self) {
        let oldest = self.oldest_kept();
        while let Some(former) = self.former.pop_front_if(|former| former.seq < oldest) {
            self.silent.remove(&former.seat);
        }
    }

    /// The oldest event that is kept anywhere.
    pub(super) fn oldest_kept(&self) -> u64 {
        let log = self.log.first();
        self.reliable.front().map_or(log, |kept| kept.seq.min(log))
    }
}
