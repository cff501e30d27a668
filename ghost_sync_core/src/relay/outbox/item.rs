//! A frame that waits, and what is known of it.

use bytes::Bytes;

use crate::{
    relay::{asides::About, log::Class},
    wire::{Delivery, RoomId, Seat},
};

/// One frame that waits.
#[derive(Clone, Debug)]
pub(in crate::relay) struct Item {
    pub(in crate::relay) frame: Bytes,
    pub(in crate::relay) kind: ItemKind,
}

impl Item {
    /// Bytes of memory that it takes.
    pub(super) fn cost(&self) -> usize {
        self.frame.len() + ITEM
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::relay) enum ItemKind {
    /// Goes as soon as it can; means nothing on another link.
    Control,
    /// Answers a ping; a peer may be owed a few only.
    Pong,
    /// Answers a request; a peer may be owed a few only. Numbered, like all below
    /// but events and gaps.
    Reply,
    /// A message for the client alone that belongs to no room's order; goes as soon as it can.
    Message,
    /// Answers a join; gaps of an earlier stay in the room end here.
    Joined { room: RoomId },
    /// What a newcomer is told of a room: who is there, the newest values. Its size
    /// is the room's doing, not the client's, so it does not count as waiting.
    Roster,
    /// Goes after all events of a stay in a room before `before`.
    After { room: RoomId, seat: Seat, before: u64 },
    /// How many broadcasts of the server a member is left out of. It need not know before
    /// it is given the next event, and goes in front of what goes after events of its stay:
    /// more of these may be given then.
    Spared { room: RoomId, seat: Seat, count: u32 },
    /// May be lost; says that `missed` were.
    Aside { about: About, missed: u32 },
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
    pub(in crate::relay) fn is_numbered(self) -> bool {
        match self {
            Self::Reply
            | Self::Message
            | Self::Joined { .. }
            | Self::Roster
            | Self::After { .. }
            | Self::Spared { .. }
            | Self::Left { .. } => true,
            Self::Control
            | Self::Pong
            | Self::Aside { .. }
            | Self::Event { .. }
            | Self::Gap { .. } => false,
        }
    }

    /// Whether it may be dropped when too much waits.
    pub(super) fn is_droppable(self) -> bool {
        let Self::Event { class: Class::Message(delivery), .. } = self else { return false };
        delivery != Delivery::Reliable
    }

    pub(super) fn is_reply(self) -> bool {
        matches!(self, Self::Reply | Self::Pong)
    }

    /// Whether it goes after events of that stay.
    pub(super) fn is_after(self, room: RoomId, seat: Seat) -> bool {
        matches!(self, Self::After { room: of, seat: whose, .. } if (of, whose) == (room, seat))
    }

    pub(super) fn is_aside(self) -> bool {
        matches!(self, Self::Aside { .. })
    }
}

/// What a frame that waits costs beside its bytes: its place in the queue, which grows by
/// doubling, and its memory's bookkeeping.
pub(super) const ITEM: usize = 2 * size_of::<Item>() + 64;
