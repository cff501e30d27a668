//! What tools see of both plugins: diagnostics, reflection, states, run conditions.

use bevy::{diagnostic::DiagnosticsStore, prelude::*, reflect::TypeRegistry};
use bevy_ghost_client::{
    Broadcast, ClientState, FromRoom, GhostClient, JoinedRoom, Member, PlayerJoined, connected,
    in_room,
};
use bevy_ghost_server::{
    Connection, GhostServer, InRoom, Player, Raw, Room, RoomConfig, RoomStats, ServerState,
    diagnostics as server, room_exists, server_running, testing::TestNet,
};

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
    let value = |app: &App, path| {
        let store = app.world().resource::<DiagnosticsStore>();
        store.get(&path).unwrap().value().unwrap()
    };
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
        server.world_mut().spawn((Room::new("lobby"), RoomConfig::seats(4)));
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
    assert!(has::<bevy_ghost_server::PlayerJoined>(&registry));
    drop(registry);
    let registry = net.clients[client].world().resource::<AppTypeRegistry>().read();
    assert!(has::<JoinedRoom>(&registry) && has::<Member>(&registry));
    assert!(has::<GhostClient>(&registry) && has::<ClientState>(&registry));
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
}

#[test]
fn a_client_without_a_server_in_its_app_has_no_envelopes_of_a_server() {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, bevy_ghost_client::GhostClientPlugin::default()));
    assert!(app.world().contains_resource::<Messages<FromRoom<Raw>>>());
    assert!(!app.world().contains_resource::<Messages<bevy_ghost_server::ToRoom<Raw>>>());
}
