//! What a client is told of its stays in rooms: from the answer to its join until it has left.

use super::{is_listed, is_same};
use crate::{
    testing::{
        oracle::{Expected, Mark, Oracle, Stay, room::What},
        stamp::Stamp,
    },
    wire::{Delivery, MemberInfo, Refusal, RoomId, ServerMessage},
};

impl Oracle {
    pub(super) fn on_joined(&mut self, author: usize, era: u32, message: &ServerMessage<'_>) {
        let ServerMessage::Joined {
            request,
            room,
            name,
            epoch,
            seq,
            since,
            seat,
            capacity: _,
            members,
            meta_version,
            ref meta,
            ref former,
        } = *message
        else {
            return;
        };
        let key = (era, room);
        let Some(found) = self.rooms.get_mut(&key) else {
            return self.fail("I17", format!("joined {room:?}, which never was"));
        };
        let Some(arrival) = found.arrivals.get(&seq).cloned() else {
            return self.fail("I6", format!("nobody joined {room:?} at event {seq}"));
        };
        let right = found.owners.get(&seat) == Some(&self.authors[author].client_id)
            && match found.entry(seq).map(|entry| &entry.what) {
                Some(What::Joined { seat: own }) => *own == seat && request > 0,
                Some(What::Back { seat: own }) => *own == seat && request == 0,
                _ => false,
            };
        let known = *found.epoch.get_or_insert(epoch);
        let same_meta = arrival.meta_version == meta_version && arrival.meta == *meta;
        let same_name = *found.name.as_str() == *name;
        let expected = if since > seq { Vec::new() } else { found.former(since, seq) };
        let most = u64::from(self.swarm.room.replay);
        if !right || !same_name {
            self.fail("I6", format!("{author} joined {name} in {seat:?} at event {seq}"));
        }
        if known != epoch {
            self.fail("I17", format!("{room:?} has epochs {known} and {epoch}"));
        }
        if !same_meta {
            self.fail("I6", format!("metadata of {room:?} is {meta:?} at {meta_version}"));
        }
        if since > seq + 1 || since == seq || since + most < seq {
            self.fail("I6", format!("history of {room:?} from {since} before {seq}"));
        }
        if *former != expected {
            self.fail("I6", format!("{former:?} left {room:?}, not {expected:?}"));
        }
        if arrival.roster.len() != members as usize {
            self.fail("I6", format!("{members} members instead of {:?}", arrival.roster));
        }
        if since <= seq {
            self.mark(Mark::HistoryReplayed);
        }
        self.stays += 1;
        let stay = Stay {
            order: self.stays,
            key,
            seat,
            joined: seq,
            first: since,
            next: since,
            listing: arrival.roster.len(),
            roster: Default::default(),
            loose: 0,
            retained: arrival.retained.into(),
            spared: 0,
        };
        if self.authors[author].stays.insert(room, stay).is_some() {
            self.fail("I5", format!("{author} joined {room:?} twice"));
        }
        if request == 0 {
            self.greeted(author, era, room);
        }
    }

    pub(super) fn on_roster(&mut self, author: usize, room: RoomId, members: &[MemberInfo]) {
        let Some(stay) = self.authors[author].stays.get_mut(&room) else {
            return self.fail("I10", format!("{author} gets the roster of {room:?}"));
        };
        let Some(arrival) =
            self.rooms.get(&stay.key).and_then(|log| log.arrivals.get(&stay.joined))
        else {
            return;
        };
        let from = arrival.roster.len() - stay.listing;
        let due = arrival.roster.get(from..from + members.len()).unwrap_or_default();
        let right = due.len() == members.len()
            && due.iter().zip(members).all(|(due, member)| is_listed(due, member));
        let seen = (!right).then(|| format!("{room:?} has {members:?} instead of {due:?}"));
        stay.listing = stay.listing.saturating_sub(members.len());
        for member in members {
            stay.roster.insert(member.seat, member.away);
        }
        let (done, joined) = (stay.listing == 0, stay.joined);
        self.judge("I6", seen);
        if done {
            self.expect(Expected::at(Expected::JOINED, joined));
        }
    }

    pub(super) fn on_join_refused(&mut self, message: &ServerMessage<'_>) {
        let ServerMessage::JoinRefused { ref reason, .. } = *message else { return };
        match reason {
            Refusal::RoomFull { .. } => self.mark(Mark::RoomFull),
            Refusal::TooManyRooms { .. } => self.mark(Mark::TooManyRooms),
            Refusal::TimedOut { .. } => self.mark(Mark::HookTimedOut),
            _ => {}
        }
        self.expect(Expected::of(match reason {
            Refusal::AlreadyJoined { .. } => Expected::ALREADY_JOINED,
            _ => Expected::ERROR,
        }));
    }

    pub(super) fn on_retained(&mut self, author: usize, message: &ServerMessage<'_>) {
        let ServerMessage::Retained { room, seq, sender, key, message_type, payload } = *message
        else {
            return;
        };
        let Some(stay) = self.authors[author].stays.get_mut(&room) else {
            return self.fail("I10", format!("{author} is not in {room:?}"));
        };
        let due = stay.retained.pop_front();
        let listing = stay.listing;
        let log = &self.rooms[&stay.key];
        let owner = log.owners.get(&sender).copied().unwrap_or_default();
        let said = log.entry(seq).map(|entry| &entry.what);
        let stamp = Stamp::read(payload);
        let right = match (said, stamp) {
            (Some(What::Said(said)), Some(stamp)) => {
                is_same(said, sender, Delivery::Latest(key), message_type, stamp)
            }
            _ => false,
        };
        let seen = (!right || due != Some(seq) || listing > 0).then(|| {
            format!("{room:?} keeps event {seq} ({stamp:?}), is {said:?}; {due:?} is due")
        });
        self.mark(Mark::RetainedReplayed);
        self.judge("I6", seen);
        if let Some(stamp) = stamp {
            self.expect(Expected::broadcast(seq, true, owner, stamp));
        }
    }

    pub(super) fn on_left(&mut self, author: usize, room: RoomId) {
        let Some(mut stay) = self.authors[author].stays.remove(&room) else {
            return self.fail("I9", format!("{author} left {room:?} and was not in it"));
        };
        let Some(log) = self.rooms.get(&stay.key) else { return };
        let end = log
            .entries
            .iter()
            .position(|entry| matches!(entry.what, What::Left { seat, .. } if seat == stay.seat));
        let end = end.map_or_else(|| log.head(), |end| end as u64) + 1;
        stay.pass(log, end);
        let still = log.members.contains_key(&stay.seat);
        if stay.next != end {
            let seen = format!("{author} left {room:?} at {end} and was told up to {}", stay.next);
            self.fail("I4", seen);
        }
        if still {
            self.fail("I9", format!("{author} is told that it left {room:?} and did not"));
        }
        self.expect(Expected::of(Expected::LEFT));
    }
}
