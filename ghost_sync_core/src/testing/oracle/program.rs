//! What the client's program is told, against the frames that its client got.

use super::{Fate, Mark, Message, Oracle};
use crate::{
    client::{RequestError, RequestKind, ServerEvent},
    testing::stamp::Stamp,
    wire::{ClientId, Refusal},
};

/// One event that a program must be told next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::testing) struct Expected {
    tag: u8,
    seq: u64,
    /// The program's number of a message.
    number: u64,
    sender: Option<ClientId>,
    stamp: Option<(u32, u32)>,
    missed: Option<u32>,
}

impl Expected {
    pub(super) const JOINED: u8 = 1;
    pub(super) const ERROR: u8 = 2;
    pub(super) const LEFT: u8 = 3;
    pub(super) const PLAYER_JOINED: u8 = 4;
    pub(super) const PLAYER_LEFT: u8 = 5;
    pub(super) const BROADCAST: u8 = 6;
    pub(super) const REPLAYED: u8 = 7;
    pub(super) const DIRECT: u8 = 8;
    pub(super) const ROOM_METADATA: u8 = 9;
    pub(super) const PLAYER_METADATA: u8 = 10;
    pub(super) const AWAY: u8 = 11;
    pub(super) const BACK: u8 = 12;
    pub(super) const ROOM_DELETED: u8 = 13;
    pub(super) const GAP: u8 = 14;
    pub(super) const ACK: u8 = 15;
    pub(super) const PONG: u8 = 16;
    pub(super) const ROOMS: u8 = 17;
    pub(super) const RESUMED: u8 = 18;
    pub(super) const RESUME_FAILED: u8 = 19;
    const RECONNECTING: u8 = 20;
    const RENEWED: u8 = 21;
    pub(super) const ALREADY_JOINED: u8 = 22;
    const ANEW: u8 = 25;
    pub(super) const TOKEN_EXPIRING: u8 = 23;
    pub(super) const AUTHENTICATED: u8 = 24;

    pub(super) fn of(tag: u8) -> Self {
        Self::at(tag, 0)
    }

    pub(super) fn at(tag: u8, seq: u64) -> Self {
        Self { tag, seq, number: 0, sender: None, stamp: None, missed: None }
    }

    pub(super) fn renewed(client_id: ClientId) -> Self {
        Self { sender: Some(client_id), ..Self::of(Self::RENEWED) }
    }

    pub(super) fn direct(stamp: Stamp, missed: Option<u32>) -> Self {
        let stamp = Some((stamp.author, stamp.counter));
        Self { stamp, missed, ..Self::of(Self::DIRECT) }
    }

    pub(super) fn broadcast(seq: u64, replay: bool, sender: ClientId, stamp: Stamp) -> Self {
        let tag = if replay { Self::REPLAYED } else { Self::BROADCAST };
        let stamp = Some((stamp.author, stamp.counter));
        Self { sender: Some(sender), stamp, ..Self::at(tag, seq) }
    }

    pub(super) fn ack(seq: u64, number: u64) -> Self {
        Self { number, ..Self::at(Self::ACK, seq) }
    }

    fn from(event: &ServerEvent) -> Self {
        match event {
            ServerEvent::Joined { seq, .. } => Self::at(Self::JOINED, *seq),
            ServerEvent::AlreadyJoined { .. } => Self::of(Self::ALREADY_JOINED),
            ServerEvent::TokenExpiring { .. } => Self::of(Self::TOKEN_EXPIRING),
            ServerEvent::Authenticated { .. } => Self::of(Self::AUTHENTICATED),
            ServerEvent::Refused(_) => Self::of(Self::ERROR),
            ServerEvent::Left { .. } => Self::of(Self::LEFT),
            ServerEvent::PlayerJoined { seq, .. } => Self::at(Self::PLAYER_JOINED, *seq),
            ServerEvent::PlayerLeft { seq, .. } => Self::at(Self::PLAYER_LEFT, *seq),
            ServerEvent::Broadcast { sender, seq, replay, data, .. } => {
                let tag = if *replay { Self::REPLAYED } else { Self::BROADCAST };
                let stamp = Stamp::read(data).map(|stamp| (stamp.author, stamp.counter));
                let sender = Some(sender.client_id().unwrap_or_default());
                Self { sender, stamp, ..Self::at(tag, *seq) }
            }
            ServerEvent::Direct { data, missed, .. } => {
                let stamp = Stamp::read(data).map(|stamp| (stamp.author, stamp.counter));
                Self { stamp, missed: *missed, ..Self::of(Self::DIRECT) }
            }
            ServerEvent::RoomMetadata { seq, .. } => Self::at(Self::ROOM_METADATA, *seq),
            ServerEvent::PlayerMetadata { seq, .. } => Self::at(Self::PLAYER_METADATA, *seq),
            ServerEvent::PlayerAway { seq, .. } => Self::at(Self::AWAY, *seq),
            ServerEvent::PlayerBack { seq, .. } => Self::at(Self::BACK, *seq),
            ServerEvent::RoomDeleted { seq, .. } => Self::at(Self::ROOM_DELETED, *seq),
            ServerEvent::Gap { to, .. } => Self::at(Self::GAP, *to),
            ServerEvent::Ack { seq, reference, .. } => Self::ack(*seq, *reference),
            ServerEvent::Pong { .. } => Self::of(Self::PONG),
            ServerEvent::RoomList { .. } => Self::of(Self::ROOMS),
            ServerEvent::Reconnecting { .. } => Self::of(Self::RECONNECTING),
            ServerEvent::Resumed => Self::of(Self::RESUMED),
            ServerEvent::ResumeFailed { .. } => Self::of(Self::RESUME_FAILED),
            ServerEvent::Renewed { client_id } => Self::renewed(*client_id),
            // The simulated clients end with their sessions.
            ServerEvent::Disconnected { .. }
            | ServerEvent::Connecting { .. }
            | ServerEvent::Connected { .. } => Self::of(Self::ANEW),
        }
    }
}

impl Oracle {
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected.push_back(expected);
    }

    /// Takes what a client made of the frames that it just got.
    pub(in crate::testing) fn on_told(&mut self, author: usize, events: &[ServerEvent]) {
        for event in events {
            let told = Expected::from(event);
            if self.authors[author].reckoning
                && matches!(told.tag, Expected::LEFT | Expected::ERROR)
                && self.expected.front() != Some(&told)
            {
                self.reckon(author, event);
                continue;
            }
            if told.tag == Expected::PONG && self.expected.front() != Some(&told) {
                return self.fail("I5", "a pong nobody sent");
            }
            while told.tag != Expected::PONG
                && self.expected.front().is_some_and(|due| due.tag == Expected::PONG)
            {
                // Answers to pings of an earlier link mean nothing.
                self.expected.pop_front();
            }
            if told.tag == Expected::RENEWED {
                self.authors[author].going_on = false;
            } else if self.is_reckoned(author) && told.tag != Expected::RESUME_FAILED {
                self.end_reckoning(author);
            }
            let due = self.expected.pop_front();
            if due != Some(told) {
                let seen = format!("{author} is told {event:?}, and {due:?} came");
                return self.fail("I4", seen);
            }
            match event {
                ServerEvent::Joined { .. } | ServerEvent::AlreadyJoined { .. } => {
                    self.authors[author].joins_owed -= 1;
                }
                ServerEvent::Refused(RequestError {
                    request: RequestKind::Join | RequestKind::Rejoin,
                    ..
                }) => self.authors[author].joins_owed -= 1,
                ServerEvent::Refused(error) if error.request == RequestKind::ListRooms => {
                    self.authors[author].lists_owed -= 1;
                }
                ServerEvent::Refused(error) if error.request == RequestKind::Authenticate => {
                    self.authors[author].tokens_owed -= 1;
                }
                ServerEvent::Authenticated { .. } => self.authors[author].tokens_owed -= 1,
                ServerEvent::Refused(error) => self.told_refused(author, error),
                ServerEvent::RoomList { .. } => self.authors[author].lists_owed -= 1,
                _ => {}
            }
        }
        while self.expected.front().is_some_and(|due| due.tag == Expected::PONG) {
            self.expected.pop_front();
        }
        if self.is_reckoned(author) && !events.is_empty() {
            self.end_reckoning(author);
        }
        if let Some(due) = self.expected.pop_front() {
            self.fail("I4", format!("{author} is not told {due:?}"));
        }
    }

    /// Whether a client has said everything about a session that is over.
    fn is_reckoned(&self, author: usize) -> bool {
        self.authors[author].reckoning && !self.authors[author].going_on
    }

    /// A program is told that the server did not do what it asked for.
    fn told_refused(&mut self, author: usize, error: &RequestError) {
        if !matches!(error.request, RequestKind::Broadcast | RequestKind::ToServer) {
            return;
        }
        let reference = error.reference.unwrap_or(0);
        let at = usize::try_from(reference).unwrap_or(0).wrapping_sub(1);
        let Some(message) = self.authors[author].messages.get_mut(at) else {
            return self.fail("I13", format!("message {reference} is refused, never said"));
        };
        let before = std::mem::replace(&mut message.fate, Fate::Refused);
        let limited = matches!(error.reason, Refusal::RateLimited { .. });
        let wrongly = message.modest && limited;
        if before != Fate::Open || !message.fed {
            let seen = format!("{reference} is refused ({error}), was {before:?}: {message:?}");
            self.fail("I13", seen);
        }
        if wrongly {
            self.fail("I28", format!("message {reference} of {author} was not too much"));
        }
    }

    /// What a client says about a session that is over.
    fn reckon(&mut self, author: usize, event: &ServerEvent) {
        match event {
            ServerEvent::Left { .. } => {
                let state = &mut self.authors[author];
                match state.leaves_due.checked_sub(1) {
                    Some(less) => state.leaves_due = less,
                    None => self.fail("I9", format!("{author} left a room too many")),
                }
            }
            ServerEvent::Refused(error) => match error.request {
                RequestKind::Broadcast | RequestKind::ToServer => {
                    let reference = error.reference.unwrap_or(0);
                    let at = usize::try_from(reference).unwrap_or(0).wrapping_sub(1);
                    let state = &mut self.authors[author];
                    let fresh = state.reported.insert(at);
                    let fate = state.messages.get(at).map(|message| message.fate);
                    let told = matches!(fate, None | Some(Fate::Refused));
                    let acked = state.messages.get(at).is_some_and(|message| message.acked);
                    let missed = state.messages.get(at).is_none_or(Message::is_missed);
                    if !fresh || told || acked || !missed {
                        let seen = format!("message {reference} is said to be lost, is {fate:?}");
                        self.fail("I13", seen);
                    }
                }
                _ => self.fail("I13", format!("{author} is told {error}")),
            },
            _ => {}
        }
    }

    /// Everything was said about the session that is over.
    fn end_reckoning(&mut self, author: usize) {
        let state = &mut self.authors[author];
        state.reckoning = false;
        // Rooms that were not left are joined again.
        state.joins_owed += i64::try_from(state.leaves_due).unwrap_or(0);
        let reported = std::mem::take(&mut state.reported);
        let mut silent = None;
        let over = state.messages.iter_mut().enumerate().take(state.next_base);
        for (at, message) in over.skip(state.base) {
            if message.fate == Fate::Open {
                message.fate = Fate::Unknown;
                // The answer to one that the server got may be lost with the session.
                if !message.fed && !reported.contains(&at) && message.is_missed() {
                    silent = Some(at);
                }
            }
        }
        state.base = state.next_base;
        if let Some(at) = silent {
            let message = &self.authors[author].messages[at];
            self.fail("I13", format!("message {at} is lost without a word: {message:?}"));
        }
        self.mark(Mark::ResumeExpired);
    }
}
