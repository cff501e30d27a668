//! Server and client in one app: a listen server, or single player.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;
use bevy_ghost_server::testing::{TestNet, record, recorded};
use bevy_ghost_server::{Limits, prelude::*};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Chat(String);

/// The same function for a server, a client, and both in one app.
fn protocol(app: &mut App) {
    app.add_ghost_message::<Chat>();
}

fn host(app: &mut App) {
    app.add_plugins((GhostClientPlugin { ping_every: None }, protocol));
    record::<FromPlayer<Chat>>(app);
    record::<FromRoom<Chat>>(app);
    app.world_mut().spawn(Room::new("lobby"));
    app.add_systems(
        OnEnter(ServerState::Running),
        |server: Res<GhostServer>, mut commands: Commands| {
            commands.trigger(Connect::local(server.connector()));
            commands.trigger(Join::new("lobby"));
        },
    );
}

#[test]
fn a_host_plays_in_its_own_room_with_guests() {
    let mut net = TestNet::new(host);
    net.run_until("the host is in", |net| {
        net.server.world().resource::<JoinedRooms>().get("lobby").is_some()
    });
    let guest = net.connect(|client| {
        protocol(client);
        record::<FromRoom<Chat>>(client);
    });
    net.join(guest, "lobby");
    net.settle();

    let mut players = net.server.world_mut().query::<&Player>();
    let mut members = net.server.world_mut().query::<&Member>();
    assert_eq!(players.iter(net.server.world()).len(), 2, "as the server sees it");
    assert_eq!(members.iter(net.server.world()).len(), 2, "as the host's client sees it");

    net.server.world_mut().write_message(Broadcast::new(Chat("from the host".to_owned())));
    net.clients[guest].world_mut().write_message(Broadcast::new(Chat("from the guest".to_owned())));
    net.settle();
    assert_eq!(recorded::<FromPlayer<Chat>>(&net.server).len(), 2);
    let [at_host] = recorded::<FromRoom<Chat>>(&net.server) else { panic!("not exactly one") };
    assert_eq!(at_host.message.0, "from the guest");
    let [at_guest] = recorded::<FromRoom<Chat>>(&net.clients[guest]) else { panic!() };
    assert_eq!(at_guest.message.0, "from the host");
}

#[test]
fn the_rooms_of_server_and_client_are_different_entities() {
    let mut net = TestNet::new(host);
    net.run_until("the host is in", |net| {
        net.server.world().resource::<JoinedRooms>().get("lobby").is_some()
    });
    let of_client = net.server.world().resource::<JoinedRooms>().get("lobby").unwrap();
    let of_server = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    assert_ne!(of_client, of_server);
    net.server.world_mut().despawn(of_client);
    net.settle();
    assert_eq!(net.server.world().resource::<Rooms>().get("lobby"), Some(of_server));
    assert_eq!(net.server.world().get::<RoomStats>(of_server).unwrap().players, 0);
}

#[test]
fn the_client_measures_its_distance_by_itself() {
    let mut net = TestNet::new(|server| {
        server.add_plugins(GhostClientPlugin { ping_every: Some(Duration::from_secs(1)) });
        server.add_systems(
            OnEnter(ServerState::Running),
            |server: Res<GhostServer>, mut commands: Commands| {
                commands.trigger(Connect::local(server.connector()));
            },
        );
        record::<Pong>(server);
    });
    for _ in 0..64 * 3 {
        net.exchange();
    }
    let pings = recorded::<Pong>(&net.server).len();
    assert!((2..=3).contains(&pings), "{pings} pings in 3 s");
    assert!(net.server.world().resource::<GhostClient>().rtt.is_some());
}

/// What a host is told about its joins.
#[derive(Default, Resource)]
struct Told {
    joined: usize,
    refused: Vec<String>,
}

/// An app that is host and player, with network threads of its own.
fn real_host(server_first: bool) -> App {
    let mut app = App::new();
    app.add_plugins(MinimalPlugins);
    let config = ServerConfig {
        bind: None,
        relay: RelayConfig { limits: Limits::none(), ..RelayConfig::for_games() },
        ..default()
    };
    let (server, client) =
        (GhostServerPlugin::with(config), GhostClientPlugin { ping_every: None });
    if server_first {
        app.add_plugins((server, client));
    } else {
        app.add_plugins((client, server));
    }
    app.init_resource::<Told>()
        .add_observer(|_: On<Joined>, mut told: ResMut<Told>| told.joined += 1)
        .add_observer(|refused: On<JoinRefused>, mut told: ResMut<Told>| {
            told.refused.push(refused.reason.to_string());
        });
    app
}

/// Frames until a host was told about so many joins.
fn run_until_told(app: &mut App, joins: usize) {
    for _ in 0..1_000_000 {
        let told = app.world().resource::<Told>();
        if told.joined + told.refused.len() >= joins {
            return;
        }
        app.update();
        std::thread::yield_now();
    }
    panic!("nobody answers");
}

#[test]
fn a_host_that_opens_a_room_and_joins_it_in_one_frame_is_in() {
    for server_first in [true, false] {
        let mut app = real_host(server_first);
        app.add_systems(Startup, |server: Res<GhostServer>, mut commands: Commands| {
            commands.trigger(Connect::local(server.connector()));
            // In this order, too: the client asks when the frame ends.
            commands.trigger(Join::new("first"));
            commands.spawn(Room::new("first"));
        });
        run_until_told(&mut app, 1);
        for round in 2..=200 {
            let name = format!("room {round}");
            app.world_mut().spawn(Room::new(&name));
            app.world_mut().trigger(Join::new(&name));
            run_until_told(&mut app, round);
        }
        let told = app.world().resource::<Told>();
        assert_eq!((told.joined, &told.refused[..]), (200, &[][..]));
    }
}

#[test]
fn a_hosts_own_client_is_back_when_its_server_is_started_again() {
    let mut app = real_host(true);
    app.add_systems(Startup, |server: Res<GhostServer>, mut commands: Commands| {
        commands.trigger(Connect::local(server.connector()));
        commands.spawn(Room::new("lobby"));
        commands.trigger(Join::new("lobby"));
    });
    run_until_told(&mut app, 1);
    app.world_mut().trigger(StopServer::default());
    app.world_mut().trigger(StartServer);
    // A room of the frame in which both were asked for opens with the next server.
    app.world_mut().spawn(Room::new("late"));
    run_until_told(&mut app, 2);
    app.world_mut().trigger(Join::new("late"));
    run_until_told(&mut app, 3);
    let told = app.world().resource::<Told>();
    assert_eq!((told.joined, &told.refused[..]), (3, &[][..]));
}

#[test]
fn a_client_that_connects_before_the_server_was_started_waits_for_it() {
    let mut host = real_host(true);
    let connector = host.world().resource::<GhostServer>().connector();
    let mut guest = App::new();
    guest.add_plugins((MinimalPlugins, GhostClientPlugin { ping_every: None }));
    guest.world_mut().trigger(Connect::local(connector).once());
    (0..50).for_each(|_| guest.update());
    let state = |guest: &App| *guest.world().resource::<State<ClientState>>().get();
    assert_eq!(state(&guest), ClientState::Connecting);
    for _ in 0..1_000_000 {
        host.update();
        guest.update();
        if state(&guest) != ClientState::Connecting {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(state(&guest), ClientState::Connected);
}

/// Opens a room, connects or joins.
fn step(which: u8) -> impl FnMut(Res<GhostServer>, Commands) {
    move |server, mut commands| match which {
        0 => drop(commands.spawn(Room::new("lobby"))),
        1 => commands.trigger(Connect::local(server.connector())),
        _ => commands.trigger(Join::new("lobby")),
    }
}

#[test]
fn the_order_in_which_a_host_opens_connects_and_joins_does_not_matter() {
    for [first, second, third] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    {
        let mut app = real_host(true);
        app.add_systems(Startup, (step(first), step(second), step(third)).chain());
        run_until_told(&mut app, 1);
        let refused = &app.world().resource::<Told>().refused;
        assert!(refused.is_empty(), "{first}, {second}, {third}: {refused:?}");
    }
}
