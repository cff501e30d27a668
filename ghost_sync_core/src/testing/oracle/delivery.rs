//! What a client is given, frame by frame, against the rooms' logs.

mod events;
mod sessions;
mod stays;

use super::{
    Expected, Fate, Mark, Oracle, Stay,
    room::{RoomLog, Said},
};
use crate::{
    testing::stamp::Stamp,
    wire::{Delivery, MemberInfo, MessageType, Refusal, RoomId, Seat, ServerMessage},
};

impl Oracle {
    /// Takes a frame as an honest client gets it, over a link of relay `era`.
    pub(in crate::testing) fn on_frame(
        &mut self,
        author: usize,
        era: u32,
        message: &ServerMessage<'_>,
    ) {
        self.authors[author].received += u64::from(message.is_numbered());
        match *message {
            ServerMessage::Welcome(_) => self.on_welcome(author, era, message),
            ServerMessage::Close { .. } => self.on_close(author, message),
            ServerMessage::Joined { .. } => self.on_joined(author, era, message),
            ServerMessage::Roster { room, ref members } => self.on_roster(author, room, members),
            ServerMessage::JoinRefused { .. } => self.on_join_refused(message),
            ServerMessage::Left { room, .. } => self.on_left(author, room),
            ServerMessage::Broadcast { .. } => self.on_broadcast(author, message),
            ServerMessage::PlayerJoined { .. } => self.on_player_joined(author, message),
            ServerMessage::PlayerLeft { .. } => self.on_player_left(author, message),
            ServerMessage::PlayerAway { room, seq, seat } => {
                self.on_presence(author, room, seq, seat, true);
            }
            ServerMessage::PlayerBack { room, seq, seat } => {
                self.on_presence(author, room, seq, seat, false);
            }
            ServerMessage::RoomMetadata { .. } => self.on_room_metadata(author, message),
            ServerMessage::PlayerMetadata { .. } => self.on_player_metadata(author, message),
            ServerMessage::RoomDeleted { .. } => self.on_room_deleted(author, message),
            ServerMessage::Gap { room, from, to, own, reason } => {
                self.on_gap(author, room, (from, to), own, reason);
            }
            ServerMessage::Direct { room, message_type: _, payload } => {
                self.on_direct(author, era, room, payload);
            }
            ServerMessage::Aside { room, missed, message_type: _, payload } => {
                self.on_aside(author, room, missed, payload);
            }
            ServerMessage::Spared { room, count } => self.on_spared(author, room, count),
            ServerMessage::Ack { room, reference: _, seq } => self.on_ack(author, room, seq),
            ServerMessage::Refused { room: _, reference: _, ref reason } => {
                self.on_refused(reason);
            }
            ServerMessage::Retained { .. } => self.on_retained(author, message),
            ServerMessage::Resumed { .. } => self.on_resumed(author, message),
            ServerMessage::ResumeFailed { ref reason } => self.on_failed(author, era, reason),
            ServerMessage::RoomList { .. } => self.expect(Expected::of(Expected::ROOMS)),
            ServerMessage::Pong { .. } => self.expect(Expected::of(Expected::PONG)),
            ServerMessage::TokenExpiring { .. } => {
                self.expect(Expected::of(Expected::TOKEN_EXPIRING));
            }
            ServerMessage::Authenticated { .. } => {
                self.expect(Expected::of(Expected::AUTHENTICATED));
            }
            ServerMessage::Ping { .. } | ServerMessage::Received { .. } => {}
        }
    }

    pub(super) fn judge(&mut self, invariant: &'static str, seen: Option<String>) {
        if let Some(seen) = seen {
            self.fail(invariant, seen);
        }
    }

    /// The stay and the log that event `seq` belongs to, if it comes in its turn.
    fn event(&mut self, author: usize, room: RoomId, seq: u64) -> Option<(&mut Stay, &RoomLog)> {
        let Some(stay) = self.authors[author].stays.get_mut(&room) else {
            self.fail("I10", format!("{author} gets event {seq} of {room:?} and is not in it"));
            return None;
        };
        let log = self.rooms.get(&stay.key)?;
        let (listing, kept) = (stay.listing, stay.retained.len());
        stay.pass(log, seq);
        let (next, head) = (stay.next, log.head());
        stay.next = seq + 1;
        if listing > 0 || kept > 0 {
            let seen = format!("event {seq} of {room:?} before {listing} members, {kept} values");
            self.fail("I6", seen);
            return None;
        }
        if seq != next || seq > head {
            let invariant = if seq < next {
                "I5"
            } else if seq > head {
                "I2"
            } else {
                "I4"
            };
            let seen = format!("{author} gets event {seq} of {room:?}, {next} is next of {head}");
            self.fail(invariant, seen);
            return None;
        }
        let stay = self.authors[author].stays.get_mut(&room)?;
        let log = self.rooms.get(&stay.key)?;
        Some((stay, log))
    }

    fn on_direct(&mut self, author: usize, era: u32, room: RoomId, payload: &[u8]) {
        let stamp = Stamp::read(payload);
        let client_id = self.authors[author].client_id;
        let due = self.directs.get_mut(&client_id).and_then(std::collections::VecDeque::pop_front);
        let Some(due) = due else {
            return self.fail("I10", format!("{author} gets words for nobody: {stamp:?}"));
        };
        let Some(stamp) = stamp.filter(|stamp| stamp.counter == due.counter) else {
            return self.fail("I5", format!("{author} gets words {stamp:?} instead of {due:?}"));
        };
        let about = due.room.map_or(RoomId(0), |((_, room), _)| room);
        if about != room {
            self.fail("I10", format!("words about {about:?} come as about {room:?}"));
        }
        if let Some(((of, room), before)) = due.room
            && of == era
            && let Some(stay) = self.authors[author].stays.get(&room)
            && let Some(log) = self.rooms.get(&stay.key)
        {
            let mut next = stay.next;
            while next < before
                && (log.is_own(next, stay.seat)
                    || next < stay.loose && log.may_drop(next, &stay.roster, true))
            {
                next += 1;
            }
            if before == 0 {
                self.marks.reach(Mark::WordsFirst);
                if stay.listing > 0 || stay.next > stay.joined + 1 {
                    self.fail("I6", format!("{author} gets the first words late"));
                }
            } else if next < before {
                let seen = format!("words after event {before} of {room:?} come before {next}");
                self.fail("I1", seen);
            }
        }
        self.expect(Expected::direct(stamp, None));
    }

    fn on_ack(&mut self, author: usize, room: RoomId, seq: u64) {
        let state = &mut self.authors[author];
        // By its place in the room: the server counts only what it was sent.
        let at = state.messages.iter().rposition(|message| {
            message.fate == Fate::Accepted(seq) && message.room.is_some_and(|(_, of)| of == room)
        });
        let Some(at) = at else {
            return self.fail("I13", format!("event {seq} of {room:?} is acknowledged, not said"));
        };
        let message = &mut state.messages[at];
        let again = std::mem::replace(&mut message.acked, true);
        let seen = (!message.ack || again)
            .then(|| format!("event {seq} of {room:?} acknowledges {message:?}, again {again}"));
        self.judge("I13", seen);
        self.expect(Expected::ack(seq, at as u64 + 1));
    }

    fn on_refused(&mut self, reason: &Refusal) {
        self.expect(Expected::of(Expected::ERROR));
        match reason {
            Refusal::MetadataConflict { .. } => self.mark(Mark::MetadataConflict),
            Refusal::TimedOut { .. } => self.mark(Mark::HookTimedOut),
            _ => {}
        }
        if matches!(reason, Refusal::RateLimited { .. }) {
            self.mark(Mark::RateLimited);
        }
    }
}

impl Stay {
    /// Goes on to event `until`, as far as what is before it need not come: own events,
    /// and what was announced to be missing and may be.
    pub(super) fn pass(&mut self, log: &RoomLog, until: u64) {
        while self.next < until
            && (log.is_own(self.next, self.seat)
                || self.next < self.loose && log.may_drop(self.next, &self.roster, true))
        {
            self.next += 1;
        }
    }
}

fn is_same(
    said: &Said,
    sender: Seat,
    delivery: Delivery,
    message_type: MessageType,
    stamp: Stamp,
) -> bool {
    said.sender == sender
        && said.delivery == delivery
        && said.message_type == message_type
        && (said.author, said.counter) == (stamp.author, stamp.counter)
}

fn is_listed(due: &super::room::Present, member: &MemberInfo) -> bool {
    due.seat == member.seat
        && due.client_id == member.client_id
        && due.user.as_deref().unwrap_or_default() == member.user
        && due.away == member.away
        && due.meta_version == member.meta_version
        && due.meta == member.meta
}
