//! A broadcast is encoded once and shared: its cost in memory does not depend
//! on how many members hear it.

#![expect(clippy::unwrap_used, reason = "a test fails where it meets what it does not expect")]

use std::{io::IoSlice, net::SocketAddr, time::Instant};

use bytes::BytesMut;
use ghost_sync_core::{
    ClientId, ClientMessage, Delivery, Hello, Input, JoinOptions, Limits, LinkId, MessageType,
    Output, Relay, RelayConfig, RoomConfig, RoomHistory, RoomName, Secret, SendFlags,
};

struct Room {
    relay: Relay,
    now: Instant,
    out: Vec<Output>,
    ready: Vec<LinkId>,
    members: Vec<LinkId>,
    written: usize,
    greeting: BytesMut,
}

impl Room {
    fn with_members(count: u128) -> Self {
        let (now, mut out) = (Instant::now(), Vec::new());
        let config = RelayConfig { max_clients: 4096, ..RelayConfig::default() };
        let mut relay = Relay::new(config);
        let name = RoomName::new("a").unwrap();
        relay.create_room(now, name, 1, RoomConfig::default(), &mut out).unwrap();
        let mut room = Self {
            relay,
            now,
            out,
            ready: Vec::new(),
            members: Vec::new(),
            written: 0,
            greeting: BytesMut::new(),
        };
        let mut greeting = BytesMut::new();
        ClientMessage::Hello(Hello::default()).encode(&mut greeting);
        ClientMessage::Join { request: 1, room: "a", options: JoinOptions::default() }
            .encode(&mut greeting);
        for id in 0..count {
            room.join(id, &greeting);
        }
        room.greeting = greeting;
        room
    }

    fn join(&mut self, id: u128, greeting: &[u8]) {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let id = ClientId::from_u128(id);
        let link = self.relay.connect(self.now, addr, id, Secret::default(), &mut self.out);
        self.members.push(link);
        self.receive(link, greeting);
        self.flush();
    }

    /// Bytes allocated for one more member.
    fn cost_of_a_join(&mut self) -> u64 {
        let (id, greeting) = (self.members.len() as u128, self.greeting.clone());
        allocation_counter::measure(|| self.join(id, &greeting)).bytes_total
    }

    fn receive(&mut self, link: LinkId, bytes: &[u8]) {
        self.relay.handle(self.now, Input::Bytes { link, bytes }, &mut self.out);
    }

    /// Writes everything to sockets that are never full.
    fn flush(&mut self) {
        while self.relay.is_dirty() {
            self.relay.take_ready(self.now, &mut self.ready, &mut self.out);
            for link in self.ready.drain(..) {
                loop {
                    let mut slices = [IoSlice::new(&[]); 16];
                    let offer = self.relay.transmit(link, &mut slices);
                    let bytes = slices[..offer.slices].iter().map(|slice| slice.len()).sum();
                    if offer.slices == 0 {
                        break;
                    }
                    self.relay.sent(self.now, link, offer, bytes, &mut self.out);
                    self.written += bytes;
                }
            }
        }
        self.out.clear();
    }

    /// Allocations and bytes allocated for one batch of broadcasts, once warm.
    fn cost_of_a_batch(&mut self) -> (u64, u64) {
        let mut batch = BytesMut::new();
        for _ in 0..BATCH {
            ClientMessage::Broadcast {
                room: self.relay.room_id("a").unwrap(),
                delivery: Delivery::Reliable,
                flags: SendFlags::NONE,
                message_type: MessageType::RAW,
                payload: &[7; PAYLOAD],
            }
            .encode(&mut batch);
        }
        let sender = self.members[0];
        for _ in 0..4 {
            self.receive(sender, &batch);
            self.flush();
        }
        self.written = 0;
        let cost = allocation_counter::measure(|| {
            self.receive(sender, &batch);
            self.flush();
        });
        let heard = (self.members.len() - 1) * BATCH * PAYLOAD;
        assert!(self.written > heard, "everybody heard everything");
        (cost.count_total, cost.bytes_total)
    }
}

const BATCH: usize = 20;
const PAYLOAD: usize = 64;

#[test]
fn a_broadcast_costs_the_same_memory_for_two_members_as_for_five_hundred() {
    let few = Room::with_members(2).cost_of_a_batch();
    let many = Room::with_members(500).cost_of_a_batch();
    assert_eq!(few, many, "(allocations, bytes) must not depend on the number of members");
    assert!(many.0 <= 2, "a batch of {BATCH} broadcasts took {many:?} allocations");
}

#[test]
fn a_join_does_not_list_a_large_room_anew() {
    let (few, many) = (200, 1000);
    let cost = |members| Room::with_members(members).cost_of_a_join();
    let each = (cost(many) - cost(few)) / u64::try_from(many - few).unwrap();
    // What one member is told of another takes more than this and half as much again.
    assert!(each <= 24, "{each} bytes for each member who is there");
}

/// What clients that never read do to fill what waits for them.
#[derive(Clone, Copy, Debug)]
enum Filling {
    /// Requests that are refused, and answered.
    Refusals,
    /// Joins, each of which brings a roster and the newest values.
    Rosters,
    /// Words of the host to each, read and never confirmed, and then not read.
    Words,
    /// What others say.
    Broadcasts,
}

#[test]
fn clients_that_never_read_cost_no_more_memory_than_the_limits_say() {
    const CLIENTS: u64 = 40;
    const LIMIT: u64 = 64 << 10;
    for filling in [Filling::Refusals, Filling::Rosters, Filling::Words, Filling::Broadcasts] {
        let config = RelayConfig {
            outbox_limit: LIMIT as usize,
            limits: Limits::none(),
            rooms_per_client: 1,
            max_owed_replies: usize::MAX,
            ..RelayConfig::default()
        };
        let (now, mut out) = (Instant::now(), Vec::new());
        let mut relay = Relay::new(config);
        for name in ["a", "b"] {
            let name = RoomName::new(name).unwrap();
            let config = RoomConfig::default().history(RoomHistory::NONE);
            relay.create_room(now, name, 1, config, &mut out).unwrap();
        }
        for key in 0..100 {
            let (latest, name) = (Delivery::Latest(key), ["a", "b"][key as usize % 2]);
            relay.broadcast(now, name, latest, MessageType::RAW, &[7; 100]).unwrap();
        }
        let room = relay.room_id("a").unwrap();
        let hello = ClientMessage::Hello(Hello::default());
        let join = |room| ClientMessage::Join { request: 1, room, options: JoinOptions::default() };
        let (mut greeting, mut request) = (BytesMut::new(), BytesMut::new());
        hello.encode(&mut greeting);
        join("a").encode(&mut greeting);
        match filling {
            Filling::Refusals => join("nowhere").encode(&mut request),
            Filling::Rosters => {
                join("b").encode(&mut request);
                join("a").encode(&mut request);
            }
            Filling::Words => ClientMessage::Ping { nonce: 1 }.encode(&mut request),
            Filling::Broadcasts => ClientMessage::Broadcast {
                room,
                delivery: Delivery::Reliable,
                flags: SendFlags::NONE,
                message_type: MessageType::RAW,
                payload: &[7; 64],
            }
            .encode(&mut request),
        }
        let cost = allocation_counter::measure(|| {
            let mut links = Vec::new();
            for id in 0..u128::from(CLIENTS) {
                let addr = SocketAddr::from(([127, 0, 0, 1], 1));
                let id = ClientId::from_u128(id + 1);
                let link = relay.connect(now, addr, id, Secret::default(), &mut out);
                relay.handle(now, Input::Bytes { link, bytes: &greeting }, &mut out);
                links.push(link);
            }
            for round in 0..600 {
                for link in &links {
                    let reads = matches!(filling, Filling::Words) && round < 300;
                    loop {
                        let mut slices = [IoSlice::new(&[]); 64];
                        let offer = relay.transmit(*link, &mut slices);
                        if !reads || offer.slices == 0 {
                            break;
                        }
                        relay.sent(now, *link, offer, offer.bytes, &mut out);
                    }
                    relay.blocked(now, *link, &mut out);
                    relay.handle(now, Input::Bytes { link: *link, bytes: &request }, &mut out);
                    if let Some(conn) = relay.conn_on(*link) {
                        let _ = relay.direct(
                            &[conn],
                            None,
                            Delivery::Reliable,
                            MessageType::RAW,
                            &[7; 20],
                        );
                    }
                }
                relay.take_ready(now, &mut Vec::new(), &mut out);
                out.clear();
            }
        });
        // What waits, and what is kept or rosters; a roster more; what the rooms keep.
        let most = CLIENTS * (2 * LIMIT + (24 << 10)) + 2 * (512 << 10);
        assert!(cost.bytes_max <= most, "{filling:?}: {} of {most} bytes", cost.bytes_max);
        assert!(cost.bytes_max > CLIENTS * (LIMIT / 4), "{filling:?}: it fills something");
    }
}
