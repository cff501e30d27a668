//! A simulated client: what its program did, and what it was given.

use std::{collections::BTreeMap, collections::BTreeSet, collections::VecDeque, ops::Range};

use super::{RoomKey, limits};
use crate::wire::{ClientId, Delivery, MessageType, RoomId, Seat, Secret};

/// A simulated client: what its program did, and what it was given.
#[derive(Debug, Default)]
pub(in crate::testing) struct Author {
    pub(in crate::testing) messages: Vec<Message>,
    /// Where the references of the current session begin among the messages.
    pub(super) base: usize,
    /// The current session.
    pub(in crate::testing) client_id: ClientId,
    pub(super) era: u32,
    /// Whether something may still happen to it.
    pub(in crate::testing) over: bool,
    pub(in crate::testing) stays: BTreeMap<RoomId, Stay>,
    /// Joins and lists that were asked for and not answered.
    pub(in crate::testing) joins_owed: i64,
    pub(in crate::testing) lists_owed: i64,
    /// Tokens that it has shown since, and was told nothing of.
    pub(in crate::testing) tokens_owed: i64,
    /// Whether errors and leaves after a failed resume may follow.
    pub(super) reckoning: bool,
    /// It missed too much to resume, and asks to go on from what is now.
    pub(super) going_on: bool,
    /// Where the messages of the next session begin.
    pub(super) next_base: usize,
    /// It went on so: which joins were answered by that is not known.
    pub(super) went_on: bool,
    pub(super) leaves_due: usize,
    pub(super) reported: BTreeSet<usize>,
    /// The session was ended on purpose while it was away.
    pub(super) barred: bool,
    /// The server does not take what it asks for, again and again.
    pub(super) throttled: bool,
    pub(super) secret: Secret,
    /// The secret before; of no use any more.
    pub(in crate::testing) old_secret: Option<Secret>,
    /// Numbered messages of this session.
    pub(super) received: u64,
    /// The server had no place for it.
    pub(in crate::testing) turned_away: bool,
    /// What the server got from it, accepted or not.
    pub(super) offered: limits::Spent,
    /// Links lost so far.
    pub(in crate::testing) losses: u32,
    /// The server resumed it, and it does not know that yet.
    pub(super) resumed_unseen: bool,
    /// The last event of each of its rooms when it was resumed last.
    pub(super) resumed_at: BTreeMap<RoomId, u64>,
    /// The sessions of others that it goes on with.
    pub(super) inherited: BTreeSet<ClientId>,
    /// The rooms where it has seats of an earlier process, and what it is told first there.
    pub(super) seats_before: BTreeMap<RoomId, Range<u32>>,
}

impl Author {
    /// What takes its session up, as far as it knows.
    pub(in crate::testing) fn secret(&self) -> Secret {
        self.secret
    }

    /// Numbered messages that it has.
    pub(in crate::testing) fn received(&self) -> u64 {
        self.received
    }
}

/// A broadcast or a message to the server.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Message {
    pub(in crate::testing) room: Option<RoomKey>,
    pub(in crate::testing) delivery: Option<Delivery>,
    pub(in crate::testing) echo: bool,
    pub(in crate::testing) ack: bool,
    /// Whether it is the last value of its key.
    pub(in crate::testing) last: bool,
    pub(in crate::testing) message_type: MessageType,
    /// The room's last event when it was said.
    pub(in crate::testing) floor: u64,
    pub(in crate::testing) len: usize,
    pub(super) fate: Fate,
    pub(super) verdict: Option<bool>,
    pub(super) asked: bool,
    pub(super) acked: bool,
    /// Whether the server got it, over whatever link.
    pub(super) fed: bool,
    /// When that was, and whether its link was closed in the middle of what came then: the
    /// server may not have looked at it.
    pub(super) fed_at: u64,
    pub(super) doubtful: bool,
    /// Whether the server never got so much that it could be too much.
    pub(super) modest: bool,
    /// Whether there was a link when it was said, and how many had been lost.
    pub(in crate::testing) open: bool,
    pub(in crate::testing) losses: u32,
}

impl Message {
    pub(in crate::testing) fn new(
        room: Option<RoomKey>,
        delivery: Option<Delivery>,
        message_type: MessageType,
        floor: u64,
        len: usize,
    ) -> Self {
        Self {
            room,
            delivery,
            echo: false,
            ack: false,
            last: false,
            message_type,
            floor,
            len,
            fate: Fate::Open,
            verdict: None,
            asked: false,
            acked: false,
            fed: false,
            fed_at: 0,
            doubtful: false,
            modest: true,
            open: true,
            losses: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Open,
    Accepted(u64),
    Reported,
    Refused,
    Unknown,
}

/// A stay of a client in a room, as the frames tell it.
#[derive(Debug)]
pub(in crate::testing) struct Stay {
    pub(in crate::testing) key: RoomKey,
    pub(super) seat: Seat,
    pub(super) joined: u64,
    /// The first event that it may be given.
    pub(super) first: u64,
    pub(in crate::testing) next: u64,
    /// Members not listed yet.
    pub(super) listing: usize,
    pub(super) roster: BTreeMap<Seat, bool>,
    /// Before this event some may be missing, as was announced.
    pub(super) loose: u64,
    pub(super) retained: VecDeque<u64>,
    /// Events that it was told it is left out of.
    pub(super) spared: u64,
    /// Later stays have higher ones.
    pub(in crate::testing) order: u64,
}

impl Stay {
    /// The first event that it may be given.
    pub(in crate::testing) fn first(&self) -> u64 {
        self.first
    }
}
