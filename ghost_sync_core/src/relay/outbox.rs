//! What waits for one connection alone, in order.

use std::collections::VecDeque;

use bytes::Bytes;

use super::log::Class;
use crate::wire::{RoomId, Seat};

/// Frames for one connection, and the rest of a frame whose start was written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Rest of a frame; goes first, always.
    pub(super) partial: Bytes,
    items: VecDeque<Item>,
    bytes: usize,
    replies: usize,
}

/// One frame that waits.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) frame: Bytes,
    pub(super) kind: ItemKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ItemKind {
    /// Goes as soon as it can.
    Control,
    /// Answers a request; a peer may be owed a few only.
    Reply,
    /// Answers a join; gaps of an earlier stay in the room end here.
    Joined { room: RoomId },
    /// Who is in a room. Its size is the room's doing, not the client's, so it
    /// does not count as waiting.
    Roster,
    /// Goes after all events of a room before `before`.
    After { room: RoomId, before: u64 },
    /// An event taken out of a room's log.
    Event { room: RoomId, seq: u64, sender: Seat, class: Class },
    /// Events `from..=to` were dropped, and `own` events in between are the receiver's.
    Gap { room: RoomId, from: u64, to: u64, own: u32 },
}

impl Outbox {
    pub(super) fn push(&mut self, kind: ItemKind, frame: Bytes) {
        if kind != ItemKind::Roster {
            self.bytes += frame.len();
        }
        self.replies += usize::from(kind == ItemKind::Reply);
        self.items.push_back(Item { frame, kind });
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if item.kind != ItemKind::Roster {
            self.bytes -= item.frame.len();
        }
        self.replies -= usize::from(item.kind == ItemKind::Reply);
        if self.items.is_empty() && self.items.capacity() > KEPT_ITEMS {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    /// Everything that waits, but for the rest of a frame.
    pub(super) fn take(&mut self) -> VecDeque<Item> {
        self.bytes = 0;
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

    /// Frames that wait.
    pub(super) fn frames(&self) -> usize {
        self.items.len() + usize::from(!self.partial.is_empty())
    }

    /// Answers that wait.
    pub(super) fn replies(&self) -> usize {
        self.replies
    }
}

const KEPT_ITEMS: usize = 16;

/// What waits for one client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct QueueLen {
    /// Frames.
    pub frames: usize,
    /// Bytes.
    pub bytes: usize,
}
