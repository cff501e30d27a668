//! What a frame wrote and asked leaves in that order, and before the end.

use bevy::{platform::collections::HashSet, prelude::*};
use bevy_ghost_client::{
    Broadcast, ClientState, Connect, Disconnect, Disconnected, FromRoom, FromServer, GhostReader,
    Join, JoinRefused, Joined, Leave, Left, ListRooms, Ping, Pong, Reconnecting, Refused, RoomList,
    SetMetadata, ToServer, Unsent, UnsentReason,
};
use bevy_ghost_server::{
    UnsentReason as ServerUnsentReason,
    prelude::{Unsent as ServerUnsent, *},
    testing::{TestNet, record, recorded},
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Chat(u32);

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Fire(u32);

/// What somebody heard, in order: all types in one line.
#[derive(Default, Resource)]
struct Diary(Vec<String>);

fn protocol(app: &mut App) {
    // In the order in which they must not leave.
    app.add_ghost_message::<Chat>().add_ghost_message::<Fire>();
}

fn lobby(server: &mut App) {
    protocol(server);
    record::<FromPlayer<Chat>>(server);
    record::<FromConnection<Chat>>(server);
    record::<ServerUnsent>(server);
    server.init_resource::<Diary>();
    server.world_mut().spawn(Room::new("lobby"));
}

fn player(client: &mut App) {
    protocol(client);
    record::<FromRoom<Chat>>(client);
    record::<FromRoom<Fire>>(client);
    record::<FromServer<Chat>>(client);
    record::<Disconnected>(client);
    record::<Unsent>(client);
    record::<Joined>(client);
    record::<Left>(client);
    record::<JoinRefused>(client);
    record::<Refused>(client);
    record::<RoomList>(client);
    record::<Pong>(client);
}

/// Two players in the lobby.
fn pair() -> (TestNet, usize, usize, Entity) {
    let mut net = TestNet::new(lobby);
    let (alice, bob) = (net.connect(player), net.connect(player));
    let room = net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.settle();
    (net, alice, bob, room)
}

fn chats(net: &TestNet, client: usize) -> Vec<u32> {
    recorded::<FromRoom<Chat>>(&net.clients[client]).iter().map(|it| it.message.0).collect()
}

fn server_room(net: &TestNet) -> Entity {
    net.server.world().resource::<Rooms>().get("lobby").unwrap()
}

#[test]
fn two_types_of_one_frame_arrive_in_the_order_in_which_they_were_written() {
    let (mut net, alice, bob, _) = pair();
    let world = net.clients[alice].world_mut();
    for n in 0..4 {
        world.write_message(Broadcast::new(Fire(n)));
        world.write_message(Broadcast::new(Chat(n)));
    }
    net.settle();
    let fires = recorded::<FromRoom<Fire>>(&net.clients[bob]);
    let chats = recorded::<FromRoom<Chat>>(&net.clients[bob]);
    for n in 0..4 {
        assert!(fires[n].seq < chats[n].seq, "fire {n} was first");
        assert!(n == 3 || chats[n].seq < fires[n + 1].seq, "chat {n} was before the next fire");
    }
}

#[test]
fn what_the_server_tells_one_and_then_all_arrives_in_that_order() {
    fn note(mut chat: GhostReader<Chat>, mut diary: ResMut<Diary>) {
        for said in chat.read() {
            let whom = if said.seq.is_some() { "all" } else { "one" };
            diary.0.push(format!("{whom} {}", said.message.0));
        }
    }
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|client| {
        player(client);
        client.init_resource::<Diary>().add_systems(Update, note);
    });
    net.join(alice, "lobby");
    let room = server_room(&net);
    let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
    let player = players.single(net.server.world()).unwrap();
    let world = net.server.world_mut();
    for n in 0..3 {
        world.write_message(ToPlayer::new(player, Chat(n)));
        world.write_message(ToRoom::new(room, Chat(n)));
    }
    net.settle();
    let diary = &net.clients[alice].world().resource::<Diary>().0;
    assert_eq!(diary[..], ["one 0", "all 0", "one 1", "all 1", "one 2", "all 2"]);
}

#[test]
fn what_was_made_early_and_written_late_is_late() {
    let (mut net, alice, bob, _) = pair();
    let early = Broadcast::new(Chat(1));
    let world = net.clients[alice].world_mut();
    world.write_message(Broadcast::new(Chat(0)));
    world.write_message(early);
    net.settle();
    assert_eq!(chats(&net, bob), [0, 1]);
}

#[test]
fn last_words_are_heard_before_every_way_to_end() {
    type End = fn(&mut World, Entity);
    let ends: [(&str, End); 5] = [
        ("disconnect", |world, _| world.trigger(Disconnect)),
        ("leave", |world, room| world.trigger(Leave { room })),
        ("despawn", |world, room| assert!(world.despawn(room))),
        ("clear", |world, room| {
            world.entity_mut(room).clear();
        }),
        ("another room", |world, _| world.trigger(Join::new("other"))),
    ];
    for (name, end) in ends {
        let (mut net, alice, bob, room) = pair();
        net.server.world_mut().spawn(Room::new("other"));
        net.settle();
        let world = net.clients[alice].world_mut();
        world.write_message(Broadcast::new(Chat(1)));
        world.write_message(ToServer::new(Chat(2)));
        end(world, room);
        net.settle();
        assert_eq!(chats(&net, bob), [1], "{name}");
        let heard = recorded::<FromPlayer<Chat>>(&net.server);
        let heard: HashSet<_> = heard.iter().map(|it| it.message.0).collect();
        assert_eq!(heard, HashSet::from_iter([1, 2]), "{name}");
        assert!(recorded::<Unsent>(&net.clients[alice]).is_empty(), "{name}");
    }
}

#[test]
fn last_words_are_heard_though_the_app_ends_with_the_frame() {
    let (mut net, alice, bob, _) = pair();
    let world = net.clients[alice].world_mut();
    world.write_message(Broadcast::new(Chat(1)));
    world.write_message(AppExit::Success);
    let mut app = std::mem::take(&mut net.clients[alice]);
    app.update();
    drop(app);
    net.settle();
    assert_eq!(chats(&net, bob), [1]);
    assert_eq!(net.server.world().resource::<GhostServer>().players, 1, "it has said goodbye");

    let room = server_room(&net);
    net.server.world_mut().write_message(ToRoom::new(room, Chat(2)));
    let mut app = std::mem::take(&mut net.server);
    app.update();
    drop(app);
    net.settle();
    assert_eq!(chats(&net, bob), [1, 2]);
}

#[test]
fn words_after_the_end_are_told_as_unsent() {
    let (mut net, alice, bob, room) = pair();
    let world = net.clients[alice].world_mut();
    world.trigger(Disconnect);
    world.write_message(Broadcast::new(Chat(1)));
    net.settle();
    net.clients[alice].world_mut().write_message(ToServer::new(Chat(2)));
    net.settle();
    assert!(chats(&net, bob).is_empty());
    let unsent = recorded::<Unsent>(&net.clients[alice]).iter().map(|it| it.reason);
    assert_eq!(unsent.collect::<Vec<_>>(), [UnsentReason::NotConnected; 2]);
    let world = net.clients[bob].world_mut();
    let bobs = world.resource::<bevy_ghost_client::JoinedRooms>().current().unwrap();
    world.trigger(Leave { room: bobs });
    world.write_message(Broadcast::new(Chat(3)).in_room(bobs));
    net.settle();
    let unsent = recorded::<Unsent>(&net.clients[bob]).len();
    let refused = recorded::<Refused>(&net.clients[bob]).len();
    assert_eq!(unsent + refused, 1, "told, one way or the other");
    let _ = room;
}

#[test]
fn the_servers_last_words_are_heard_before_every_way_to_end() {
    type End = fn(&mut World, Entity, Entity, Entity);
    let ends: [(&str, End); 6] = [
        ("kick", |world, _, player, _| world.trigger(Kick::new(player, "out"))),
        ("close connection", |world, _, _, connection| {
            world.trigger(DisconnectClient::new(connection, "out"));
        }),
        ("close room", |world, room, _, _| {
            world.trigger(CloseRoom { room, message: "over".to_owned() });
        }),
        ("despawn room", |world, room, _, _| assert!(world.despawn(room))),
        ("remove room", |world, room, _, _| {
            world.entity_mut(room).remove::<Room>();
        }),
        ("stop", |world, _, _, _| world.trigger(StopServer::default())),
    ];
    for (name, end) in ends {
        let (mut net, alice, bob, _) = pair();
        let room = server_room(&net);
        let mut players = net.server.world_mut().query::<(Entity, &SeatOf)>();
        let (player, connection) = players.iter(net.server.world()).next().unwrap();
        let connection = connection.0;
        let world = net.server.world_mut();
        world.write_message(ToPlayer::new(player, Chat(1)));
        world.write_message(ToRoom::new(room, Chat(2)));
        world.write_message(ToConnection::new(connection, Chat(3)));
        end(world, room, player, connection);
        net.settle();
        let mut heard = [alice, bob].map(|client| {
            let to_one = recorded::<FromServer<Chat>>(&net.clients[client]).iter();
            let mut heard: Vec<_> = to_one.map(|it| it.message.0).collect();
            heard.extend(chats(&net, client));
            heard.sort_unstable();
            heard
        });
        heard.sort();
        assert_eq!(heard, [vec![1, 2, 3], vec![2]], "{name}");
        assert!(recorded::<ServerUnsent>(&net.server).is_empty(), "{name}");
    }
}

#[test]
fn what_the_server_says_to_nobody_or_too_long_is_told() {
    #[derive(Clone, Debug, SchemaRead, SchemaWrite)]
    struct Long(Vec<u8>);
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.add_ghost_message::<Long>();
    });
    let alice = net.connect(|client| {
        player(client);
        client.add_ghost_message::<Long>();
    });
    net.join(alice, "lobby");
    let room = server_room(&net);
    let mut players = net.server.world_mut().query_filtered::<Entity, With<Player>>();
    let player = players.single(net.server.world()).unwrap();
    let world = net.server.world_mut();
    world.write_message(ToRoom::new(room, Long(vec![0; 70_000])));
    world.trigger(Kick::new(player, "out"));
    world.flush();
    world.write_message(ToPlayer::new(player, Chat(1)));
    world.write_message(ToRoom::new(Entity::PLACEHOLDER, Chat(2)));
    world.trigger(StopServer::default());
    world.flush();
    world.write_message(ToEveryone::new(Chat(3)));
    net.settle();
    let reasons: Vec<_> =
        recorded::<ServerUnsent>(&net.server).iter().map(|it| it.reason).collect();
    let (gone, not_running) = (ServerUnsentReason::Gone, ServerUnsentReason::NotRunning);
    assert!(matches!(reasons[0], ServerUnsentReason::TooLarge { max: 65_536, .. }));
    assert_eq!(reasons[1..], [gone, gone, not_running]);
    assert_eq!(net.server.world().resource::<GhostServer>().undelivered, 4);
}

#[test]
fn a_room_hears_what_is_said_in_the_frame_that_opens_it_in_whatever_order() {
    fn open_and_speak(mut commands: Commands, mut chat: MessageWriter<ToRoom<Chat>>) {
        let room = commands.spawn((Room::new("fresh"), RoomConfig { replay: 8, ..default() })).id();
        chat.write(ToRoom::new(room, Chat(1)));
        chat.write(ToRoom::new(room, Chat(2)).latest(7));
    }
    let mut net = TestNet::new(lobby);
    let alice = net.connect(player);
    let open = net.server.world_mut().register_system(open_and_speak);
    net.server.world_mut().run_system(open).unwrap();
    let join = Join::new("fresh").replay(bevy_ghost_client::Replay::Last(8));
    // Enough frames for the room, none for somebody who would be there before.
    net.exchange();
    net.clients[alice].world_mut().trigger(join);
    net.settle();
    assert!(recorded::<ServerUnsent>(&net.server).is_empty());
    let heard: HashSet<_> = chats(&net, alice).into_iter().collect();
    assert_eq!(heard, HashSet::from_iter([1, 2]));
}

#[test]
fn leaving_and_joining_at_once_ends_in_the_room() {
    let (mut net, alice, _, room) = pair();
    let world = net.clients[alice].world_mut();
    world.trigger(Leave { room });
    world.trigger(Join::new("lobby"));
    net.settle();
    assert_eq!(recorded::<Joined>(&net.clients[alice]).len(), 2);
    assert!(net.room(alice, "lobby").is_some());
    let world = net.clients[alice].world_mut();
    let room = world.resource::<bevy_ghost_client::JoinedRooms>().current().unwrap();
    world.trigger(Leave { room });
    world.trigger(Join::new("lobby"));
    world.trigger(Disconnect);
    net.settle();
    assert_eq!(recorded::<Joined>(&net.clients[alice]).len(), 2);
    assert_eq!(recorded::<JoinRefused>(&net.clients[alice]).len(), 1, "no answer comes any more");
    assert_eq!(
        *net.clients[alice].world().resource::<State<ClientState>>(),
        ClientState::Disconnected
    );
}

#[test]
fn whatever_is_asked_without_a_connection_is_refused() {
    let mut net = TestNet::new(lobby);
    let alice = net.client(player);
    let world = net.clients[alice].world_mut();
    world.trigger(Ping);
    world.trigger(ListRooms);
    world.trigger(SetMetadata::new("name", "Ada"));
    world.write_message(Broadcast::new(Chat(1)));
    net.exchange();
    let refused: Vec<_> =
        recorded::<Refused>(&net.clients[alice]).iter().map(|it| it.request.clone()).collect();
    assert_eq!(refused.len(), 3, "{refused:?}");
    assert_eq!(recorded::<Unsent>(&net.clients[alice]).len(), 1);
    // Joins wait for a connection, but not for ever.
    net.clients[alice].world_mut().trigger(Join::new("lobby"));
    net.exchange();
    assert_eq!(recorded::<JoinRefused>(&net.clients[alice]).len(), 0);
    net.clients[alice].world_mut().trigger(Disconnect);
    net.exchange();
    assert_eq!(recorded::<JoinRefused>(&net.clients[alice]).len(), 1);
}

#[test]
fn what_the_game_asks_is_answered_though_the_connection_ends() {
    let (mut net, alice, ..) = pair();
    net.stall(alice);
    let world = net.clients[alice].world_mut();
    world.trigger(Join::new("nowhere"));
    world.trigger(Ping);
    world.trigger(ListRooms);
    world.trigger(Disconnect);
    net.settle();
    net.advance(std::time::Duration::from_secs(120));
    net.settle();
    let client = &net.clients[alice];
    assert_eq!(recorded::<JoinRefused>(client).len(), 1);
    assert_eq!(recorded::<Pong>(client).len() + recorded::<RoomList>(client).len(), 0);
    assert_eq!(recorded::<Refused>(client).len(), 2);
}

#[test]
fn a_state_that_stays_the_same_makes_no_transition() {
    #[derive(Default, Resource)]
    struct Entered(usize);
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|client| {
        player(client);
        record::<Reconnecting>(client);
        client
            .init_resource::<Entered>()
            .add_systems(OnEnter(ClientState::Reconnecting), |mut entered: ResMut<Entered>| {
                entered.0 += 1
            });
    });
    net.join(alice, "lobby");
    net.cut(alice);
    for _ in 0..20 {
        net.advance(std::time::Duration::from_secs(10));
        net.settle();
    }
    let ends = recorded::<Disconnected>(&net.clients[alice]).len();
    assert!(ends > 3, "{ends} attempts have failed");
    assert_eq!(net.clients[alice].world().resource::<Entered>().0, 1);
}

#[test]
fn who_answers_each_end_with_a_new_connection_has_one_in_the_end() {
    let mut net = TestNet::new(lobby);
    let connect = Connect::local(net.connector());
    let alice = net.connect(move |client| {
        player(client);
        client.add_observer(move |_: On<Disconnected>, mut commands: Commands| {
            commands.trigger(connect.clone());
        });
    });
    let connect = Connect::local(net.connector());
    net.clients[alice].world_mut().trigger(connect);
    net.settle();
    assert_eq!(recorded::<Disconnected>(&net.clients[alice]).len(), 0);
    assert_eq!(
        *net.clients[alice].world().resource::<State<ClientState>>(),
        ClientState::Connected
    );
}

#[test]
fn stopping_and_starting_in_one_frame_restarts() {
    let (mut net, alice, ..) = pair();
    let world = net.server.world_mut();
    world.trigger(StopServer::default());
    world.trigger(StartServer);
    net.run_until("it runs again", |net| {
        let state = *net.server.world().resource::<State<ServerState>>().get();
        let left = recorded::<Left>(&net.clients[alice]).len();
        state == ServerState::Running && left > 0
    });
    let world = net.server.world_mut();
    world.trigger(StopServer::default());
    world.trigger(StartServer);
    world.trigger(StopServer::default());
    net.run_until("it is stopped", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == ServerState::Stopped
    });
    net.settle();
    assert_eq!(*net.server.world().resource::<State<ServerState>>().get(), ServerState::Stopped);
}
