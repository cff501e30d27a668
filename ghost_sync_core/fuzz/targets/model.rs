//! What a client knows of its session, and what it must never be told.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ghost_sync_core::{
    ClientId, Delivery, GapReason, MemberInfo, Progress, RoomId, Seat, Secret, SendFlags,
    ServerMessage, UserId,
};

/// What was said in rooms, by number; and the bytes of each event.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) said: BTreeMap<(RoomId, u64), Said>,
    /// The event that everybody in the room gets, as whoever got it first got it.
    frames: BTreeMap<(RoomId, u64), Bytes>,
    /// What the host said to each client alone, in order.
    pub(super) directs: BTreeMap<ClientId, Vec<u32>>,
    /// Lists of rooms that each client asked for, in order, and how many were asked for.
    pub(super) listed: BTreeMap<ClientId, Vec<u32>>,
    pub(super) lists: u32,
    /// How many messages of each room had been said when a seat was given up.
    pub(super) left_at: BTreeMap<(RoomId, Seat), u64>,
    /// Tokens that clients showed in an open session.
    pub(super) tokens: u32,
    /// The users that tokens were found to be of, by the id that a client has, or would have.
    pub(super) verified: BTreeSet<(ClientId, UserId)>,
    /// Whose token does not last for ever.
    pub(super) expiring: BTreeSet<ClientId>,
    /// The user that each client came in as.
    pub(super) users: BTreeMap<ClientId, Option<UserId>>,
    /// Who is left out of which of the host's broadcasts.
    pub(super) spared: BTreeSet<(RoomId, u64, Seat)>,
    /// What the host said to each client that may be lost.
    pub(super) asides: BTreeMap<ClientId, Vec<u32>>,
}

/// A broadcast that has its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) sender: Seat,
    /// How it was sent; `None`: the fuzzer wrote the bytes itself.
    pub(super) how: Option<(Delivery, SendFlags)>,
}

/// A session as its client sees it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) epoch: u64,
    pub(super) client_id: ClientId,
    pub(super) secret: Secret,
    /// Numbered messages that it was given.
    pub(super) received: u64,
    pub(super) stays: BTreeMap<RoomId, Stay>,
    /// What the host said to it alone, as far as it was given.
    pub(super) directs: usize,
    /// Of what may be lost: the place of the last that it was given, and how many it was
    /// given or told to have missed.
    asides: (usize, u64),
    /// Lists of rooms that it was given.
    pub(super) listed: usize,
    /// The last of its tokens that it was told is good.
    authenticated: u32,
    /// Requests that it knows to be received.
    requests: u64,
    /// It lied about what it has, so that nothing can be said of what it gets.
    pub(super) blind: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Stay {
    pub(super) seat: Seat,
    /// The next event that is due.
    pub(super) next: u64,
    /// The own join.
    join: u64,
    /// Numbers before `next` that were its own messages.
    own: u64,
    /// Before this event some may be missing, as was announced.
    loose: u64,
    /// Members that were not listed yet.
    unlisted: u32,
    /// Events that it was told it is left out of.
    spared: u64,
}

impl Record {
    pub(super) fn last_said(&self, room: RoomId) -> u64 {
        let mut of_room = self.said.range((room, 0)..=(room, u64::MAX));
        of_room.next_back().map_or(0, |((_, seq), _)| *seq)
    }

    /// Whether event `seq` is not given to a member because it is its own; `None`:
    /// it may or may not be.
    fn is_own(&self, room: RoomId, stay: &Stay, seq: u64) -> Option<bool> {
        if seq == stay.join {
            return Some(true);
        }
        if self.spared.contains(&(room, seq, stay.seat)) {
            return Some(true);
        }
        match self.said.get(&(room, seq)) {
            Some(said) if said.sender == stay.seat => {
                said.how.map(|(_, flags)| !flags.contains(SendFlags::ECHO))
            }
            Some(_) | None => Some(false),
        }
    }

    /// Checks that the events before `seq` that a member was not given are its own.
    fn skip_own(&self, room: RoomId, stay: &Stay, seq: u64) {
        assert!(seq >= stay.next, "{room:?}: event {seq} again, {} is due", stay.next);
        for missing in stay.next.max(stay.loose)..seq {
            let own = self.is_own(room, stay, missing);
            assert_ne!(own, Some(false), "{room:?}: event {missing} is missing before {seq}");
        }
    }

    /// Checks that a member was given everything up to the room's last event.
    pub(super) fn all_given(&self, room: RoomId, stay: &Stay, last: u64) {
        assert_eq!(stay.unlisted, 0, "{room:?}: members were not listed");
        if last + 1 > stay.next {
            self.skip_own(room, stay, last + 1);
        }
    }

    fn may_drop(&self, room: RoomId, seq: u64) -> bool {
        // Members that come and go in between need not be told; the simulator looks at that.
        let Some(said) = self.said.get(&(room, seq)) else { return true };
        match said.how {
            Some((Delivery::Reliable, _)) => false,
            Some((Delivery::Volatile, _)) | None => true,
            Some((Delivery::Latest(key), _)) => {
                let later = self.said.range((room, seq + 1)..=(room, u64::MAX));
                later.map(|(_, newer)| newer).any(|newer| {
                    let same = |how: (Delivery, SendFlags)| how.0 == Delivery::Latest(key);
                    newer.sender == said.sender && newer.how.is_none_or(same)
                })
            }
        }
    }
}

impl Session {
    pub(super) fn new(epoch: u64, client_id: ClientId, secret: Secret) -> Self {
        Self {
            epoch,
            client_id,
            secret,
            received: 0,
            stays: BTreeMap::new(),
            directs: 0,
            asides: (0, 0),
            listed: 0,
            authenticated: 0,
            requests: 0,
            blind: false,
        }
    }

    /// The rooms as a ticket lists them.
    pub(super) fn rooms(&self) -> Vec<Progress> {
        let place = |(room, stay): (&RoomId, &Stay)| Progress {
            room: *room,
            last: stay.next - 1,
            own: stay.own,
        };
        self.stays.iter().map(place).collect()
    }

    /// The server said how many requests it has.
    pub(super) fn confirm(&mut self, count: u64) {
        assert!(self.blind || count >= self.requests, "requests were forgotten");
        self.requests = count;
    }

    /// Takes a message of an open session; `frame` is all of it.
    pub(super) fn told(&mut self, record: &mut Record, message: &ServerMessage<'_>, frame: &Bytes) {
        self.received += u64::from(message.is_numbered());
        if self.blind {
            return;
        }
        if let Some((room, seq)) = place(message) {
            self.event(record, room, seq, message, frame);
            return;
        }
        match message {
            ServerMessage::Joined { room, seq, since, seat, members, .. } => {
                assert!(*since <= seq + 1 && *since > 0, "history from {since} of {seq}");
                assert!(*members > 0, "its own seat is one");
                let stay = Stay {
                    seat: *seat,
                    next: *since,
                    join: *seq,
                    own: 0,
                    loose: 0,
                    unlisted: *members,
                    spared: 0,
                };
                assert!(self.stays.insert(*room, stay).is_none(), "{room:?} joined twice");
            }
            ServerMessage::Roster { room, members } => self.listed(*room, members),
            ServerMessage::TokenExpiring { in_ms } => {
                assert!(record.expiring.contains(&self.client_id), "its token lasts");
                assert!((1..=30_000).contains(in_ms), "told {in_ms} ms before the end");
            }
            ServerMessage::Authenticated { request, .. } => {
                let user = record.users.get(&self.client_id).and_then(Option::as_ref);
                let user = user.expect("who came without a token shows none later");
                assert!(record.verified.contains(&(self.client_id, user.clone())));
                if request >> 16 == OUR_TOKENS >> 16 {
                    assert!(*request <= OUR_TOKENS + record.tokens, "it was never shown");
                    assert!(*request > self.authenticated, "answered again, or out of order");
                    self.authenticated = *request;
                }
            }
            ServerMessage::Left { room, .. } => {
                let stay = self.stays.remove(room).expect("a room that it is in is left");
                let left_at = record.left_at.get(&(*room, stay.seat));
                record.all_given(*room, &stay, *left_at.expect("the host was told"));
            }
            ServerMessage::Retained { room, seq, sender, .. } => {
                let stay = self.settled(*room);
                assert!(*seq <= stay.join, "a value of later than the join");
                let said = record.said.get(&(*room, *seq)).expect("it was said");
                assert_eq!(said.sender, *sender);
                let last = said.how.is_some_and(|(_, flags)| flags.contains(SendFlags::FORGET));
                assert!(!last, "a value that was said for the last time");
            }
            ServerMessage::Ack { room, seq, .. } => {
                assert!(record.said.contains_key(&(*room, *seq)), "that was never said");
            }
            ServerMessage::Direct { payload, .. } => {
                let Some((mark, number)) = payload.split_at_checked(4) else { return };
                let Ok(number) = <[u8; 4]>::try_from(number) else { return };
                if mark == DIRECT {
                    let due = record.directs.get(&self.client_id).expect("it was said something");
                    let number = u32::from_le_bytes(number);
                    assert_eq!(due.get(self.directs), Some(&number), "one was lost or repeated");
                    self.directs += 1;
                }
            }
            ServerMessage::Gap { room, from, to, own, reason } => {
                self.gap(record, *room, (*from, *to), *own, *reason);
            }
            ServerMessage::Ping { received: count, .. } | ServerMessage::Received { count } => {
                self.confirm(*count);
            }
            ServerMessage::RoomList { request, .. } if request >> 16 == OUR_LISTS >> 16 => {
                let due = record.listed.get(&self.client_id).expect("it asked");
                assert_eq!(due.get(self.listed), Some(request), "one was lost or repeated");
                self.listed += 1;
            }
            ServerMessage::Aside { missed, payload, .. } => {
                self.aside(record, *missed, payload);
            }
            ServerMessage::Spared { room, count } => {
                let stay = self.settled(*room);
                stay.spared += u64::from(*count);
                let spared = record.spared.iter();
                let due = spared.filter(|(of, _, seat)| (*of, *seat) == (*room, stay.seat));
                assert!(stay.spared <= due.count() as u64, "left out of too much");
            }
            ServerMessage::JoinRefused { .. }
            | ServerMessage::Refused { .. }
            | ServerMessage::RoomList { .. }
            | ServerMessage::Pong { .. } => {}
            ServerMessage::Welcome(_)
            | ServerMessage::Close { .. }
            | ServerMessage::Resumed { .. }
            | ServerMessage::ResumeFailed { .. }
            | ServerMessage::Broadcast { .. }
            | ServerMessage::PlayerJoined { .. }
            | ServerMessage::PlayerLeft { .. }
            | ServerMessage::PlayerAway { .. }
            | ServerMessage::PlayerBack { .. }
            | ServerMessage::RoomMetadata { .. }
            | ServerMessage::PlayerMetadata { .. }
            | ServerMessage::RoomDeleted { .. } => {
                panic!("{message:?} does not belong in a session")
            }
        }
    }

    /// Takes words that may be lost.
    fn aside(&mut self, record: &Record, missed: u32, payload: &[u8]) {
        let Some((mark, number)) = payload.split_at_checked(4) else { return };
        let Ok(number) = <[u8; 4]>::try_from(number) else { return };
        if mark != DIRECT {
            return;
        }
        let number = u32::from_le_bytes(number);
        let said = record.asides.get(&self.client_id).expect("it was said something");
        let place = said.iter().position(|known| *known == number).expect("it was said to it");
        let (last, told) = self.asides;
        assert!(place >= last, "one was repeated, or came late");
        let told = told + 1 + u64::from(missed);
        assert!(told <= said.len() as u64, "{told} of {} were missed or given", said.len());
        self.asides = (place + 1, told);
    }

    fn event(
        &mut self,
        record: &mut Record,
        room: RoomId,
        seq: u64,
        message: &ServerMessage<'_>,
        frame: &Bytes,
    ) {
        let stay = self.settled(room);
        record.skip_own(room, stay, seq);
        assert_ne!(record.is_own(room, stay, seq), Some(true), "its own event {seq}");
        stay.pass(seq);
        stay.next = seq + 1;
        if let ServerMessage::Broadcast { sender, delivery, .. } = message {
            let said = record.said.get(&(room, seq)).expect("it was said");
            assert_eq!(said.sender, *sender, "somebody else said it");
            assert!(said.how.is_none_or(|(how, _)| how == *delivery));
        } else {
            assert!(!record.said.contains_key(&(room, seq)), "a broadcast is {message:?}");
        }
        let first = record.frames.entry((room, seq)).or_insert_with(|| frame.clone());
        assert_eq!(first, frame, "{room:?}: event {seq} is another for another member");
    }

    fn gap(
        &mut self,
        record: &Record,
        room: RoomId,
        (from, to): (u64, u64),
        own: u32,
        reason: GapReason,
    ) {
        let stay = self.settled(room);
        assert!(from <= to, "a gap from {from} to {to}");
        record.skip_own(room, stay, from);
        stay.pass(from);
        let forgotten = reason == GapReason::Forgotten;
        let (mut certain, mut possible) = (0, 0);
        for seq in from.max(stay.loose)..=to {
            match record.is_own(room, stay, seq) {
                Some(false) if forgotten => {}
                Some(false) => assert!(record.may_drop(room, seq), "event {seq} was dropped"),
                Some(true) if seq == stay.join => {}
                Some(true) => (certain, possible) = (certain + 1, possible + 1),
                None => possible += 1,
            }
        }
        assert!((certain..=possible).contains(&own), "{own} own events, not {certain}");
        stay.own += u64::from(own);
        if forgotten {
            (stay.next, stay.loose) = (from, to + 1);
        } else {
            stay.next = to + 1;
        }
    }

    fn listed(&mut self, room: RoomId, members: &[MemberInfo]) {
        let stay = self.stays.get_mut(&room).expect("rosters follow a join");
        let count = u32::try_from(members.len()).expect("few members");
        let left = stay.unlisted.checked_sub(count);
        stay.unlisted = left.expect("more members were listed than there are");
    }

    /// The stay in a room about which something comes that is no roster.
    fn settled(&mut self, room: RoomId) -> &mut Stay {
        let stay = self.stays.get_mut(&room).expect("nothing comes of rooms that it is not in");
        assert_eq!(stay.unlisted, 0, "something comes between a join and its rosters");
        stay
    }
}

impl Stay {
    /// Counts the numbers up to before `seq` that did not come as its own messages.
    fn pass(&mut self, seq: u64) {
        let missing = self.next.max(self.loose).min(seq)..seq;
        let joining = u64::from(missing.contains(&self.join));
        self.own += missing.end - missing.start - joining;
    }
}

/// The place of an event in its room.
fn place(message: &ServerMessage<'_>) -> Option<(RoomId, u64)> {
    match message {
        ServerMessage::Broadcast { room, seq, .. }
        | ServerMessage::PlayerJoined { room, seq, .. }
        | ServerMessage::PlayerLeft { room, seq, .. }
        | ServerMessage::PlayerAway { room, seq, .. }
        | ServerMessage::PlayerBack { room, seq, .. }
        | ServerMessage::RoomMetadata { room, seq, .. }
        | ServerMessage::PlayerMetadata { room, seq, .. }
        | ServerMessage::RoomDeleted { room, seq, .. } => Some((*room, *seq)),
        _ => None,
    }
}

/// A payload that says how it was sent: the relay does not show that to the host.
pub(super) fn marked(delivery: Delivery, flags: SendFlags, padding: &[u8]) -> Vec<u8> {
    let (class, key) = match delivery {
        Delivery::Reliable => (0, 0),
        Delivery::Volatile => (1, 0),
        Delivery::Latest(key) => (2, key.to_le_bytes()[0]),
    };
    let mut payload = MARK.to_vec();
    payload.extend_from_slice(&[flags.0, class, key, check(flags.0, class, key)]);
    payload.extend_from_slice(padding);
    payload
}

/// How a payload was sent, if [`marked`] made it.
pub(super) fn read_mark(payload: &[u8]) -> Option<(Delivery, SendFlags)> {
    let &[flags, class, key, sum] = payload.strip_prefix(&MARK)?.first_chunk()?;
    let delivery = match class {
        0 => Delivery::Reliable,
        1 => Delivery::Volatile,
        _ => Delivery::Latest(key.into()),
    };
    (sum == check(flags, class, key)).then_some((delivery, SendFlags(flags)))
}

/// What the host says to one client alone, numbered.
pub(super) fn direct(number: u32) -> Vec<u8> {
    [DIRECT, number.to_le_bytes()].concat()
}

fn check(flags: u8, class: u8, key: u8) -> u8 {
    flags.wrapping_mul(31) ^ class.wrapping_mul(77) ^ key.wrapping_add(0x5a)
}

/// Where the numbers of lists start that were not asked for in bytes of the fuzzer.
pub(super) const OUR_LISTS: u32 = 0x5eed_0000;

/// Where the numbers of tokens start that were not shown in bytes of the fuzzer.
pub(super) const OUR_TOKENS: u32 = 0x70c0_0000;
const MARK: [u8; 4] = [0xb7, 0x1c, 0xee, 0x42];
const DIRECT: [u8; 4] = [0xd1, 0x4e, 0xc7, 0x9b];
