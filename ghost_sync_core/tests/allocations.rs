//! A broadcast is encoded once and shared: its cost in memory does not depend
//! on how many members hear it.

#![expect(clippy::unwrap_used, reason = "a test fails where it meets what it does not expect")]

use std::{io::IoSlice, net::SocketAddr, time::Instant};

use bytes::BytesMut;
use ghost_sync_core::{
    ClientId, ClientMessage, Delivery, Input, LinkId, MAGIC, MessageType, Output, Relay,
    RelayConfig, Replay, RoomConfig, RoomName, Secret, SendFlags, VERSION,
};

struct Room {
    relay: Relay,
    now: Instant,
    out: Vec<Output>,
    ready: Vec<LinkId>,
    members: Vec<LinkId>,
    written: usize,
}

impl Room {
    fn with_members(count: u128) -> Self {
        let (now, mut out) = (Instant::now(), Vec::new());
        let mut relay = Relay::new(RelayConfig::default());
        let name = RoomName::new("a").unwrap();
        relay.create_room(now, name, 1, RoomConfig::default(), &mut out).unwrap();
        let mut room = Self { relay, now, out, ready: Vec::new(), members: Vec::new(), written: 0 };
        let mut greeting = BytesMut::new();
        ClientMessage::Hello {
            magic: MAGIC,
            version: VERSION,
            protocol: 0,
            data: b"",
            meta: vec![],
            session: None,
        }
        .encode(&mut greeting);
        ClientMessage::Join { request: 1, room: "a", data: b"", replay: Replay::Nothing }
            .encode(&mut greeting);
        for id in 0..count {
            let addr = SocketAddr::from(([127, 0, 0, 1], 1));
            let id = ClientId::from_u128(id);
            let link = room.relay.connect(room.now, addr, id, Secret::default(), &mut room.out);
            room.members.push(link);
            room.receive(link, &greeting);
            room.flush();
        }
        room
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
