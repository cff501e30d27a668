//! What a room's log has forgotten and somebody who comes back may not miss: `Reliable`
//! messages, membership, metadata. Kept apart from the rest, within bounds of its own.

use std::collections::VecDeque;

use super::{
    chunks::{Chunks, offset},
    log::{Entry, MAX_SPARED, Origin},
};
use crate::wire::Seat;

/// Events without which a member's idea of the room would be wrong, in rising order.
#[derive(Debug, Default)]
pub(super) struct ReliableLog {
    events: VecDeque<Kept>,
    chunks: Chunks,
    lost: Lost,
}

/// One event that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) origin: Origin,
    /// Milliseconds from the room's start, wrapping.
    pub(super) at: u32,
    pub(super) superseded: bool,
    start: u64,
}

/// The last event that is not kept any more, and for each of those who are spared it the
/// last that was for them.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    last: Option<(u64, Origin)>,
    others: [Option<u64>; MAX_SPARED],
}

impl ReliableLog {
    /// Takes an event that the log forgets; events must come in rising order.
    pub(super) fn push(&mut self, seq: u64, entry: &Entry, frame: &[u8]) {
        let Entry { origin, at, superseded, .. } = *entry;
        let start = self.chunks.end();
        self.chunks.append(frame.len(), |bytes| bytes.extend_from_slice(frame));
        self.events.push_back(Kept { seq, origin, at, superseded, start });
    }

    /// Forgets the oldest event; whoever still needs it has lost it.
    pub(super) fn pop(&mut self) {
        let Some(Kept { seq, origin, superseded, .. }) = self.events.pop_front() else { return };
        if !superseded {
            self.lost.add(seq, origin);
        }
        let start = self.events.front().map_or_else(|| self.chunks.end(), |next| next.start);
        self.chunks.trim(start);
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }

    /// Notes an event that is not kept at all.
    pub(super) fn lose(&mut self, seq: u64, origin: Origin) {
        self.lost.add(seq, origin);
    }

    /// The oldest event.
    pub(super) fn front(&self) -> Option<&Kept> {
        self.events.front()
    }

    /// The events from `from` on.
    pub(super) fn since(&self, from: u64) -> impl Iterator<Item = &Kept> {
        self.events.range(self.events.partition_point(|kept| kept.seq < from)..)
    }

    /// The frame of an event.
    pub(super) fn frame(&self, seq: u64) -> &[u8] {
        let at = self.events.partition_point(|kept| kept.seq < seq);
        let Some(kept) = self.events.get(at).filter(|kept| kept.seq == seq) else { return &[] };
        self.chunks.piece(kept.start, self.end_of(at))
    }

    /// A later event says all that event `seq` says.
    pub(super) fn supersede(&mut self, seq: u64) {
        let at = self.events.partition_point(|kept| kept.seq < seq);
        if let Some(kept) = self.events.get_mut(at).filter(|kept| kept.seq == seq) {
            kept.superseded = true;
        }
    }

    /// Whether an event from `from` on is lost to `member`.
    pub(super) fn is_lost(&self, from: u64, member: Seat) -> bool {
        self.lost.for_member(member).is_some_and(|seq| seq >= from)
    }

    /// The oldest event that is kept for `member` whatever it missed.
    pub(super) fn oldest_for(&self, member: Seat) -> u64 {
        self.lost.for_member(member).map_or(1, |seq| seq + 1)
    }

    /// Bytes that are kept, by what they cost.
    pub(super) fn len(&self) -> u64 {
        let start = self.events.front().map_or_else(|| self.chunks.end(), |first| first.start);
        self.chunks.end() - start + (self.events.len() * size_of::<Kept>()) as u64
    }

    /// Bytes of frames from event `from` on.
    pub(super) fn bytes_since(&self, from: u64) -> usize {
        let at = self.events.partition_point(|kept| kept.seq < from);
        let start = self.events.get(at).map_or_else(|| self.chunks.end(), |kept| kept.start);
        offset(self.chunks.end() - start)
    }

    fn end_of(&self, at: usize) -> u64 {
        self.events.get(at + 1).map_or_else(|| self.chunks.end(), |next| next.start)
    }
}

impl Lost {
    fn add(&mut self, seq: u64, origin: Origin) {
        let mut others = [None; MAX_SPARED];
        for (other, seat) in others.iter_mut().zip(origin.spared.seats()) {
            *other = self.for_member(seat);
        }
        *self = Self { last: Some((seq, origin)), others };
    }

    /// The last one that `member` was not spared.
    fn for_member(&self, member: Seat) -> Option<u64> {
        let (seq, origin) = self.last?;
        match origin.spared.seats().position(|seat| seat == member) {
            Some(at) => self.others[at],
            None => Some(seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::log::{Class, Log, Spared};
    use crate::wire::Delivery;

    fn kept(senders: &[u32]) -> ReliableLog {
        let (mut log, mut reliable) = (Log::new(), ReliableLog::default());
        for sender in senders {
            let class = Class::Message(Delivery::Reliable);
            let spared = Spared::one(Seat(*sender));
            let origin = Origin { sender: Seat(*sender), class, spared };
            let seq = log.append(origin, 0, 8, |buf, seq| {
                buf.extend_from_slice(seq.to_string().as_bytes());
            });
            let entry = *log.entry(seq).unwrap();
            reliable.push(seq, &entry, log.bytes(seq));
        }
        reliable
    }

    #[test]
    fn events_are_found_by_their_numbers_until_they_are_forgotten() {
        let mut reliable = kept(&[1, 2, 1, 3]);
        assert_eq!(reliable.frame(3), b"3");
        assert_eq!(reliable.since(2).map(|kept| kept.seq).collect::<Vec<_>>(), [2, 3, 4]);
        reliable.pop();
        assert_eq!(reliable.frame(1), b"");
        assert_eq!(reliable.front().map(|kept| kept.seq), Some(2));
        assert_eq!(reliable.bytes_since(3), 2);
    }

    #[test]
    fn what_was_ones_own_is_not_lost() {
        let mut reliable = kept(&[2, 1, 1, 1]);
        for _ in 0..4 {
            reliable.pop();
        }
        assert!(!reliable.is_lost(2, Seat(1)), "only its own went since");
        assert!(reliable.is_lost(1, Seat(1)));
        assert!(reliable.is_lost(4, Seat(2)));
        assert!(!reliable.is_lost(5, Seat(2)));
        assert_eq!((reliable.oldest_for(Seat(1)), reliable.oldest_for(Seat(2))), (2, 5));
    }

    #[test]
    fn what_a_later_event_says_is_not_lost_either() {
        let mut reliable = kept(&[1, 1]);
        reliable.supersede(2);
        reliable.pop();
        reliable.pop();
        assert!(!reliable.is_lost(2, Seat(9)));
        assert!(reliable.is_lost(1, Seat(9)));
    }
}
