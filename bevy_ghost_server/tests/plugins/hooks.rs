//! What observers decide: yes, no with words, or later.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, Connect, Disconnected, FromRoom, Join, JoinRefused, JoinedRooms, Refused,
};
use bevy_ghost_server::{
    ConnectRequest, CreateOnJoin, CreateRoomRequest,
    prelude::*,
    testing::{TestNet, record, recorded},
};

fn lobby(server: &mut App) {
    server.world_mut().spawn(Room::new("lobby"));
}

/// What a client is told that asks for the lobby; `None` when it is let in.
fn refusal(net: &mut TestNet, client: usize) -> Option<String> {
    net.clients[client].world_mut().trigger(Join::new("lobby").with_data("sesame"));
    net.settle();
    let refused = recorded::<JoinRefused>(&net.clients[client]).last();
    refused.map(|it| it.reason.to_string())
}

#[test]
fn a_join_is_refused_with_the_reason_of_the_rule() {
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.add_observer(|mut request: On<JoinRequest>| {
            assert_eq!(request.room_name, "lobby");
            if request.data.as_ref() == b"sesame" {
                request.reject("that password is well known");
            }
        });
    });
    let client = net.connect(record::<JoinRefused>);
    assert_eq!(refusal(&mut net, client).as_deref(), Some("that password is well known"));
    assert!(net.clients[client].world().resource::<JoinedRooms>().is_empty());
    net.join(client, "lobby");
}

#[test]
fn a_rule_on_one_room_is_not_asked_about_others() {
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.world_mut().spawn(Room::new("vault")).observe(|mut request: On<JoinRequest>| {
            request.reject("closed");
        });
    });
    let client = net.connect(record::<JoinRefused>);
    net.clients[client].world_mut().trigger(Join::new("vault"));
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[client])[0].room_name, "vault");
    net.join(client, "lobby");
}

#[test]
fn of_several_reasons_all_reach_the_client_in_an_order_that_does_not_depend_on_the_rules() {
    let verdict = |reasons: [&'static str; 2]| {
        let mut net = TestNet::new(|server| {
            lobby(server);
            for reason in reasons {
                server.add_observer(move |mut request: On<JoinRequest>| request.reject(reason));
                server.add_observer(|_: On<JoinRequest>| {}); // says nothing, which undoes nothing
            }
        });
        let client = net.connect(record::<JoinRefused>);
        refusal(&mut net, client).unwrap()
    };
    assert_eq!(verdict(["too late", "banned"]), "banned; too late");
    assert_eq!(verdict(["banned", "too late"]), "banned; too late");
}

#[test]
fn a_join_to_a_room_that_the_same_frame_closes_is_refused() {
    let mut net = TestNet::new(|server| {
        lobby(server);
        record::<PlayerJoined>(server);
    });
    let client = net.connect(record::<JoinRefused>);
    net.clients[client].world_mut().trigger(Join::new("lobby"));
    net.clients[client].update();
    net.advance(Duration::ZERO);
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().despawn(room);
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[client]).len(), 1);
    assert!(recorded::<PlayerJoined>(&net.server).is_empty());
}

/// A server on which each join waits for tickets, which the test gets.
fn deferring() -> (TestNet, usize, Arc<Mutex<Vec<Ticket>>>) {
    let tickets = Arc::new(Mutex::new(Vec::new()));
    let taken = tickets.clone();
    let mut net = TestNet::new(|server| {
        lobby(server);
        server.add_observer(move |mut request: On<JoinRequest>| {
            taken.lock().unwrap().push(request.defer());
        });
    });
    let client = net.connect(record::<JoinRefused>);
    net.clients[client].world_mut().trigger(Join::new("lobby"));
    net.settle();
    assert_eq!(tickets.lock().unwrap().len(), 1);
    assert_eq!(net.room(client, "lobby"), None, "nobody has decided yet");
    (net, client, tickets)
}

#[test]
fn an_accepted_ticket_lets_in() {
    let (mut net, client, tickets) = deferring();
    let ticket = tickets.lock().unwrap().pop().unwrap();
    std::thread::spawn(move || ticket.accept()).join().unwrap();
    net.run_until("the client is in", |net| net.room(client, "lobby").is_some());
}

#[test]
fn a_rejected_ticket_refuses_with_its_reason() {
    let (mut net, client, tickets) = deferring();
    tickets.lock().unwrap().pop().unwrap().reject("not on the list");
    net.settle();
    let refused = &recorded::<JoinRefused>(&net.clients[client])[0];
    assert_eq!(refused.reason.to_string(), "not on the list");
}

#[test]
fn a_dropped_ticket_refuses() {
    let (mut net, client, tickets) = deferring();
    tickets.lock().unwrap().clear();
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[client]).len(), 1);
}

#[test]
fn a_ticket_that_is_not_answered_in_time_refuses_and_is_worth_nothing_afterwards() {
    let (mut net, client, tickets) = deferring();
    net.advance(Duration::from_secs(3));
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[client]).len(), 1);
    tickets.lock().unwrap().pop().unwrap().accept();
    net.settle();
    assert_eq!(net.room(client, "lobby"), None);
}

#[test]
fn a_ticket_of_a_server_that_has_stopped_decides_nothing_in_the_next() {
    let (mut net, _, tickets) = deferring();
    net.server.world_mut().trigger(StopServer::default());
    let is =
        |net: &TestNet, state| *net.server.world().resource::<State<ServerState>>().get() == state;
    net.run_until("the server has stopped", |net| is(net, ServerState::Stopped));
    net.server.world_mut().trigger(StartServer);
    net.run_until("the server runs again", |net| is(net, ServerState::Running));
    let client = net.connect(|_| {});
    net.clients[client].world_mut().trigger(Join::new("lobby"));
    net.settle();
    let mut tickets = tickets.lock().unwrap();
    assert_eq!(tickets.len(), 2);
    tickets.remove(0).accept();
    net.settle();
    assert_eq!(net.room(client, "lobby"), None);
    tickets.remove(0).accept();
    net.run_until("the client is in", |net| net.room(client, "lobby").is_some());
}

#[test]
fn with_two_tickets_both_must_be_accepted_and_a_no_at_once_wins() {
    let tickets = Arc::new(Mutex::new(Vec::new()));
    let mut net = TestNet::new(|server| {
        lobby(server);
        for _ in 0..2 {
            let taken = tickets.clone();
            server.add_observer(move |mut request: On<JoinRequest>| {
                taken.lock().unwrap().push(request.defer());
            });
        }
        server.add_observer(|mut request: On<JoinRequest>| {
            if request.data.as_ref() == b"sesame" {
                request.reject("no");
            }
        });
    });
    let client = net.connect(record::<JoinRefused>);
    assert_eq!(refusal(&mut net, client).as_deref(), Some("no"));
    tickets.lock().unwrap().clear();

    net.clients[client].world_mut().trigger(Join::new("lobby"));
    net.settle();
    tickets.lock().unwrap().pop().unwrap().accept();
    net.settle();
    assert_eq!(net.room(client, "lobby"), None, "one ticket is open");
    tickets.lock().unwrap().pop().unwrap().accept();
    net.run_until("the client is in", |net| net.room(client, "lobby").is_some());
}

#[test]
fn a_connection_is_refused_with_the_reason_of_the_rule() {
    let mut net = TestNet::new(|server| {
        server.add_observer(|mut request: On<ConnectRequest>| {
            if request.data.as_ref() != b"ticket" {
                request.reject("no ticket");
            }
            assert_eq!(request.metadata.get("name"), Some("Ada"));
        });
    });
    let client = net.client(record::<Disconnected>);
    let connect = Connect::local(net.connector()).with_metadata("name", "Ada");
    net.clients[client].world_mut().trigger(connect.clone());
    net.settle();
    let gone = &recorded::<Disconnected>(&net.clients[client])[0];
    assert!(gone.reason.to_string().contains("no ticket"), "{}", gone.reason);
    assert_eq!(gone.retry_in, None);
    assert_eq!(net.server.world().resource::<GhostServer>().connections, 0);

    net.clients[client].world_mut().trigger(connect.with_data("ticket"));
    net.run_until("the client is connected", |net| {
        net.server.world().resource::<GhostServer>().connections == 1
    });
}

#[test]
fn a_join_may_open_a_room_with_the_rules_that_the_server_gives_it() {
    let config = ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Ask,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |server| {
        server.add_observer(|mut request: On<CreateRoomRequest>| {
            if request.room_name.as_str().starts_with("duel-") {
                request.config = RoomConfig::with_capacity(2);
            } else {
                request.reject("only duels");
            }
        });
    });
    let client = net.connect(record::<JoinRefused>);
    net.clients[client].world_mut().trigger(Join::new("palace"));
    net.settle();
    assert_eq!(recorded::<JoinRefused>(&net.clients[client])[0].reason.to_string(), "only duels");

    net.join(client, "duel-1");
    let room = net.server.world().resource::<Rooms>().get("duel-1").unwrap();
    assert_eq!(*net.server.world().get::<RoomConfig>(room).unwrap(), RoomConfig::with_capacity(2));
    let mut full = Vec::new();
    for _ in 0..2 {
        let other = net.connect(record::<JoinRefused>);
        net.clients[other].world_mut().trigger(Join::new("duel-1"));
        net.settle();
        full.push(net.room(other, "duel-1").is_none());
    }
    assert_eq!(full, [false, true]);
}

#[test]
fn the_rules_of_a_granted_room_hold_for_the_very_first_joins() {
    let config = ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Ask,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |server| {
        server.add_observer(|mut request: On<CreateRoomRequest>| {
            request.config = RoomConfig::with_capacity(1);
        });
    });
    let clients = [net.connect(record::<JoinRefused>), net.connect(record::<JoinRefused>)];
    for client in clients {
        net.clients[client].world_mut().trigger(Join::new("solo"));
    }
    net.settle();
    let refused = clients.map(|client| recorded::<JoinRefused>(&net.clients[client]).len());
    assert_eq!(refused.iter().sum::<usize>(), 1);
}

#[test]
fn a_ticket_may_let_a_room_be_opened() {
    let ticket = Arc::new(Mutex::new(None));
    let taken = ticket.clone();
    let config = ServerConfig::from(RelayConfig {
        create_on_join: CreateOnJoin::Ask,
        ..RelayConfig::for_games()
    });
    let mut net = TestNet::with_config(config, |server| {
        server.add_observer(move |mut request: On<CreateRoomRequest>| {
            request.config = RoomConfig::with_capacity(3);
            *taken.lock().unwrap() = Some(request.defer());
        });
    });
    let client = net.connect(|_| {});
    net.clients[client].world_mut().trigger(Join::new("den"));
    net.settle();
    assert!(net.server.world().resource::<Rooms>().is_empty());
    ticket.lock().unwrap().take().unwrap().accept();
    net.run_until("the client is in", |net| net.room(client, "den").is_some());
    let room = net.server.world().resource::<Rooms>().get("den").unwrap();
    assert_eq!(*net.server.world().get::<RoomConfig>(room).unwrap(), RoomConfig::with_capacity(3));
}

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Chat(String);

fn chat(app: &mut App) {
    app.add_ghost_message::<Chat>();
}

#[test]
fn in_a_moderated_room_what_is_refused_is_not_heard_and_the_sender_is_told() {
    let mut net = TestNet::new(|server| {
        chat(server);
        let moderated = RoomConfig { mode: RelayMode::Moderated, ..RoomConfig::default() };
        server.world_mut().spawn((Room::new("lobby"), moderated));
        server.add_observer(
            |mut request: On<RelayRequest>,
             registry: Res<bevy_ghost_server::typed::MessageRegistry>| {
                let Chat(text) = registry.decode(request.message_type, &request.payload).unwrap();
                if text.contains("damn") {
                    request.reject("language");
                }
            },
        );
    });
    let alice = net.connect(|client| {
        chat(client);
        record::<Refused>(client);
    });
    let bob = net.connect(|client| {
        chat(client);
        record::<FromRoom<Chat>>(client);
    });
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    for text in ["hello", "damn", "bye"] {
        let said = Broadcast::new(Chat(text.to_owned()));
        net.clients[alice].world_mut().write_message(said);
    }
    net.settle();
    let heard = recorded::<FromRoom<Chat>>(&net.clients[bob]).iter().map(|it| &it.message.0);
    assert_eq!(heard.collect::<Vec<_>>(), ["hello", "bye"]);
    let refused = recorded::<Refused>(&net.clients[alice]);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason.to_string(), "language");
    assert_eq!(refused[0].room, net.room(alice, "lobby"));
    assert_eq!(refused[0].reference, Some(2), "it was the second");
}
