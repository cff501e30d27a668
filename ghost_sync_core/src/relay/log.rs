//! The room log: events in one order, as framed bytes, read by cursors.
//!
//! An event is encoded once, when it is appended. A member's cursor is the
//! sequence number of the next event it has not been given.

mod origin;

use std::collections::VecDeque;

use bytes::BytesMut;

pub(super) use origin::{Class, MAX_SPARED, Origin, Spared};

use super::chunks::{Chunks, offset};
use crate::wire::{Delivery, Seat};

/// One event's place in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Position of its first byte, counted from the room's start.
    start: u64,
    pub(super) origin: Origin,
    /// Milliseconds from the room's start, wrapping.
    pub(super) at: u32,
    /// Whether a later event says all that it says.
    pub(super) superseded: bool,
    /// What came before it.
    before: Totals,
}

/// Messages of some kinds since the room was made, wrapping: differences are what counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Totals {
    /// `Reliable` ones.
    pub(super) reliable: u32,
    pub(super) reliable_bytes: u32,
    /// `Volatile` ones.
    pub(super) volatile: u32,
    pub(super) volatile_bytes: u32,
}

/// Events that follow each other in the log and all go to one member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    /// Position of the first byte.
    pub(super) start: u64,
    /// Position after the last byte.
    pub(super) end: u64,
    /// The cursor after it.
    pub(super) next: u64,
}

/// An append-only ring of framed events.
#[derive(Debug)]
pub(super) struct Log {
    first: u64,
    entries: VecDeque<Entry>,
    chunks: Chunks,
    totals: Totals,
    /// The last event that not everybody has to be told.
    last_optional: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            first: 1,
            entries: VecDeque::new(),
            chunks: Chunks::default(),
            totals: Totals::default(),
            last_optional: 0,
        }
    }

    /// Appends what `encode` writes for the next sequence number, which is returned.
    ///
    /// `size` is about how many bytes that will be; no frame is split over chunks.
    pub(super) fn append(
        &mut self,
        origin: Origin,
        at: u32,
        size: usize,
        encode: impl FnOnce(&mut BytesMut, u64),
    ) -> u64 {
        let seq = self.next();
        let start = self.end();
        self.chunks.append(size, |bytes| encode(bytes, seq));
        let entry = Entry { start, origin, at, superseded: false, before: self.totals };
        self.entries.push_back(entry);
        self.totals.count(origin.class, self.end() - start);
        seq
    }

    /// The sequence number that the next event will get.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The oldest event that is kept; [`next`](Self::next) if none is.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Bytes of the events that are kept, by what they cost.
    pub(super) fn len(&self) -> u64 {
        let entries = self.entries.len() * size_of::<Entry>();
        self.end() - self.start_of(self.first) + entries as u64
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(self.index(seq)?)
    }

    /// A later event says all that event `seq` says.
    pub(super) fn supersede(&mut self, seq: u64) {
        if let Some(at) = self.index(seq)
            && let Some(entry) = self.entries.get_mut(at)
        {
            entry.superseded = true;
            self.make_optional(seq);
        }
    }

    /// Event `seq` is nothing to those who have not heard of it yet.
    pub(super) fn make_optional(&mut self, seq: u64) {
        self.last_optional = self.last_optional.max(seq);
    }

    /// The last event that not everybody has to be told; 0 if there was none.
    pub(super) fn last_optional(&self) -> u64 {
        self.last_optional
    }

    /// Messages from event `from` on, as far as they are kept.
    pub(super) fn totals_since(&self, from: u64) -> Totals {
        self.totals.since(self.totals_before(from.max(self.first)))
    }

    /// Messages before event `seq`.
    pub(super) fn totals_before(&self, seq: u64) -> Totals {
        self.entry(seq).map_or(self.totals, |entry| entry.before)
    }

    /// The first event from `from` on for which `is_past` holds of what came before it; it
    /// must hold for all after the first.
    pub(super) fn find(&self, from: u64, is_past: impl Fn(Totals) -> bool) -> u64 {
        let start = self.start_of(from.max(self.first));
        let passed = |entry: &Entry| entry.start < start || !is_past(entry.before);
        self.first + self.entries.partition_point(passed) as u64
    }

    /// `cursor`, moved past events that `member` is spared.
    pub(super) fn skip_own(&self, mut cursor: u64, member: Seat) -> u64 {
        while self.entry(cursor).is_some_and(|entry| entry.origin.spares(member)) {
            cursor += 1;
        }
        cursor
    }

    /// The next events for `member` that follow each other in memory order, from
    /// `cursor` up to before `until` and at most about `max_bytes` (but at least one).
    pub(super) fn run(&self, cursor: u64, until: u64, member: Seat, max_bytes: u64) -> Option<Run> {
        let first = self.skip_own(cursor, member);
        let start = self.entry(first).filter(|_| first < until)?.start;
        let at = self.index(first)?;
        let len = usize::try_from(until - first).unwrap_or(usize::MAX);
        let stop = self
            .entries
            .range(at..)
            .take(len)
            .position(|entry| entry.origin.spares(member) || entry.start >= start + max_bytes)
            .map_or_else(|| until.min(self.next()), |found| first + found as u64);
        // A first event longer than `max_bytes` never stops the run before itself.
        let stop = stop.max(first + 1);
        Some(Run { start, end: self.start_of(stop), next: self.skip_own(stop, member) })
    }

    /// The bytes of a run, in pieces of contiguous memory, each with its position.
    pub(super) fn slices(&self, run: Run) -> impl Iterator<Item = (u64, &[u8])> {
        self.chunks.slices(run.start, run.end)
    }

    /// The bytes of one event.
    pub(super) fn bytes(&self, seq: u64) -> &[u8] {
        self.chunks.piece(self.start_of(seq), self.start_of(seq + 1))
    }

    /// The event that holds the byte at `position`: its number and where it ends.
    pub(super) fn event_at(&self, position: u64) -> (u64, u64) {
        let after = self.entries.partition_point(|entry| entry.start <= position);
        let seq = self.first + after as u64 - 1;
        (seq, self.start_of(seq + 1))
    }

    /// Position of the first byte of event `seq`, or the end of the log.
    pub(super) fn start_of(&self, seq: u64) -> u64 {
        self.entry(seq).map_or_else(|| self.end(), |entry| entry.start)
    }

    /// Position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.chunks.end()
    }

    /// Forgets the events before `seq`.
    pub(super) fn trim(&mut self, seq: u64) {
        let gone = offset(seq.saturating_sub(self.first)).min(self.entries.len());
        self.entries.drain(..gone);
        self.first += gone as u64;
        self.chunks.trim(self.start_of(self.first));
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES {
            self.entries = VecDeque::new();
        }
    }

    fn index(&self, seq: u64) -> Option<usize> {
        seq.checked_sub(self.first).map(offset)
    }
}

impl Totals {
    /// Of the messages since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            reliable: self.reliable.wrapping_sub(before.reliable),
            reliable_bytes: self.reliable_bytes.wrapping_sub(before.reliable_bytes),
            volatile: self.volatile.wrapping_sub(before.volatile),
            volatile_bytes: self.volatile_bytes.wrapping_sub(before.volatile_bytes),
        }
    }

    fn count(&mut self, class: Class, len: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "no frame is that long")]
        let len = len as u32;
        let (count, bytes) = match class {
            Class::Message(Delivery::Reliable) => (&mut self.reliable, &mut self.reliable_bytes),
            Class::Message(Delivery::Volatile) => (&mut self.volatile, &mut self.volatile_bytes),
            Class::Control | Class::Message(Delivery::Latest(_)) => return,
        };
        *count = count.wrapping_add(1);
        *bytes = bytes.wrapping_add(len);
    }
}

const KEPT_ENTRIES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn say(log: &mut Log, sender: u32, text: &str) -> u64 {
        let class = Class::Message(Delivery::Reliable);
        let origin = Origin { sender: Seat(sender), class, spared: Spared::one(Seat(sender)) };
        log.append(origin, 0, text.len(), |buf, _| {
            buf.extend_from_slice(text.as_bytes());
        })
    }

    fn heard(log: &Log, mut cursor: u64, member: u32) -> String {
        let mut text = String::new();
        while let Some(run) = log.run(cursor, ALL, Seat(member), 1 << 20) {
            for (_, bytes) in log.slices(run) {
                text.push_str(std::str::from_utf8(bytes).unwrap());
            }
            cursor = run.next;
        }
        text
    }

    #[test]
    fn a_member_reads_everything_but_its_own_from_its_cursor() {
        let mut log = Log::new();
        for (sender, text) in [(1, "a"), (2, "b"), (1, "c"), (3, "d"), (3, "e")] {
            say(&mut log, sender, text);
        }
        assert_eq!(heard(&log, 1, 1), "bde");
        assert_eq!(heard(&log, 1, 3), "abc");
        assert_eq!(heard(&log, 3, 2), "cde");
        assert_eq!(heard(&log, 6, 9), "");
    }

    #[test]
    fn runs_cross_chunks_and_events_do_not() {
        let mut log = Log::new();
        let text = "x".repeat(1500);
        for _ in 0..100 {
            say(&mut log, 1, &text);
        }
        assert_eq!(heard(&log, 1, 2).len(), 150_000);
        assert!((1..=100).all(|seq| log.bytes(seq).len() == 1500));
    }

    #[test]
    fn a_run_ends_near_its_byte_limit_but_holds_at_least_one_event() {
        let mut log = Log::new();
        for _ in 0..10 {
            say(&mut log, 1, "0123456789");
        }
        let run = log.run(1, ALL, Seat(2), 25).unwrap();
        assert_eq!((run.end - run.start, run.next), (30, 4));
        assert_eq!(log.run(1, ALL, Seat(2), 1).unwrap().next, 2);
        assert_eq!(log.run(1, 3, Seat(2), 1000).unwrap().next, 3);
    }

    #[test]
    fn trimming_frees_memory_and_keeps_numbers() {
        let mut log = Log::new();
        for _ in 0..1000 {
            say(&mut log, 1, &"x".repeat(1000));
        }
        assert!(log.chunks.held() > 900_000);
        log.trim(901);
        assert_eq!(heard(&log, 901, 2).len(), 100_000);
        log.trim(log.next());
        assert!(log.chunks.held() <= super::super::chunks::KEPT);
        assert_eq!(say(&mut log, 1, "next"), 1001);
        assert_eq!(heard(&log, 1001, 2), "next");
    }

    #[test]
    fn a_position_inside_an_event_names_it() {
        let mut log = Log::new();
        say(&mut log, 1, "abc");
        say(&mut log, 1, "de");
        assert_eq!(log.event_at(0), (1, 3));
        assert_eq!(log.event_at(2), (1, 3));
        assert_eq!(log.event_at(3), (2, 5));
        assert_eq!(log.event_at(4), (2, 5));
    }
}
