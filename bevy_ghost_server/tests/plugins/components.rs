//! What inserting, replacing and removing each component does: the sentences of the README.

use bevy::prelude::*;
use bevy_ghost_client::{self as client, JoinedRoom, Left, Member};
use bevy_ghost_server::{
    SetMetadata,
    prelude::*,
    testing::{TestNet, record, recorded},
};

fn lobby(server: &mut App) {
    record::<RoomOpened>(server);
    record::<RoomClosed>(server);
    record::<RoomRefused>(server);
    record::<PlayerLeft>(server);
    server.world_mut().spawn((Room::new("lobby"), Metadata::default().with("map", "cave")));
}

fn room(net: &TestNet, name: &str) -> Entity {
    net.server.world().resource::<Rooms>().get(name).unwrap()
}

/// What a client in a room believes of it.
fn seen(net: &TestNet, client: usize, name: &str, key: &str) -> Option<String> {
    let room = net.room(client, name)?;
    let metadata = net.clients[client].world().get::<Metadata>(room)?;
    metadata.get(key).map(str::to_owned)
}

#[test]
fn metadata_of_a_room_is_there_from_the_beginning_and_follows_the_component() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|_| {});
    net.join(alice, "lobby");
    assert_eq!(seen(&net, alice, "lobby", "map").as_deref(), Some("cave"));

    let lobby = room(&net, "lobby");
    net.server.world_mut().get_mut::<Metadata>(lobby).unwrap().set("map", "tower");
    net.settle();
    assert_eq!(seen(&net, alice, "lobby", "map").as_deref(), Some("tower"), "changed in place");

    net.server.world_mut().entity_mut(lobby).insert(Metadata::default().with("mode", "tag"));
    net.settle();
    assert_eq!(seen(&net, alice, "lobby", "map"), None, "replaced");
    assert_eq!(seen(&net, alice, "lobby", "mode").as_deref(), Some("tag"));

    net.server.world_mut().trigger(SetMetadata::new(lobby, "mode", "duel"));
    net.settle();
    assert_eq!(seen(&net, alice, "lobby", "mode").as_deref(), Some("duel"));
    let metadata = net.server.world().get::<Metadata>(lobby).unwrap();
    assert_eq!(metadata.get("mode"), Some("duel"), "the component says so too");
}

#[test]
fn metadata_of_a_room_outlives_the_server_and_may_change_while_none_runs() {
    let mut net = TestNet::new(lobby);
    let lobby = room(&net, "lobby");
    net.server.world_mut().trigger(SetMetadata::new(lobby, "round", "3"));
    net.settle();
    net.server.world_mut().trigger(StopServer::default());
    net.run_until("it is stopped", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == ServerState::Stopped
    });
    net.server.world_mut().trigger(SetMetadata::new(lobby, "map", "moor"));
    net.server.world_mut().get_mut::<Metadata>(lobby).unwrap().set("weather", "fog");
    net.server.world_mut().trigger(StartServer);
    net.run_until("it runs", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == ServerState::Running
    });
    let alice = net.connect(|_| {});
    net.join(alice, "lobby");
    for (key, value) in [("round", "3"), ("map", "moor"), ("weather", "fog")] {
        assert_eq!(seen(&net, alice, "lobby", key).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn metadata_of_a_connection_follows_the_component() {
    let mut net = TestNet::new(lobby);
    let (alice, bob) = (net.connect(|_| {}), net.connect(|_| {}));
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.settle();
    let mut connections = net.server.world_mut().query_filtered::<Entity, With<Connection>>();
    let connections: Vec<_> = connections.iter(net.server.world()).collect();
    for connection in connections {
        net.server.world_mut().get_mut::<Metadata>(connection).unwrap().set("team", "red");
    }
    net.settle();
    let mut members = net.clients[bob].world_mut().query_filtered::<&Metadata, With<Member>>();
    let teams = members.iter(net.clients[bob].world()).map(|it| it.get("team").unwrap());
    assert_eq!(teams.collect::<Vec<_>>(), ["red", "red"]);
}

#[test]
fn the_same_name_once_more_changes_nothing() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(record::<Left>);
    net.join(alice, "lobby");
    let entity = room(&net, "lobby");
    net.server.world_mut().entity_mut(entity).insert(Room::new("lobby"));
    net.settle();
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 0);
    assert_eq!(room(&net, "lobby"), entity);
    assert_eq!(recorded::<RoomClosed>(&net.server).len(), 0);
}

#[test]
fn another_name_closes_the_room_and_opens_the_other_on_the_same_entity() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(record::<Left>);
    net.join(alice, "lobby");
    let entity = room(&net, "lobby");
    net.server.world_mut().entity_mut(entity).insert(Room::new("cellar"));
    net.settle();
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 1);
    assert_eq!(room(&net, "cellar"), entity);
    assert_eq!(net.server.world().resource::<Rooms>().get("lobby"), None);
    assert!(net.server.world().get::<RoomStats>(entity).unwrap().open);
    assert_eq!(recorded::<RoomClosed>(&net.server)[0].room_name, "lobby");
    net.join(alice, "cellar");
    assert_eq!(seen(&net, alice, "cellar", "map").as_deref(), Some("cave"));
    assert_eq!(net.server.world().get::<RoomStats>(entity).unwrap().players, 1);
}

#[test]
fn a_name_that_is_taken_leaves_the_open_room_as_it_is() {
    let mut net = TestNet::new(lobby);
    net.server.world_mut().spawn(Room::new("cellar"));
    let alice = net.connect(record::<Left>);
    net.join(alice, "lobby");
    let entity = room(&net, "lobby");
    net.server.world_mut().entity_mut(entity).insert(Room::new("cellar"));
    net.settle();
    assert_eq!(recorded::<RoomRefused>(&net.server)[0].room_name, "cellar");
    assert_eq!(room(&net, "lobby"), entity);
    assert_ne!(room(&net, "cellar"), entity);
    assert_eq!(net.server.world().get::<Room>(entity).unwrap().name(), "lobby");
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 0);
}

#[test]
fn removing_the_room_closes_it_and_leaves_the_entity() {
    #[derive(Component)]
    struct Mine;
    let mut net = TestNet::new(lobby);
    let alice = net.connect(record::<Left>);
    net.join(alice, "lobby");
    let entity = room(&net, "lobby");
    net.server.world_mut().entity_mut(entity).insert(Mine).remove::<Room>();
    net.settle();
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 1);
    assert_eq!(recorded::<PlayerLeft>(&net.server).len(), 1);
    assert!(net.server.world().get::<Mine>(entity).is_some());
    assert!(!net.server.world().get::<RoomStats>(entity).unwrap().open);
    // And it may be one again, at once or later.
    net.server.world_mut().entity_mut(entity).insert(Room::new("lobby"));
    net.settle();
    net.join(alice, "lobby");
    net.server.world_mut().entity_mut(entity).remove::<Room>().insert(Room::new("lobby"));
    net.settle();
    net.join(alice, "lobby");
    assert_eq!(net.server.world().get::<RoomStats>(entity).unwrap().players, 1);
}

#[test]
fn removing_a_player_or_a_connection_puts_it_out() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|client| {
        record::<Left>(client);
        record::<client::Disconnected>(client);
    });
    net.join(alice, "lobby");
    let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
    let player = players.single(net.server.world()).unwrap();
    net.server.world_mut().entity_mut(player).remove::<Player>();
    net.settle();
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 1);
    let mut connections = net.server.world_mut().query_filtered::<Entity, With<Connection>>();
    let connection = connections.single(net.server.world()).unwrap();
    net.server.world_mut().entity_mut(connection).remove::<Connection>();
    net.settle();
    assert_eq!(recorded::<client::Disconnected>(&net.clients[alice]).len(), 1);
}

#[test]
fn what_the_plugin_keeps_moves_nobody_and_rules_stay_when_their_component_goes() {
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.world_mut().spawn(Room::new("cellar"));
    });
    let alice = net.connect(record::<Left>);
    net.join(alice, "lobby");
    let (lobby, cellar) = (room(&net, "lobby"), room(&net, "cellar"));
    let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
    let player = players.single(net.server.world()).unwrap();
    net.server.world_mut().entity_mut(player).insert(InRoom(cellar));
    net.server.world_mut().entity_mut(lobby).insert(RoomConfig::with_capacity(1));
    net.settle();
    net.server.world_mut().entity_mut(lobby).remove::<(RoomConfig, RoomStats, Metadata)>();
    net.settle();
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 0);
    assert!(net.room(alice, "lobby").is_some());
    assert_eq!(seen(&net, alice, "lobby", "map").as_deref(), Some("cave"));
    // The one seat is taken still.
    let bob = net.connect(record::<client::JoinRefused>);
    net.clients[bob].world_mut().trigger(client::Join::new("lobby"));
    net.settle();
    assert_eq!(recorded::<client::JoinRefused>(&net.clients[bob]).len(), 1);
    net.server.world_mut().despawn(player);
    net.settle();
    assert_eq!(recorded::<Left>(&net.clients[alice]).len(), 1, "of the room where it was");
}

#[test]
fn a_game_that_changes_what_the_server_said_changes_nothing_but_that() {
    let mut net = TestNet::new(lobby);
    let (alice, bob) = (net.connect(|_| {}), net.connect(|_| {}));
    let room = net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.settle();
    let world = net.clients[alice].world_mut();
    let mut others = world.query_filtered::<Entity, (With<Member>, Without<client::LocalPlayer>)>();
    let other = others.single(world).unwrap();
    world.entity_mut(other).insert(Away).remove::<Member>();
    world.get_mut::<Metadata>(room).unwrap().set("map", "mine");
    world.despawn(other);
    net.settle();
    assert_eq!(net.server.world().resource::<GhostServer>().players, 2);
    assert_eq!(seen(&net, bob, "lobby", "map").as_deref(), Some("cave"));
}

#[test]
fn a_clients_room_that_is_cleared_takes_its_members_along() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|_| {});
    let room = net.join(alice, "lobby");
    let world = net.clients[alice].world_mut();
    world.entity_mut(room).clear();
    let mut members = world.query_filtered::<Entity, With<Member>>();
    world.flush();
    assert_eq!(members.iter(world).count(), 0);
    let mut rooms = world.query::<&JoinedRoom>();
    assert_eq!(rooms.iter(world).count(), 0);
    net.settle();
    assert_eq!(net.server.world().resource::<GhostServer>().players, 0);
}
