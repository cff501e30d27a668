//! Players as entities: there when they join, told once when they leave.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{Connect, Disconnect, Disconnected, Left};
use bevy_ghost_server::{
    LeaveReason, ServerState,
    prelude::*,
    testing::{TestNet, record, recorded},
};

fn net() -> TestNet {
    TestNet::new(|server| {
        record::<PlayerJoined>(server);
        record::<PlayerLeft>(server);
        record::<ConnectionClosed>(server);
        server.world_mut().spawn(Room::new("lobby"));
    })
}

fn player(net: &mut TestNet) -> (Entity, Entity, Entity) {
    let mut players = net.server.world_mut().query::<(Entity, &InRoom, &SeatOf, &Player)>();
    let (player, room, seat, _) = players.single(net.server.world()).unwrap();
    (player, room.0, seat.0)
}

/// The one `PlayerLeft` that there must be, and nothing of the player left behind.
fn the_end(net: &mut TestNet) -> PlayerLeft {
    net.settle();
    let joined = recorded::<PlayerJoined>(&net.server)[0].clone();
    let [left] = recorded::<PlayerLeft>(&net.server) else { panic!("not exactly one PlayerLeft") };
    let left = left.clone();
    assert_eq!((left.player, left.room), (joined.player, joined.room));
    assert_eq!((left.client_id, left.seat), (joined.client_id, joined.seat));
    assert_eq!(left.room_name, joined.room_name);
    assert!(net.server.world().get_entity(left.player).is_err());
    assert_eq!(net.server.world().resource::<GhostServer>().players, 0);
    left
}

#[test]
fn a_player_is_there_with_its_components_in_the_frame_that_says_it_joined() {
    #[derive(Default, Resource)]
    struct Seen(Vec<(Entity, String)>);

    let mut net = TestNet::new(|server| {
        server.world_mut().spawn(Room::new("lobby"));
        server.init_resource::<Seen>().add_systems(
            Update,
            |mut joined: MessageReader<PlayerJoined>,
             players: Query<(&Player, &InRoom, &SeatOf)>,
             rooms: Query<(&Room, &Players)>,
             connections: Query<&Connection>,
             mut seen: ResMut<Seen>| {
                for joined in joined.read() {
                    let (player, room, seat) = players.get(joined.player).unwrap();
                    assert_eq!(player.client_id, joined.client_id);
                    assert_eq!((room.0, seat.0), (joined.room, joined.connection));
                    let (room, members) = rooms.get(room.0).unwrap();
                    assert!(members.iter().any(|member| member == joined.player));
                    assert_eq!(connections.get(seat.0).unwrap().client_id, joined.client_id);
                    seen.0.push((joined.player, room.name().to_string()));
                }
            },
        );
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    let seen = &net.server.world().resource::<Seen>().0;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1, "lobby");
}

#[test]
fn despawning_a_player_puts_it_out_of_the_room_but_leaves_it_connected() {
    let mut net = net();
    let client = net.connect(record::<Left>);
    net.join(client, "lobby");
    let (player, _, connection) = player(&mut net);
    net.server.world_mut().despawn(player);
    let left = the_end(&mut net);
    assert!(matches!(left.reason, LeaveReason::Kicked { .. }), "{:?}", left.reason);
    assert!(net.server.world().get_entity(connection).is_ok());
    assert_eq!(recorded::<Left>(&net.clients[client]).len(), 1);
    net.join(client, "lobby");
}

#[test]
fn a_kicked_player_hears_why() {
    let mut net = net();
    let client = net.connect(record::<Left>);
    net.join(client, "lobby");
    let (player, ..) = player(&mut net);
    net.server.world_mut().trigger(Kick::new(player, "cheating"));
    the_end(&mut net);
    let left = &recorded::<Left>(&net.clients[client])[0];
    assert_eq!(left.reason, LeaveReason::Kicked { message: "cheating".to_owned() });
}

#[test]
fn despawning_a_room_makes_its_players_leave_once() {
    let mut net = net();
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    let (_, room, connection) = player(&mut net);
    net.server.world_mut().despawn(room);
    let left = the_end(&mut net);
    assert!(matches!(left.reason, LeaveReason::RoomDeleted { .. }), "{:?}", left.reason);
    assert!(net.server.world().get_entity(connection).is_ok());
}

#[test]
fn despawning_a_connection_cuts_it_and_makes_its_player_leave_once() {
    let mut net = net();
    let client = net.connect(record::<Disconnected>);
    net.join(client, "lobby");
    let (_, room, connection) = player(&mut net);
    net.server.world_mut().despawn(connection);
    the_end(&mut net);
    assert!(net.server.world().get_entity(room).is_ok());
    assert_eq!(recorded::<ConnectionClosed>(&net.server).len(), 1);
    let gone = &recorded::<Disconnected>(&net.clients[client])[0];
    assert_eq!(gone.retry_in, None, "whoever was cut on purpose does not come back by itself");
}

#[test]
fn a_connection_closed_with_words_tells_them() {
    let mut net = net();
    let client = net.connect(record::<Disconnected>);
    net.join(client, "lobby");
    let (_, _, connection) = player(&mut net);
    net.server.world_mut().trigger(DisconnectClient::new(connection, "banned"));
    the_end(&mut net);
    let gone = &recorded::<Disconnected>(&net.clients[client])[0];
    assert!(gone.reason.to_string().contains("banned"), "{}", gone.reason);
}

#[test]
fn a_client_that_leaves_makes_its_player_leave_once() {
    let mut net = net();
    let client = net.connect(|_| {});
    let room = net.join(client, "lobby");
    net.clients[client].world_mut().trigger(bevy_ghost_client::Leave { room });
    assert_eq!(the_end(&mut net).reason, LeaveReason::Left);
}

#[test]
fn a_client_that_disconnects_makes_its_player_leave_once() {
    let mut net = net();
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    net.clients[client].world_mut().trigger(Disconnect);
    the_end(&mut net);
    assert_eq!(recorded::<ConnectionClosed>(&net.server).len(), 1);
    assert_eq!(net.server.world().resource::<GhostServer>().connections, 0);
}

#[test]
fn joining_another_room_leaves_the_first() {
    let mut net = net();
    net.server.world_mut().spawn(Room::new("cave"));
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    net.join(client, "cave");
    net.settle();
    let [left] = recorded::<PlayerLeft>(&net.server) else { panic!("not exactly one PlayerLeft") };
    assert_eq!((left.room_name.as_str(), &left.reason), ("lobby", &LeaveReason::Moved));
    assert_eq!(net.room(client, "lobby"), None);
    assert_eq!(net.server.world().resource::<GhostServer>().players, 1);
}

#[test]
fn a_connection_may_have_seats_in_several_rooms_where_allowed() {
    let config =
        ServerConfig::from(RelayConfig { rooms_per_client: 2, ..RelayConfig::for_games() });
    let mut net = TestNet::with_config(config, |server| {
        server.world_mut().spawn(Room::new("lobby"));
        server.world_mut().spawn(Room::new("cave"));
        record::<PlayerLeft>(server);
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    net.join(client, "cave");
    let mut seats = net.server.world_mut().query::<&Seats>();
    assert_eq!(seats.single(net.server.world()).unwrap().len(), 2);
    let mut connections = net.server.world_mut().query_filtered::<Entity, With<Connection>>();
    let connection = connections.single(net.server.world()).unwrap();
    net.server.world_mut().despawn(connection);
    net.settle();
    assert_eq!(recorded::<PlayerLeft>(&net.server).len(), 2);
}

#[test]
fn observers_of_a_room_find_the_player_that_leaves_and_hear_no_other_room() {
    #[derive(Default, Resource)]
    struct Heard(Vec<String>);

    #[derive(Component)]
    struct Score(u32);

    let mut net = TestNet::new(|server| {
        server.init_resource::<Heard>();
        server.add_observer(|joined: On<PlayerJoined>, mut commands: Commands| {
            commands.entity(joined.player).insert(Score(7));
        });
        server.world_mut().spawn(Room::new("lobby")).observe(
            |left: On<PlayerLeft>, scores: Query<&Score>, mut heard: ResMut<Heard>| {
                let score = scores.get(left.player).unwrap().0;
                heard.0.push(format!("{} with {score}", left.room_name));
            },
        );
        server.world_mut().spawn(Room::new("cave"));
    });
    let (a, b) = (net.connect(|_| {}), net.connect(|_| {}));
    net.join(a, "lobby");
    net.join(b, "cave");
    for client in [a, b] {
        net.clients[client].world_mut().trigger(Disconnect);
    }
    net.settle();
    assert_eq!(net.server.world().resource::<Heard>().0, ["lobby with 7"]);
}

#[test]
fn the_ordered_stream_tells_joins_and_leaves_in_their_order() {
    let mut net = TestNet::new(|server| {
        record::<bevy_ghost_server::GhostServerEvent>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let client = net.connect(|_| {});
    let room = net.join(client, "lobby");
    net.clients[client].world_mut().despawn(room);
    net.settle();
    net.clients[client].world_mut().trigger(Disconnect);
    net.settle();
    let names: Vec<_> = recorded::<bevy_ghost_server::GhostServerEvent>(&net.server)
        .iter()
        .map(|event| format!("{event:?}").split('(').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "ServerStarted",
            "RoomOpened",
            "ConnectionOpened",
            "PlayerJoined",
            "PlayerLeft",
            "RoomEmptied",
            "ConnectionClosed",
        ]
    );
}

#[test]
fn a_client_that_comes_back_is_a_new_player() {
    let mut net = net();
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    net.clients[client].world_mut().trigger(Disconnect);
    net.settle();
    let connector = net.connector();
    net.clients[client].world_mut().trigger(Connect::local(connector));
    net.settle();
    net.join(client, "lobby");
    let joined = recorded::<PlayerJoined>(&net.server);
    assert_eq!(joined.len(), 2);
    assert_ne!(joined[0].player, joined[1].player);
    assert_ne!(joined[0].client_id, joined[1].client_id);
    assert_eq!(*net.server.world().resource::<State<ServerState>>().get(), ServerState::Running);
}

#[derive(Component)]
struct Guest;

#[derive(Default, Resource)]
struct Ends(Vec<bool>);

/// What the first example of every server does, with what comes and goes.
fn mark_guests(app: &mut App) {
    app.init_resource::<Ends>().add_systems(
        Update,
        (
            |mut joined: MessageReader<PlayerJoined>, mut commands: Commands| {
                for joined in joined.read() {
                    commands.entity(joined.player).insert(Guest);
                    commands.entity(joined.connection).insert(Guest);
                    commands.entity(joined.room).insert(Guest);
                }
            },
            |mut left: MessageReader<PlayerLeft>,
             players: Query<(&Player, &InRoom, Has<Ended>), With<Guest>>,
             mut ends: ResMut<Ends>| {
                ends.0.extend(left.read().map(|left| players.get(left.player).unwrap().2));
            },
        )
            .chain(),
    );
}

#[test]
fn a_player_that_joins_and_leaves_in_one_frame_is_there_for_the_systems_of_that_frame() {
    let mut net = net();
    mark_guests(&mut net.server);
    let client = net.connect(|_| {});
    net.clients[client].world_mut().trigger(bevy_ghost_client::Join::new("lobby"));
    net.exchange();
    net.server.update(); // the rules say yes
    net.advance(Duration::ZERO);
    net.clients[client].world_mut().trigger(Disconnect);
    net.clients[client].update();
    net.advance(Duration::ZERO);
    assert!(recorded::<PlayerJoined>(&net.server).is_empty());
    net.server.update();
    assert_eq!(recorded::<PlayerLeft>(&net.server).len(), 1, "both came in that frame");
    assert_eq!(net.server.world().resource::<Ends>().0, [true]);
    the_end(&mut net);
    let mut left_over = net.server.world_mut().query_filtered::<Entity, With<Ended>>();
    assert_eq!(left_over.iter(net.server.world()).len(), 0);
}

#[test]
fn a_player_that_is_kicked_after_it_has_left_leaves_once() {
    let mut net = net();
    net.server.add_observer(|left: On<PlayerLeft>, mut commands: Commands| {
        commands.trigger(Kick::new(left.player, "too late"));
    });
    let client = net.connect(|_| {});
    net.join(client, "lobby");
    net.clients[client].world_mut().trigger(Disconnect);
    the_end(&mut net);
}
