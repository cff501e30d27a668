//! What waits for one connection alone, in order.

mod item;
mod kept;

use std::collections::VecDeque;

use bytes::Bytes;

pub(super) use item::{Item, ItemKind};

use super::{
    asides::{Aside, Asides},
    plants,
    session::{SeatRef, Threshold},
};
use crate::wire::ServerMessage;
use item::ITEM;

/// Frames for one connection, and the rest of a frame whose start was written.
///
/// Numbered frames stay here after they were written until the client confirms
/// them, so that a session can go on over another link.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Rest of a frame; goes first, always.
    partial: Bytes,
    /// What it is the rest of; `None`: an event of a room.
    rest_of: Option<ItemKind>,
    items: VecDeque<Item>,
    bytes: usize,
    /// Bytes of rosters, which are not in `bytes`, and how many there are.
    roster_bytes: usize,
    roster_frames: usize,
    /// What may be lost, until the socket takes bytes.
    asides: Option<Box<Asides>>,
    /// Bytes of those among the items, which are not in `bytes`, and how many there are.
    aside_bytes: usize,
    aside_frames: usize,
    controls: usize,
    /// Events that may be dropped.
    droppable: usize,
    replies: usize,
    /// Numbered frames that were written and not confirmed.
    kept: VecDeque<Item>,
    kept_bytes: usize,
    /// Bytes that may be kept; 0 where no session is held.
    keep: usize,
    /// Numbered frames before those in `kept`.
    gone: u64,
}

impl Outbox {
    /// Keeps up to `keep` bytes of what was written and not confirmed.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            partial: Bytes::new(),
            rest_of: None,
            items: VecDeque::new(),
            bytes: 0,
            roster_bytes: 0,
            roster_frames: 0,
            asides: None,
            aside_bytes: 0,
            aside_frames: 0,
            controls: 0,
            droppable: 0,
            replies: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            keep,
            gone: 0,
        }
    }

    pub(super) fn push(&mut self, kind: ItemKind, frame: Bytes) {
        *self.count(kind) += frame.len();
        self.roster_frames += usize::from(kind == ItemKind::Roster);
        self.aside_frames += usize::from(kind.is_aside());
        self.controls += usize::from(kind == ItemKind::Control);
        self.droppable += usize::from(kind.is_droppable());
        self.replies += usize::from(kind.is_reply());
        self.items.push_back(Item { frame, kind });
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        *self.count(item.kind) -= item.frame.len();
        self.roster_frames -= usize::from(item.kind == ItemKind::Roster);
        self.aside_frames -= usize::from(item.kind.is_aside());
        self.controls -= usize::from(item.kind == ItemKind::Control);
        self.droppable -= usize::from(item.kind.is_droppable());
        self.replies -= usize::from(item.kind.is_reply());
        if self.items.is_empty() {
            // Most connections have nothing to get most of the time.
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// The first frame was written, or a part of it.
    pub(super) fn written(&mut self) {
        let Some(item) = self.pop() else { return };
        self.rest_of = Some(item.kind);
        if !item.kind.is_numbered() {
            return;
        }
        if self.keep == 0 {
            self.gone += 1;
            return;
        }
        self.kept_bytes += item.cost();
        self.kept.push_back(item);
        while self.kept_bytes > plants::most_kept(self.keep) {
            self.give_up_kept();
        }
    }

    /// The rest of a frame.
    pub(super) fn partial(&self) -> &Bytes {
        &self.partial
    }

    /// This is left of the last frame that was written in part, which was an event of a
    /// room if `of_event`.
    pub(super) fn written_partly(&mut self, rest: Bytes, of_event: bool) {
        self.partial = rest;
        if of_event {
            self.rest_of = None;
        }
    }

    /// Takes the rest of a frame: the client will not read it.
    pub(super) fn take_partial(&mut self) -> Bytes {
        let rest = std::mem::take(&mut self.partial);
        if let Some(ItemKind::Aside { missed, .. }) = self.rest_of
            && !rest.is_empty()
        {
            self.miss(missed.saturating_add(1));
        }
        rest
    }

    /// Everything was written.
    pub(super) fn written_all(&mut self) {
        self.partial = Bytes::new();
        while !self.items.is_empty() {
            self.written();
        }
    }

    /// Takes what may be lost; `at_once`: or else not at all, as where a client is behind.
    ///
    /// At most so much waits as `most` says: the oldest are given up.
    pub(super) fn say_aside(&mut self, aside: Aside, at_once: bool, most: Threshold) {
        if aside.about.key.is_none() && !at_once {
            return self.miss(1);
        }
        self.asides.get_or_insert_default().push(aside, most);
    }

    /// Gives up what may be lost and still waits for the socket: the last message is next.
    pub(super) fn forget_asides(&mut self) {
        self.asides = None;
    }

    /// So many asides were given up.
    fn miss(&mut self, count: u32) {
        self.asides.get_or_insert_default().miss(count);
    }

    /// The socket takes bytes: the asides that wait go with what else does. The client has
    /// these `seats`.
    pub(super) fn admit_asides(&mut self, seats: &[SeatRef]) {
        let Some(mut asides) = self.asides.take() else { return };
        for (Aside { about, frame }, missed) in asides.take(seats) {
            if plants::aside_given_twice() && about.key.is_some() {
                self.push(ItemKind::Aside { about, missed }, frame.clone());
            }
            self.push(ItemKind::Aside { about, missed }, frame);
        }
        self.asides = Some(asides).filter(|asides| !asides.is_empty());
    }

    /// The socket takes no more: newer ones may replace the asides among what waits, and
    /// what was to be heard at once or not at all is given up.
    pub(super) fn take_back(&mut self, most: Threshold) {
        if self.aside_frames > 0 {
            let mut back = Vec::with_capacity(self.aside_frames);
            let mut told = 0_u32;
            for item in self.take() {
                if let ItemKind::Aside { about, missed } = item.kind {
                    told = told.saturating_add(missed);
                    back.push(Aside { about, frame: item.frame });
                } else {
                    self.push(item.kind, item.frame);
                }
            }
            let asides = self.asides.get_or_insert_default();
            asides.miss(told);
            asides.put_back(back, most);
        }
        if let Some(asides) = &mut self.asides {
            asides.give_up_effects();
        }
    }

    /// Whether anything waits, beside events of rooms, that must arrive: neither what may
    /// be lost nor what means something to this link only.
    pub(super) fn owes(&self) -> bool {
        let is_owed = |kind: ItemKind| !matches!(kind, ItemKind::Aside { .. } | ItemKind::Control);
        self.items.len() > self.aside_frames + self.controls
            || !self.partial.is_empty() && self.rest_of.is_none_or(is_owed)
    }

    /// Adds one to those broadcasts that a member is told it is left out of.
    pub(super) fn spare(&mut self, held: SeatRef) {
        let SeatRef { room, seat } = held;
        let mut after = None;
        for (at, item) in self.items.iter_mut().enumerate() {
            if let ItemKind::Spared { room: of, seat: whose, count } = &mut item.kind
                && (*of, *whose) == (room, seat)
                && *count < u32::MAX
            {
                *count += 1;
                // As long as before.
                item.frame = ServerMessage::Spared { room, count: *count }.to_frame();
                return;
            }
            if item.kind.is_after(room, seat) {
                after = Some(at);
                break;
            }
        }
        let frame = ServerMessage::Spared { room, count: 1 }.to_frame();
        self.push(ItemKind::Spared { room, seat, count: 1 }, frame);
        if let Some(at) = after
            && let Some(item) = self.items.pop_back()
        {
            self.items.insert(at, item);
        }
    }

    /// Everything that waits, but for the rest of a frame.
    pub(super) fn take(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
        self.roster_bytes = 0;
        self.roster_frames = 0;
        self.aside_bytes = 0;
        self.aside_frames = 0;
        self.controls = 0;
        self.droppable = 0;
        self.replies = 0;
        std::mem::take(&mut self.items)
    }

    pub(super) fn items(&self) -> &VecDeque<Item> {
        &self.items
    }

    /// Bytes that wait, but for rosters and asides.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.rest()
    }

    /// Bytes of the rest of a frame that is no aside.
    fn rest(&self) -> usize {
        if self.rest_of.is_some_and(ItemKind::is_aside) { 0 } else { self.partial.len() }
    }

    /// Whether something waits that may be dropped.
    pub(super) fn has_droppable(&self) -> bool {
        self.droppable > 0
    }

    /// Bytes of memory that what waits takes, but for rosters and asides.
    pub(super) fn cost(&self) -> usize {
        self.bytes() + (self.items.len() - self.roster_frames - self.aside_frames) * ITEM
    }

    /// Bytes of memory that rosters take which wait.
    pub(super) fn roster_cost(&self) -> usize {
        self.roster_bytes + self.roster_frames * ITEM
    }

    fn count(&mut self, kind: ItemKind) -> &mut usize {
        match kind {
            ItemKind::Roster => &mut self.roster_bytes,
            ItemKind::Aside { .. } => &mut self.aside_bytes,
            ItemKind::Control
            | ItemKind::Pong
            | ItemKind::Reply
            | ItemKind::Message
            | ItemKind::Joined { .. }
            | ItemKind::After { .. }
            | ItemKind::Spared { .. }
            | ItemKind::Left { .. }
            | ItemKind::Event { .. }
            | ItemKind::Gap { .. } => &mut self.bytes,
        }
    }

    /// Frames that wait, but for rosters and asides.
    pub(super) fn frames(&self) -> usize {
        self.items.len() - self.roster_frames - self.aside_frames + usize::from(self.rest() > 0)
    }

    /// Answers that wait.
    pub(super) fn replies(&self) -> usize {
        self.replies
    }
}

/// What waits for one client, but for rosters and what may be lost of what is said to it alone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct QueueLen {
    /// Frames.
    pub frames: usize,
    /// Bytes.
    pub bytes: usize,
}
