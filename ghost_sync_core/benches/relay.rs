//! The relay without sockets: what a delivery costs from the bytes of the sender to the slices
//! that a write would get.
//!
//! Instructions, which are the same on a busy machine (Linux, with valgrind):
//!
//! ```text
//! cargo bench -p ghost_sync_core --bench relay --no-run # says where the program is
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*measured*' \
//!     PROGRAM --bench --test --exact relay/deliver/64/60
//! ```
//!
//! "Collected" are those of one batch: divide by its deliveries, 63 * 60 here.

#![allow(missing_docs, reason = "the macros of Criterion write undocumented functions")]
#![expect(clippy::unwrap_used, reason = "a bench ends where it meets what it does not expect")]

use std::{
    io::IoSlice,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ghost_sync_core::{
    ClientId, ClientMessage, Delivery, Hello, Input, JoinOptions, Limits, LinkId, MessageType,
    Output, Relay, RelayConfig, RoomConfig, RoomName, Secret, SendFlags,
};

/// Bytes of a message.
const PAYLOAD: usize = 64;

/// Bytes of a frame around its payload, towards a member.
const AROUND: usize = 30;

/// Bytes that tell the sender now and then how much was heard.
const CONFIRMATION: u64 = 13;

/// Batches before anything is measured.
const WARM: usize = 64;

/// Time between two batches, as between the frames of a game.
const FRAME: Duration = Duration::from_micros(16_667);

struct Room {
    relay: Relay,
    now: Instant,
    out: Vec<Output>,
    ready: Vec<LinkId>,
    members: Vec<LinkId>,
}

impl Room {
    fn with_members(count: u128) -> Self {
        let (now, mut out) = (Instant::now(), Vec::new());
        let config = RelayConfig { limits: Limits::none(), ..RelayConfig::default() };
        let mut relay = Relay::new(config);
        let name = RoomName::new("a").unwrap();
        relay.create_room(now, name, 1, RoomConfig::default(), &mut out).unwrap();
        let mut room = Self { relay, now, out, ready: Vec::new(), members: Vec::new() };
        let mut greeting = BytesMut::new();
        ClientMessage::Hello(Hello::default()).encode(&mut greeting);
        ClientMessage::Join { request: 1, room: "a", options: JoinOptions::default() }
            .encode(&mut greeting);
        for id in 0..count {
            let addr = SocketAddr::from(([127, 0, 0, 1], 1));
            let id = ClientId::from_u128(id);
            let link = room.relay.connect(room.now, addr, id, Secret::default(), &mut room.out);
            room.members.push(link);
            room.deliver(link, &greeting);
        }
        room
    }

    /// Takes what a member says, and writes everything to sockets that are never full; says how
    /// many bytes that were.
    fn deliver(&mut self, from: LinkId, bytes: &[u8]) -> usize {
        let mut written = 0;
        self.relay.handle(self.now, Input::Bytes { link: from, bytes }, &mut self.out);
        while self.relay.is_dirty() {
            self.relay.take_ready(self.now, &mut self.ready, &mut self.out);
            for link in self.ready.drain(..) {
                loop {
                    let mut slices = [IoSlice::new(&[]); 16];
                    let offer = self.relay.transmit(link, &mut slices);
                    let bytes = offer.bytes;
                    if offer.slices == 0 {
                        break;
                    }
                    self.relay.sent(self.now, link, offer, bytes, &mut self.out);
                    written += bytes;
                }
            }
        }
        self.out.clear();
        written
    }
}

fn batch(room: &Room, messages: u64) -> BytesMut {
    let mut batch = BytesMut::new();
    for _ in 0..messages {
        ClientMessage::Broadcast {
            room: room.relay.room_id("a").unwrap(),
            delivery: Delivery::Reliable,
            flags: SendFlags::NONE,
            message_type: MessageType::RAW,
            payload: &[7; PAYLOAD],
        }
        .encode(&mut batch);
    }
    batch
}

/// What instructions are counted of: never inlined, so that it can be found by its name.
#[inline(never)]
fn measured(room: &mut Room, sender: LinkId, batch: &[u8]) -> usize {
    room.now += FRAME;
    room.deliver(sender, batch)
}

fn deliver(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay/deliver");
    for members in [2, 16, 64, 256] {
        for messages in [1, 60] {
            let mut room = Room::with_members(members);
            let batch = batch(&room, messages);
            let sender = room.members[0];
            // Buffers have their size, and the history has what it keeps.
            for _ in 0..WARM {
                room.deliver(sender, &batch);
            }
            let elements = messages * (room.members.len() as u64 - 1);
            let bytes = elements * (PAYLOAD + AROUND) as u64;
            group.throughput(Throughput::ElementsAndBytes { elements, bytes });
            let id = BenchmarkId::new(format!("{members}"), messages);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let written = measured(&mut room, sender, &batch) as u64;
                    assert!((bytes..=bytes + CONFIRMATION).contains(&written), "{written}");
                });
            });
        }
    }
}

criterion_group!(benches, deliver);
criterion_main!(benches);
