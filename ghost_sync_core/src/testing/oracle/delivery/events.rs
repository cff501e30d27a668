//! A room's events as a client gets them, each in its turn.

use super::{is_listed, is_same};
use crate::{
    testing::{
        oracle::{Expected, Mark, Oracle, RoomKey, room::What},
        stamp::Stamp,
    },
    wire::{GapReason, RoomId, Seat, ServerMessage},
};

impl Oracle {
    pub(super) fn on_broadcast(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload } =
            *message
        else {
            return;
        };
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let replay = seq < stay.joined;
        let spared = log.is_own(seq, stay.seat);
        let (seat, key) = (stay.seat, stay.key);
        let owner = log.owners.get(&sender).copied().unwrap_or_default();
        let said = log.entry(seq).map(|entry| &entry.what);
        let stamp = Stamp::read(payload);
        match (said, stamp) {
            (Some(What::Said(said)), Some(stamp))
                if is_same(said, sender, delivery, message_type, stamp) =>
            {
                if spared {
                    self.fail("I10", format!("{author} hears event {seq}, its own or not for it"));
                }
            }
            _ => {
                let seen = format!(
                    "event {seq} of {room:?} reads {stamp:?} of {sender:?} and is {said:?}; for {seat:?}"
                );
                return self.fail("I2", seen);
            }
        }
        if !replay {
            self.check_fresh(author, key, seq);
        }
        if let Some(stamp) = stamp {
            self.check_size(stamp, payload.len());
            self.expect(Expected::broadcast(seq, replay, owner, stamp));
        }
    }

    pub(super) fn on_player_joined(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::PlayerJoined { room, seq, ref member } = *message else { return };
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let arrived = log.arrivals.get(&seq).and_then(|arrival| arrival.roster.last());
        let right = arrived.is_some_and(|arrived| is_listed(arrived, member));
        let what = log.entry(seq).map(|entry| format!("{:?}", entry.what));
        if seq > stay.joined {
            stay.roster.insert(member.seat, member.away);
            self.expect(Expected::at(Expected::PLAYER_JOINED, seq));
        }
        if !right {
            self.fail("I2", format!("event {seq} of {room:?}: {member:?}, is {what:?}"));
        }
    }

    pub(super) fn on_player_left(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::PlayerLeft { room, seq, seat, ref reason } = *message else { return };
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let what = log.entry(seq).map(|entry| &entry.what);
        let right = matches!(what, Some(What::Left { seat: gone, reason: why }) if *gone == seat && why == reason);
        let seen = (!right).then(|| format!("event {seq} of {room:?}: {seat:?} left, is {what:?}"));
        let mut there = true;
        if seq > stay.joined {
            there = stay.roster.remove(&seat).is_some();
            self.expect(Expected::at(Expected::PLAYER_LEFT, seq));
        }
        self.judge("I2", seen);
        if !there {
            self.fail("I7", format!("{seat:?} left {room:?} and was not there"));
        }
    }

    pub(super) fn on_presence(
        &mut self,
        author: usize,
        room: RoomId,
        seq: u64,
        seat: Seat,
        away: bool,
    ) {
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let what = log.entry(seq).map(|entry| &entry.what);
        let right = match what {
            Some(What::Away { seat: gone }) => away && *gone == seat,
            Some(What::Back { seat: back }) => !away && *back == seat,
            _ => false,
        };
        let seen =
            (!right).then(|| format!("event {seq} of {room:?}: {seat:?} away {away}, is {what:?}"));
        let mut was = Some(!away);
        if seq > stay.joined {
            was = stay.roster.insert(seat, away);
            let tag = if away { Expected::AWAY } else { Expected::BACK };
            self.expect(Expected::at(tag, seq));
        }
        self.judge("I2", seen);
        if was != Some(!away) {
            self.fail("I7", format!("{seat:?} of {room:?} is away {away}, was {was:?}"));
        }
    }

    pub(super) fn on_room_metadata(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::RoomMetadata { room, seq, version, key, value } = *message else {
            return;
        };
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let what = log.entry(seq).map(|entry| &entry.what);
        let right = matches!(what, Some(What::RoomMetadata { version: v, key: k, value: w }) if *v == version && k == key && w.as_deref() == value);
        let seen = (!right).then(|| format!("event {seq} of {room:?}: {key}, is {what:?}"));
        if seq > stay.joined {
            self.expect(Expected::at(Expected::ROOM_METADATA, seq));
        }
        self.judge("I2", seen);
    }

    pub(super) fn on_player_metadata(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::PlayerMetadata { room, seq, seat, version, key, value } = *message
        else {
            return;
        };
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let what = log.entry(seq).map(|entry| &entry.what);
        let right = matches!(what, Some(What::PlayerMetadata { seat: s, version: v, key: k, value: w }) if *s == seat && *v == version && k == key && w.as_deref() == value);
        let seen = (!right).then(|| format!("event {seq} of {room:?}: {key}, is {what:?}"));
        if seq > stay.joined {
            self.expect(Expected::at(Expected::PLAYER_METADATA, seq));
        }
        self.judge("I2", seen);
    }

    pub(super) fn on_room_deleted(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::RoomDeleted { room, seq, message } = *message else { return };
        let Some((stay, log)) = self.event(author, room, seq) else { return };
        let what = log.entry(seq).map(|entry| &entry.what);
        let right = matches!(what, Some(What::Deleted { message: m }) if m == message);
        let last = log.head() == seq;
        let seen =
            (!right || !last).then(|| format!("event {seq} of {room:?} ends it, and is {what:?}"));
        if seq > stay.joined {
            self.expect(Expected::at(Expected::ROOM_DELETED, seq));
        }
        self.judge("I17", seen);
    }

    pub(super) fn on_gap(
        &mut self,
        author: usize,
        room: RoomId,
        (from, to): (u64, u64),
        own: u32,
        reason: GapReason,
    ) {
        self.mark(Mark::Gap);
        if own > 0 {
            self.mark(Mark::OwnInGap);
        }
        let forgotten = reason == GapReason::Forgotten;
        if forgotten {
            self.mark(Mark::Forgotten);
        }
        let Some(stay) = self.authors[author].stays.get_mut(&room) else {
            return self.fail("I10", format!("{author} gets a gap of {room:?}"));
        };
        let Some(log) = self.rooms.get(&stay.key) else { return };
        stay.pass(log, from);
        let (next, head, loose) = (stay.next, log.head(), stay.loose);
        if forgotten {
            stay.loose = stay.loose.max(to.saturating_add(1));
        } else {
            stay.next = to.saturating_add(1);
        }
        if next != from || to < from || to > head {
            let seen = format!("a gap of {room:?} from {from} to {to}; {next} is next of {head}");
            return self.fail("I4", seen);
        }
        // Those that an earlier gap has accounted for are not counted again.
        let range = from.max(loose)..=to;
        let mine = range.filter(|seq| log.is_own_message(*seq, stay.seat)).count();
        let kept = (from..=to).find(|seq| {
            !forgotten
                && !log.is_own(*seq, stay.seat)
                && !log.may_drop(*seq, &stay.roster, *seq < loose)
        });
        let seen = kept.map(|seq| {
            format!("event {seq} of {room:?} is dropped: {:?}", log.entry(seq).map(|e| &e.what))
        });
        let listing = stay.listing;
        if let Some(seen) = seen {
            let control = !seen.contains("Said(");
            self.fail(if control { "I7" } else { "I4" }, seen);
        }
        if mine != own as usize {
            self.fail("I4", format!("{own} own events instead of {mine} from {from} to {to}"));
        }
        if listing > 0 {
            self.fail("I6", format!("a gap of {room:?} before its roster"));
        }
        self.expect(Expected::at(Expected::GAP, to));
    }

    /// What a client missed and what was replaced, or was to be heard at once, before it
    /// came back, is not said then.
    pub(super) fn check_fresh(&mut self, author: usize, key: RoomKey, seq: u64) {
        let at = self.authors[author].resumed_at.get(&key.1).copied().unwrap_or(0);
        if seq <= at
            && let Some(log) = self.rooms.get(&key)
            && log.is_stale(seq, at)
        {
            self.fail("I14", format!("{author} is given event {seq} of {key:?} late"));
        }
    }

    pub(super) fn check_size(&mut self, stamp: Stamp, len: usize) {
        let sent = if stamp.author == Stamp::HOST {
            self.said.get(&stamp.counter).map(|said| said.len)
        } else {
            let author = self.authors.get(stamp.author as usize);
            author.and_then(|a| a.messages.get(stamp.counter as usize)).map(|m| m.len)
        };
        if sent != Some(len) {
            self.fail("I2", format!("{stamp:?} has {len} bytes instead of {sent:?}"));
        }
    }
}
