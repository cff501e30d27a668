//! What a client is given, frame by frame, against the rooms' logs.

use super::{
    Expected, Fate, Mark, Oracle, RoomKey, Stay,
    room::{RoomLog, Said, What},
};
use crate::{
    testing::stamp::Stamp,
    wire::{
        CloseReason, Delivery, GapReason, MemberInfo, MessageType, Refusal, ResumeFailure, RoomId,
        Seat, ServerMessage, Welcome,
    },
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
            ServerMessage::Welcome(Welcome { client_id, secret, ref rooms, .. }) => {
                let state = &mut self.authors[author];
                state.secret = secret;
                state.old_secret = None;
                state.received = 0;
                let before = std::mem::replace(&mut state.client_id, client_id);
                state.era = era;
                state.turned_away = false;
                state.resumed_at.clear();
                if !before.is_nil() {
                    self.expect(Expected::renewed(client_id));
                }
                let inherited = self.authors[author].inherited.contains(&client_id);
                if inherited {
                    self.authors[author].went_on |= before == client_id;
                    self.told_seats(author, era, rooms);
                } else if self.owners.get(&client_id) != Some(&author) || !rooms.is_empty() {
                    self.fail("I15", format!("{author} is welcomed as {client_id}"));
                }
            }
            ServerMessage::Close { ref reason } => {
                self.authors[author].barred = false;
                match reason {
                    CloseReason::MaxClientsReached { .. }
                    | CloseReason::ConnectionRefused { .. } => {
                        self.authors[author].turned_away = true;
                    }
                    CloseReason::TooManyRequests { .. }
                    | CloseReason::SlowConsumer { .. }
                    | CloseReason::RateLimited { .. } => {
                        if matches!(reason, CloseReason::RateLimited { .. }) {
                            self.mark(Mark::Barred);
                        }
                        self.authors[author].throttled = true;
                    }
                    CloseReason::Protocol { what } => {
                        self.fail("I27", format!("an honest client is told: {what}"));
                    }
                    _ => {}
                }
            }
            ServerMessage::Joined {
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
            } => {
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
            ServerMessage::Roster { room, ref members } => self.on_roster(author, room, members),
            ServerMessage::JoinRefused { ref reason, .. } => {
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
            ServerMessage::Left { room, .. } => self.on_left(author, room),
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload } => {
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
                            self.fail(
                                "I10",
                                format!("{author} hears event {seq}, its own or not for it"),
                            );
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
            ServerMessage::PlayerJoined { room, seq, ref member } => {
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
            ServerMessage::PlayerLeft { room, seq, seat, ref reason } => {
                let Some((stay, log)) = self.event(author, room, seq) else { return };
                let what = log.entry(seq).map(|entry| &entry.what);
                let right = matches!(what, Some(What::Left { seat: gone, reason: why }) if *gone == seat && why == reason);
                let seen = (!right)
                    .then(|| format!("event {seq} of {room:?}: {seat:?} left, is {what:?}"));
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
            ServerMessage::PlayerAway { room, seq, seat } => {
                self.on_presence(author, room, seq, seat, true);
            }
            ServerMessage::PlayerBack { room, seq, seat } => {
                self.on_presence(author, room, seq, seat, false);
            }
            ServerMessage::RoomMeta { room, seq, version, key, value } => {
                let Some((stay, log)) = self.event(author, room, seq) else { return };
                let what = log.entry(seq).map(|entry| &entry.what);
                let right = matches!(what, Some(What::RoomMeta { version: v, key: k, value: w }) if *v == version && k == key && w.as_deref() == value);
                let seen = (!right).then(|| format!("event {seq} of {room:?}: {key}, is {what:?}"));
                if seq > stay.joined {
                    self.expect(Expected::at(Expected::ROOM_META, seq));
                }
                self.judge("I2", seen);
            }
            ServerMessage::PlayerMeta { room, seq, seat, version, key, value } => {
                let Some((stay, log)) = self.event(author, room, seq) else { return };
                let what = log.entry(seq).map(|entry| &entry.what);
                let right = matches!(what, Some(What::PlayerMeta { seat: s, version: v, key: k, value: w }) if *s == seat && *v == version && k == key && w.as_deref() == value);
                let seen = (!right).then(|| format!("event {seq} of {room:?}: {key}, is {what:?}"));
                if seq > stay.joined {
                    self.expect(Expected::at(Expected::PLAYER_META, seq));
                }
                self.judge("I2", seen);
            }
            ServerMessage::RoomDeleted { room, seq, message } => {
                let Some((stay, log)) = self.event(author, room, seq) else { return };
                let what = log.entry(seq).map(|entry| &entry.what);
                let right = matches!(what, Some(What::Deleted { message: m }) if m == message);
                let last = log.head() == seq;
                let seen = (!right || !last)
                    .then(|| format!("event {seq} of {room:?} ends it, and is {what:?}"));
                if seq > stay.joined {
                    self.expect(Expected::at(Expected::ROOM_DELETED, seq));
                }
                self.judge("I17", seen);
            }
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
            ServerMessage::Retained { room, seq, sender, key, message_type, payload } => {
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
            ServerMessage::Resumed { secret, .. } => {
                let state = &mut self.authors[author];
                let known = std::mem::replace(&mut state.secret, secret);
                state.old_secret = Some(known);
                if known.is_same(&secret) {
                    self.fail("I15", format!("{author} gets the same secret again"));
                }
                let state = &mut self.authors[author];
                state.resumed_unseen = false;
                let behind = |stay: &Stay| {
                    self.rooms.get(&stay.key).is_some_and(|log| {
                        let left = !log.members.contains_key(&stay.seat);
                        stay.next + 1 < log.head() && !left
                    })
                };
                let left = |stay: &Stay| {
                    self.rooms.get(&stay.key).is_some_and(|log| {
                        !log.members.contains_key(&stay.seat) && stay.next < log.head()
                    })
                };
                if state.stays.values().any(behind) {
                    self.marks.reach(Mark::ResumedWithEvents);
                }
                if state.stays.values().any(left) {
                    self.marks.reach(Mark::StayReplayed);
                }
                if self.directs.get(&state.client_id).is_some_and(|due| !due.is_empty()) {
                    self.marks.reach(Mark::ResumedWithLane);
                }
                self.expect(Expected::of(Expected::RESUMED));
            }
            ServerMessage::ResumeFailed { ref reason } => self.on_failed(author, era, reason),
            ServerMessage::Rooms { .. } => self.expect(Expected::of(Expected::ROOMS)),
            ServerMessage::Pong { .. } => self.expect(Expected::of(Expected::PONG)),
            ServerMessage::Ping { .. } | ServerMessage::Received { .. } => {}
        }
    }

    pub(super) fn judge(&mut self, invariant: &'static str, seen: Option<String>) {
        if let Some(seen) = seen {
            self.fail(invariant, seen);
        }
    }

    /// What a client missed and what was replaced, or was to be heard at once, before it
    /// came back, is not said then.
    fn check_fresh(&mut self, author: usize, key: RoomKey, seq: u64) {
        let at = self.authors[author].resumed_at.get(&key.1).copied().unwrap_or(0);
        if seq <= at
            && let Some(log) = self.rooms.get(&key)
            && log.is_stale(seq, at)
        {
            self.fail("I14", format!("{author} is given event {seq} of {key:?} late"));
        }
    }

    fn check_size(&mut self, stamp: Stamp, len: usize) {
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

    fn on_roster(&mut self, author: usize, room: RoomId, members: &[MemberInfo]) {
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

    fn on_presence(&mut self, author: usize, room: RoomId, seq: u64, seat: Seat, away: bool) {
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

    fn on_gap(
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

    fn on_left(&mut self, author: usize, room: RoomId) {
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
            Refusal::MetaConflict { .. } => self.mark(Mark::MetaConflict),
            Refusal::TimedOut { .. } => self.mark(Mark::HookTimedOut),
            _ => {}
        }
        if matches!(reason, Refusal::RateLimited { .. }) {
            self.mark(Mark::RateLimited);
        }
    }

    fn on_failed(&mut self, author: usize, era: u32, reason: &ResumeFailure) {
        let grace = self.swarm.relay.resume_grace;
        let state = &self.authors[author];
        let client_id = state.client_id;
        let here = era == self.era;
        let alive = here && self.sessions.values().any(|known| known.client_id == client_id);
        let barred = state.barred && here;
        let seen = match *reason {
            ResumeFailure::EpochChanged => {
                self.marks.reach(Mark::ResumeEpochChanged);
                (era == state.era).then(|| "it is the same server".to_owned())
            }
            ResumeFailure::Expired => {
                self.marks.reach(Mark::ResumeExpired);
                (alive || era != state.era).then(|| format!("the session is alive: {alive}"))
            }
            ResumeFailure::Denied => Some("its client has shown its secret".to_owned()),
            ResumeFailure::TooOld { room: RoomId(0), oldest } => {
                self.marks.reach(Mark::ResumeTooOld);
                let kept = self.swarm.relay.outbox_limit >= 1 << 20;
                (kept || oldest < 2).then(|| "few messages were not confirmed".to_owned())
            }
            ResumeFailure::TooOld { room, oldest } => {
                self.marks.reach(Mark::ResumeTooOld);
                let key = (era, room);
                match (state.stays.get(&room), self.rooms.get(&key)) {
                    (_, None) => Some(format!("{room:?} never was")),
                    (Some(stay), Some(log)) => {
                        let long_gone = log.deleted.is_some_and(|at| self.now >= at + grace);
                        let bounded = self.swarm.relay.history_limit < 1 << 20;
                        // History that another stay was promised may be gone too.
                        let later = log.owners.range(stay.seat..).skip(1);
                        let was_back = later.into_iter().any(|(_, owner)| *owner == client_id);
                        let must = log.must_keep(stay.next, stay.seat, &self.swarm.room, self.now);
                        if was_back {
                            None
                        } else if stay.next >= oldest {
                            Some(format!("{} of {room:?} is next, not before {oldest}", stay.next))
                        } else if must && !long_gone && !bounded {
                            Some(format!("{room:?} has to keep what came from {} on", stay.next))
                        } else {
                            None
                        }
                    }
                    (None, Some(_)) => None,
                }
            }
        };
        // Who missed too much keeps its seats.
        let too_old = matches!(reason, ResumeFailure::TooOld { .. });
        let alive = alive && !too_old && !matches!(reason, ResumeFailure::Denied);
        if alive {
            self.fail("I14", format!("{client_id} goes on after {reason}"));
        }
        if barred && *reason == ResumeFailure::Expired {
            self.fail("I16", format!("{client_id} was kicked and is told: {reason}"));
        }
        if let Some(seen) = seen {
            self.fail("I14", format!("{client_id} is told {reason:?}, but {seen}"));
        }
        self.expect(Expected::of(Expected::RESUME_FAILED));
        let state = &mut self.authors[author];
        state.leaves_due = state.stays.values().filter(|stay| stay.listing == 0).count();
        state.stays.clear();
        self.directs.remove(&client_id);
        let state = &mut self.authors[author];
        state.reckoning = true;
        state.going_on = too_old;
        state.next_base = state.messages.len();
        state.lists_owed = 0;
        state.barred = false;
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
        && due.away == member.away
        && due.meta_version == member.meta_version
        && due.meta == member.meta
}
