//! What a client's app sees: states, rosters, and coming back.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, ClientState, Connect, Connected, Disconnect, Disconnected, Ended, GhostClient,
    GhostClientEvent, Join, JoinRefused, Joined, JoinedRooms, Left, LocalPlayer, Member, MemberOf,
    Members, Metadata, MetadataChanged, Ping, PlayerJoined, PlayerLeft, Pong, Raw, Reconnecting,
    Refusal, Refused, ResumeFailed, SetMetadata, ToServer, Unsent, UnsentReason,
};
use bevy_ghost_server::{
    ConnectionStats, GhostServer, RelayConfig, Room, Rooms, ServerConfig, ServerState, StartServer,
    StopServer, ToRoom,
    testing::{TestNet, record, recorded},
};

fn lobby(server: &mut App) {
    server.world_mut().spawn(Room::new("lobby"));
}

fn state(net: &TestNet, client: usize) -> ClientState {
    *net.clients[client].world().resource::<State<ClientState>>().get()
}

#[test]
fn a_join_asked_for_before_the_connection_waits_for_it() {
    let mut net = TestNet::new(lobby);
    let client = net.client(|_| {});
    let connect = Connect::local(net.connector());
    let world = net.clients[client].world_mut();
    world.trigger(connect);
    world.trigger(Join::new("lobby"));
    net.run_until("the client is in the lobby", |net| net.room(client, "lobby").is_some());
    assert_eq!(state(&net, client), ClientState::Connected);
}

#[test]
fn the_roster_is_there_when_a_room_says_joined() {
    #[derive(Default, Resource)]
    struct Seen(usize);

    let mut net = TestNet::new(lobby);
    let alice = net.connect(|_| {});
    net.join(alice, "lobby");
    let bob = net.connect(|client| {
        client.init_resource::<Seen>().add_systems(
            Update,
            |mut joined: MessageReader<Joined>,
             rooms: Query<&Members>,
             members: Query<(&Member, &MemberOf, Has<LocalPlayer>)>,
             mut seen: ResMut<Seen>| {
                for joined in joined.read() {
                    let everybody = rooms.get(joined.room).unwrap();
                    assert_eq!(everybody.len(), 2);
                    for entity in everybody.iter() {
                        let (member, room, local) = members.get(entity).unwrap();
                        assert_eq!(room.0, joined.room);
                        assert_eq!(local, entity == joined.player);
                        assert_eq!(local, member.seat == joined.seat);
                    }
                    seen.0 += 1;
                }
            },
        );
    });
    net.join(bob, "lobby");
    assert_eq!(net.clients[bob].world().resource::<Seen>().0, 1);
}

#[test]
fn members_come_and_go_with_the_others() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(|client| {
        record::<PlayerJoined>(client);
        record::<PlayerLeft>(client);
    });
    let room = net.join(alice, "lobby");
    let bob = net.connect(|_| {});
    net.join(bob, "lobby");
    net.settle();
    let joined = recorded::<PlayerJoined>(&net.clients[alice])[0].clone();
    assert_eq!(joined.room, room);
    let member = net.clients[alice].world().get::<Member>(joined.player).unwrap();
    assert_eq!(member.client_id, joined.client_id);
    assert!(net.clients[alice].world().get::<LocalPlayer>(joined.player).is_none());

    net.clients[bob].world_mut().trigger(Disconnect);
    net.settle();
    let [left] = recorded::<PlayerLeft>(&net.clients[alice]) else { panic!("not exactly one") };
    assert_eq!((left.player, left.client_id), (joined.player, joined.client_id));
    assert!(net.clients[alice].world().get_entity(joined.player).is_err());
    assert_eq!(net.clients[alice].world().get::<Members>(room).unwrap().len(), 1);
}

#[test]
fn a_member_that_the_game_despawned_is_told_to_leave_nevertheless() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(record::<PlayerLeft>);
    net.join(alice, "lobby");
    let bob = net.connect(|_| {});
    net.join(bob, "lobby");
    let mut others = net.clients[alice]
        .world_mut()
        .query_filtered::<Entity, (With<Member>, Without<LocalPlayer>)>();
    let member = others.single(net.clients[alice].world()).unwrap();
    net.clients[alice].world_mut().despawn(member);
    net.clients[bob].world_mut().write_message(Broadcast::new(Raw::new("still here")));
    net.settle();
    net.clients[bob].world_mut().trigger(Disconnect);
    net.settle();
    let [left] = recorded::<PlayerLeft>(&net.clients[alice]) else { panic!("not exactly one") };
    assert_eq!(left.player, member);
}

#[test]
fn despawning_the_room_entity_gives_the_seat_up() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(|_| {});
    let room = net.join(client, "lobby");
    net.clients[client].world_mut().despawn(room);
    net.settle();
    assert_eq!(net.server.world().resource::<GhostServer>().players, 0);
    assert!(net.clients[client].world().resource::<JoinedRooms>().is_empty());
    let again = net.join(client, "lobby");
    assert_ne!(again, room);
}

#[test]
fn a_room_that_is_not_there_refuses() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(record::<JoinRefused>);
    net.clients[client].world_mut().trigger(Join::new("loby"));
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[client])[0].room_name, "loby");
}

#[test]
fn a_text_that_is_no_room_name_is_refused_like_a_room_that_is_not_there() {
    let mut net = TestNet::new(lobby);
    let early = net.client(record::<JoinRefused>);
    let client = net.connect(record::<JoinRefused>);
    for client in [early, client] {
        net.clients[client].world_mut().trigger(Join::new("a\nb"));
        net.settle();
        let [refused] = recorded::<JoinRefused>(&net.clients[client]) else { panic!("no answer") };
        assert_eq!(refused.room_name, "a\nb");
        assert!(matches!(refused.reason, Refusal::InvalidRoomName { .. }), "{}", refused.reason);
    }
}

#[test]
fn others_see_metadata_given_at_connecting_and_changed_later() {
    let mut net = TestNet::new(lobby);
    let alice = net.connect(record::<MetadataChanged>);
    net.join(alice, "lobby");
    let bob = net.client(|_| {});
    let connect = Connect::local(net.connector()).with_metadata("name", "Bob");
    net.clients[bob].world_mut().trigger(connect);
    net.join(bob, "lobby");
    net.settle();
    let mut others = net.clients[alice]
        .world_mut()
        .query_filtered::<(Entity, &Metadata), Without<LocalPlayer>>();
    let world = net.clients[alice].world();
    let seen = |metadata: &Metadata| metadata.get("name").map(str::to_owned);
    let found = others.iter(world).find_map(|(entity, it)| Some((entity, seen(it)?)));
    let (member, name) = found.unwrap();
    assert_eq!(name, "Bob");

    net.clients[bob].world_mut().trigger(SetMetadata::new("name", "Robert"));
    net.settle();
    let change = &recorded::<MetadataChanged>(&net.clients[alice])[0];
    assert_eq!((change.entity, change.value.as_deref()), (member, Some("Robert")));
    let metadata = net.clients[alice].world().get::<Metadata>(member).unwrap();
    assert_eq!(metadata.get("name"), Some("Robert"));
}

#[test]
fn a_ping_is_answered_with_the_time_it_took() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(record::<Pong>);
    net.clients[client].world_mut().trigger(Ping);
    net.settle();
    let pinged = &recorded::<Pong>(&net.clients[client])[0];
    assert_eq!(net.clients[client].world().resource::<GhostClient>().rtt, Some(pinged.rtt));
}

#[test]
fn what_cannot_be_sent_is_handed_back() {
    let mut net = TestNet::new(lobby);
    let client = net.client(record::<Unsent>);
    net.clients[client].world_mut().write_message(Broadcast::new(Raw::new("early")));
    net.settle();
    let connect = Connect::local(net.connector());
    net.clients[client].world_mut().trigger(connect);
    net.settle();
    net.clients[client].world_mut().write_message(Broadcast::new(Raw::new("nowhere")));
    net.settle();
    let unsent = recorded::<Unsent>(&net.clients[client]);
    assert_eq!(unsent[0].reason, UnsentReason::NotConnected);
    let (_, payload) = unsent[0].message.as_ref().unwrap();
    assert_eq!(payload.as_ref(), b"early");
    assert_eq!(unsent[1].reason, UnsentReason::NotInRoom);
}

#[test]
fn what_is_too_large_for_the_server_is_unsent_and_not_refused() {
    let config = ServerConfig::from(RelayConfig { max_payload: 100, ..RelayConfig::for_games() });
    let mut net = TestNet::with_config(config, lobby);
    let client = net.connect(|client| {
        record::<Unsent>(client);
        record::<Refused>(client);
    });
    net.join(client, "lobby");
    net.clients[client].world_mut().write_message(Broadcast::new(Raw::new(vec![0; 101])));
    net.clients[client].world_mut().write_message(ToServer::new(Raw::new(vec![0; 102])));
    net.settle();
    let reasons: Vec<_> =
        recorded::<Unsent>(&net.clients[client]).iter().map(|unsent| unsent.reason).collect();
    let too_large = |len| UnsentReason::TooLarge { len, max: 100 };
    assert_eq!(reasons, [too_large(101), too_large(102)]);
    assert!(recorded::<Refused>(&net.clients[client]).is_empty());
}

#[test]
fn disconnecting_ends_rooms_and_does_not_come_back() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(record::<Disconnected>);
    let room = net.join(client, "lobby");
    net.clients[client].world_mut().trigger(Disconnect);
    net.settle();
    net.advance(Duration::from_secs(30));
    net.settle();
    assert_eq!(state(&net, client), ClientState::Disconnected);
    assert!(net.clients[client].world().get_entity(room).is_err());
    assert_eq!(recorded::<Disconnected>(&net.clients[client]).len(), 1);
    assert_eq!(net.server.world().resource::<GhostServer>().connections, 0);
}

#[test]
fn connecting_again_replaces_the_connection_that_was_there_without_telling_an_end() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(|client| {
        record::<Connected>(client);
        record::<Disconnected>(client);
        record::<Left>(client);
    });
    net.join(client, "lobby");
    let connect = Connect::local(net.connector());
    net.clients[client].world_mut().trigger(connect);
    net.settle();
    assert_eq!(state(&net, client), ClientState::Connected);
    assert_eq!(recorded::<Disconnected>(&net.clients[client]).len(), 0);
    assert_eq!(recorded::<Left>(&net.clients[client]).len(), 1);
    let [first, second] = recorded::<Connected>(&net.clients[client]) else { panic!("not two") };
    assert_ne!(first.client_id, second.client_id);
    assert_eq!(net.room(client, "lobby"), None);
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!((server.connections, server.players), (1, 0));
}

#[test]
fn the_ordered_stream_tells_what_happened_in_order() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(record::<GhostClientEvent>);
    net.join(client, "lobby");
    net.clients[client].world_mut().trigger(Disconnect);
    net.settle();
    let names: Vec<_> = recorded::<GhostClientEvent>(&net.clients[client])
        .iter()
        .map(|event| format!("{event:?}").split('(').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["Connected", "Joined", "Left", "Disconnected"]);
}

#[test]
fn a_client_whose_server_stops_says_reconnecting_and_when() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(record::<Disconnected>);
    net.join(client, "lobby");
    net.server.world_mut().trigger(StopServer::default());
    net.run_until("the client is told", |net| state(net, client) == ClientState::Reconnecting);
    let gone = &recorded::<Disconnected>(&net.clients[client])[0];
    assert!(gone.retry_in.is_some());
    assert!(gone.reason.to_string() == "the server is shutting down", "{}", gone.reason);
    assert!(net.clients[client].world().resource::<JoinedRooms>().is_empty());
    assert_eq!(net.clients[client].world().resource::<GhostClient>().client_id, None);
}

/// Cuts the client off without a word, as a broken network does.
fn cut(net: &mut TestNet) {
    net.server.world_mut().trigger(StopServer::default());
    net.run_until("the server has stopped", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == ServerState::Stopped
    });
    net.server.world_mut().trigger(StartServer);
    net.run_until("the server runs again", |net| {
        *net.server.world().resource::<State<ServerState>>().get() == ServerState::Running
    });
}

#[test]
fn a_client_without_reconnecting_stays_away() {
    let mut net = TestNet::new(lobby);
    let client = net.client(|client| {
        record::<Connected>(client);
    });
    let connect = Connect::local(net.connector()).once();
    net.clients[client].world_mut().trigger(connect);
    net.settle();
    cut(&mut net);
    for _ in 0..10 {
        net.advance(Duration::from_secs(10));
        net.settle();
    }
    assert_eq!(state(&net, client), ClientState::Disconnected);
    assert_eq!(recorded::<Connected>(&net.clients[client]).len(), 1);
}

#[test]
fn a_client_that_was_too_slow_comes_back_by_itself_and_keeps_its_seat() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(|client| {
        record::<Connected>(client);
        record::<Reconnecting>(client);
        record::<ResumeFailed>(client);
        record::<Joined>(client);
        record::<Disconnected>(client);
    });
    let old = net.join(client, "lobby");
    // The game hangs, while more is said to it than may wait.
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    for _ in 0..128 {
        let noise = ToRoom::new(room, Raw::new(vec![0; 32 * 1024]));
        net.server.world_mut().write_message(noise);
        net.server.update();
        net.advance(Duration::ZERO);
    }
    net.settle();
    assert_eq!(recorded::<Reconnecting>(&net.clients[client]).len(), 1);
    assert_eq!(net.room(client, "lobby"), Some(old));

    net.advance(Duration::from_secs(1));
    net.run_until("the client is back", |net| state(net, client) == ClientState::Connected);
    // It kept its seat, and was given what it had missed.
    assert!(recorded::<ResumeFailed>(&net.clients[client]).is_empty());
    assert_eq!(net.room(client, "lobby"), Some(old));
    assert_eq!(net.server.world().resource::<GhostServer>().players, 1);
    assert!(recorded::<Disconnected>(&net.clients[client]).is_empty());
    assert_eq!(recorded::<Joined>(&net.clients[client]).len(), 1);
}

#[test]
fn a_game_that_hangs_for_a_minute_stays_connected() {
    let mut net = TestNet::new(lobby);
    let client = net.connect(record::<Disconnected>);
    net.join(client, "lobby");
    for _ in 0..60 {
        net.advance(Duration::from_secs(1));
    }
    net.settle();
    assert!(recorded::<Disconnected>(&net.clients[client]).is_empty());
    assert_eq!(net.server.world().resource::<GhostServer>().players, 1);
    let mut rtts = net.server.world_mut().query::<&ConnectionStats>();
    assert!(rtts.single(net.server.world()).unwrap().rtt.is_some(), "pings were answered");
}

#[test]
fn a_join_that_was_asked_for_before_connecting_is_forgotten_after_disconnecting() {
    let mut net = TestNet::new(lobby);
    let client = net.client(|_| {});
    let connect = Connect::local(net.connector());
    let world = net.clients[client].world_mut();
    world.trigger(Join::new("lobby"));
    world.trigger(Disconnect);
    world.trigger(connect);
    net.settle();
    assert_eq!(state(&net, client), ClientState::Connected);
    assert_eq!(net.room(client, "lobby"), None);
}

#[test]
fn a_member_that_joins_and_leaves_in_one_frame_is_there_for_the_systems_of_that_frame() {
    #[derive(Component)]
    struct Ghost;

    #[derive(Default, Resource)]
    struct Seen(Vec<bool>);

    let mut net = TestNet::new(lobby);
    let alice = net.connect(|client| {
        client.init_resource::<Seen>().add_systems(
            Update,
            (
                |mut joined: MessageReader<PlayerJoined>, mut commands: Commands| {
                    for joined in joined.read() {
                        commands.entity(joined.player).insert(Ghost);
                    }
                },
                |mut left: MessageReader<PlayerLeft>,
                 members: Query<(&Member, &MemberOf, Has<Ended>), With<Ghost>>,
                 mut seen: ResMut<Seen>| {
                    seen.0.extend(left.read().map(|left| members.get(left.player).unwrap().2));
                },
            )
                .chain(),
        );
    });
    let room = net.join(alice, "lobby");
    let bob = net.connect(|_| {});
    net.clients[bob].world_mut().trigger(Join::new("lobby"));
    for turn in 0..16 {
        if turn == 8 {
            assert!(net.room(bob, "lobby").is_some());
            net.clients[bob].world_mut().trigger(Disconnect);
        }
        net.clients[bob].update();
        net.server.update();
        net.advance(Duration::ZERO);
    }
    net.clients[alice].update();
    assert_eq!(net.clients[alice].world().resource::<Seen>().0, [true]);
    assert_eq!(net.clients[alice].world().get::<Members>(room).unwrap().len(), 1);
}

#[test]
fn a_room_that_is_joined_and_lost_in_one_frame_is_there_for_the_systems_of_that_frame() {
    #[derive(Component)]
    struct Hall;

    let mut net = TestNet::new(lobby);
    let client = net.connect(|client| {
        record::<Joined>(client);
        record::<Left>(client);
        client.add_systems(Update, |mut joined: MessageReader<Joined>, mut commands: Commands| {
            for joined in joined.read() {
                commands.entity(joined.room).insert(Hall);
                commands.entity(joined.player).insert(Hall);
            }
        });
    });
    net.clients[client].world_mut().trigger(Join::new("lobby"));
    net.clients[client].update();
    net.advance(Duration::ZERO);
    for _ in 0..4 {
        net.server.update();
        net.advance(Duration::ZERO);
    }
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().despawn(room);
    for _ in 0..4 {
        net.server.update();
        net.advance(Duration::ZERO);
    }
    net.clients[client].update();
    let app = &net.clients[client];
    assert_eq!((recorded::<Joined>(app).len(), recorded::<Left>(app).len()), (1, 1));
    assert!(app.world().get_entity(recorded::<Joined>(app)[0].player).is_err());
}
