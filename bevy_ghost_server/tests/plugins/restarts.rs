//! Games that were killed and started again with their ticket.

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, Connect, Connected, FromRoom, FromServer, GhostClient, GhostClientEvent, Join,
    JoinRefused, Joined, Left,
};
use bevy_ghost_server::{
    PlayerJoined,
    prelude::*,
    testing::{TestNet, record, recorded},
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Board(u32);

fn protocol(app: &mut App) {
    app.add_ghost_message::<Board>();
}

/// A lobby and an arena, whose board somebody new is shown. Joining takes a password.
fn server(app: &mut App) {
    protocol(app);
    record::<PlayerBack>(app);
    record::<PlayerJoined>(app);
    app.world_mut().spawn(Room::new("lobby"));
    app.world_mut().spawn(Room::new("arena"));
    app.insert_resource(Tiles(1))
        .add_observer(|mut request: On<JoinRequest>| {
            if request.data.as_ref() != b"sesame" {
                request.reject("wrong password");
            }
        })
        .add_observer(|mut request: On<GreetRequest>, tiles: Res<Tiles>| {
            request.greet_with(&Board(tiles.0));
        });
}

#[derive(Resource)]
struct Tiles(u32);

fn player(app: &mut App) {
    protocol(app);
    record::<GhostClientEvent>(app);
    record::<Connected>(app);
    record::<Joined>(app);
    record::<JoinRefused>(app);
    record::<Left>(app);
    record::<FromRoom<Board>>(app);
    record::<FromServer<Board>>(app);
}

fn to(room: &str) -> Join {
    Join::new(room).with_data("sesame")
}

/// A server and a client in its arena.
fn arena() -> (TestNet, usize) {
    let mut net = TestNet::new(server);
    let alice = net.connect(player);
    net.clients[alice].world_mut().trigger(to("arena"));
    net.settle();
    assert!(net.room(alice, "arena").is_some());
    (net, alice)
}

/// A client that starts like a new process of another, whose program has been killed.
fn start_again(net: &mut TestNet, former: usize, joins: impl IntoIterator<Item = Join>) -> usize {
    let ticket = net.clients[former].world().resource::<GhostClient>().ticket.unwrap();
    net.cut(former);
    let connector = net.connector();
    let again = net.client(player);
    let world = net.clients[again].world_mut();
    world.trigger(Connect::local(connector).session(ticket));
    for join in joins {
        world.trigger(join);
    }
    net.settle();
    again
}

fn boards(net: &TestNet, client: usize) -> Vec<u32> {
    recorded::<FromServer<Board>>(&net.clients[client]).iter().map(|it| it.message.0).collect()
}

fn joined(net: &TestNet, client: usize) -> Vec<String> {
    let joined = recorded::<Joined>(&net.clients[client]).iter();
    joined.map(|joined| joined.room_name.to_string()).collect()
}

#[test]
fn a_game_that_was_killed_is_told_the_state_of_its_room_as_it_is_now() {
    let (mut net, alice) = arena();
    assert_eq!(boards(&net, alice), [1]);
    net.server.world_mut().resource_mut::<Tiles>().0 = 2;
    let again = start_again(&mut net, alice, []);
    assert_eq!(boards(&net, again), [2]);
    let back = recorded::<PlayerBack>(&net.server);
    assert_eq!(back.iter().map(|back| back.restarted).collect::<Vec<_>>(), [true]);
    assert_eq!(recorded::<PlayerJoined>(&net.server).len(), 1, "it has not joined again");
}

#[test]
fn the_state_comes_after_the_room_and_before_anything_that_is_said_there() {
    let (mut net, alice) = arena();
    net.server.add_systems(
        PreUpdate,
        |mut back: MessageReader<PlayerBack>, mut said: MessageWriter<ToRoom<Board>>| {
            for PlayerBack { room, .. } in back.read() {
                said.write(ToRoom::new(*room, Board(7)));
            }
        },
    );
    let again = start_again(&mut net, alice, []);
    let told = recorded::<GhostClientEvent>(&net.clients[again]).iter();
    let told = told.map(|it| format!("{it:?}").split(['(', ' ']).next().unwrap().to_owned());
    let told: Vec<_> = told.collect();
    let received = "PayloadReceived";
    assert_eq!(told, ["Connected", "Joined", "Rejoined", received, received]);
    assert_eq!(boards(&net, again), [1]);
    assert_eq!(recorded::<FromRoom<Board>>(&net.clients[again])[0].message, Board(7));
}

#[test]
fn who_comes_back_in_the_same_process_is_not_greeted_again() {
    let (mut net, alice) = arena();
    net.cut(alice);
    net.settle();
    net.mend(alice);
    net.advance(std::time::Duration::from_secs(5));
    net.settle();
    assert_eq!(boards(&net, alice), [1]);
    let back = recorded::<PlayerBack>(&net.server);
    assert_eq!(back.iter().map(|back| back.restarted).collect::<Vec<_>>(), [false]);
}

#[test]
fn a_game_that_joins_its_lobby_at_the_start_stays_in_the_match_that_goes_on() {
    let (mut net, alice) = arena();
    let again = start_again(&mut net, alice, [to("lobby").if_nowhere()]);
    assert_eq!(joined(&net, again), ["arena"]);
    assert!(recorded::<Left>(&net.clients[again]).is_empty());
    assert!(net.room(again, "arena").is_some() && net.room(again, "lobby").is_none());
    let connected = &recorded::<Connected>(&net.clients[again])[0];
    let rooms = connected.resumed.iter().flatten().map(|room| room.as_str());
    assert_eq!(rooms.collect::<Vec<_>>(), ["arena"]);
    assert_eq!(connected.client_id, recorded::<Connected>(&net.clients[alice])[0].client_id);
}

#[test]
fn a_game_that_joins_its_lobby_at_the_start_is_there_when_nothing_goes_on() {
    let mut net = TestNet::new(server);
    let alice = net.client(player);
    let connector = net.connector();
    let world = net.clients[alice].world_mut();
    world.trigger(to("lobby").if_nowhere());
    world.trigger(Connect::local(connector));
    net.settle();
    assert_eq!(joined(&net, alice), ["lobby"]);
    assert_eq!(recorded::<Connected>(&net.clients[alice])[0].resumed, None);
    // Once there, it is somewhere.
    net.clients[alice].world_mut().trigger(to("arena").if_nowhere());
    net.settle();
    assert_eq!(joined(&net, alice), ["lobby"]);
    assert!(recorded::<JoinRefused>(&net.clients[alice]).is_empty());
}

#[test]
fn a_game_whose_session_is_over_begins_in_its_lobby() {
    let (mut net, alice) = arena();
    net.cut(alice);
    net.advance(std::time::Duration::from_secs(31));
    net.settle();
    let again = start_again(&mut net, alice, [to("lobby").if_nowhere()]);
    assert_eq!(joined(&net, again), ["lobby"]);
    assert_eq!(recorded::<Connected>(&net.clients[again])[0].resumed, None);
}

#[test]
fn of_two_joins_the_one_that_is_for_whoever_is_nowhere_gives_way() {
    let mut net = TestNet::new(server);
    let alice = net.client(player);
    let connector = net.connector();
    let world = net.clients[alice].world_mut();
    world.trigger(Connect::local(connector));
    world.trigger(to("arena"));
    world.trigger(to("lobby").if_nowhere());
    net.settle();
    assert_eq!(joined(&net, alice), ["arena"]);
}

#[test]
fn a_game_that_goes_on_from_an_earlier_process_is_back_after_a_crash_of_the_server() {
    let (mut net, former) = arena();
    let ticket = net.clients[former].world().resource::<GhostClient>().ticket.unwrap();
    net.cut(former);
    let again = net.client(player);
    let connect = net.dial(again).session(ticket);
    net.clients[again].world_mut().trigger(connect);
    net.settle();
    assert!(net.room(again, "arena").is_some(), "it goes on there");
    let told = recorded::<GhostClientEvent>(&net.clients[again]).len();
    net.restart_server();
    for _ in 0..10 {
        net.advance(std::time::Duration::from_secs(1));
        net.settle();
    }
    // The rule lets nobody in again without the password, which this process does not know.
    let told = &recorded::<GhostClientEvent>(&net.clients[again])[told..];
    let refused = told.iter().any(|fact| matches!(fact, GhostClientEvent::RejoinRefused(_)));
    assert!(refused, "it asked again, and says what came of it: {told:?}");
}

#[test]
fn what_is_said_behind_a_join_for_whoever_is_nowhere_is_said_where_the_game_goes_on() {
    let (mut net, former) = arena();
    let bob = net.connect(player);
    net.clients[bob].world_mut().trigger(to("arena"));
    net.settle();
    let ticket = net.clients[former].world().resource::<GhostClient>().ticket.unwrap();
    net.cut(former);
    let again = net.client(player);
    let connect = net.dial(again).session(ticket);
    let world = net.clients[again].world_mut();
    world.trigger(connect);
    world.trigger(to("lobby").if_nowhere());
    world.write_message(Broadcast::new(Board(7)));
    net.settle();
    let heard = recorded::<FromRoom<Board>>(&net.clients[bob]).iter().map(|it| it.message.0);
    assert_eq!(heard.collect::<Vec<_>>(), [7]);
}
