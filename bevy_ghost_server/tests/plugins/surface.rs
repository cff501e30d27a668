//! What tools see of both plugins: diagnostics, reflection, states, run conditions.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use bevy::{
    diagnostic::{DiagnosticPath, DiagnosticsStore},
    prelude::*,
    reflect::TypeRegistry,
};
use bevy_ghost_client::{
    Broadcast, ClientState, FromRoom, GhostClient, JoinedRoom, Member, PlayerJoined, TokenExpiring,
    connected, in_room,
};
use bevy_ghost_server::{
    BanRefused, Connection, ConnectionStats, GhostServer, InRoom, Lagged, Player, Raw, Room,
    RoomConfig, RoomStats, Rooms, Seat, ServerState, SignedIn, ToRoom, User, diagnostics as server,
    room_exists, server_running,
    testing::{TestNet, record, recorded},
};
use bytes::BytesMut;
use ghost_sync_core::wire::{ClientMessage, Hello, JoinOptions};
use tokio::io::{AsyncWriteExt, DuplexStream};

fn value(app: &App, path: DiagnosticPath) -> f64 {
    let store = app.world().resource::<DiagnosticsStore>();
    store.get(&path).unwrap().value().unwrap()
}

#[derive(Default, Resource)]
struct Ran(Vec<&'static str>);

fn note(name: &'static str) -> impl Fn(ResMut<Ran>) {
    move |mut ran: ResMut<Ran>| ran.0.push(name)
}

#[test]
fn diagnostics_count_rooms_players_connections_and_messages() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
    });
    let (alice, bob) = (net.connect(|_| {}), net.connect(|_| {}));
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.settle();
    assert_eq!(value(&net.server, server::ROOMS), 1.0);
    assert_eq!(value(&net.server, server::PLAYERS), 2.0);
    assert_eq!(value(&net.server, server::CONNECTIONS), 2.0);
    assert_eq!(value(&net.clients[alice], bevy_ghost_client::diagnostics::MEMBERS), 2.0);

    net.clients[alice].world_mut().write_message(Broadcast::new(Raw::new("four")));
    net.clients[alice].update();
    assert_eq!(value(&net.clients[alice], bevy_ghost_client::diagnostics::MESSAGES_SENT), 1.0);
    assert_eq!(value(&net.clients[alice], bevy_ghost_client::diagnostics::BYTES_SENT), 4.0);
    net.settle();
    assert_eq!(value(&net.clients[alice], bevy_ghost_client::diagnostics::MESSAGES_SENT), 0.0);
    let received = net.clients[bob].world().resource::<GhostClient>().received;
    assert_eq!((received.messages, received.bytes), (1, 4));
}

#[test]
fn run_conditions_follow_the_connection_and_the_room() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
        server.init_resource::<Ran>().add_systems(
            Update,
            (
                note("running").run_if(server_running),
                note("lobby").run_if(room_exists("lobby")),
                note("cave").run_if(room_exists("cave")),
            ),
        );
    });
    let client = net.client(|client| {
        client.init_resource::<Ran>().add_systems(
            Update,
            (note("connected").run_if(connected), note("in lobby").run_if(in_room("lobby"))),
        );
    });
    let ran = |app: &App, name| app.world().resource::<Ran>().0.contains(&name);
    net.settle();
    assert!(ran(&net.server, "running") && ran(&net.server, "lobby") && !ran(&net.server, "cave"));
    assert!(!ran(&net.clients[client], "connected"));
    let connect = bevy_ghost_client::Connect::local(net.connector());
    net.clients[client].world_mut().trigger(connect);
    net.settle();
    assert!(ran(&net.clients[client], "connected") && !ran(&net.clients[client], "in lobby"));
    net.join(client, "lobby");
    assert!(ran(&net.clients[client], "in lobby"));
}

#[test]
fn what_is_public_is_reflected_with_its_fields() {
    let mut net = TestNet::new(|server| {
        server.world_mut().spawn((Room::new("lobby"), RoomConfig::with_capacity(4)));
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    fn has<T: 'static>(registry: &TypeRegistry) -> bool {
        registry.contains(std::any::TypeId::of::<T>())
    }
    let registry = net.server.world().resource::<AppTypeRegistry>().read();
    assert!(has::<Room>(&registry) && has::<RoomConfig>(&registry) && has::<RoomStats>(&registry));
    assert!(has::<Connection>(&registry) && has::<Player>(&registry) && has::<InRoom>(&registry));
    assert!(has::<GhostServer>(&registry) && has::<ServerState>(&registry));
    assert!(has::<User>(&registry) && has::<SignedIn>(&registry) && has::<BanRefused>(&registry));
    assert!(has::<bevy_ghost_server::PlayerJoined>(&registry));
    drop(registry);
    let registry = net.clients[client].world().resource::<AppTypeRegistry>().read();
    assert!(has::<JoinedRoom>(&registry) && has::<Member>(&registry));
    assert!(has::<GhostClient>(&registry) && has::<ClientState>(&registry));
    assert!(has::<User>(&registry) && has::<TokenExpiring>(&registry));
    assert!(has::<PlayerJoined>(&registry));
    drop(registry);

    let mut rooms = net.server.world_mut().query_filtered::<Entity, With<Room>>();
    let room = rooms.single(net.server.world()).unwrap();
    let registry = net.server.world().resource::<AppTypeRegistry>().read();
    let component = registry.get_type_data::<ReflectComponent>(std::any::TypeId::of::<RoomStats>());
    let stats = component.unwrap().reflect(net.server.world().entity(room)).unwrap();
    let players = stats.reflect_ref().as_struct().unwrap().field("players").unwrap();
    assert_eq!(players.try_downcast_ref::<u32>(), Some(&1));
    let name = net.server.world().get::<Name>(room).unwrap();
    assert_eq!(name.as_str(), "lobby");
    // As an inspector shows them.
    let component = registry.get_type_data::<ReflectComponent>(std::any::TypeId::of::<Room>());
    let shown = component.unwrap().reflect(net.server.world().entity(room)).unwrap();
    let name = shown.reflect_ref().as_struct().unwrap().field("name").unwrap();
    assert_eq!(format!("{name:?}"), "\"lobby\"");
    let mut players = net.server.world().try_query_filtered::<Entity, With<Player>>().unwrap();
    let player = players.single(net.server.world()).unwrap();
    let component = registry.get_type_data::<ReflectComponent>(std::any::TypeId::of::<Player>());
    let shown = component.unwrap().reflect(net.server.world().entity(player)).unwrap();
    let seat = shown.reflect_ref().as_struct().unwrap().field("seat").unwrap();
    assert_eq!(seat.try_downcast_ref::<Seat>(), Some(&Seat(1)));
}

#[test]
fn a_client_without_a_server_in_its_app_has_no_envelopes_of_a_server() {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, bevy_ghost_client::GhostClientPlugin::default()));
    assert!(app.world().contains_resource::<Messages<FromRoom<Raw>>>());
    assert!(!app.world().contains_resource::<Messages<ToRoom<Raw>>>());
}

#[test]
fn a_client_that_does_not_read_shows_in_the_queue_and_in_what_was_dropped() {
    let mut net = TestNet::new(|server| {
        record::<Lagged>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    // A bare link, without the client that would empty it.
    let mut link = net.server.world().resource::<GhostServer>().handle().unwrap().connect_local();
    write(&mut link, &hello());
    net.run_until("the connection is there", |net| {
        net.server.world().resource::<GhostServer>().connections == 1
    });
    write(
        &mut link,
        &ClientMessage::Join { request: 1, room: "lobby", options: JoinOptions::default() },
    );
    net.run_until("the player is there", |net| {
        net.server.world().resource::<GhostServer>().players == 1
    });
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    for _ in 0..200 {
        let noise = ToRoom::new(room, Raw::new(vec![0; 8 * 1024])).volatile();
        net.server.world_mut().write_message(noise);
        net.exchange();
    }
    let mut connections = net.server.world_mut().query::<&ConnectionStats>();
    let queued = connections.single(net.server.world()).unwrap().queued;
    assert!(queued.messages > 0 && queued.bytes > 8 * 1024, "{queued:?}");
    assert_eq!(value(&net.server, server::QUEUED), queued.bytes as f64);
    let dropped = recorded::<Lagged>(&net.server).iter().map(|it| it.dropped).sum::<u64>();
    assert!(dropped > 0);
    assert_eq!(net.server.world().resource::<GhostServer>().dropped, dropped);
}

fn hello() -> ClientMessage<'static> {
    ClientMessage::Hello(Hello::default())
}

/// Writes to a link that has room for it.
fn write(link: &mut DuplexStream, message: &ClientMessage<'_>) {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes);
    let written = pin!(link.write_all(&bytes)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(written, Poll::Ready(Ok(()))));
}

#[test]
fn signals_are_watched_without_a_server_too() {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, bevy_ghost_server::ShutdownPlugin::default()));
    app.update();
    assert_eq!(app.should_exit(), None);
}
