//! What kind of world a seed is about: limits, habits, faults.

mod guard;

use std::time::Duration;

use fastrand::Rng;

use crate::{
    relay::{
        CreateOnJoin, GateConfig, Limits, OverflowPolicy, RelayConfig, RelayMode, RoomConfig,
        RoomHistory,
    },
    wire::{Direction, Protocol, Rate},
};

pub(super) use guard::{Guard, is_guarded};

/// A type that the server alone says, where the server knows types at all.
pub(super) const SERVERS_TYPE: &str = "Score";

/// How the names of rooms begin that clients ask for and nobody makes.
pub(super) const NOWHERE: &str = "nowhere-";

/// The settings of one simulation.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    pub(super) relay: RelayConfig,
    /// Rooms are made with these, and with another mode each.
    pub(super) room: RoomConfig,
    pub(super) players: usize,
    /// Different names of rooms.
    pub(super) names: usize,
    /// Bytes that a socket takes until its other end reads.
    pub(super) pipe: usize,
    /// Bytes that one write takes at most.
    pub(super) write: usize,
    /// Of 8 questions, how many are answered at once.
    pub(super) prompt: u32,
    /// Of 8 operations, after how many the relay gets no turn to write.
    pub(super) lazy: u32,
    /// The longest payload, but for a few.
    pub(super) payload: usize,
    /// Whether everything that is said may be dropped.
    pub(super) volatile: bool,
    pub(super) ends_with_shutdown: bool,
    pub(super) modes: Vec<RelayMode>,
    /// How fast rosters and the like grow: clients bring so much metadata.
    pub(super) meta: usize,
    /// Different keys of `Latest`.
    pub(super) keys: u32,
    /// Who is let in, where that is looked at.
    pub(super) guard: Option<Guard>,
}

impl Swarm {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x5a4d);
        let mut relay = RelayConfig::default();
        relay.host.seed = seed;
        relay.max_payload = 4096;
        relay.max_clients = pick(&mut rng, &[64, 64, 64, 64, 5, 2]);
        relay.max_rooms = pick(&mut rng, &[16, 16, 16, 3, 1]);
        relay.rooms_per_client = pick(&mut rng, &[1, 1, 2, 3, 8]);
        relay.resume_grace = Duration::from_secs(pick(&mut rng, &[30, 30, 30, 30, 5, 1, 0, 3600]));
        relay.ask_timeout = Duration::from_millis(pick(&mut rng, &[2000, 2000, 300]));
        relay.write_timeout = Duration::from_secs(pick(&mut rng, &[10, 10, 2]));
        relay.channel_capacity = pick(&mut rng, &[1024, 1024, 64, 16, 2]);
        relay.outbox_limit = pick(&mut rng, &[1 << 20, 1 << 20, 64 << 10, 16 << 10, 4 << 10]);
        relay.max_owed_replies = pick(&mut rng, &[32, 32, 4]);
        relay.history_limit = pick(&mut rng, &[64 << 20, 64 << 20, 64 << 20, 16 << 10, 2 << 10]);
        relay.overflow = pick(
            &mut rng,
            &[
                OverflowPolicy::DropOldest,
                OverflowPolicy::DropOldest,
                OverflowPolicy::DropNewest,
                OverflowPolicy::KeepLatest,
                OverflowPolicy::Disconnect,
            ],
        );
        relay.create_on_join =
            pick(&mut rng, &[CreateOnJoin::Never, CreateOnJoin::Always, CreateOnJoin::Ask]);
        relay.host.ask_connect = rng.u32(..5) == 0;
        relay.host.ask_join = rng.u32(..3) == 0;
        let history = RoomHistory {
            events: pick(&mut rng, &[8192, 8192, 8192, 200, 20, 2, 0]),
            bytes: pick(&mut rng, &[512 << 10, 512 << 10, 8 << 10]),
            reliable: pick(&mut rng, &[2 << 20, 2 << 20, 2 << 20, 2 << 10, 0]),
            age: Duration::from_secs(pick(&mut rng, &[60, 60, 60, 3600, 5])),
        };
        let mut room = RoomConfig::default()
            .observed()
            .history(history)
            .replay(pick(&mut rng, &[0, 5, 100, 10_000]))
            .retain(pick(&mut rng, &[64, 64, 2, 0]))
            .capacity(pick(&mut rng, &[0, 0, 0, 3, 1]));
        if rng.u32(..6) == 0 {
            room = room.remove_when_empty(Duration::from_secs(pick(&mut rng, &[0, 5, 60])));
        }
        if seed % 5 == 4 {
            room = room.tick(Duration::from_millis(50));
        }
        relay.room_defaults = room.clone();
        let modes = match rng.u32(..8) {
            0 | 1 => vec![RelayMode::Moderated],
            2 => vec![RelayMode::AtOnce, RelayMode::Moderated, RelayMode::ServerOnly],
            _ => vec![RelayMode::AtOnce],
        };
        // Drawn apart, so that the rest of a world stays what it is in each seed.
        let mut trust = Rng::with_seed(seed ^ 0x7257);
        relay.host.ask_metadata = trust.u32(..3) == 0;
        if trust.u32(..4) == 0 {
            let keys = ["a", "name", "score"];
            relay.client_metadata_keys = Some(keys.map(str::to_owned).into());
        }
        if trust.u32(..2) == 0 {
            let known = relay.host.protocol.insert(Protocol::default());
            known.add(SERVERS_TYPE, 1, Direction::FromServer);
        }
        let keys = pick(&mut trust, &[3, 3, 3, 200]);
        let crowd = rng.u32(..48) == 0;
        if crowd {
            relay.max_clients = 64;
            relay.resume_grace = Duration::from_secs(30);
            relay.host.ask_join = false;
            room = room.capacity(0);
        }
        (relay.limits, relay.gate) = limits(seed);
        let mut swarm = Self {
            relay,
            room,
            players: if crowd { 24 } else { pick(&mut rng, &[2, 2, 3, 3, 4, 6]) },
            names: pick(&mut rng, &[1, 1, 2, 4]),
            pipe: pick(&mut rng, &[1 << 20, 1 << 20, 16 << 10, 2 << 10, 700, 200]),
            write: pick(&mut rng, &[1 << 20, 1 << 20, 500, 7]),
            prompt: pick(&mut rng, &[8, 8, 7, 4]),
            lazy: pick(&mut rng, &[0, 0, 2, 6]),
            payload: pick(&mut rng, &[32, 32, 100, 600]),
            volatile: rng.u32(..8) == 0,
            ends_with_shutdown: rng.u32(..4) == 0,
            modes,
            meta: pick(&mut rng, &[0, 0, 20, 600]),
            keys,
            guard: None,
        };
        if is_guarded(seed) {
            Guard::set_up(seed, &mut swarm);
        }
        swarm
    }
}

/// How much clients and addresses may ask for: the default, nothing, or hardly anything.
fn limits(seed: u64) -> (Limits, GateConfig) {
    let mut rng = Rng::with_seed(seed ^ 0x11a1);
    let limits = match rng.u32(..8) {
        0 => Limits::default()
            .messages(Rate::per_second(2).burst(rng.u64(1..12)))
            .bytes(Rate::per_second(300).burst(rng.u64(64..2000)))
            .requests(Rate::per_second(1).burst(rng.u64(1..20)))
            .pings(Rate::per_second(1)),
        1 => Limits::none(),
        _ => Limits::default(),
    };
    let gate = GateConfig::default()
        .bar(Duration::from_secs(pick(&mut rng, &[60, 60, 5, 0])))
        .away(pick(&mut rng, &[8, 8, 8, 1, 2]))
        .half_open(pick(&mut rng, &[16, 16, 16, 2]))
        .connections(pick(&mut rng, &[64, 64, 64, 6]));
    (limits, gate)
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())].clone()
}
