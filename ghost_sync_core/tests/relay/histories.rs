//! Random histories against a naive model, with the invariants checked at each step.
//!
//! The model knows only what a room is: a list of what was said, in one order.
//! `RELAY_SEED` replays one history, `RELAY_SEEDS` changes how many are tried.

use std::collections::{BTreeMap, BTreeSet};

use ghost_sync_core::{
    ClientMessage, ConnId, Delivery, LeaveReason, MessageType, OverflowPolicy, RelayEvent,
    RoomConfig, RoomId, Seat, SendFlags, ServerMessage,
};

use crate::world::{PeerId, World, encode, secs};

/// One event of a room as the model has it.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Joined(Seat),
    Left(Seat),
    Message { sender: Seat, delivery: Delivery, echo: bool, payload: Vec<u8> },
    Deleted,
}

#[derive(Default)]
struct ModelRoom {
    name: String,
    log: Vec<Said>,
    members: BTreeMap<Seat, ConnId>,
    capacity: Option<u32>,
    deleted: bool,
}

/// What one client has been told about one stay in one room.
struct Stay {
    seat: Seat,
    /// The next number that is not accounted for.
    next: u64,
    roster: BTreeSet<Seat>,
    expected_roster: usize,
}

struct History {
    world: World,
    random: u64,
    rooms: BTreeMap<RoomId, ModelRoom>,
    names: BTreeMap<String, RoomId>,
    stays: BTreeMap<(PeerId, RoomId), Stay>,
    left: BTreeSet<(PeerId, RoomId)>,
    seen_events: usize,
    payload: u64,
    opened: BTreeSet<ConnId>,
    outbox_limit: usize,
    reached: BTreeSet<&'static str>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut pick = |n: u64| next(&mut random) % n;
        let policies = [
            OverflowPolicy::DropOldest,
            OverflowPolicy::DropNewest,
            OverflowPolicy::KeepLatest,
            OverflowPolicy::Disconnect,
        ];
        let (policy, rooms_per_client) = (policies[pick(4) as usize], 1 + pick(3) as usize);
        let capacity = [1, 4, 16, 64][pick(4) as usize];
        let outbox_limit = [4 * 1024, 16 * 1024, 64 * 1024][pick(3) as usize];
        let write_limit = [1, 7, 64, 1000, usize::MAX][pick(5) as usize];
        let mut world = World::with(|config| {
            config.overflow = policy;
            config.rooms_per_client = rooms_per_client;
            config.channel_capacity = capacity;
            config.outbox_limit = outbox_limit;
            config.max_clients = 12;
            config.max_payload = 512;
            config.host.seed = seed;
        });
        world.write_limit = write_limit;
        Self {
            world,
            random,
            rooms: BTreeMap::new(),
            names: BTreeMap::new(),
            stays: BTreeMap::new(),
            left: BTreeSet::new(),
            seen_events: 0,
            payload: 0,
            opened: BTreeSet::new(),
            outbox_limit,
            reached: BTreeSet::new(),
        }
    }

    fn pick(&mut self, n: u64) -> u64 {
        next(&mut self.random) % n
    }

    fn step(&mut self) {
        match self.pick(100) {
            0..8 => self.connect(),
            8..20 => self.join(),
            20..24 => self.leave(),
            24..27 => self.hang_up(),
            27..30 => self.create(),
            30..31 => self.delete(),
            31..32 => self.close(),
            32..34 => self.kick(),
            34..38 => self.stall(),
            38..44 => self.read_on(),
            44..46 => self.wait(),
            46..50 => self.server_says(),
            _ => self.broadcast(),
        }
        self.follow();
        self.check();
    }

    fn peer(&mut self) -> Option<PeerId> {
        let alive: Vec<_> =
            (0..self.world.peers.len()).filter(|peer| !self.world.peers[*peer].dropped).collect();
        (!alive.is_empty()).then(|| alive[self.pick(alive.len() as u64) as usize])
    }

    fn name(&mut self) -> String {
        ["a", "b", "c"][self.pick(3) as usize].to_owned()
    }

    fn connect(&mut self) {
        if self.world.relay.connection_count() < 12 {
            self.world.client();
        }
    }

    fn join(&mut self) {
        let (Some(peer), name) = (self.peer(), self.name()) else { return };
        self.world.join(peer, &name);
    }

    /// A room that the peer was in once, perhaps still is.
    fn known_room(&mut self, peer: PeerId) -> Option<RoomId> {
        let rooms: Vec<_> = self.world.peers[peer].rooms.values().map(|(room, _)| *room).collect();
        (!rooms.is_empty()).then(|| rooms[self.pick(rooms.len() as u64) as usize])
    }

    fn leave(&mut self) {
        let Some(peer) = self.peer() else { return };
        let Some(room) = self.known_room(peer) else { return };
        self.world.say(peer, &ClientMessage::Leave { room });
    }

    fn hang_up(&mut self) {
        let Some(peer) = self.peer() else { return };
        self.world.hang_up(peer);
    }

    fn create(&mut self) {
        let name = self.name();
        if self.names.contains_key(&name) {
            return;
        }
        let capacity = self.pick(4) as u32 * 2;
        let room = self.world.room_with(&name, RoomConfig::default().capacity(capacity));
        let capacity = (capacity > 0).then_some(capacity);
        self.rooms.insert(room, ModelRoom { name: name.clone(), capacity, ..Default::default() });
        self.names.insert(name, room);
    }

    fn delete(&mut self) {
        let name = self.name();
        let Some(room) = self.names.remove(&name) else { return };
        self.said(room, Said::Deleted);
        self.rooms.get_mut(&room).unwrap().deleted = true;
        self.world.act(|relay, now, out| relay.delete_room(now, &name, "soft", out)).unwrap();
        self.world.pump();
    }

    fn close(&mut self) {
        let name = self.name();
        let Some(room) = self.names.remove(&name) else { return };
        self.said(room, Said::Deleted);
        self.rooms.get_mut(&room).unwrap().deleted = true;
        self.world.act(|relay, now, out| relay.close_room(now, &name, "hard", out)).unwrap();
        self.world.pump();
    }

    fn kick(&mut self) {
        let Some(peer) = self.peer() else { return };
        let conn = self.world.peers[peer].conn;
        let _ = self.world.act(|relay, now, out| relay.disconnect(now, conn, "out", out));
        self.world.pump();
    }

    fn stall(&mut self) {
        let Some(peer) = self.peer() else { return };
        let takes = self.pick(300) as usize;
        self.world.peers[peer].takes.get_or_insert(takes);
    }

    fn read_on(&mut self) {
        let Some(peer) = self.peer() else { return };
        if self.world.peers[peer].takes.is_none() {
            return;
        }
        let bytes = self.pick(3000) as usize;
        if bytes > 2000 {
            self.world.peers[peer].takes = None;
        }
        self.world.read_on(peer, bytes);
    }

    fn wait(&mut self) {
        let seconds = self.pick(5);
        self.world.wait(secs(seconds));
    }

    fn payload(&mut self) -> Vec<u8> {
        self.payload += 1;
        let padding = self.pick(300) as usize;
        let mut payload = self.payload.to_le_bytes().to_vec();
        payload.resize(8 + padding, 0xaa);
        payload
    }

    fn delivery(&mut self) -> Delivery {
        match self.pick(5) {
            0 => Delivery::Reliable,
            1 | 2 => Delivery::Volatile,
            _ => Delivery::Latest(self.pick(3) as u32),
        }
    }

    fn server_says(&mut self) {
        let (name, delivery, payload) = (self.name(), self.delivery(), self.payload());
        let result =
            self.world.relay.broadcast(self.world.now, &name, delivery, MessageType::RAW, &payload);
        assert_eq!(result.is_ok(), self.names.contains_key(&name));
        if let Some(room) = self.names.get(&name).copied() {
            let said = Said::Message { sender: Seat::SERVER, delivery, echo: true, payload };
            self.said(room, said);
            assert_eq!(result, Ok(self.rooms[&room].log.len() as u64), "server's number");
        }
        self.world.pump();
    }

    fn broadcast(&mut self) {
        let Some(peer) = self.peer() else { return };
        let Some(room) = self.known_room(peer) else { return };
        let conn = self.world.peers[peer].conn;
        let mut bytes = Vec::new();
        // Several in one read, so that batches, runs and splits are met.
        for _ in 0..1 + self.pick(6) {
            let (delivery, payload) = (self.delivery(), self.payload());
            let echo = self.pick(5) == 0;
            bytes.extend_from_slice(&encode(&ClientMessage::Broadcast {
                room,
                delivery,
                flags: if echo { SendFlags::ECHO } else { SendFlags::NONE },
                message_type: MessageType::RAW,
                payload: &payload,
            }));
            let Some(found) = self.rooms.get(&room).filter(|found| !found.deleted) else {
                continue;
            };
            if let Some((seat, _)) = found.members.iter().find(|(_, member)| **member == conn) {
                let said = Said::Message { sender: *seat, delivery, echo, payload };
                self.said(room, said);
            }
        }
        let cut = self.pick(bytes.len() as u64 + 1) as usize;
        self.world.bytes(peer, &bytes[..cut]);
        self.world.bytes(peer, &bytes[cut..]);
        self.world.pump();
    }

    fn said(&mut self, room: RoomId, said: Said) {
        self.rooms.get_mut(&room).unwrap().log.push(said);
    }

    /// Takes over what the relay did by itself, from its events.
    fn follow(&mut self) {
        let events: Vec<_> = self.world.events[self.seen_events..].to_vec();
        self.seen_events = self.world.events.len();
        for event in events {
            match event {
                RelayEvent::PlayerJoined { room, seat, conn, .. } => {
                    let found = self.rooms.get_mut(&room).unwrap();
                    assert!(!found.deleted, "I17: nobody joins a deleted room");
                    found.log.push(Said::Joined(seat));
                    assert!(found.members.insert(seat, conn).is_none(), "seats are never reused");
                    let players = found.members.len();
                    assert!(found.capacity.is_none_or(|max| players <= max as usize), "I18");
                }
                RelayEvent::PlayerLeft { room, seat, reason, .. } => {
                    let found = self.rooms.get_mut(&room).unwrap();
                    assert!(found.members.remove(&seat).is_some(), "I9: one left per joined");
                    if !found.deleted {
                        found.log.push(Said::Left(seat));
                    }
                    if reason == LeaveReason::TooSlow {
                        self.reached.insert("slow consumer");
                    }
                }
                RelayEvent::ConnectionOpened { conn, .. } => {
                    self.opened.insert(conn);
                }
                RelayEvent::ConnectionClosed { conn, .. } => {
                    assert!(self.opened.remove(&conn), "I19: one closed per opened");
                    let seated = |room: &ModelRoom| room.members.values().any(|c| *c == conn);
                    assert!(!self.rooms.values().any(seated), "I9: seats go before connections");
                }
                RelayEvent::Lagged { .. } => {
                    self.reached.insert("lagged");
                }
                _ => {}
            }
        }
    }

    fn check(&mut self) {
        for peer in 0..self.world.peers.len() {
            for frame in self.world.take(peer) {
                self.told(peer, ServerMessage::decode(&frame).unwrap());
            }
            let queue = self.world.relay.queue_len(self.world.peers[peer].conn);
            // Newest values and membership come on top: all members share them in the log.
            assert!(queue.bytes <= 2 * self.outbox_limit + 16 * 1024, "I12: {queue:?}");
        }
        for (name, room) in &self.names {
            let members: Vec<_> =
                self.world.relay.members(name).unwrap().map(|(seat, ..)| seat).collect();
            let expected: Vec<_> = self.rooms[room].members.keys().copied().collect();
            assert_eq!(members, expected, "I7: the roster of {name}");
        }
        assert!(self.world.relay.connection_count() <= 12, "I18");
    }

    /// Checks one message to one client against what was said.
    fn told(&mut self, peer: PeerId, message: ServerMessage<'_>) {
        let conn = self.world.peers[peer].conn;
        match message {
            ServerMessage::Joined { room, name, seq, seat, members, .. } => {
                let found = &self.rooms[&room];
                assert_eq!(name, found.name);
                assert_eq!(found.log[seq as usize - 1], Said::Joined(seat), "I6: own join is J");
                let stay = Stay {
                    seat,
                    next: seq + 1,
                    roster: BTreeSet::new(),
                    expected_roster: members as usize,
                };
                self.stays.insert((peer, room), stay);
                self.left.remove(&(peer, room));
            }
            ServerMessage::Roster { room, members } => {
                let stay = self.stays.get_mut(&(peer, room)).expect("a roster after joined");
                stay.roster.extend(members.iter().map(|member| member.seat));
                if stay.roster.len() == stay.expected_roster {
                    let found = &self.rooms[&room];
                    let roster = fold(&found.log[..stay.next as usize - 1]);
                    assert_eq!(stay.roster, roster, "I6: the roster is the fold up to J");
                }
            }
            ServerMessage::Broadcast { room, seq, sender, delivery, payload, .. } => {
                let (seat, said) = self.next_event(peer, room, seq);
                let Said::Message { sender: by, delivery: how, echo, payload: what } = said else {
                    panic!("I2: event {seq} is {said:?}");
                };
                assert_eq!((sender, delivery, payload), (by, how, &what[..]), "I2");
                assert!(sender != seat || echo, "nobody hears itself unasked");
                assert!(sender == Seat::SERVER || self.is_member_at(room, seq, sender), "I8");
            }
            ServerMessage::PlayerJoined { room, seq, member } => {
                assert_eq!(self.next_event(peer, room, seq).1, Said::Joined(member.seat), "I2");
                self.stays.get_mut(&(peer, room)).unwrap().roster.insert(member.seat);
            }
            ServerMessage::PlayerLeft { room, seq, seat, .. } => {
                assert_eq!(self.next_event(peer, room, seq).1, Said::Left(seat), "I2");
                let stay = self.stays.get_mut(&(peer, room)).unwrap();
                assert!(stay.roster.remove(&seat), "I7");
            }
            ServerMessage::RoomDeleted { room, seq, .. } => {
                assert_eq!(self.next_event(peer, room, seq).1, Said::Deleted, "I17");
                assert_eq!(seq as usize, self.rooms[&room].log.len(), "I17: it is the last");
            }
            ServerMessage::Gap { room, from, to, own, .. } => {
                self.reached.insert("gap");
                self.skip_own(peer, room, from);
                let stay = self.stays.get_mut(&(peer, room)).expect("I10: a gap for a member");
                assert_eq!(stay.next, from, "I4: gaps follow on");
                stay.next = to + 1;
                let (seat, log) = (stay.seat, &self.rooms[&room].log);
                let roster = &stay.roster;
                let range = &log[from as usize - 1..to as usize];
                let mine = range.iter().filter(|said| is_own(said, seat)).count();
                assert_eq!(own as usize, mine, "own events in a gap");
                for (at, said) in range.iter().enumerate().filter(|(_, said)| !is_own(said, seat)) {
                    let may = may_drop(log, from as usize - 1 + at, said, roster);
                    assert!(may, "I7: {said:?} dropped");
                }
            }
            ServerMessage::Left { room, .. } => {
                let seat = self.stays.get(&(peer, room)).expect("left once").seat;
                let found = &self.rooms[&room];
                assert!(!found.members.contains_key(&seat), "left means left");
                let end = found.log.iter().position(|said| *said == Said::Left(seat));
                let end = end.unwrap_or(found.log.len()) as u64 + 1;
                self.skip_own(peer, room, end);
                let stay = self.stays.remove(&(peer, room)).unwrap();
                assert_eq!(stay.next, end, "I4: everything before the end is told");
                self.left.insert((peer, room));
            }
            ServerMessage::Close { .. } => {
                assert!(!self.opened.contains(&conn), "a close is the end");
                self.stays.retain(|(of, _), _| *of != peer);
            }
            _ => {}
        }
    }

    /// The event that `seq` must be for this client, with its seat.
    fn next_event(&mut self, peer: PeerId, room: RoomId, seq: u64) -> (Seat, Said) {
        assert!(!self.left.contains(&(peer, room)), "I10: nothing after left");
        self.skip_own(peer, room, seq);
        let stay = self.stays.get_mut(&(peer, room)).expect("I10: events for members only");
        assert_eq!(stay.next, seq, "I1, I4, I5: events follow on");
        stay.next += 1;
        (stay.seat, self.rooms[&room].log[seq as usize - 1].clone())
    }

    /// Accounts for the client's own broadcasts before `until`.
    fn skip_own(&mut self, peer: PeerId, room: RoomId, until: u64) {
        let stay = self.stays.get_mut(&(peer, room)).expect("I10: events for members only");
        let log = &self.rooms[&room].log;
        while stay.next < until && is_own(&log[stay.next as usize - 1], stay.seat) {
            stay.next += 1;
        }
    }

    fn is_member_at(&self, room: RoomId, seq: u64, seat: Seat) -> bool {
        fold(&self.rooms[&room].log[..seq as usize - 1]).contains(&seat)
    }

    /// Lets everybody read everything: then nobody may miss anything (I4, I20).
    fn settle(&mut self) {
        for peer in 0..self.world.peers.len() {
            if self.world.peers[peer].takes.take().is_some() {
                self.world.read_on(peer, 0);
            }
        }
        self.world.wait(secs(1));
        self.follow();
        self.check();
        let stays: Vec<_> = self.stays.keys().copied().collect();
        for (peer, room) in stays {
            if self.world.peers[peer].dropped {
                continue;
            }
            let head = self.rooms[&room].log.len() as u64 + 1;
            self.skip_own(peer, room, head);
            let stay = &self.stays[&(peer, room)];
            assert_eq!(stay.next, head, "I4: {peer} was told everything in {room:?}");
            if !self.rooms[&room].deleted {
                assert_eq!(stay.roster, fold(&self.rooms[&room].log), "I7: rosters converge");
            }
        }
    }
}

fn fold(log: &[Said]) -> BTreeSet<Seat> {
    let mut members = BTreeSet::new();
    for said in log {
        match said {
            Said::Joined(seat) => {
                members.insert(*seat);
            }
            Said::Left(seat) => {
                members.remove(seat);
            }
            Said::Message { .. } | Said::Deleted => {}
        }
    }
    members
}

fn is_own(said: &Said, seat: Seat) -> bool {
    matches!(said, Said::Message { sender, echo: false, .. } if *sender == seat)
}

/// Only volatile messages, those replaced by a newer one of their sender and key, and
/// whoever came and went without a word that must be heard: nobody in `roster`.
fn may_drop(log: &[Said], at: usize, said: &Said, roster: &BTreeSet<Seat>) -> bool {
    let passed = |seat: Seat| {
        let spoke = |said: &Said| matches!(said, Said::Message { sender, delivery: Delivery::Reliable, .. } if *sender == seat);
        log.contains(&Said::Left(seat)) && !roster.contains(&seat) && !log.iter().any(spoke)
    };
    let (sender, delivery) = match said {
        Said::Message { sender, delivery, .. } => (*sender, *delivery),
        Said::Joined(seat) | Said::Left(seat) => return passed(*seat),
        Said::Deleted => return false,
    };
    let newer = |later: &Said| matches!(later, Said::Message { sender: s, delivery: d, .. } if *s == sender && *d == delivery);
    match delivery {
        Delivery::Reliable => false,
        Delivery::Volatile => true,
        Delivery::Latest(_) => log[at + 1..].iter().any(newer) || passed(sender),
    }
}

/// xorshift64* (Vigna 2016).
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
}

#[test]
fn random_histories_keep_the_invariants() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("RELAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RELAY_SEEDS").unwrap_or(300),
    };
    let all = seeds.clone().count() > 100;
    let mut reached = BTreeSet::new();
    for seed in seeds {
        let result = std::panic::catch_unwind(|| {
            let mut history = History::new(seed);
            for _ in 0..400 {
                history.step();
            }
            history.settle();
            history.reached
        });
        let Ok(marks) = result else { panic!("replay with RELAY_SEED={seed}") };
        reached.extend(marks);
    }
    if all {
        let expected = BTreeSet::from(["gap", "lagged", "slow consumer"]);
        assert_eq!(reached, expected, "the histories meet what they are for");
    }
}
