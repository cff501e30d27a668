//! Typed messages between apps, and what happens when they do not fit.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{Broadcast, Connect, Disconnected, FromRoom, FromServer, Sender, ToServer};
use bevy_ghost_server::{
    MessageType, PayloadReceived, Undecodable,
    prelude::*,
    testing::{TestNet, record, recorded},
    typed::MessageRegistry,
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Chat(String);

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Position {
    x: f32,
    y: f32,
}

fn protocol(app: &mut App) {
    app.add_ghost_message::<Chat>().add_ghost_message::<Position>();
}

fn server(config: RoomConfig) -> impl FnOnce(&mut App) {
    move |server| {
        protocol(server);
        record::<FromPlayer<Chat>>(server);
        record::<FromConnection<Chat>>(server);
        record::<FromPlayer<Raw>>(server);
        record::<Undecodable>(server);
        server.world_mut().spawn((Room::new("lobby"), config));
    }
}

fn client(client: &mut App) {
    protocol(client);
    record::<FromRoom<Chat>>(client);
    record::<FromServer<Chat>>(client);
    record::<FromRoom<Raw>>(client);
    record::<bevy_ghost_client::Undecodable>(client);
}

/// A server and two clients in its lobby.
fn lobby(config: RoomConfig) -> (TestNet, usize, usize) {
    let mut net = TestNet::new(server(config));
    let (alice, bob) = (net.connect(client), net.connect(client));
    net.join(alice, "lobby");
    net.join(bob, "lobby");
    net.settle();
    (net, alice, bob)
}

fn chat(text: &str) -> Chat {
    Chat(text.to_owned())
}

fn heard(net: &TestNet, client: usize) -> Vec<String> {
    let heard = recorded::<FromRoom<Chat>>(&net.clients[client]);
    heard.iter().map(|it| it.message.0.clone()).collect()
}

#[test]
fn a_broadcast_reaches_the_others_and_the_server_with_one_place_in_the_order() {
    let (mut net, alice, bob) = lobby(RoomConfig::default());
    net.clients[alice].world_mut().write_message(Broadcast::new(chat("hi")));
    net.settle();
    assert_eq!(heard(&net, bob), ["hi"]);
    assert!(heard(&net, alice).is_empty(), "the sender does not hear itself");
    let [at_bob] = recorded::<FromRoom<Chat>>(&net.clients[bob]) else { panic!() };
    let [at_server] = recorded::<FromPlayer<Chat>>(&net.server) else { panic!() };
    assert_eq!(at_server.seq, Some(at_bob.seq));
    assert_eq!(Some(at_server.client_id), at_bob.sender.client_id());
    let speaker = at_bob.sender.player().unwrap();
    let sender = net.clients[bob].world().get::<bevy_ghost_client::Member>(speaker);
    assert_eq!(sender.unwrap().client_id, at_server.client_id);
    assert_eq!(
        net.server.world().get::<Player>(at_server.player).unwrap().client_id,
        at_server.client_id
    );
}

#[test]
fn an_echoed_broadcast_comes_back_and_an_acknowledged_one_is_acknowledged() {
    let (mut net, alice, _) = lobby(RoomConfig::default());
    record::<bevy_ghost_client::Ack>(&mut net.clients[alice]);
    let said = Broadcast::new(chat("hi")).echoed().acknowledged();
    net.clients[alice].world_mut().write_message(said);
    net.settle();
    assert_eq!(heard(&net, alice), ["hi"]);
    let seq = recorded::<FromRoom<Chat>>(&net.clients[alice])[0].seq;
    let acked = recorded::<bevy_ghost_client::Ack>(&net.clients[alice]);
    assert_eq!((acked[0].reference, acked[0].seq), (1, seq));
}

#[test]
fn in_a_room_of_the_server_only_the_server_hears_a_broadcast() {
    let config = RoomConfig { mode: RelayMode::ServerOnly, ..RoomConfig::default() };
    let (mut net, alice, bob) = lobby(config);
    net.clients[alice].world_mut().write_message(Broadcast::new(chat("move")));
    net.settle();
    assert!(heard(&net, bob).is_empty());
    let [said] = recorded::<FromPlayer<Chat>>(&net.server) else { panic!() };
    assert_eq!((said.seq, &said.message), (None, &chat("move")));
}

#[test]
fn the_server_does_not_see_what_it_does_not_observe_but_what_is_sent_to_it() {
    let config = RoomConfig { observe: Observe::Nothing, ..RoomConfig::default() };
    let (mut net, alice, bob) = lobby(config);
    net.clients[alice].world_mut().write_message(Broadcast::new(chat("psst")));
    net.clients[alice].world_mut().write_message(ToServer::new(chat("help")));
    net.settle();
    assert_eq!(heard(&net, bob), ["psst"]);
    let [said] = recorded::<FromPlayer<Chat>>(&net.server) else { panic!() };
    assert_eq!(said.message, chat("help"));
}

#[test]
fn bytes_without_a_type_pass_and_reach_the_server_where_everything_is_observed() {
    for (observe, seen) in [(Observe::Registered, 0), (Observe::Everything, 1)] {
        let (mut net, alice, bob) = lobby(RoomConfig { observe, ..RoomConfig::default() });
        net.clients[alice].world_mut().write_message(Broadcast::new(Raw::new(&b"\x07"[..])));
        net.settle();
        let [raw] = recorded::<FromRoom<Raw>>(&net.clients[bob]) else { panic!() };
        assert_eq!(raw.message.data.as_ref(), b"\x07");
        assert_eq!(recorded::<FromPlayer<Raw>>(&net.server).len(), seen, "{observe:?}");
    }
}

#[test]
fn outside_of_rooms_a_client_can_talk_to_the_server_and_back() {
    let mut net = TestNet::new(server(RoomConfig::default()));
    let alice = net.connect(client);
    net.clients[alice].world_mut().write_message(ToServer::new(chat("anybody?")));
    net.settle();
    let [said] = recorded::<FromConnection<Chat>>(&net.server) else { panic!() };
    assert_eq!(said.message, chat("anybody?"));
    let answer = ToConnection::new(said.connection, chat("here"));
    net.server.world_mut().write_message(answer);
    net.settle();
    let [heard] = recorded::<FromServer<Chat>>(&net.clients[alice]) else { panic!() };
    assert_eq!((heard.room, &heard.message), (None, &chat("here")));
}

#[test]
fn the_server_speaks_to_a_room_to_one_player_and_to_everyone() {
    let (mut net, alice, bob) = lobby(RoomConfig::default());
    let carol = net.connect(client);
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    let player = net.server.world().get::<Players>(room).unwrap().iter().next().unwrap();
    let world = net.server.world_mut();
    world.write_message(ToRoom::new(room, chat("to the room")));
    world.write_message(ToPlayer::new(player, chat("to alice")));
    world.write_message(ToEveryone::new(chat("to all")));
    net.settle();
    let direct = |net: &TestNet, client: usize| -> Vec<String> {
        let heard = recorded::<FromServer<Chat>>(&net.clients[client]);
        heard.iter().map(|it| it.message.0.clone()).collect()
    };
    assert_eq!(heard(&net, alice), ["to the room"]);
    assert_eq!(heard(&net, bob), ["to the room"]);
    assert!(heard(&net, carol).is_empty());
    assert_eq!(direct(&net, alice), ["to alice", "to all"]);
    assert_eq!(direct(&net, bob), ["to all"]);
    assert_eq!(direct(&net, carol), ["to all"]);
    let said = &recorded::<FromRoom<Chat>>(&net.clients[bob])[0];
    assert_eq!(said.sender, Sender::Server);
}

#[test]
fn what_is_for_a_player_that_is_gone_is_counted() {
    let (mut net, alice, _) = lobby(RoomConfig::default());
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    let player = net.server.world().get::<Players>(room).unwrap().iter().next().unwrap();
    net.clients[alice].world_mut().trigger(bevy_ghost_client::Disconnect);
    net.settle();
    net.server.world_mut().write_message(ToPlayer::new(player, chat("too late")));
    net.settle();
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!((server.undelivered, server.sent.messages), (1, 0));
}

#[test]
fn whom_the_server_has_put_out_is_not_heard_any_more() {
    for mode in [RelayMode::AtOnce, RelayMode::ServerOnly, RelayMode::Moderated] {
        let (mut net, alice, _) = lobby(RoomConfig { mode, ..RoomConfig::default() });
        net.server.add_observer(|request: On<RelayRequest>, mut commands: Commands| {
            commands.entity(request.player).insert(Name::new("speaker"));
        });
        let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
        let player = net.server.world().get::<Players>(room).unwrap().iter().next().unwrap();
        net.clients[alice].world_mut().write_message(Broadcast::new(chat("still here")));
        net.clients[alice].world_mut().write_message(ToServer::new(chat("am I?")));
        net.clients[alice].update();
        net.advance(Duration::ZERO);
        net.server.world_mut().despawn(player);
        net.settle();
        assert!(recorded::<FromPlayer<Chat>>(&net.server).is_empty(), "{mode:?}");
        assert_eq!(net.server.world().resource::<GhostServer>().players, 1);
    }
}

#[test]
fn last_words_reach_the_room_that_the_same_frame_closes() {
    let (mut net, alice, _) = lobby(RoomConfig::default());
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    net.server.world_mut().write_message(ToRoom::new(room, chat("the winner is…")));
    net.server.world_mut().despawn(room);
    net.settle();
    assert_eq!(heard(&net, alice), ["the winner is…"]);
    assert_eq!(net.room(alice, "lobby"), None);
}

#[test]
fn what_is_not_the_type_that_it_claims_is_counted_and_hurts_nobody() {
    let (mut net, alice, bob) = lobby(RoomConfig::default());
    let lie = Raw { message_type: MessageType::of("Chat"), data: vec![0xff; 3].into() };
    net.clients[alice].world_mut().write_message(Broadcast::new(lie));
    net.clients[alice].world_mut().write_message(Broadcast::new(chat("sorry")));
    net.settle();
    assert_eq!(heard(&net, bob), ["sorry"]);
    assert_eq!(recorded::<FromPlayer<Chat>>(&net.server).len(), 1);
    for app in [&net.server, &net.clients[bob]] {
        assert_eq!(app.world().resource::<MessageRegistry>().undecodable(), 1);
    }
    let [at_server] = recorded::<Undecodable>(&net.server) else { panic!("not exactly one") };
    let (player, room) = at_server.seat.unwrap();
    assert_eq!(net.server.world().get::<InRoom>(player).unwrap().0, room);
    assert_eq!((at_server.type_name.as_str(), &at_server.payload[..]), ("Chat", &[0xff; 3][..]));
    let told = recorded::<bevy_ghost_client::Undecodable>(&net.clients[bob]);
    let [at_bob] = told else { panic!("not exactly one") };
    assert_eq!((at_bob.type_name.as_str(), at_bob.room), ("Chat", net.room(bob, "lobby")));
    assert!(net.clients[bob].world().get_entity(at_bob.sender.player().unwrap()).is_ok());
}

#[test]
fn messages_of_one_type_keep_their_order_across_frames() {
    let (mut net, alice, bob) = lobby(RoomConfig::default());
    for n in 0..50 {
        net.clients[alice].world_mut().write_message(Broadcast::new(chat(&n.to_string())));
        if n % 7 == 0 {
            net.exchange();
        }
    }
    net.settle();
    let expected: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(heard(&net, bob), expected);
}

#[test]
fn the_ordered_stream_has_payloads_between_joins() {
    let (mut net, alice, _) = lobby(RoomConfig::default());
    record::<bevy_ghost_server::GhostServerEvent>(&mut net.server);
    net.clients[alice].world_mut().write_message(Broadcast::new(chat("hi")));
    net.settle();
    let carol = net.connect(client);
    net.join(carol, "lobby");
    let events = recorded::<bevy_ghost_server::GhostServerEvent>(&net.server);
    let payload = events.iter().position(|event| {
        matches!(event, bevy_ghost_server::GhostServerEvent::PayloadReceived(PayloadReceived { message_type, .. })
            if *message_type == MessageType::of("Chat"))
    });
    let joined = events
        .iter()
        .position(|event| matches!(event, bevy_ghost_server::GhostServerEvent::PlayerJoined(_)));
    assert!(payload.unwrap() < joined.unwrap());
}

#[test]
fn a_client_with_another_protocol_is_told_which_types_differ() {
    let mut net = TestNet::new(protocol);
    let client = net.client(|client| {
        client.add_ghost_message::<Chat>();
        record::<Disconnected>(client);
    });
    let connect = Connect::local(net.connector());
    net.clients[client].world_mut().trigger(connect);
    net.settle();
    let gone = &recorded::<Disconnected>(&net.clients[client])[0];
    assert!(
        gone.reason.to_string().contains("Position") && !gone.reason.to_string().contains("Chat"),
        "{}",
        gone.reason
    );
    assert_eq!(gone.retry_in, None);
}

mod other {
    use super::{SchemaRead, SchemaWrite};

    #[derive(SchemaRead, SchemaWrite)]
    pub(crate) struct Chat(u8);
}

#[test]
#[should_panic(expected = "ghost messages must have different names")]
fn two_types_of_one_name_are_refused() {
    App::new().add_ghost_message::<Chat>().add_ghost_message::<other::Chat>();
}

#[test]
fn two_types_of_one_name_fit_under_different_names_and_a_type_fits_twice() {
    App::new()
        .add_ghost_message::<Chat>()
        .add_ghost_message::<Chat>()
        .add_ghost_message_as::<other::Chat>("OtherChat");
}

#[test]
fn types_may_be_registered_before_and_after_the_plugin() {
    let mut net = TestNet::new(|server| {
        protocol(server); // after: the plugin is there already
        record::<FromPlayer<Chat>>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let mut before = App::new();
    protocol(&mut before);
    before.add_plugins((MinimalPlugins, bevy_ghost_client::GhostClientPlugin::default()));
    before.world_mut().write_message(Broadcast::new(chat("hi"))).unwrap();
    let alice = net.connect(protocol);
    net.join(alice, "lobby");
    net.clients[alice].world_mut().write_message(Broadcast::new(chat("hi")));
    net.settle();
    assert_eq!(recorded::<FromPlayer<Chat>>(&net.server).len(), 1);
}

mod newer {
    use super::{SchemaRead, SchemaWrite};

    #[derive(SchemaRead, SchemaWrite)]
    pub(crate) struct Chat(pub(crate) String, pub(crate) u32);
}

#[test]
fn types_of_one_name_that_differ_in_shape_connect_and_tell_what_they_cannot_read() {
    let mut net = TestNet::new(server(RoomConfig::default()));
    let alice = net.connect(|client| {
        client.add_ghost_message::<newer::Chat>().add_ghost_message::<Position>();
    });
    net.join(alice, "lobby");
    let said = newer::Chat("hi".to_owned(), 7);
    net.clients[alice].world_mut().write_message(Broadcast::new(said));
    net.settle();
    assert!(recorded::<FromPlayer<Chat>>(&net.server).is_empty());
    assert_eq!(recorded::<Undecodable>(&net.server).len(), 1);
}
