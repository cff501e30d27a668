//! What is said and asked before its time has come, and who is left out.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, ClientState, Connect, FromRoom, FromServer, Join, JoinRefused, Joined, ListRooms,
    Ping, Pong, Refusal, Refused, RejoinRefused, Rejoined, RoomList, ToServer, Unsent,
    UnsentReason,
};
use bevy_ghost_server::{
    CreateOnJoin, Limits, MetadataRefused, ServerConfig, UnsentReason as ServerUnsentReason,
    prelude::{Unsent as ServerUnsent, *},
    testing::{TestNet, record, recorded},
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Chat(u32);

fn protocol(app: &mut App) {
    app.add_ghost_message::<Chat>();
}

fn lobby(server: &mut App) {
    protocol(server);
    record::<FromPlayer<Chat>>(server);
    record::<FromConnection<Chat>>(server);
    record::<ServerUnsent>(server);
    record::<MetadataRefused>(server);
    server.world_mut().spawn(Room::new("lobby"));
}

fn player(client: &mut App) {
    protocol(client);
    record::<FromRoom<Chat>>(client);
    record::<FromServer<Chat>>(client);
    record::<Unsent>(client);
    record::<Joined>(client);
    record::<JoinRefused>(client);
    record::<RejoinRefused>(client);
    record::<Rejoined>(client);
    record::<Refused>(client);
    record::<RoomList>(client);
    record::<Pong>(client);
}

fn heard(net: &TestNet) -> Vec<u32> {
    recorded::<FromPlayer<Chat>>(&net.server).iter().map(|it| it.message.0).collect()
}

fn room(net: &TestNet, name: &str) -> Entity {
    net.server.world().resource::<Rooms>().get(name).unwrap()
}

#[test]
fn what_is_said_before_the_connection_is_there_waits_for_it_and_for_the_room() {
    let mut net = TestNet::new(lobby);
    let bob = net.connect(player);
    net.join(bob, "lobby");
    let alice = net.client(player);
    let connect = net.dial(alice);
    let world = net.clients[alice].world_mut();
    world.trigger(connect);
    world.trigger(Join::new("lobby"));
    world.trigger(Ping);
    world.trigger(ListRooms);
    for n in 0..3 {
        world.write_message(Broadcast::new(Chat(n)));
        world.write_message(ToServer::new(Chat(10 + n)));
        world.write_message(Broadcast::new(Chat(20 + n)).latest(1));
    }
    net.settle();
    let client = &net.clients[alice];
    assert!(recorded::<Unsent>(client).is_empty(), "{:?}", recorded::<Unsent>(client));
    assert!(recorded::<Refused>(client).is_empty(), "{:?}", recorded::<Refused>(client));
    assert_eq!((recorded::<Pong>(client).len(), recorded::<RoomList>(client).len()), (1, 1));
    assert_eq!(heard(&net), [0, 10, 1, 11, 2, 12, 22], "in order, of the state the newest");
    let bobs = recorded::<FromRoom<Chat>>(&net.clients[bob]).iter().map(|it| it.message.0);
    assert_eq!(bobs.collect::<Vec<_>>(), [0, 1, 2, 22]);
}

#[test]
fn what_is_said_after_a_join_is_said_in_that_room() {
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.world_mut().spawn(Room::new("cellar"));
    });
    let (alice, bob) = (net.connect(player), net.connect(player));
    net.join(alice, "lobby");
    net.join(bob, "cellar");
    let world = net.clients[alice].world_mut();
    world.write_message(Broadcast::new(Chat(1)));
    world.trigger(Join::new("cellar"));
    world.write_message(Broadcast::new(Chat(2)));
    net.clients[alice].update();
    // Not in yet, in the frame after that either.
    net.clients[alice].world_mut().write_message(Broadcast::new(Chat(3)));
    net.settle();
    let bobs = recorded::<FromRoom<Chat>>(&net.clients[bob]).iter().map(|it| it.message.0);
    assert_eq!(bobs.collect::<Vec<_>>(), [2, 3]);
    assert!(recorded::<Unsent>(&net.clients[alice]).is_empty());
}

#[test]
fn what_waits_in_vain_comes_back() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(player);
    let world = net.clients[alice].world_mut();
    world.trigger(Join::new("nowhere"));
    world.write_message(Broadcast::new(Chat(1)));
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[alice]).len(), 1);
    assert_eq!(recorded::<Unsent>(&net.clients[alice])[0].reason, UnsentReason::NotInRoom);
    // A connection that is never there.
    let bob = net.client(player);
    let nowhere = Connect::to("no.such.host.invalid:1").once();
    let world = net.clients[bob].world_mut();
    world.trigger(nowhere);
    world.trigger(Join::new("lobby"));
    world.trigger(ListRooms);
    world.write_message(Broadcast::new(Chat(1)));
    world.write_message(ToServer::new(Chat(2)));
    world.trigger(bevy_ghost_client::Disconnect);
    net.settle();
    let client = &net.clients[bob];
    assert_eq!(*client.world().resource::<State<ClientState>>(), ClientState::Disconnected);
    assert_eq!(recorded::<Unsent>(client).len(), 2);
    assert_eq!(recorded::<JoinRefused>(client)[0].reason, Refusal::NotConnected);
    assert_eq!(recorded::<Refused>(client).len(), 1);
}

#[test]
fn a_join_is_answered_in_whichever_frame_the_attempt_to_connect_ends() {
    let mut net = TestNet::new(lobby);
    let bob = net.client(player);
    net.clients[bob].world_mut().trigger(Connect::to("no port"));
    let mut asked = 0;
    while *net.clients[bob].world().resource::<State<ClientState>>() != ClientState::Disconnected
        || asked == 0
    {
        net.clients[bob].world_mut().trigger(Join::new(format!("room {asked}")));
        asked += 1;
        assert!(asked < 100, "it goes on");
        net.exchange();
    }
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[bob]).len(), asked);
    // What is asked from now on waits for the next address.
    net.clients[bob].world_mut().trigger(Join::new("lobby"));
    net.settle();
    let connect = net.dial(bob);
    net.clients[bob].world_mut().trigger(connect);
    net.settle();
    assert!(net.room(bob, "lobby").is_some());
    assert_eq!(recorded::<JoinRefused>(&net.clients[bob]).len(), asked);
}

#[test]
fn joining_on_each_connection_is_no_error_where_the_client_is_back_by_itself() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|client| {
        player(client);
        client.add_systems(OnEnter(ClientState::Connected), |mut commands: Commands| {
            commands.trigger(Join::new("lobby"));
        });
    });
    net.settle();
    assert_eq!(recorded::<Joined>(&net.clients[alice]).len(), 1);
    for round in 2..4 {
        net.restart_server();
        for _ in 0..10 {
            net.advance(Duration::from_secs(1));
            net.settle();
        }
        assert_eq!(recorded::<Joined>(&net.clients[alice]).len(), round);
        net.clients[alice].world_mut().trigger(Join::new("lobby"));
        net.settle();
    }
    assert!(recorded::<JoinRefused>(&net.clients[alice]).is_empty());
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!((server.connections, server.players), (1, 1));
}

#[test]
fn a_seat_that_is_not_to_be_had_again_is_told_as_that() {
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.world_mut().spawn(Room::new("match"));
    });
    let alice = net.connect(|client| {
        player(client);
        client.add_observer(|_: On<RejoinRefused>, mut commands: Commands| {
            commands.trigger(Join::new("lobby"));
        });
    });
    net.join(alice, "match");
    let entity = room(&net, "match");
    net.server.world_mut().despawn(entity);
    net.restart_server();
    for _ in 0..10 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
    assert_eq!(recorded::<RejoinRefused>(&net.clients[alice]).len(), 1);
    assert!(recorded::<JoinRefused>(&net.clients[alice]).is_empty(), "it asked for nothing");
    assert!(net.room(alice, "lobby").is_some());
}

#[test]
fn rooms_are_made_as_their_creators_want_and_not_for_who_mistypes() {
    fn make(mut request: On<CreateRoomRequest>) {
        let wishes = request.options.clone().unwrap_or_default();
        if wishes.is_empty() {
            return request.reject("say how it should be");
        }
        request.config = RoomConfig::with_capacity(wishes[0].into());
        request.metadata.set("map", "cave");
    }
    let limits = Limits::default();
    let config = ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Ask,
        limits,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |server| {
        lobby(server);
        server.add_observer(make);
    });
    let [alice, bob, carol] = [(); 3].map(|()| net.connect(player));
    net.clients[alice].world_mut().trigger(Join::existing("KQZP"));
    net.settle();
    let refused = &recorded::<JoinRefused>(&net.clients[alice])[0].reason;
    assert!(matches!(refused, Refusal::RoomNotFound { .. }), "{refused}");
    net.clients[alice].world_mut().trigger(Join::new("KQZP"));
    net.settle();
    let refused = recorded::<JoinRefused>(&net.clients[alice])[1].reason.to_string();
    assert_eq!(refused, "say how it should be");
    net.clients[alice].world_mut().trigger(Join::new("KQZP").or_create(vec![2]));
    net.settle();
    let made = room(&net, "KQZP");
    assert_eq!(net.server.world().get::<RoomConfig>(made), Some(&RoomConfig::with_capacity(2)));
    let metadata = net.server.world().get::<Metadata>(made).unwrap();
    assert_eq!(metadata.get("map"), Some("cave"));
    net.clients[bob].world_mut().trigger(Join::existing("KQZP"));
    net.settle();
    let entity = net.room(bob, "KQZP").unwrap();
    let metadata = net.clients[bob].world().get::<Metadata>(entity).unwrap();
    assert_eq!(metadata.get("map"), Some("cave"));
    // As it is, whatever a third one wants.
    net.clients[carol].world_mut().trigger(Join::new("KQZP").or_create(vec![9]));
    net.settle();
    let refused = &recorded::<JoinRefused>(&net.clients[carol])[0].reason;
    assert!(matches!(refused, Refusal::RoomFull { capacity: 2, .. }), "{refused}");
}

#[test]
fn who_is_left_out_does_not_hear_it() {
    let mut net = TestNet::new(lobby);
    let [alice, bob, carol, _, _] = [(); 5].map(|()| {
        let client = net.connect(player);
        net.join(client, "lobby");
        client
    });
    let lobby = room(&net, "lobby");
    let mut players = net.server.world_mut().query::<(Entity, &Player)>();
    let mut players: Vec<_> =
        players.iter(net.server.world()).map(|(entity, player)| (player.seat, entity)).collect();
    players.sort_by_key(|(seat, _)| *seat);
    let world = net.server.world_mut();
    world.write_message(ToRoom::new(lobby, Chat(1)).except(players[0].1));
    world.write_message(ToRoom::new(lobby, Chat(2)).except(players[1].1).latest(7));
    let mut to_nobody = ToRoom::new(lobby, Chat(3));
    to_nobody.except = players.iter().map(|(_, player)| *player).collect();
    world.write_message(to_nobody);
    net.settle();
    let chats = [alice, bob, carol].map(|client| {
        let heard = recorded::<FromRoom<Chat>>(&net.clients[client]).iter();
        heard.map(|it| it.message.0).collect::<Vec<_>>()
    });
    assert_eq!(chats, [vec![2], vec![1], vec![1, 2]]);
    let unsent = recorded::<ServerUnsent>(&net.server);
    assert_eq!(unsent[0].reason, ServerUnsentReason::TooManyLeftOut { max: 4 });
}

#[test]
fn of_what_may_be_lost_one_player_is_given_the_newest_and_told_how_much_is_missing() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(player);
    net.join(alice, "lobby");
    let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
    let player = players.single(net.server.world()).unwrap();
    net.server.world_mut().write_message(ToPlayer::new(player, Chat(0)).volatile());
    net.settle();
    net.cut(alice);
    net.settle();
    for n in 1..=5 {
        net.server.world_mut().write_message(ToPlayer::new(player, Chat(n)).latest(1));
        net.server.world_mut().write_message(ToPlayer::new(player, Chat(100 + n)).volatile());
        net.exchange();
    }
    net.server.world_mut().write_message(ToPlayer::new(player, Chat(6)));
    net.mend(alice);
    net.advance(Duration::from_secs(5));
    net.settle();
    let heard = recorded::<FromServer<Chat>>(&net.clients[alice]);
    let mut said: Vec<_> = heard.iter().map(|it| it.message.0).collect();
    said.sort_unstable();
    assert_eq!(said, [0, 5, 6]);
    assert_eq!(heard.iter().map(|it| it.missed).sum::<u32>(), 9, "four old ones and five effects");
}

#[test]
fn metadata_that_is_too_large_is_taken_back() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(player);
    net.join(alice, "lobby");
    let lobby = room(&net, "lobby");
    let mut metadata = net.server.world_mut().get_mut::<Metadata>(lobby).unwrap();
    metadata.set("map", "cave");
    metadata.set("story", "x".repeat(1 << 20));
    net.settle();
    let refused = recorded::<MetadataRefused>(&net.server);
    assert_eq!((refused.len(), refused[0].entity, &*refused[0].key), (1, lobby, "story"));
    let metadata = net.server.world().get::<Metadata>(lobby).unwrap();
    assert_eq!(metadata.iter().collect::<Vec<_>>(), [("map", "cave")]);
    let entity = net.room(alice, "lobby").unwrap();
    assert_eq!(net.clients[alice].world().get::<Metadata>(entity), Some(metadata));
}

/// Answers joins of one room when the test says so.
#[derive(Default, Resource)]
struct Doors(Vec<Ticket>);

/// A server whose cellar and attic put their answers off, with Alice in the lobby and Bob and
/// Carol in the others.
fn slow_doors() -> (TestNet, [usize; 3]) {
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.world_mut().spawn(Room::new("cellar"));
        server.world_mut().spawn(Room::new("attic"));
        server.init_resource::<Doors>();
    });
    let [alice, bob, carol] = ["lobby", "cellar", "attic"].map(|room| {
        let client = net.connect(player);
        net.join(client, room);
        client
    });
    net.server.add_observer(|mut request: On<JoinRequest>, mut doors: ResMut<Doors>| {
        if request.room_name != "lobby" {
            doors.0.push(request.defer());
        }
    });
    net.settle();
    (net, [alice, bob, carol])
}

fn open_door(net: &mut TestNet, accept: bool) {
    let ticket = net.server.world_mut().resource_mut::<Doors>().0.remove(0);
    if accept {
        ticket.accept()
    } else {
        ticket.reject("not you")
    }
    net.settle();
}

fn heard_by(net: &TestNet, client: usize) -> Vec<u32> {
    recorded::<FromRoom<Chat>>(&net.clients[client]).iter().map(|it| it.message.0).collect()
}

#[test]
fn what_is_said_between_two_joins_is_for_the_first() {
    let (mut net, [alice, bob, carol]) = slow_doors();
    let world = net.clients[alice].world_mut();
    world.trigger(Join::new("cellar"));
    world.write_message(Broadcast::new(Chat(1)));
    net.settle();
    open_door(&mut net, true);
    net.clients[alice].world_mut().trigger(Join::new("attic"));
    net.clients[alice].world_mut().write_message(Broadcast::new(Chat(2)));
    net.settle();
    assert_eq!((heard_by(&net, bob), heard_by(&net, carol)), (vec![1], vec![]));
    open_door(&mut net, true);
    assert_eq!((heard_by(&net, bob), heard_by(&net, carol)), (vec![1], vec![2]));
}

#[test]
fn what_was_said_for_a_room_that_refuses_is_said_nowhere_else() {
    let (mut net, [alice, ..]) = slow_doors();
    let dora = net.connect(player);
    net.join(dora, "lobby");
    let lobby = net.room(alice, "lobby").unwrap();
    let world = net.clients[alice].world_mut();
    world.trigger(Join::new("cellar"));
    world.write_message(Broadcast::new(Chat(1)));
    // These are for where she is, and wait for nothing.
    world.write_message(Broadcast::new(Chat(2)).in_room(lobby));
    world.write_message(Broadcast::new(Chat(3)).volatile());
    net.settle();
    assert_eq!(heard_by(&net, dora), [2, 3]);
    open_door(&mut net, false);
    assert_eq!(heard_by(&net, dora), [2, 3]);
    let unsent: Vec<_> =
        recorded::<Unsent>(&net.clients[alice]).iter().map(|it| it.reason).collect();
    assert_eq!(unsent, [UnsentReason::NotInRoom]);
    assert!(net.room(alice, "lobby").is_some());
}

#[test]
fn a_join_that_cannot_be_asked_is_refused_once_and_forgotten() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(player);
    net.join(alice, "lobby");
    net.clients[alice].world_mut().trigger(Join::new("lobby").with_data(vec![0; 70_000]));
    net.settle();
    let refused = recorded::<JoinRefused>(&net.clients[alice]);
    assert!(matches!(refused, [JoinRefused { reason: Refusal::PayloadTooLarge { .. }, .. }]));
    net.restart_server();
    for _ in 0..10 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
    assert_eq!(recorded::<JoinRefused>(&net.clients[alice]).len(), 1);
    assert_eq!(recorded::<Rejoined>(&net.clients[alice]).len(), 1, "it is still wanted");
}

#[test]
fn the_maker_of_a_room_is_told_of_it_as_others_are_and_its_state_is_there_for_the_rules() {
    #[derive(Component)]
    struct Match;
    #[derive(Default, Resource)]
    struct Maps(Vec<Option<String>>);
    let config = ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Ask,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |server| {
        lobby(server);
        server.add_observer(|mut request: On<CreateRoomRequest>| {
            let map = request.options.clone().unwrap_or_default();
            request.metadata.set("map", String::from_utf8_lossy(&map));
        });
        server.add_observer(|opened: On<RoomOpened>, mut commands: Commands| {
            commands.entity(opened.room).insert(Match);
        });
        server.add_observer(|mut request: On<JoinRequest>, matches: Query<&Match>| {
            if !matches.contains(request.room) {
                request.reject("there is no match");
            }
        });
    });
    // Two at once, with different wishes: those of the first count, for all.
    let [alice, bob] = [(); 2].map(|()| {
        net.connect(|client| {
            player(client);
            client.init_resource::<Maps>().add_observer(
                |joined: On<Joined>, rooms: Query<&Metadata>, mut maps: ResMut<Maps>| {
                    let map = rooms.get(joined.room).unwrap().get("map").map(str::to_owned);
                    maps.0.push(map);
                },
            );
        })
    });
    for (client, map) in [(alice, "cave"), (bob, "moor")] {
        net.clients[client].world_mut().trigger(Join::new("KQZP").or_create(map));
        net.clients[client].update();
    }
    net.settle();
    for client in [alice, bob] {
        assert!(recorded::<JoinRefused>(&net.clients[client]).is_empty());
        assert_eq!(net.clients[client].world().resource::<Maps>().0, [Some("cave".to_owned())]);
    }
    let metadata = net.server.world().get::<Metadata>(room(&net, "KQZP")).unwrap();
    assert_eq!(metadata.get("map"), Some("cave"));
}

#[test]
fn a_room_that_the_server_opens_meanwhile_keeps_what_it_says_of_it() {
    let config = ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Ask,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |server| {
        lobby(server);
        server.init_resource::<Doors>().add_observer(
            |mut request: On<CreateRoomRequest>, mut doors: ResMut<Doors>| {
                request.metadata.set("map", "moor");
                request.config = RoomConfig::with_capacity(2);
                doors.0.push(request.defer());
            },
        );
    });
    let alice = net.connect(player);
    net.clients[alice].world_mut().trigger(Join::new("KQZP").or_create("moor"));
    net.settle();
    let own = Metadata::default().with("map", "cave");
    net.server.world_mut().spawn((Room::new("KQZP"), own.clone()));
    net.settle();
    open_door(&mut net, true);
    assert!(net.room(alice, "KQZP").is_some());
    let opened = room(&net, "KQZP");
    assert_eq!(net.server.world().get::<Metadata>(opened), Some(&own));
    assert_eq!(net.server.world().get::<RoomConfig>(opened), Some(&RoomConfig::default()));
}

#[test]
fn questions_are_refused_when_the_session_that_they_were_asked_in_is_over() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(player);
    net.stall(alice);
    net.clients[alice].world_mut().trigger(ListRooms);
    net.clients[alice].world_mut().trigger(Ping);
    net.settle();
    net.restart_server();
    for _ in 0..20 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
    let client = &net.clients[alice];
    assert_eq!(*client.world().resource::<State<ClientState>>(), ClientState::Connected);
    let lists = recorded::<RoomList>(client).len();
    let refused = recorded::<Refused>(client).iter();
    let refused: Vec<_> = refused.map(|it| it.request.as_str()).collect();
    assert_eq!(lists + refused.iter().filter(|it| **it == "list rooms").count(), 1, "{refused:?}");
    let pings = recorded::<Pong>(client).len();
    assert_eq!(pings + refused.iter().filter(|it| **it == "ping").count(), 1, "{refused:?}");
}
