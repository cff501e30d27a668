//! Reads a room's events for one member that is behind: what it may not miss, and gaps for
//! the rest.

use bytes::Bytes;

use super::behind::Behind;
use crate::{
    relay::{
        log::{Class, Origin},
        outbox::{Item, ItemKind},
        plants,
        reliable::Kept,
        room::Room,
        session::SeatRef,
    },
    wire::{Delivery, GapReason, HEADER_LEN, RoomId, Seat, ServerMessage},
};

/// A reader of a room's events for one seat.
pub(in crate::relay) struct Reader<'a> {
    room: &'a mut Room,
    id: RoomId,
    seat: Seat,
    /// The own join.
    joined: u64,
    pub(in crate::relay) cursor: u64,
    /// It reads up to before this event; of what the log has forgotten up to before `end`,
    /// where its stay is over: how that is split is not known.
    until: u64,
    end: u64,
    pub(in crate::relay) behind: Behind,
    /// What it was given.
    pub(in crate::relay) items: Vec<Item>,
    /// Events that it is not given and somebody else said.
    pub(in crate::relay) dropped: u64,
    /// Bytes that it may still be given; what it does cost counts, not only frames.
    budget: usize,
    gap: Option<Gap>,
    /// Own messages since the last event that was left out.
    own: u32,
}

impl<'a> Reader<'a> {
    pub(in crate::relay) fn new(
        room: &'a mut Room,
        held: SeatRef,
        (joined, cursor): (u64, u64),
        (until, end): (u64, u64),
        behind: Behind,
        budget: usize,
    ) -> Self {
        let SeatRef { room: id, seat } = held;
        let end = end.min(room.log.next());
        let until = until.min(end);
        Self {
            room,
            id,
            seat,
            joined,
            cursor,
            until,
            end,
            behind,
            items: Vec::new(),
            dropped: 0,
            budget,
            gap: None,
            own: 0,
        }
    }

    /// Reads until there is nothing more, or the budget is used up.
    pub(in crate::relay) fn run(&mut self) {
        if self.cursor >= self.until {
            return;
        }
        while self.cursor < self.forgotten() && self.may_go_on() {
            self.read_forgotten();
        }
        while self.cursor < self.until && self.may_go_on() {
            self.read_log();
        }
        self.end_gap();
    }

    /// Whether the budget allows more. Something is always read, or there would be nothing
    /// to send after which it reads on.
    fn may_go_on(&self) -> bool {
        self.budget > 0 || self.items.is_empty() && self.gap.is_none()
    }

    /// The first event that the log has not forgotten, or the one after the last.
    fn forgotten(&self) -> u64 {
        self.room.log.first().min(self.end)
    }

    /// Bytes that it may still be given.
    pub(in crate::relay) fn budget(&self) -> usize {
        self.budget
    }

    /// Reads what is kept of the events that the log has forgotten.
    fn read_forgotten(&mut self) {
        let first = self.forgotten();
        let latest = self.latest_before(first);
        if self.cursor >= self.behind.announced {
            self.announce_forgotten(first, latest.len());
        }
        let end = self.behind.announced;
        let mut latest = latest.into_iter().filter(|(seq, _)| *seq < end).peekable();
        let mut reliable = self.next_reliable(end);
        while self.may_go_on() {
            let value = latest.next_if(|(seq, _)| reliable.is_none_or(|kept| *seq < kept.seq));
            let (seq, origin, frame) = match (value, reliable) {
                (Some((seq, origin)), _) => (seq, origin, self.room.latest_frame(origin)),
                (None, Some(Kept { seq, origin, .. })) => {
                    let frame = Bytes::copy_from_slice(self.room.reliable.frame(seq));
                    self.cursor = seq + 1;
                    reliable = self.next_reliable(end);
                    (seq, origin, Some(frame))
                }
                (None, None) => {
                    self.end_gap();
                    return self.cursor = end;
                }
            };
            self.cursor = seq + 1;
            let Some(frame) = frame else { continue };
            if !self.is_of_nobody(seq, origin, &frame) {
                self.end_gap();
                self.give(seq, origin, frame);
                continue;
            }
            self.dropped += 1;
            self.budget = self.budget.saturating_sub(LOOK);
            match &mut self.gap {
                Some(gap) if gap.to + 1 == seq => gap.to = seq,
                _ => {
                    self.end_gap();
                    self.gap = Some(Gap { from: seq, to: seq, own: 0 });
                }
            }
        }
    }

    /// Says that of the events from the cursor to before `first` not all are kept, if that
    /// is so; `values` of them are newest values.
    fn announce_forgotten(&mut self, first: u64, values: usize) {
        let reliable = self.room.reliable.since(self.cursor);
        let reliable = reliable.filter(|kept| kept.seq < first && self.is_due(kept)).count();
        let joined = usize::from((self.cursor..first).contains(&self.joined));
        let known = (reliable + values + joined) as u64;
        let missing = (first - self.cursor).saturating_sub(known);
        let own = plants::own_forgotten(std::mem::take(&mut self.behind.own).min(missing));
        self.behind.told = own < missing;
        if self.behind.told {
            let (from, to) = (self.cursor, first - 1);
            let own = u32::try_from(own).unwrap_or(u32::MAX);
            self.tell_gap(Gap { from, to, own }, GapReason::Forgotten);
            self.dropped += missing - u64::from(own);
        }
        self.behind.announced = first;
    }

    fn next_reliable(&self, end: u64) -> Option<Kept> {
        let mut reliable = self.room.reliable.since(self.cursor);
        reliable.find(|kept| self.is_due(kept)).filter(|kept| kept.seq < end).copied()
    }

    fn is_due(&self, kept: &Kept) -> bool {
        !kept.superseded && !kept.origin.spares(self.seat)
    }

    /// Which newest values the log has forgotten, from the cursor to before `first`, in
    /// their order.
    fn latest_before(&self, first: u64) -> Vec<(u64, Origin)> {
        let values = self.room.latest_since(self.cursor);
        let values = values.filter(|(seq, origin)| *seq < first && !origin.spares(self.seat));
        let mut values: Vec<_> = values.collect();
        values.sort_unstable_by_key(|(seq, _)| *seq);
        values
    }

    /// Reads the next event of the log.
    fn read_log(&mut self) {
        let seq = self.cursor;
        let Some(entry) = self.room.log.entry(seq).copied() else {
            self.cursor = self.until;
            return;
        };
        self.cursor += 1;
        self.budget = self.budget.saturating_sub(LOOK);
        let origin = entry.origin;
        let leaks = plants::leaks(origin.leaves_out(self.seat));
        if origin.spares(self.seat) && !leaks {
            self.own += u32::from(origin.withholds_message(self.seat));
            return;
        }
        if self.behind.leaves_out(seq, &entry) || self.is_of_nobody_in_log(seq, origin) {
            // What was too much was reported when it was.
            self.dropped += u64::from(origin.class != Class::Message(Delivery::Volatile));
            let own = std::mem::take(&mut self.own);
            match &mut self.gap {
                Some(gap) => (gap.to, gap.own) = (seq, gap.own + own),
                None => self.gap = Some(Gap { from: seq, to: seq, own: 0 }),
            }
            return;
        }
        self.end_gap();
        let frame = self.room.copy(seq);
        self.give(seq, origin, frame);
    }

    fn is_of_nobody_in_log(&mut self, seq: u64, origin: Origin) -> bool {
        if origin.class != Class::Control && self.behind.gone.is_empty() {
            return false;
        }
        let frame = self.room.copy(seq);
        self.is_of_nobody(seq, origin, &frame)
    }

    /// Whether an event is about somebody who came and went while this member was behind,
    /// and said nothing that it has to hear.
    fn is_of_nobody(&mut self, seq: u64, origin: Origin, frame: &[u8]) -> bool {
        let sender = origin.sender;
        if origin.class != Class::Control {
            return self.behind.gone.contains(&sender);
        }
        match ServerMessage::decode(frame.get(HEADER_LEN..).unwrap_or_default()) {
            Ok(ServerMessage::PlayerJoined { member, .. }) => {
                // Whoever was there when it joined, it knows from the roster.
                let unknown = seq > self.joined && self.behind.gone.len() < MAX_GONE;
                let gone = unknown && self.room.left_silently(member.seat);
                if gone {
                    self.behind.gone.push(member.seat);
                }
                gone
            }
            Ok(ServerMessage::PlayerLeft { seat, .. }) => {
                let at = self.behind.gone.iter().position(|gone| *gone == seat);
                let gone = at.map(|at| self.behind.gone.swap_remove(at)).is_some();
                plants::is_unknown(gone)
            }
            _ => self.behind.gone.contains(&sender),
        }
    }

    fn give(&mut self, seq: u64, origin: Origin, frame: Bytes) {
        let Origin { sender, class, .. } = origin;
        self.own = 0;
        self.budget = self.budget.saturating_sub(frame.len() + LOOK);
        let (room, forgotten) = (self.id, self.behind.told && seq < self.behind.announced);
        let kind = ItemKind::Event { room, seq, sender, class, forgotten };
        self.items.push(Item { frame, kind });
    }

    fn end_gap(&mut self) {
        if let Some(gap) = self.gap.take() {
            self.tell_gap(gap, GapReason::Lagged);
        }
    }

    fn tell_gap(&mut self, gap: Gap, reason: GapReason) {
        let (room, Gap { from, to, own }) = (self.id, gap);
        if plants::gap_is_untold() {
            return;
        }
        let to = plants::end_of_gap(to);
        let frame = ServerMessage::Gap { room, from, to, own, reason }.to_frame();
        // What lies between two of these is not known.
        let forgotten = reason == GapReason::Forgotten || to < self.behind.announced;
        self.items.push(Item { frame, kind: ItemKind::Gap { room, from, to, own, forgotten } });
    }
}

/// Events that are left out, one after another.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    to: u64,
    own: u32,
}

/// What looking at an event counts for, in bytes.
const LOOK: usize = 4;

const MAX_GONE: usize = 256;
