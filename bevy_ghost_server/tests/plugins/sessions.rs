//! What both sides see of a client that loses its connection and comes back.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, ClientState, Ended, FromRoom, FromServer, GhostClient, GhostClientEvent, Join,
    JoinedRooms, LocalPlayer, Member, MemberOf, Members, Rejoined, Replay, ToServer,
};
use bevy_ghost_server::{
    GhostServerEvent, diagnostics,
    prelude::*,
    testing::{TestNet, record, recorded},
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Count(u32);

fn protocol(app: &mut App) {
    app.add_ghost_message::<Count>();
}

fn server(app: &mut App) {
    protocol(app);
    app.add_plugins(bevy::diagnostic::DiagnosticsPlugin);
    record::<GhostServerEvent>(app);
    record::<FromPlayer<Count>>(app);
    app.world_mut().spawn(Room::new("lobby"));
}

fn player(app: &mut App) {
    protocol(app);
    record::<GhostClientEvent>(app);
    record::<FromRoom<Count>>(app);
    record::<FromServer<Count>>(app);
    record::<Rejoined>(app);
}

/// How often a client became connected, or ceased to be.
#[derive(Default, Resource)]
struct Changes(u32);

fn counted(app: &mut App) {
    player(app);
    let change = |mut changes: ResMut<Changes>| changes.0 += 1;
    app.init_resource::<Changes>()
        .add_systems(OnEnter(ClientState::Connected), change)
        .add_systems(OnExit(ClientState::Connected), change);
}

/// A server and two clients in its lobby.
fn lobby(config: ServerConfig) -> (TestNet, usize, usize) {
    let mut net = TestNet::with_config(config, server);
    let (alice, bob) = (net.connect(player), net.connect(player));
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.settle();
    (net, alice, bob)
}

/// Lets the client's next attempts succeed, and waits for them.
fn come_back(net: &mut TestNet, client: usize) {
    net.mend(client);
    for _ in 0..5 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
}

/// The names of what happened, without payloads.
fn told<T: std::fmt::Debug>(events: &[T]) -> Vec<String> {
    let name = |event: &T| format!("{event:?}").split(['(', ' ']).next().unwrap().to_owned();
    events.iter().map(name).filter(|name| name != "PayloadReceived").collect()
}

/// What a client was told since it was told `from` things.
fn told_since(net: &TestNet, client: usize, from: usize) -> Vec<String> {
    told(&recorded::<GhostClientEvent>(&net.clients[client])[from..])
}

fn count(net: &TestNet, client: usize) -> usize {
    recorded::<GhostClientEvent>(&net.clients[client]).len()
}

fn server_told(net: &TestNet) -> Vec<String> {
    told(recorded::<GhostServerEvent>(&net.server))
}

fn counts(net: &TestNet, client: usize) -> Vec<u32> {
    recorded::<FromRoom<Count>>(&net.clients[client]).iter().map(|it| it.message.0).collect()
}

fn away<F: bevy::ecs::query::QueryFilter>(app: &mut App) -> Vec<bool> {
    app.world_mut().query_filtered::<Has<Away>, F>().iter(app.world()).collect()
}

fn state(net: &TestNet, client: usize) -> ClientState {
    *net.clients[client].world().resource::<State<ClientState>>().get()
}

fn server_room(net: &TestNet) -> Entity {
    net.server.world().resource::<Rooms>().get("lobby").unwrap()
}

/// The server's entities of a client's player and connection.
fn seat_of(net: &mut TestNet, client: usize) -> (Entity, Entity) {
    let id = net.clients[client].world().resource::<GhostClient>().client_id.unwrap();
    let mut players = net.server.world_mut().query::<(Entity, &Player, &SeatOf)>();
    let mut seats = players.iter(net.server.world());
    seats.find_map(|(it, player, seat)| (player.client_id == id).then_some((it, seat.0))).unwrap()
}

#[test]
fn a_player_whose_link_is_cut_is_away_and_comes_back_to_the_same_seat() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    let seat = seat_of(&mut net, bob);
    let (before, heard) = (server_told(&net).len(), count(&net, alice));
    net.cut(bob);
    net.settle();
    assert_eq!(server_told(&net)[before..], ["PlayerAway"]);
    assert_eq!(told_since(&net, alice, heard), ["PlayerAway"]);
    for entity in [seat.0, seat.1] {
        assert!(net.server.world().get::<Away>(entity).is_some());
    }
    assert_eq!(away::<With<Player>>(&mut net.server).iter().filter(|away| **away).count(), 1);
    assert_eq!(
        away::<(With<Member>, Without<LocalPlayer>)>(&mut net.clients[alice]),
        [true],
        "the other member is away"
    );
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!((server.players, server.away, server.connections), (2, 1, 2));
    let diagnostics = net.server.world().resource::<bevy::diagnostic::DiagnosticsStore>();
    assert_eq!(diagnostics.get(&diagnostics::AWAY).unwrap().value(), Some(1.0));

    come_back(&mut net, bob);
    assert_eq!(server_told(&net)[before..], ["PlayerAway", "PlayerBack"]);
    assert_eq!(told_since(&net, alice, heard), ["PlayerAway", "PlayerBack"]);
    assert_eq!(seat_of(&mut net, bob), seat);
    assert!(away::<()>(&mut net.server).iter().all(|away| !away));
    assert!(away::<()>(&mut net.clients[alice]).iter().all(|away| !away));
    assert_eq!(net.server.world().resource::<GhostServer>().away, 0);
}

#[test]
fn what_is_said_during_a_cut_arrives_once_and_in_order() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    let room = server_room(&net);
    let player = seat_of(&mut net, bob).0;
    for n in 0..30 {
        if n == 10 {
            net.cut(bob);
        }
        if n == 20 {
            come_back(&mut net, bob);
        }
        for client in [alice, bob] {
            let said = Broadcast::new(Count(n));
            net.clients[client].world_mut().write_message(said);
        }
        net.clients[bob].world_mut().write_message(ToServer::new(Count(n)));
        net.server.world_mut().write_message(ToRoom::new(room, Count(100 + n)));
        net.server.world_mut().write_message(ToPlayer::new(player, Count(n)));
        net.exchange();
    }
    net.settle();
    for client in [alice, bob] {
        let (players, server): (Vec<_>, Vec<_>) =
            counts(&net, client).into_iter().partition(|n| *n < 100);
        assert_eq!(players, Vec::from_iter(0..30), "client {client}");
        assert_eq!(server, Vec::from_iter(100..130), "client {client}");
    }
    let to_bob = recorded::<FromServer<Count>>(&net.clients[bob]).iter().map(|it| it.message.0);
    assert_eq!(Vec::from_iter(to_bob), Vec::from_iter(0..30));
    let from_bob = recorded::<FromPlayer<Count>>(&net.server)
        .iter()
        .filter(|said| said.player == player && said.seq.is_none())
        .map(|said| said.message.0);
    assert_eq!(Vec::from_iter(from_bob), Vec::from_iter(0..30));
}

#[test]
fn a_game_stays_connected_and_in_its_room_while_its_link_is_replaced() {
    let mut net = TestNet::new(server);
    let alice = net.connect(counted);
    let room = net.join(alice, "lobby");
    let heard = count(&net, alice);
    net.cut(alice);
    net.settle();
    assert_eq!(told_since(&net, alice, heard), ["Reconnecting"]);
    assert_eq!(state(&net, alice), ClientState::Connected);
    let client = net.clients[alice].world().resource::<GhostClient>();
    assert!(client.away && client.client_id.is_some());
    assert!(client.last_reason.is_some());
    assert_eq!(away::<With<LocalPlayer>>(&mut net.clients[alice]), [true]);
    assert_eq!(net.room(alice, "lobby"), Some(room));

    come_back(&mut net, alice);
    assert_eq!(told_since(&net, alice, heard), ["Reconnecting", "Resumed"]);
    assert!(!net.clients[alice].world().resource::<GhostClient>().away);
    assert_eq!(away::<With<LocalPlayer>>(&mut net.clients[alice]), [false]);
    assert_eq!(net.room(alice, "lobby"), Some(room));
    assert_eq!(net.clients[alice].world().resource::<Changes>().0, 1);
}

#[test]
fn a_server_that_was_started_anew_gives_a_fresh_roster_in_one_frame() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    let old = net.room(alice, "lobby").unwrap();
    let members = |app: &App, room| app.world().get::<Members>(room).unwrap().iter().collect();
    let old_members: Vec<Entity> = members(&net.clients[alice], old);
    net.clients[alice].add_systems(
        Update,
        move |joined: Res<JoinedRooms>,
              rooms: Query<Entity, (With<Members>, Without<Ended>)>,
              mut rejoined: MessageReader<Rejoined>,
              ended: Query<(), With<Ended>>| {
            // Whatever frame it is, there is exactly one lobby.
            assert_eq!(rooms.single().ok(), joined.get("lobby"));
            for rejoined in rejoined.read() {
                assert_eq!(rejoined.former, Some(old));
                assert!(ended.contains(old));
            }
        },
    );
    let heard = count(&net, alice);
    let id = net.clients[alice].world().resource::<GhostClient>().client_id;
    net.restart_server();
    for client in [alice, bob] {
        come_back(&mut net, client);
    }
    let told = told_since(&net, alice, heard);
    assert_eq!(
        told[..6],
        ["Reconnecting", "ResumeFailed", "Connected", "Left", "Joined", "Rejoined"]
    );
    assert_eq!(told.iter().filter(|it| *it == "Rejoined").count(), 1);
    let rejoined = recorded::<Rejoined>(&net.clients[alice])[0].clone();
    assert_eq!(net.room(alice, "lobby"), Some(rejoined.room));
    assert_ne!(rejoined.room, old);
    assert_ne!(net.clients[alice].world().resource::<GhostClient>().client_id, id);
    assert_eq!(state(&net, alice), ClientState::Connected);
    let world = net.clients[alice].world();
    assert!(old_members.iter().chain([&old]).all(|it| world.get_entity(*it).is_err()));
    assert!(world.get::<LocalPlayer>(rejoined.player).is_some());
    assert!(world.get::<Away>(rejoined.player).is_none());
    let roster: Vec<Entity> = members(&net.clients[alice], rejoined.room);
    assert_eq!(roster.len(), 2);
    let own = world.get::<Member>(rejoined.player).unwrap().client_id;
    let player = seat_of(&mut net, alice).0;
    assert_eq!(net.server.world().get::<Player>(player).unwrap().client_id, own);
}

#[test]
fn a_room_that_does_not_let_a_player_in_again_is_left() {
    let (mut net, alice, _) = lobby(ServerConfig::default());
    net.server.add_observer(|mut request: On<JoinRequest>| request.reject("not again"));
    let heard = count(&net, alice);
    net.restart_server();
    come_back(&mut net, alice);
    let told = told_since(&net, alice, heard);
    assert_eq!(told, ["Reconnecting", "ResumeFailed", "Connected", "Left", "RejoinRefused"]);
    assert_eq!(net.room(alice, "lobby"), None);
    assert!(away::<With<Member>>(&mut net.clients[alice]).is_empty(), "its members went too");
}

#[test]
fn a_room_that_is_given_up_while_the_link_is_lost_is_left() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    net.cut(bob);
    net.settle();
    let room = net.room(bob, "lobby").unwrap();
    net.clients[bob].world_mut().despawn(room);
    net.settle();
    assert_eq!(net.server.world().resource::<GhostServer>().players, 2);
    let heard = count(&net, bob);
    come_back(&mut net, bob);
    assert_eq!(told_since(&net, bob, heard), ["Resumed", "Left"]);
    assert_eq!(net.server.world().resource::<GhostServer>().players, 1);
    assert_eq!(
        told_since(&net, alice, 0)[2..],
        ["PlayerJoined", "PlayerAway", "PlayerBack", "PlayerLeft"]
    );
    assert_eq!(net.room(bob, "lobby"), None);
}

#[test]
fn a_player_that_stays_away_leaves_once_when_the_grace_is_over() {
    let resume_grace = Duration::from_secs(10);
    let (mut net, alice, bob) =
        lobby(ServerConfig::from(RelayConfig { resume_grace, ..RelayConfig::for_games() }));
    let (before, heard) = (server_told(&net).len(), count(&net, alice));
    net.cut(bob);
    net.advance(Duration::from_secs(9));
    net.settle();
    assert_eq!(server_told(&net)[before..], ["PlayerAway"]);
    net.advance(Duration::from_secs(2));
    net.settle();
    assert_eq!(server_told(&net)[before..], ["PlayerAway", "PlayerLeft", "ConnectionClosed"]);
    assert_eq!(told_since(&net, alice, heard), ["PlayerAway", "PlayerLeft"]);
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!((server.players, server.away, server.connections), (1, 0, 1));

    // The client gave up at the same time, and comes back as somebody new.
    assert_eq!(state(&net, bob), ClientState::Reconnecting);
    assert_eq!(net.room(bob, "lobby"), None);
    let heard = count(&net, bob);
    come_back(&mut net, bob);
    let told = told_since(&net, bob, heard);
    assert_eq!(
        told.iter().filter(|it| *it != "Disconnected").collect::<Vec<_>>(),
        ["Connected", "Joined", "Rejoined"]
    );
    assert_eq!(recorded::<Rejoined>(&net.clients[bob])[0].former, None);
}

#[test]
fn a_client_may_look_for_its_server_for_longer_than_the_grace() {
    let resume_grace = Duration::from_secs(10);
    let config = ServerConfig::from(RelayConfig { resume_grace, ..RelayConfig::for_games() });
    let mut net = TestNet::with_config(config, server);
    let bob = net.client(player);
    let connect = net.dial(bob).resume_for(Duration::from_secs(60));
    net.clients[bob].world_mut().trigger(connect);
    net.join(bob, "lobby");
    net.cut(bob);
    net.settle();
    net.clients[bob].world_mut().write_message(Broadcast::new(Count(1)));
    for _ in 0..30 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
    assert_eq!(server_told(&net).last().unwrap(), "ConnectionClosed");
    let heard = count(&net, bob);
    come_back(&mut net, bob);
    let told = told_since(&net, bob, heard);
    assert_eq!(told, ["ResumeFailed", "Refused", "Connected", "Left", "Joined", "Rejoined"]);
}

#[test]
fn a_server_without_grace_holds_nobody() {
    let config = ServerConfig::from(RelayConfig {
        resume_grace: Duration::ZERO,
        ..RelayConfig::for_games()
    });
    let (mut net, alice, bob) = lobby(config);
    let (before, heard) = (server_told(&net).len(), count(&net, alice));
    net.cut(bob);
    net.settle();
    assert_eq!(server_told(&net)[before..], ["PlayerLeft", "ConnectionClosed"]);
    assert_eq!(told_since(&net, alice, heard), ["PlayerLeft"]);
    assert_eq!(state(&net, bob), ClientState::Reconnecting);
}

#[test]
fn a_client_in_no_room_is_greeted_anew() {
    let mut net = TestNet::new(server);
    let alice = net.connect(counted);
    let heard = count(&net, alice);
    net.cut(alice);
    net.settle();
    assert_eq!(server_told(&net).last().unwrap(), "ConnectionClosed");
    come_back(&mut net, alice);
    assert_eq!(told_since(&net, alice, heard), ["Reconnecting", "ResumeFailed", "Connected"]);
    assert_eq!(net.clients[alice].world().resource::<Changes>().0, 1);
    net.join(alice, "lobby");
}

#[test]
fn a_link_on_which_nothing_comes_through_is_lost_in_time() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    let (before, heard) = (server_told(&net).len(), count(&net, bob));
    net.stall(bob);
    net.clients[alice].world_mut().write_message(Broadcast::new(Count(7)));
    net.settle();
    assert_eq!(server_told(&net).len(), before);
    assert!(counts(&net, bob).is_empty());
    for _ in 0..20 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
    assert_eq!(server_told(&net)[before..], ["PlayerAway"]);
    assert_eq!(told_since(&net, bob, heard), ["Reconnecting"]);
    come_back(&mut net, bob);
    assert_eq!(server_told(&net)[before..], ["PlayerAway", "PlayerBack"]);
    assert_eq!(told_since(&net, bob, heard), ["Reconnecting", "Resumed"]);
    assert_eq!(counts(&net, bob), [7]);
}

#[test]
fn who_comes_meanwhile_sees_who_is_away() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    net.cut(bob);
    net.settle();
    let carol = net.connect(player);
    net.join(carol, "lobby");
    let id = net.clients[bob].world().resource::<GhostClient>().client_id.unwrap();
    let mut members = net.clients[carol].world_mut().query::<(&Member, &MemberOf, Has<Away>)>();
    for (member, _, away) in members.iter(net.clients[carol].world()) {
        assert_eq!(away, member.client_id == id);
    }
    come_back(&mut net, bob);
    assert!(away::<()>(&mut net.clients[carol]).iter().all(|away| !away));
    assert_eq!(told_since(&net, carol, 0)[2..], ["PlayerBack"]);
    assert_eq!(told_since(&net, bob, 0).last().unwrap(), "PlayerJoined");
    assert_eq!(net.clients[alice].world().resource::<JoinedRooms>().len(), 1);
}

#[test]
fn a_newcomer_is_told_the_state_then_the_newest_values_then_what_was_said() {
    let mut net = TestNet::new(|app| {
        server(app);
        app.add_observer(|mut request: On<GreetRequest>| request.greet_with(&Count(1)));
        let config = RoomConfig { replay: 8, ..RoomConfig::default() };
        app.world_mut().spawn((Room::new("arena"), config));
    });
    let (alice, bob) = (net.connect(player), net.connect(player));
    net.join(alice, "arena");
    for said in [
        Broadcast::new(Count(2)).latest(5),
        Broadcast::new(Count(3)).latest(5),
        Broadcast::new(Count(4)),
    ] {
        net.clients[alice].world_mut().write_message(said);
    }
    net.settle();
    net.clients[bob].world_mut().trigger(Join::new("arena").replay(Replay::Last(2)));
    net.settle();
    net.clients[alice].world_mut().write_message(Broadcast::new(Count(9)));
    net.settle();
    let alice_id = net.clients[alice].world().resource::<GhostClient>().client_id.unwrap();
    let world = net.clients[bob].world();
    let heard: Vec<_> = recorded::<GhostClientEvent>(&net.clients[bob])
        .iter()
        .filter_map(|event| {
            let GhostClientEvent::PayloadReceived(it) = event else { return None };
            let sender =
                it.sender.player().map(|player| world.get::<Member>(player).unwrap().client_id);
            assert!(it.room == net.room(bob, "arena"));
            assert_eq!(sender, it.seq.is_some().then_some(alice_id));
            Some((it.payload[0], it.seq.is_some(), it.replay))
        })
        .collect();
    let greeting = (1, false, false);
    let (value, history, live) = ((3, true, true), (4, true, true), (9, true, false));
    assert_eq!((heard[0], heard[1], *heard.last().unwrap()), (greeting, value, live));
    assert_eq!(heard[heard.len() - 2], history);
    let replays: Vec<_> = recorded::<FromRoom<Count>>(&net.clients[bob])
        .iter()
        .map(|said| (said.message.0, said.replay))
        .collect();
    assert_eq!(replays.len() + 1, heard.len());
    assert_eq!(replays.last(), Some(&(9, false)));
    assert!(replays[..replays.len() - 1].iter().all(|(_, replay)| *replay));
}

#[test]
fn a_ticket_adds_to_what_a_newcomer_is_told() {
    #[derive(Default, Resource)]
    struct Tickets(Vec<Ticket>);

    #[derive(SchemaRead, SchemaWrite)]
    struct Unregistered;

    let mut net = TestNet::new(|app| {
        server(app);
        app.init_resource::<Tickets>();
        app.add_observer(|mut request: On<JoinRequest>, mut tickets: ResMut<Tickets>| {
            tickets.0.push(request.defer());
        });
        app.add_observer(|mut request: On<GreetRequest>| {
            request.greet_with(&Count(1));
            request.greet_with(&Unregistered);
        });
    });
    let alice = net.connect(player);
    net.clients[alice].world_mut().trigger(Join::new("lobby"));
    net.settle();
    let mut ticket = net.server.world_mut().resource_mut::<Tickets>().0.pop().unwrap();
    ticket.greet_with(&Count(2));
    ticket.accept();
    net.settle();
    let heard = recorded::<FromServer<Count>>(&net.clients[alice]);
    let heard: Vec<_> = heard.iter().map(|said| (said.message.0, said.room)).collect();
    let room = net.room(alice, "lobby");
    assert!(room.is_some());
    assert_eq!(heard, [(1, room), (2, room)]);
}

#[test]
fn a_player_that_is_put_out_while_away_leaves_once() {
    let (mut net, _, bob) = lobby(ServerConfig::default());
    let before = server_told(&net).len();
    let player = seat_of(&mut net, bob).0;
    net.cut(bob);
    net.settle();
    net.server.world_mut().trigger(Kick::new(player, "asleep"));
    net.settle();
    assert_eq!(net.server.world().resource::<GhostServer>().away, 0);
    let heard = count(&net, bob);
    come_back(&mut net, bob);
    let told = server_told(&net);
    assert_eq!(told.iter().skip(before).filter(|it| *it == "PlayerLeft").count(), 1);
    assert!(
        told_since(&net, bob, heard).contains(&"Left".to_owned()),
        "{:?}",
        told_since(&net, bob, heard)
    );
    assert_eq!(net.room(bob, "lobby"), None);
}

#[test]
fn a_game_that_was_killed_is_back_as_the_same_player() {
    let (mut net, alice, bob) = lobby(ServerConfig::default());
    let ticket = net.clients[alice].world().resource::<GhostClient>().ticket.expect("a ticket");
    let id = net.clients[alice].world().resource::<GhostClient>().client_id;
    let mut players = net.server.world_mut().query::<(Entity, &Player)>();
    let mut seats: Vec<_> = players.iter(net.server.world()).map(|(it, _)| it).collect();
    seats.sort();
    // Nobody says goodbye for it.
    net.cut(alice);
    let connector = net.connector();
    let again = net.client(player);
    let connect = bevy_ghost_client::Connect::local(connector).session(ticket);
    net.clients[again].world_mut().trigger(connect);
    net.run_until("the seat is back", |net| {
        let rooms = net.clients[again].world().resource::<JoinedRooms>();
        rooms.get("lobby").is_some()
    });
    net.settle();
    let game = &net.clients[again];
    assert_eq!(game.world().resource::<GhostClient>().client_id, id);
    assert_eq!(recorded::<Rejoined>(game).len(), 1);
    let mut now: Vec<_> = players.iter(net.server.world()).map(|(it, _)| it).collect();
    now.sort();
    assert_eq!(now, seats);
    net.clients[again].world_mut().write_message(Broadcast::new(Count(7)));
    net.settle();
    let heard = recorded::<FromRoom<Count>>(&net.clients[bob]);
    assert_eq!(heard.iter().map(|heard| heard.message.0).collect::<Vec<_>>(), [7]);
}
