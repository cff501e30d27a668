//! The simulator's own promises, and a thousand seeds of it.
//!
//! `SIM_SEEDS=n` and `SIM_FROM=n` choose others; the `simulate` program runs more
//! and shortens what fails.

use std::{
    io::IoSlice,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use ghost_sync_core::{
    ClientId, ClientMessage, Decoder, Delivery, Hello, Input, JoinOptions, LinkId,
    MAX_SERVER_FRAME, MessageType, Output, Relay, RelayConfig, Replay, RoomConfig, RoomId,
    RoomName, Secret, SendFlags, ServerMessage,
    testing::{Marks, Op, PLANTS, plant, replay, replay_at, shrink, simulate},
};

const STEPS: usize = 500;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_thousand_seeds_keep_every_promise_and_reach_every_state() {
    let (from, seeds) = (number("SIM_FROM", 0), number("SIM_SEEDS", 1000));
    let mut marks = Marks::default();
    for seed in from..from + seeds {
        let ops = Op::list(seed, STEPS);
        let report = replay(seed, &ops);
        marks.merge(report.marks);
        if let Some(failure) = report.failure {
            let (fewer, found) = shrink(seed, &ops, &failure, 500);
            let lines: Vec<_> = fewer.iter().map(Op::line).collect();
            panic!(
                "seed {seed} breaks {failure}\nshortened, it breaks {found}\n{}\nreplay: cargo \
                 run --release --features testing --bin simulate -- --seed {seed} --story",
                lines.join("\n")
            );
        }
    }
    if seeds >= 1000 {
        assert_eq!(marks.missing().collect::<Vec<_>>(), Vec::<&str>::new(), "reached too little");
    }
}

#[test]
fn a_seed_decides_everything_and_the_clock_nothing() {
    for seed in 5000..5040 {
        let first = simulate(seed, STEPS);
        assert_eq!(first, simulate(seed, STEPS), "I29: seed {seed}");
        let later = replay_at(seed, &Op::list(seed, STEPS), Duration::from_millis(86_399_123));
        assert_eq!(first, later, "I22: seed {seed}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for name in PLANTS {
        plant(Some(name)).expect("it is in the list");
        if !(0..2000).any(|seed| simulate(seed, STEPS).failure.is_some()) {
            missed.push(*name);
        }
    }
    plant(None).expect("nothing is always there to plant");
    assert_eq!(missed, Vec::<&str>::new());
    assert!(plant(Some("nonsense")).is_err());
}

#[test]
fn what_was_once_broken_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("it is text");
        let seed = text.lines().find_map(|line| line.strip_prefix("seed ")?.parse().ok());
        let seed = seed.unwrap_or_else(|| panic!("{entry:?} names no seed"));
        let ops = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("seed "));
        let read = |line| Op::parse(line).unwrap_or_else(|| panic!("{entry:?}: {line:?}"));
        let ops: Vec<_> = ops.map(read).collect();
        assert_eq!(replay(seed, &ops).failure, None, "{entry:?}");
        count += 1;
    }
    assert!(count > 0, "there are some");
}

#[test]
fn an_operation_reads_as_it_is_written() {
    for op in Op::list(7, 300) {
        assert_eq!(Op::parse(&op.line()), Some(op));
    }
}

#[test]
fn bytes_mean_the_same_in_any_pieces() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stream = talk(&mut rng);
        let whole = Served::hear(&stream, |left| left);
        let bytes = Served::hear(&stream, |_| 1);
        let pieces = Served::hear(&stream, |left| rng.usize(1..=left.min(50)));
        assert_eq!(whole, bytes, "I26: seed {seed}");
        assert_eq!(whole, pieces, "I26: seed {seed}");
    }
}

/// What a client says that is well-behaved up to some point.
fn talk(rng: &mut fastrand::Rng) -> BytesMut {
    let mut stream = BytesMut::new();
    hello().encode(&mut stream);
    for request in 0..rng.u32(1..40) {
        let payload = vec![rng.u8(..); rng.usize(..300)];
        let (room, message_type) = (RoomId(rng.u32(..3)), MessageType::RAW);
        let flags = SendFlags(rng.u8(..4));
        let delivery = Delivery::Latest(rng.u32(..3));
        let message = match rng.u32(..7) {
            0 => ClientMessage::Join {
                request,
                room: "a",
                options: JoinOptions { replay: Replay::Last(9), ..JoinOptions::default() },
            },
            1 => ClientMessage::Leave { room },
            2 => ClientMessage::ListRooms { request },
            3 => ClientMessage::Ping { nonce: 7 },
            4 => ClientMessage::SetMetadata { key: "k", value: Some("v"), if_version: None },
            _ => {
                ClientMessage::Broadcast { room, delivery, flags, message_type, payload: &payload }
            }
        };
        message.encode(&mut stream);
    }
    if rng.bool() {
        stream.extend_from_slice(&[3, 0, 0, 0, 200, 1, 2, 9, 9]);
    }
    stream
}

fn hello() -> ClientMessage<'static> {
    ClientMessage::Hello(Hello::default())
}

/// A relay with a room, and what it says and writes.
struct Served {
    relay: Relay,
    now: Instant,
    events: Vec<String>,
}

impl Served {
    fn new(config: RelayConfig) -> Self {
        let mut served =
            Self { relay: Relay::new(config), now: Instant::now(), events: Vec::new() };
        let (name, room) = (RoomName::new("a").expect("it is short"), RoomConfig::default());
        let made = served.act(|relay, now, out| relay.create_room(now, name, 5, room, out));
        made.expect("it is the first");
        served
    }

    /// What comes of a stream that arrives in pieces of these lengths.
    fn hear(mut stream: &[u8], mut next: impl FnMut(usize) -> usize) -> (Vec<String>, Vec<u8>) {
        let mut served = Self::new(RelayConfig::default());
        let link = served.connect(1);
        let mut written = Vec::new();
        while !stream.is_empty() {
            let (piece, rest) = stream.split_at(next(stream.len()));
            served.give(link, piece);
            stream = rest;
        }
        served.write(link, &mut written);
        (served.events, written)
    }

    fn connect(&mut self, id: u128) -> LinkId {
        let (addr, secret) = (SocketAddr::from(([127, 0, 0, 1], 1)), Secret(id.to_le_bytes()));
        self.act(|relay, now, out| relay.connect(now, addr, ClientId::from_u128(id), secret, out))
    }

    fn give(&mut self, link: LinkId, bytes: &[u8]) {
        self.act(|relay, now, out| relay.handle(now, Input::Bytes { link, bytes }, out));
    }

    fn say(&mut self, link: LinkId, message: &ClientMessage<'_>) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.give(link, &bytes);
    }

    /// Writes all that waits for one link.
    fn write(&mut self, link: LinkId, into: &mut Vec<u8>) {
        loop {
            let mut ready = Vec::new();
            self.act(|relay, now, out| relay.take_ready(now, &mut ready, out));
            let mut slices = [IoSlice::new(&[]); 8];
            let offer = self.relay.transmit(link, &mut slices);
            let before = into.len();
            slices[..offer.slices].iter().for_each(|slice| into.extend_from_slice(slice));
            let len = into.len() - before;
            if len == 0 {
                return;
            }
            self.act(|relay, now, out| relay.sent(now, link, offer, len, out));
        }
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Relay, Instant, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(&mut self.relay, self.now, &mut out);
        let events = out.iter().filter(|output| matches!(output, Output::Event(_)));
        self.events.extend(events.map(|output| format!("{output:?}")));
        result
    }
}

#[test]
fn who_never_reads_changes_nothing_for_the_others() {
    for seed in 0..30 {
        let healthy = company(seed, true);
        assert!(healthy.iter().map(Vec::len).sum::<usize>() > 50);
        assert_eq!(healthy, company(seed, false), "I11: seed {seed}");
    }
}

/// What two clients hear of each other and of the host, while a third one reads
/// or does not.
fn company(seed: u64, reads: bool) -> Vec<Vec<Vec<u8>>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let config = RelayConfig {
        outbox_limit: 8 << 10,
        channel_capacity: 16,
        resume_grace: Duration::from_secs(rng.u64(..2) * 30),
        ..RelayConfig::default()
    };
    let mut served = Served::new(config);
    let links: Vec<_> = (1..4).map(|id| served.connect(id)).collect();
    for link in &links {
        served.say(*link, &hello());
        let join = ClientMessage::Join { request: 1, room: "a", options: JoinOptions::default() };
        served.say(*link, &join);
    }
    let mut streams = vec![Vec::new(); 3];
    for step in 0..200_u32 {
        let payload = [&step.to_le_bytes()[..], &vec![0; rng.usize(..400)]].concat();
        let delivery = if rng.bool() { Delivery::Reliable } else { Delivery::Volatile };
        let (room, flags, message_type) = (RoomId(1), SendFlags::NONE, MessageType::RAW);
        let message =
            ClientMessage::Broadcast { room, delivery, flags, message_type, payload: &payload };
        served.say(links[rng.usize(..2)], &message);
        served.now += Duration::from_millis(rng.u64(..100));
        served.act(|relay, now, out| relay.handle(now, Input::Tick, out));
        for (at, link) in links.iter().enumerate() {
            if at < 2 || reads {
                served.write(*link, &mut streams[at]);
            } else {
                served.act(|relay, now, out| relay.blocked(now, *link, out));
            }
        }
    }
    streams.iter().take(2).map(|stream| said(stream)).collect()
}

/// The payloads in a stream, in their order.
fn said(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(MAX_SERVER_FRAME);
    let mut heard = Vec::new();
    while let Ok(Some(body)) = decoder.next_frame(&mut stream) {
        if let Ok(ServerMessage::Broadcast { payload, .. }) = ServerMessage::decode(body) {
            heard.push(payload.to_vec());
        }
    }
    heard
}
