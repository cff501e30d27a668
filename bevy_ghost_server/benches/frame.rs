//! What a frame pays for messages: the whole of `PreUpdate` for those that came, the
//! whole of `PostUpdate` for those that were written, in servers and clients that do
//! nothing else. The network between them stands still meanwhile.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bevy::{
    app::MainScheduleOrder,
    ecs::schedule::{ScheduleLabel, SingleThreadedExecutor},
    prelude::*,
};
use bevy_ghost_client::{Broadcast, FromRoom, FromServer, GhostClient, ToServer};
use bevy_ghost_server::{GhostServer, Limits, prelude::*, testing::TestNet};
use criterion::{BenchmarkId, Criterion, Throughput};

/// 16 bytes on the wire, as small as a message of a game gets.
#[derive(Clone, Copy, SchemaRead, SchemaWrite)]
struct Position {
    tick: u32,
    at: [f32; 3],
}

/// With something to allocate.
#[derive(Clone, SchemaRead, SchemaWrite)]
struct Chat(String);

/// Who speaks to a server, and in a room.
const SPEAKERS: usize = 16;

/// What systems have read since the last look.
#[derive(Default, Resource)]
struct Seen(u64);

/// How long a schedule took, since the last look.
#[derive(Default, Resource)]
struct Watch {
    started: Option<Instant>,
    spent: Duration,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq, ScheduleLabel)]
struct Start;

#[derive(Clone, Debug, Eq, Hash, PartialEq, ScheduleLabel)]
struct Stop;

/// Measures a schedule of the app from its first system to its last.
fn watch(app: &mut App, schedule: impl ScheduleLabel + Clone) {
    app.init_resource::<Watch>()
        .init_schedule(Start)
        .init_schedule(Stop)
        .add_systems(Start, |mut watch: ResMut<Watch>| watch.started = Some(Instant::now()))
        .add_systems(Stop, |mut watch: ResMut<Watch>| {
            let started = watch.started.take().map(|started| started.elapsed());
            watch.spent += started.unwrap_or_default();
        });
    // On one core, also where another crate of the build asks for more.
    for label in [Start.intern(), schedule.intern(), Stop.intern()] {
        app.edit_schedule(label, |schedule| {
            schedule.set_executor(SingleThreadedExecutor::new());
        });
    }
    let mut order = app.world_mut().resource_mut::<MainScheduleOrder>();
    order.insert_before(schedule.clone(), Start);
    order.insert_after(schedule, Stop);
}

fn count<M: Message>(app: &mut App) {
    app.init_resource::<Seen>().add_systems(
        Update,
        |mut messages: MessageReader<M>, mut seen: ResMut<Seen>| {
            seen.0 += messages.read().map(black_box).count() as u64;
        },
    );
}

fn protocol(app: &mut App) {
    app.add_ghost_message::<Position>().add_ghost_message::<Chat>();
}

/// A server with limits beyond what is measured, and clients in `rooms` rooms.
fn net(
    rooms: usize,
    clients: usize,
    server: impl FnOnce(&mut App),
    client: impl Fn(&mut App),
) -> TestNet {
    let (channel_capacity, outbox_limit) = (1 << 20, 256 << 20);
    let limits = Limits::none();
    let config = ServerConfig::from(RelayConfig {
        channel_capacity,
        outbox_limit,
        limits,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |app| {
        protocol(app);
        server(app);
        let history = RoomHistory { events: 0, ..RoomHistory::default() };
        for room in 0..rooms {
            let config = RoomConfig { history, ..RoomConfig::default() };
            app.world_mut().spawn((Room::new(&room.to_string()), config));
        }
    });
    for number in 0..clients {
        let id = net.connect(|app| {
            protocol(app);
            client(app);
        });
        net.join(id, &(number % rooms).to_string());
    }
    net
}

fn spent(app: &mut App) -> Duration {
    std::mem::take(&mut app.world_mut().resource_mut::<Watch>().spent)
}

fn seen(app: &mut App) -> u64 {
    std::mem::take(&mut app.world_mut().resource_mut::<Seen>().0)
}

/// Carries everything that was said to where a frame can take it.
fn carry(net: &mut TestNet) {
    for _ in 0..50 {
        net.advance(Duration::ZERO);
    }
}

fn position(tick: u64) -> Position {
    Position { tick: tick as u32, at: [0.0; 3] }
}

fn chat(tick: u64) -> Chat {
    Chat(format!("message {tick:08}"))
}

/// What players say in rooms that the server watches.
fn server_receives(c: &mut Criterion) {
    let mut group = c.benchmark_group("server/receive");
    for (name, types) in [("", 1), ("two_types/", 2)] {
        let server = |app: &mut App| {
            watch(app, PreUpdate);
            count::<FromPlayer<Position>>(app);
            count::<FromPlayer<Chat>>(app);
        };
        let mut net = net(SPEAKERS, SPEAKERS, server, |_| {});
        for n in [1, 1_000, 10_000_u64] {
            group.throughput(Throughput::Elements(n));
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter_custom(|rounds| {
                    let mut time = Duration::ZERO;
                    for _ in 0..rounds {
                        for tick in 0..n {
                            // In bursts of four, as reads of a server bring them.
                            let speaker = (tick / 4) as usize % SPEAKERS;
                            let world = net.clients[speaker].world_mut();
                            if types == 2 && tick % 2 == 1 {
                                world.write_message(Broadcast::new(chat(tick)));
                            } else {
                                world.write_message(Broadcast::new(position(tick)));
                            }
                        }
                        net.clients.iter_mut().for_each(App::update);
                        carry(&mut net);
                        spent(&mut net.server);
                        net.server.update();
                        time += spent(&mut net.server);
                        assert_eq!(seen(&mut net.server), n);
                    }
                    time
                });
            });
        }
        assert_eq!(net.server.world().resource::<GhostServer>().missed, 0);
    }
    group.finish();
}

/// What players and the server say in a client's room.
fn client_receives(c: &mut Criterion) {
    let mut group = c.benchmark_group("client/receive");
    for (name, types) in [("", 1), ("two_types/", 2)] {
        let client = |app: &mut App| {
            watch(app, PreUpdate);
            count::<FromRoom<Position>>(app);
            count::<FromRoom<Chat>>(app);
        };
        let mut net = net(1, 5, |_| {}, client);
        let listener = 4;
        for n in [1, 1_000, 10_000_u64] {
            group.throughput(Throughput::Elements(n));
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter_custom(|rounds| {
                    let mut time = Duration::ZERO;
                    for _ in 0..rounds {
                        for tick in 0..n {
                            let world = net.clients[(tick / 4) as usize % 4].world_mut();
                            if types == 2 && tick % 2 == 1 {
                                world.write_message(Broadcast::new(chat(tick)));
                            } else {
                                world.write_message(Broadcast::new(position(tick)));
                            }
                        }
                        net.clients[..4].iter_mut().for_each(App::update);
                        carry(&mut net);
                        spent(&mut net.clients[listener]);
                        let (mut heard, mut frames) = (0, 0);
                        while heard < n && frames < 10 {
                            net.clients[listener].update();
                            heard += seen(&mut net.clients[listener]);
                            frames += 1;
                            carry(&mut net);
                        }
                        assert_eq!(heard, n, "after {frames} frames");
                        time += spent(&mut net.clients[listener]);
                        net.server.update();
                        for _ in 0..10 {
                            net.clients.iter_mut().for_each(App::update);
                            carry(&mut net);
                        }
                        net.clients.iter_mut().for_each(|app| _ = seen(app));
                    }
                    time
                });
            });
        }
        let received = net.clients[listener].world().resource::<GhostClient>().received;
        assert!(received.messages > 0);
    }
    group.finish();
}

/// What a server writes for rooms and for players.
fn server_sends(c: &mut Criterion) {
    let mut group = c.benchmark_group("server/send");
    for (name, to_players) in [("room", false), ("players", true)] {
        let mut net = net(
            SPEAKERS,
            SPEAKERS,
            |app| watch(app, PostUpdate),
            |app| {
                count::<FromRoom<Position>>(app);
                count::<FromServer<Position>>(app);
            },
        );
        let mut rooms = net.server.world_mut().query_filtered::<Entity, With<Room>>();
        let rooms: Vec<_> = rooms.iter(net.server.world()).collect();
        let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
        let players: Vec<_> = players.iter(net.server.world()).collect();
        for n in [1, 1_000_u64] {
            group.throughput(Throughput::Elements(n));
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter_custom(|rounds| {
                    let mut time = Duration::ZERO;
                    for _ in 0..rounds {
                        for tick in 0..n {
                            let at = (tick / 4) as usize % SPEAKERS;
                            let world = net.server.world_mut();
                            if to_players {
                                world.write_message(ToPlayer::new(players[at], position(tick)));
                            } else {
                                world.write_message(ToRoom::new(rooms[at], position(tick)));
                            }
                        }
                        spent(&mut net.server);
                        net.server.update();
                        time += spent(&mut net.server);
                        carry(&mut net);
                        net.clients.iter_mut().for_each(App::update);
                        assert_eq!(net.clients.iter_mut().map(seen).sum::<u64>(), n);
                    }
                    time
                });
            });
        }
    }
    group.finish();
}

/// What a client writes for its room, and for the server.
fn client_sends(c: &mut Criterion) {
    let mut group = c.benchmark_group("client/send");
    for (name, to_server) in [("room", false), ("server", true)] {
        let server = |app: &mut App| count::<FromPlayer<Position>>(app);
        let mut net = net(1, 1, server, |app| watch(app, PostUpdate));
        for n in [1, 1_000_u64] {
            group.throughput(Throughput::Elements(n));
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter_custom(|rounds| {
                    let mut time = Duration::ZERO;
                    for _ in 0..rounds {
                        let world = net.clients[0].world_mut();
                        for tick in 0..n {
                            if to_server {
                                world.write_message(ToServer::new(position(tick)));
                            } else {
                                world.write_message(Broadcast::new(position(tick)));
                            }
                        }
                        spent(&mut net.clients[0]);
                        net.clients[0].update();
                        time += spent(&mut net.clients[0]);
                        carry(&mut net);
                        net.server.update();
                        assert_eq!(seen(&mut net.server), n);
                    }
                    time
                });
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    server_receives(&mut criterion);
    client_receives(&mut criterion);
    server_sends(&mut criterion);
    client_sends(&mut criterion);
    criterion.final_summary();
}
