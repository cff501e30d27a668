//! What clients may say and change, and what is the server's alone.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, Connect, Disconnected, FromRoom, FromServer, Member, Refused, Rejoined, Sender,
    SetMetadata, ToServer, Unsent, UnsentReason,
};
use bevy_ghost_server::{
    MessageType,
    prelude::*,
    testing::{TestNet, record, recorded},
    typed::MessageRegistry,
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Score(u32);

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Steer(u32);

fn protocol(app: &mut App) {
    app.add_ghost_message::<Score>().from_server();
    app.add_ghost_message::<Steer>().from_clients();
}

fn server(server: &mut App) {
    protocol(server);
    record::<FromPlayer<Score>>(server);
    record::<FromConnection<Score>>(server);
    record::<FromPlayer<Steer>>(server);
    record::<FromPlayer<Raw>>(server);
    server.world_mut().spawn(Room::new("lobby"));
}

fn client(client: &mut App) {
    protocol(client);
    record::<FromRoom<Score>>(client);
    record::<FromServer<Score>>(client);
    record::<FromRoom<Steer>>(client);
    record::<FromRoom<Raw>>(client);
    record::<Unsent>(client);
    record::<Refused>(client);
}

/// A client that registers nothing, and so meets no objection.
fn forger(client: &mut App) {
    client.allow_other_ghost_messages();
    record::<Refused>(client);
}

fn forged() -> Raw {
    Raw { message_type: MessageType::of("Score"), data: vec![9, 0, 0, 0].into() }
}

fn misdirected(app: &App) -> u64 {
    app.world().resource::<MessageRegistry>().misdirected()
}

fn room_of(net: &TestNet) -> Entity {
    net.server.world().resource::<Rooms>().get("lobby").unwrap()
}

#[test]
fn what_the_server_says_arrives_as_the_servers_and_what_players_say_as_theirs() {
    let mut net = TestNet::new(server);
    let (alice, bob) = (net.connect(client), net.connect(client));
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    let room = room_of(&net);
    net.server.world_mut().write_message(ToRoom::new(room, Score(3)));
    net.clients[alice].world_mut().write_message(Broadcast::new(Steer(1)));
    net.settle();
    let [score] = recorded::<FromRoom<Score>>(&net.clients[bob]) else { panic!("no score") };
    assert_eq!((&score.message, score.sender), (&Score(3), Sender::Server));
    let [steer] = recorded::<FromRoom<Steer>>(&net.clients[bob]) else { panic!("no steering") };
    let Sender::Player { player: Some(player), client_id } = steer.sender else {
        panic!("{:?}", steer.sender)
    };
    let member = net.clients[bob].world().get::<Member>(player).unwrap();
    assert_eq!(Some(member.client_id), client_id);
    assert_eq!(recorded::<FromPlayer<Steer>>(&net.server).len(), 1);
}

#[test]
fn a_client_that_writes_what_the_server_alone_says_gets_it_back() {
    let mut net = TestNet::new(server);
    let alice = net.connect(client);
    net.join(alice, "lobby");
    net.clients[alice].world_mut().write_message(Broadcast::new(Score(9)));
    net.clients[alice].world_mut().write_message(ToServer::new(Score(9)));
    net.settle();
    let unsent: Vec<_> =
        recorded::<Unsent>(&net.clients[alice]).iter().map(|unsent| unsent.reason).collect();
    assert_eq!(unsent, [UnsentReason::SaidByServer; 2]);
    assert!(recorded::<FromPlayer<Score>>(&net.server).is_empty());
}

#[test]
fn the_server_refuses_a_forged_message_of_its_own_and_nobody_is_shown_it() {
    let mut net = TestNet::new(server);
    let (mallory, bob) = (net.connect(forger), net.connect(client));
    net.join(mallory, "lobby");
    net.join(bob, "lobby");
    net.clients[mallory].world_mut().write_message(Broadcast::new(forged()));
    net.clients[mallory].world_mut().write_message(ToServer::new(forged()));
    net.settle();
    let refused: Vec<_> = recorded::<Refused>(&net.clients[mallory])
        .iter()
        .map(|refused| refused.reason.to_string())
        .collect();
    assert_eq!(refused, ["not allowed: Score is said by the server alone"; 2]);
    assert!(recorded::<FromRoom<Score>>(&net.clients[bob]).is_empty());
    assert!(recorded::<FromPlayer<Score>>(&net.server).is_empty());
}

#[test]
fn a_relay_that_knows_no_types_does_not_make_a_client_believe_a_forged_message() {
    let mut net = TestNet::new(|server| {
        server.allow_other_ghost_messages();
        server.world_mut().spawn(Room::new("lobby"));
    });
    let (mallory, bob) = (net.connect(forger), net.connect(client));
    net.join(mallory, "lobby");
    net.join(bob, "lobby");
    net.clients[mallory].world_mut().write_message(Broadcast::new(forged()));
    let room = room_of(&net);
    net.server.world_mut().write_message(ToRoom::new(room, forged()));
    net.settle();
    let scores = recorded::<FromRoom<Score>>(&net.clients[bob]);
    assert_eq!(scores.len(), 1, "{scores:?}");
    assert!(scores[0].sender.is_server());
    assert!(recorded::<FromRoom<Raw>>(&net.clients[bob]).is_empty(), "nor as raw bytes");
    assert_eq!(misdirected(&net.clients[bob]), 1);
}

#[test]
fn a_server_whose_relay_does_not_know_a_type_is_not_shown_a_forged_message_either() {
    let mut net = TestNet::new(|server| {
        server.allow_other_ghost_messages();
        server.world_mut().spawn(Room::new("lobby"));
    });
    // The handshake was prepared before.
    net.server.add_ghost_message::<Score>().from_server();
    record::<FromPlayer<Score>>(&mut net.server);
    record::<FromConnection<Score>>(&mut net.server);
    let mallory = net.connect(forger);
    net.clients[mallory].world_mut().write_message(ToServer::new(forged()));
    net.settle();
    net.join(mallory, "lobby");
    net.clients[mallory].world_mut().write_message(ToServer::new(forged()));
    net.settle();
    assert!(recorded::<FromPlayer<Score>>(&net.server).is_empty());
    assert!(recorded::<FromConnection<Score>>(&net.server).is_empty());
    assert_eq!(misdirected(&net.server), 2);
}

#[test]
fn what_clients_alone_say_does_not_leave_the_server() {
    let mut net = TestNet::new(|app| {
        server(app);
        app.add_observer(|mut request: On<GreetRequest>| {
            request.greet_with(&Steer(1));
            request.greet_with(&Score(1));
        });
    });
    let bob = net.connect(client);
    net.join(bob, "lobby");
    let room = room_of(&net);
    net.server.world_mut().write_message(ToRoom::new(room, Steer(2)));
    net.server.world_mut().write_message(ToEveryone::new(Steer(2)));
    net.settle();
    assert!(recorded::<FromRoom<Steer>>(&net.clients[bob]).is_empty());
    assert_eq!(net.server.world().resource::<GhostServer>().undelivered, 2);
    assert_eq!(recorded::<FromServer<Score>>(&net.clients[bob]).len(), 1);
}

#[test]
fn programs_that_differ_in_a_direction_do_not_connect_and_are_told_which() {
    let mut net = TestNet::new(server);
    let mallory = net.client(|client| {
        client.add_ghost_message::<Score>();
        client.add_ghost_message::<Steer>().from_clients();
        record::<Disconnected>(client);
    });
    let connect = Connect::local(net.connector());
    net.clients[mallory].world_mut().trigger(connect);
    net.settle();
    let reason = recorded::<Disconnected>(&net.clients[mallory])[0].reason.to_string();
    let words = "Score is said from both sides here, and from the server on the server";
    assert!(reason.contains(words) && !reason.contains("Steer"), "{reason}");
}

#[test]
#[should_panic(expected = "`Score` is registered as a message from the server")]
fn a_type_has_one_direction() {
    let mut app = App::new();
    protocol(&mut app);
    app.add_ghost_message::<Score>(); // says nothing about it
    app.add_ghost_message::<Score>().from_clients();
}

#[test]
fn a_client_cannot_change_what_the_server_says_about_it() {
    let mut net = TestNet::new(|app| {
        server(app);
        app.add_observer(|opened: On<ConnectionOpened>, mut commands: Commands| {
            let role = bevy_ghost_server::SetMetadata::new(opened.connection, "role", "guest");
            commands.trigger(role);
        });
    });
    let alice = net.connect(client);
    net.join(alice, "lobby");
    net.clients[alice].world_mut().trigger(SetMetadata::new("role", "admin"));
    net.clients[alice].world_mut().trigger(SetMetadata::new("color", "red"));
    net.settle();
    let reason = recorded::<Refused>(&net.clients[alice])[0].reason.to_string();
    assert_eq!(reason, "not allowed: metadata \"role\" is the server's");
    let mut clients = net.server.world_mut().query_filtered::<&Metadata, With<Connection>>();
    let metadata = clients.single(net.server.world()).unwrap();
    assert_eq!((metadata.get("role"), metadata.get("color")), (Some("guest"), Some("red")));
}

#[test]
fn a_rule_decides_what_clients_call_themselves() {
    #[derive(Default, Resource)]
    struct Later(Vec<Ticket>);
    let mut net = TestNet::new(|app| {
        server(app);
        app.init_resource::<Later>();
        app.add_observer(|mut request: On<SetMetadataRequest>, mut later: ResMut<Later>| {
            match request.value.as_deref() {
                Some("admin") => request.reject("that name is taken"),
                Some("Ann") => later.0.push(request.defer()),
                _ => {}
            }
        });
    });
    let alice = net.connect(client);
    net.join(alice, "lobby");
    for name in ["admin", "Ann", "Bo"] {
        net.clients[alice].world_mut().trigger(SetMetadata::new("name", name));
    }
    net.settle();
    let refused = recorded::<Refused>(&net.clients[alice]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason.to_string(), "that name is taken");
    let name = |net: &mut TestNet| {
        let mut clients = net.server.world_mut().query_filtered::<&Metadata, With<Connection>>();
        clients.single(net.server.world()).unwrap().get("name").map(str::to_owned)
    };
    assert_eq!(name(&mut net), None, "the second is not decided, so the third waits");
    let ticket = net.server.world_mut().resource_mut::<Later>().0.pop().unwrap();
    ticket.accept();
    net.settle();
    assert_eq!(name(&mut net).as_deref(), Some("Bo"));
}

#[test]
fn keys_that_are_not_listed_are_refused_to_clients() {
    let keys = Some(["name".to_owned()].into());
    let config =
        ServerConfig::from(RelayConfig { client_metadata_keys: keys, ..RelayConfig::for_games() });
    let mut net = TestNet::with_config(config, server);
    let alice = net.connect(client);
    net.clients[alice].world_mut().trigger(SetMetadata::new("role", "admin"));
    net.clients[alice].world_mut().trigger(SetMetadata::new("a\nb", "c"));
    net.settle();
    let words: Vec<_> = recorded::<Refused>(&net.clients[alice])
        .iter()
        .map(|refused| refused.reason.to_string())
        .collect();
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words.iter().any(|it| it.ends_with("no metadata \"role\" here, only: name")));
    assert!(words.iter().any(|it| it.contains("control characters")));
    let mallory = net.client(|client| {
        client.allow_other_ghost_messages();
        record::<Disconnected>(client);
    });
    let connect = Connect::local(net.connector()).with_metadata("role", "admin");
    net.clients[mallory].world_mut().trigger(connect);
    net.settle();
    let reason = recorded::<Disconnected>(&net.clients[mallory])[0].reason.to_string();
    assert!(reason.contains("\"role\"") && reason.contains("name"), "{reason}");
}

#[test]
fn a_change_that_was_refused_does_not_keep_its_client_from_coming_back() {
    let keys = Some(["name".to_owned()].into());
    let config =
        ServerConfig::from(RelayConfig { client_metadata_keys: keys, ..RelayConfig::for_games() });
    let mut net = TestNet::with_config(config, server);
    let alice = net.connect(|app| {
        client(app);
        record::<Rejoined>(app);
        record::<Disconnected>(app);
    });
    net.join(alice, "lobby");
    net.clients[alice].world_mut().trigger(SetMetadata::new("role", "admin"));
    net.clients[alice].world_mut().trigger(SetMetadata::new("name", "Alice"));
    net.settle();
    net.restart_server();
    net.mend(alice);
    for _ in 0..5 {
        net.advance(Duration::from_secs(1));
        net.settle();
    }
    let back = recorded::<Rejoined>(&net.clients[alice]).len();
    assert_eq!(back, 1, "{:?}", recorded::<Disconnected>(&net.clients[alice]));
    net.settle();
    let mut clients = net.server.world_mut().query_filtered::<&Metadata, With<Connection>>();
    let metadata = clients.single(net.server.world()).unwrap();
    assert_eq!((metadata.get("role"), metadata.get("name")), (None, Some("Alice")));
}

#[test]
fn a_key_that_was_said_for_the_last_time_is_not_told_to_newcomers() {
    let mut net = TestNet::new(server);
    let alice = net.connect(client);
    net.join(alice, "lobby");
    let room = room_of(&net);
    for (key, score) in [(1, Score(10)), (2, Score(20))] {
        net.server.world_mut().write_message(ToRoom::new(room, score).latest(key));
    }
    net.clients[alice].world_mut().write_message(Broadcast::new(Steer(1)).latest(1));
    net.settle();
    net.server.world_mut().write_message(ToRoom::new(room, Score(0)).last(1));
    net.clients[alice].world_mut().write_message(Broadcast::new(Steer(0)).last(1));
    net.settle();
    let at_alice = recorded::<FromRoom<Score>>(&net.clients[alice]);
    assert_eq!(at_alice.last().unwrap().message, Score(0), "it is said like any other");
    let bob = net.connect(client);
    net.join(bob, "lobby");
    net.settle();
    let scores = recorded::<FromRoom<Score>>(&net.clients[bob]);
    let scores: Vec<_> = scores.iter().map(|it| it.message.0).collect();
    assert_eq!(scores, [20]);
    assert!(recorded::<FromRoom<Steer>>(&net.clients[bob]).is_empty());
}
