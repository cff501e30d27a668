//! What waits for one connection alone, in order.

use std::collections::VecDeque;

use bytes::Bytes;

use super::log::Class;
use crate::wire::{Delivery, RoomId, Seat};

/// Frames for one connection, and the rest of a frame whose start was written.
///
/// Numbered frames stay here after they were written until the client confirms
/// them, so that a session can go on over another link.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Rest of a frame; goes first, always.
    pub(super) partial: Bytes,
    items: VecDeque<Item>,
    bytes: usize,
    /// Bytes of rosters, which are not in `bytes`, and how many there are.
    roster_bytes: usize,
    roster_frames: usize,
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

/// One frame that waits.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) frame: Bytes,
    pub(super) kind: ItemKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ItemKind {
    /// Goes as soon as it can; means nothing on another link.
    Control,
    /// Answers a ping; a peer may be owed a few only.
    Pong,
    /// Answers a request; a peer may be owed a few only. Numbered, like all below
    /// but events and gaps.
    Reply,
    /// Goes as soon as it can.
    Lane,
    /// Answers a join; gaps of an earlier stay in the room end here.
    Joined { room: RoomId },
    /// What a newcomer is told of a room: who is there, the newest values. Its size
    /// is the room's doing, not the client's, so it does not count as waiting.
    Roster,
    /// Goes after all events of a stay in a room before `before`.
    After { room: RoomId, seat: Seat, before: u64 },
    /// The end of a stay: events from `since` up to before `before` were due in it, with
    /// its join as event `joined`; `own` messages of its own it did not hear.
    Left { room: RoomId, seat: Seat, joined: u64, since: u64, before: u64, own: u64 },
    /// An event taken out of a room's log.
    ///
    /// It may have been kept when the log forgot others, of which the member was told.
    Event { room: RoomId, seq: u64, sender: Seat, class: Class, forgotten: bool },
    /// Of events `from..=to` some were dropped, and `own` are the receiver's. The others
    /// follow if the room has `forgotten` the rest; else there are none.
    Gap { room: RoomId, from: u64, to: u64, own: u32, forgotten: bool },
}

impl ItemKind {
    /// Whether the frame is counted in its session, and sent again if need be.
    pub(super) fn is_numbered(self) -> bool {
        match self {
            Self::Reply
            | Self::Lane
            | Self::Joined { .. }
            | Self::Roster
            | Self::After { .. }
            | Self::Left { .. } => true,
            Self::Control | Self::Pong | Self::Event { .. } | Self::Gap { .. } => false,
        }
    }

    /// Whether it may be dropped when too much waits.
    fn is_droppable(self) -> bool {
        let Self::Event { class: Class::Message(delivery), .. } = self else { return false };
        delivery != Delivery::Reliable
    }

    fn is_reply(self) -> bool {
        matches!(self, Self::Reply | Self::Pong)
    }
}

impl Outbox {
    /// Keeps up to `keep` bytes of what was written and not confirmed.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            partial: Bytes::new(),
            items: VecDeque::new(),
            bytes: 0,
            roster_bytes: 0,
            roster_frames: 0,
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
        self.droppable += usize::from(kind.is_droppable());
        self.replies += usize::from(kind.is_reply());
        self.items.push_back(Item { frame, kind });
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        *self.count(item.kind) -= item.frame.len();
        self.roster_frames -= usize::from(item.kind == ItemKind::Roster);
        self.droppable -= usize::from(item.kind.is_droppable());
        self.replies -= usize::from(item.kind.is_reply());
        if self.items.is_empty() {
            // Most connections have nothing to get most of the time.
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// The first frame was written.
    pub(super) fn written(&mut self) {
        let Some(item) = self.pop() else { return };
        if !item.kind.is_numbered() {
            return;
        }
        if self.keep == 0 {
            self.gone += 1;
            return;
        }
        self.kept_bytes += item.cost();
        self.kept.push_back(item);
        while self.kept_bytes > self.keep && !planted!("kept-without-bound") {
            self.give_up_kept();
        }
    }

    /// Everything was written.
    pub(super) fn written_all(&mut self) {
        self.partial = Bytes::new();
        while !self.items.is_empty() {
            self.written();
        }
    }

    /// The client has `count` numbered frames. `false`: so many were never sent.
    pub(super) fn confirm(&mut self, count: u64) -> bool {
        if count > self.gone + self.kept.len() as u64 {
            return false;
        }
        while self.gone < count && !self.kept.is_empty() {
            self.give_up_kept();
        }
        true
    }

    /// Numbered frames that can no longer be sent again.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    /// Everything numbered that the client has not got, to be sent again, in
    /// order; events and the rest are dropped. Confirm first.
    pub(super) fn rewind(&mut self) -> Vec<Item> {
        let mut kept = std::mem::take(&mut self.kept);
        if planted!("message-lost-at-resume") {
            kept.pop_back();
        }
        self.kept_bytes = 0;
        let waiting = self.take();
        let numbered = kept.into_iter().chain(waiting).filter(|item| item.kind.is_numbered());
        // What is sent again is not owed for a request of this link.
        let requeued = numbered.map(|item| {
            let kind = if item.kind == ItemKind::Reply { ItemKind::Lane } else { item.kind };
            Item { kind, ..item }
        });
        requeued.collect()
    }

    /// Keeps nothing for another link any more: there will be none.
    pub(super) fn forget_kept(&mut self) {
        self.gone += self.kept.len() as u64;
        (self.kept, self.kept_bytes, self.keep) = (VecDeque::new(), 0, 0);
    }

    /// Drops what would mean nothing on another link.
    pub(super) fn lose_link(&mut self) {
        self.partial = Bytes::new();
        for item in self.take() {
            if item.kind.is_numbered() {
                self.push(item.kind, item.frame);
            }
        }
    }

    fn give_up_kept(&mut self) {
        if let Some(item) = self.kept.pop_front() {
            self.kept_bytes -= item.cost();
            self.gone += 1;
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }

    /// Everything that waits, but for the rest of a frame.
    pub(super) fn take(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
        self.roster_bytes = 0;
        self.roster_frames = 0;
        self.droppable = 0;
        self.replies = 0;
        std::mem::take(&mut self.items)
    }

    pub(super) fn items(&self) -> &VecDeque<Item> {
        &self.items
    }

    /// Bytes that wait, but for rosters.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.partial.len()
    }

    /// Whether something waits that may be dropped.
    pub(super) fn has_droppable(&self) -> bool {
        self.droppable > 0
    }

    /// Bytes of memory that what waits takes, but for rosters.
    pub(super) fn cost(&self) -> usize {
        self.bytes() + (self.items.len() - self.roster_frames) * ITEM
    }

    /// Bytes of memory that rosters take which wait.
    pub(super) fn roster_cost(&self) -> usize {
        self.roster_bytes + self.roster_frames * ITEM
    }

    fn count(&mut self, kind: ItemKind) -> &mut usize {
        if kind == ItemKind::Roster { &mut self.roster_bytes } else { &mut self.bytes }
    }

    /// Frames that wait, but for rosters.
    pub(super) fn frames(&self) -> usize {
        self.items.len() - self.roster_frames + usize::from(!self.partial.is_empty())
    }

    /// Bytes that may be kept of what was written.
    pub(super) fn keep(&self) -> usize {
        self.keep
    }

    /// Bytes of memory that numbered frames take which were written and not confirmed.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Answers that wait.
    pub(super) fn replies(&self) -> usize {
        self.replies
    }
}

impl Item {
    /// Bytes of memory that it takes.
    fn cost(&self) -> usize {
        self.frame.len() + ITEM
    }
}

/// What a frame that waits costs beside its bytes: its place in the queue, which grows by
/// doubling, and its memory's bookkeeping.
const ITEM: usize = 2 * size_of::<Item>() + 64;

/// What waits for one client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct QueueLen {
    /// Frames.
    pub frames: usize,
    /// Bytes.
    pub bytes: usize,
}
