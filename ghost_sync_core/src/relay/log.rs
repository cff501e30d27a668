//! The room log: events in one order, as framed bytes, read by cursors.
//!
//! An event is encoded once, when it is appended. A member's cursor is the
//! sequence number of the next event it has not been given.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::wire::{Delivery, Seat};

/// What may become of an event on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// Membership, metadata, deletion: never dropped.
    Control,
    /// A message, delivered as hard as its sender asked for.
    Message(Delivery),
}

/// Where an event comes from, and whom it spares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) sender: Seat,
    pub(super) class: Class,
    /// Whether the sender is left out.
    pub(super) skip_sender: bool,
}

impl Origin {
    /// Of an event about membership or metadata, for everybody.
    pub(super) fn of(sender: Seat) -> Self {
        Self { sender, class: Class::Control, skip_sender: false }
    }

    /// The same, for everybody but the one whom it is about.
    pub(super) fn unheard(sender: Seat) -> Self {
        Self { skip_sender: true, ..Self::of(sender) }
    }
}

/// One event's place in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Position of its first byte, counted from the room's start.
    start: u64,
    pub(super) sender: Seat,
    pub(super) class: Class,
    /// Milliseconds from the room's start, wrapping.
    pub(super) at: u32,
    /// Whether the sender is left out.
    skip_sender: bool,
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

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: BytesMut,
}

/// An append-only ring of framed events.
#[derive(Debug)]
pub(super) struct Log {
    first: u64,
    entries: VecDeque<Entry>,
    chunks: VecDeque<Chunk>,
    end: u64,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { first: 1, entries: VecDeque::new(), chunks: VecDeque::new(), end: 0 }
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
        let start = self.end;
        let bytes = self.room_for(size);
        let before = bytes.len();
        encode(bytes, seq);
        let len = bytes.len() - before;
        self.end += len as u64;
        let Origin { sender, class, skip_sender } = origin;
        self.entries.push_back(Entry { start, sender, class, at, skip_sender });
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

    /// Bytes of the events that are kept.
    pub(super) fn len(&self) -> u64 {
        self.end - self.start_of(self.first)
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(self.index(seq)?)
    }

    /// `cursor`, moved past events that `member` sent and does not hear.
    pub(super) fn skip_own(&self, mut cursor: u64, member: Seat) -> u64 {
        while self.entry(cursor).is_some_and(|entry| entry.is_own(member)) {
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
            .position(|entry| entry.is_own(member) || entry.start >= start + max_bytes)
            .map_or_else(|| until.min(self.next()), |found| first + found as u64);
        // A first event longer than `max_bytes` never stops the run before itself.
        let stop = stop.max(first + 1);
        Some(Run { start, end: self.start_of(stop), next: self.skip_own(stop, member) })
    }

    /// The bytes of a run, in pieces of contiguous memory, each with its position.
    pub(super) fn slices(&self, run: Run) -> impl Iterator<Item = (u64, &[u8])> {
        let from = self.chunks.partition_point(|chunk| chunk.end() <= run.start);
        self.chunks.range(from..).take_while(move |chunk| chunk.start < run.end).map(move |chunk| {
            let start = run.start.max(chunk.start);
            let end = run.end.min(chunk.end());
            (start, &chunk.bytes[offset(start - chunk.start)..offset(end - chunk.start)])
        })
    }

    /// The bytes of one event.
    pub(super) fn bytes(&self, seq: u64) -> &[u8] {
        let run = Run { start: self.start_of(seq), end: self.start_of(seq + 1), next: seq + 1 };
        self.slices(run).next().map_or(&[], |(_, bytes)| bytes)
    }

    /// The event that holds the byte at `position`: its number and where it ends.
    pub(super) fn event_at(&self, position: u64) -> (u64, u64) {
        let after = self.entries.partition_point(|entry| entry.start <= position);
        let seq = self.first + after as u64 - 1;
        (seq, self.start_of(seq + 1))
    }

    /// Position of the first byte of event `seq`, or the end of the log.
    pub(super) fn start_of(&self, seq: u64) -> u64 {
        self.entry(seq).map_or(self.end, |entry| entry.start)
    }

    /// Position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Forgets the events before `seq`.
    pub(super) fn trim(&mut self, seq: u64) {
        let gone = offset(seq.saturating_sub(self.first)).min(self.entries.len());
        self.entries.drain(..gone);
        self.first += gone as u64;
        let start = self.start_of(self.first);
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= start) {
            let Some(mut chunk) = self.chunks.pop_front() else { break };
            if self.chunks.is_empty() && chunk.bytes.capacity() <= KEPT_CHUNK {
                chunk.bytes.clear();
                chunk.start = self.end;
                self.chunks.push_back(chunk);
                break;
            }
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT_ENTRIES {
            self.entries = VecDeque::new();
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum()
    }

    fn room_for(&mut self, size: usize) -> &mut BytesMut {
        let fits = self
            .chunks
            .back()
            .is_some_and(|chunk| chunk.bytes.capacity() - chunk.bytes.len() >= size);
        if !fits {
            let last = self.chunks.back().map_or(0, |chunk| chunk.bytes.capacity());
            let capacity = (last * 2).clamp(MIN_CHUNK, MAX_CHUNK).max(size);
            let bytes = BytesMut::with_capacity(capacity);
            self.chunks.push_back(Chunk { start: self.end, bytes });
        }
        let last = self.chunks.len() - 1;
        &mut self.chunks[last].bytes
    }

    fn index(&self, seq: u64) -> Option<usize> {
        seq.checked_sub(self.first).map(offset)
    }
}

impl Entry {
    fn is_own(&self, member: Seat) -> bool {
        self.skip_sender && self.sender == member
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

fn offset(distance: u64) -> usize {
    usize::try_from(distance).unwrap_or(usize::MAX)
}

const MIN_CHUNK: usize = 2 * 1024;
const MAX_CHUNK: usize = 64 * 1024;
/// A room at rest keeps a chunk of up to this size for its next event.
const KEPT_CHUNK: usize = 16 * 1024;
const KEPT_ENTRIES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn say(log: &mut Log, sender: u32, text: &str) -> u64 {
        let class = Class::Message(Delivery::Reliable);
        let origin = Origin { sender: Seat(sender), class, skip_sender: true };
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
        assert!(log.held() > 900_000);
        log.trim(901);
        assert_eq!(heard(&log, 901, 2).len(), 100_000);
        log.trim(log.next());
        assert!(log.held() <= KEPT_CHUNK);
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
