//! Random histories: whatever happens in whatever order, entities, facts and
//! counts agree on both sides in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bevy::prelude::*;
use bevy_ghost_client::{Disconnect, GhostClient, Join, JoinedRoom, JoinedRooms, Member, MemberOf};
use bevy_ghost_server::{
    ClientId, CreateRoomError, GhostServerEvent,
    prelude::*,
    testing::{TestNet, record, recorded},
};

const ROOMS: [&str; 3] = ["attic", "cellar", "garden"];
const CLIENTS: usize = 4;

/// Splitmix64: the same numbers for the same seed everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// Despawns one of the server's entities with `C`, if there is any.
fn despawn_one<C: Component>(net: &mut TestNet, random: &mut Random) {
    let mut found = net.server.world_mut().query_filtered::<Entity, With<C>>();
    let found: Vec<_> = found.iter(net.server.world()).collect();
    if !found.is_empty() {
        net.server.world_mut().despawn(found[random.below(found.len())]);
    }
}

fn step(net: &mut TestNet, random: &mut Random) {
    let client = random.below(CLIENTS);
    let room = ROOMS[random.below(ROOMS.len())];
    let joined = net.room(client, room);
    let there = net.clients[client].world().resource::<GhostClient>().client_id.is_some();
    let connect = net.dial(client);
    let world = net.clients[client].world_mut();
    match random.below(30) {
        0..7 if there => world.trigger(Join::new(room)),
        0..7 => world.trigger(connect),
        7..9 => _ = joined.map(|room| world.despawn(room)),
        9 => world.trigger(Disconnect),
        10 => world.trigger(connect),
        11..13 => despawn_one::<Player>(net, random),
        13 => despawn_one::<Room>(net, random),
        14 => despawn_one::<Connection>(net, random),
        20..23 if !world.resource::<JoinedRooms>().is_empty() => net.cut(client),
        23 => net.stall(client),
        24..28 => net.mend(client),
        28..30 => net.advance(Duration::from_secs(1)),
        15..18 => _ = net.server.world_mut().spawn(Room::new(room)),
        _ => net.exchange(),
    }
    if random.below(3) == 0 {
        net.exchange();
    }
}

/// Who is where, as the server's entities have it.
fn seen_by_server(net: &mut TestNet) -> BTreeMap<String, BTreeSet<ClientId>> {
    let mut players = net.server.world_mut().query::<(&Player, &InRoom, &SeatOf)>();
    let world = net.server.world();
    let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
    for (player, room, seat) in players.iter(world) {
        let name = world.get::<Room>(room.0).unwrap().name().to_string();
        assert_eq!(world.get::<Connection>(seat.0).unwrap().client_id, player.client_id);
        assert!(seen.entry(name).or_default().insert(player.client_id), "two seats in a room");
    }
    let mut rooms = net.server.world_mut().query::<(&Room, &RoomStats)>();
    for (room, stats) in rooms.iter(net.server.world()) {
        let players = seen.get(room.name().as_str()).map_or(0, BTreeSet::len);
        assert_eq!(stats.players as usize, players, "{:?}", room.name());
        assert!(stats.open);
    }
    seen
}

/// Who is where, as the entities of each client have it.
fn seen_by_clients(net: &mut TestNet) -> BTreeMap<String, BTreeSet<ClientId>> {
    let mut seen = BTreeMap::<String, BTreeSet<_>>::new();
    for client in &mut net.clients {
        let mut members = client.world_mut().query::<(&Member, &MemberOf)>();
        let mut rosters = BTreeMap::<String, BTreeSet<_>>::new();
        for (member, room) in members.iter(client.world()) {
            let name = client.world().get::<JoinedRoom>(room.0).unwrap().name.to_string();
            rosters.entry(name).or_default().insert(member.client_id);
        }
        let own = client.world().resource::<GhostClient>().client_id;
        for (name, roster) in rosters {
            assert!(roster.contains(&own.unwrap()), "in a room without being its member");
            assert_eq!(seen.entry(name).or_insert_with(|| roster.clone()), &roster);
        }
    }
    seen
}

/// Each player that joined has left at most once, and who has not is there.
fn check_facts(net: &mut TestNet) {
    let mut there = BTreeSet::new();
    for event in recorded::<GhostServerEvent>(&net.server) {
        if let GhostServerEvent::PlayerJoined(joined) = event {
            assert!(there.insert(joined.player), "joined twice");
        } else if let GhostServerEvent::PlayerLeft(left) = event {
            assert!(there.remove(&left.player), "left without being there");
        }
    }
    let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
    assert_eq!(players.iter(net.server.world()).collect::<BTreeSet<_>>(), there);
    let mut connections = net.server.world_mut().query::<&Connection>();
    let connections = connections.iter(net.server.world()).count();
    let mut away = net.server.world_mut().query_filtered::<(), With<Away>>();
    assert_eq!(away.iter(net.server.world()).count(), 0, "everybody is back or gone");
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!(server.away, 0);
    assert_eq!((server.players, server.connections), (there.len(), connections));
}

#[test]
fn after_any_history_both_sides_agree_and_each_join_has_one_end() {
    let (mut joins, mut back) = (0, 0);
    for seed in 0..8 {
        let mut random = Random(seed);
        let rooms_per_client = 1 + random.below(2);
        // Who ends a connection whose link is lost cannot say goodbye.
        let resume_grace = Duration::from_secs(8);
        let config = ServerConfig::from(RelayConfig {
            rooms_per_client,
            resume_grace,
            ..RelayConfig::for_games()
        });
        let mut net = TestNet::with_config(config, |server| {
            record::<GhostServerEvent>(server);
            server.world_mut().spawn_batch(ROOMS.map(Room::new));
            server.add_observer(|refused: On<RoomRefused>| {
                let taken = matches!(refused.reason, CreateRoomError::RoomAlreadyExists(_));
                assert!(taken, "{}", refused.reason);
            });
        });
        for _ in 0..CLIENTS {
            net.connect(|_| {});
        }
        for _ in 0..4 {
            for _ in 0..40 {
                step(&mut net, &mut random);
            }
            (0..CLIENTS).for_each(|client| net.mend(client));
            for _ in 0..2 {
                net.advance(Duration::from_secs(6));
                net.settle();
            }
            check_facts(&mut net);
            assert_eq!(seen_by_server(&mut net), seen_by_clients(&mut net), "seed {seed}");
        }
        let events = recorded::<GhostServerEvent>(&net.server);
        joins += events.iter().filter(|it| matches!(it, GhostServerEvent::PlayerJoined(_))).count();
        back += events.iter().filter(|it| matches!(it, GhostServerEvent::PlayerBack(_))).count();
    }
    assert!(back > 2, "histories without a way back prove nothing: {back}");
    assert!(joins > 50, "histories without joins prove nothing: {joins}");
}
