//! Much in one frame: what comes and goes at once keeps its order and its senders.

use std::time::Duration;

use bevy::prelude::*;
use bevy_ghost_client::{
    Broadcast, FromRoom, FromServer, GhostClient, GhostClientEvent, Join, Leave, ToServer, Unsent,
};
use bevy_ghost_server::{
    ConnectionStats, GhostServerEvent, Limits, MessageType, Missed, PlayerJoined, PlayerLeft,
    Traffic, Undecodable,
    prelude::*,
    testing::{TestNet, record, recorded},
};

#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Chat(String);

#[derive(Clone, Copy, Debug, PartialEq, SchemaRead, SchemaWrite)]
struct Step(u32);

fn protocol(app: &mut App) {
    app.add_ghost_message::<Chat>().add_ghost_message::<Step>();
}

/// A server and its clients in a lobby.
fn lobby<const N: usize>(config: ServerConfig) -> (TestNet, [usize; N]) {
    let mut net = TestNet::with_config(config, |server| {
        protocol(server);
        record::<FromPlayer<Chat>>(server);
        record::<FromPlayer<Step>>(server);
        record::<GhostServerEvent>(server);
        server.world_mut().spawn(Room::new("lobby"));
    });
    let clients = [(); N].map(|()| {
        let client = net.connect(|client| {
            protocol(client);
            record::<FromRoom<Chat>>(client);
            record::<FromRoom<Step>>(client);
            record::<FromServer<Step>>(client);
            record::<FromRoom<Raw>>(client);
            record::<GhostClientEvent>(client);
            record::<Unsent>(client);
        });
        net.join(client, "lobby");
        client
    });
    net.settle();
    (net, clients)
}

/// Lets a client say something that is on its way when the server's next frame begins.
fn say<M: Message>(net: &mut TestNet, client: usize, message: M) {
    net.clients[client].world_mut().write_message(message);
    net.clients[client].update();
    net.advance(Duration::ZERO);
}

fn chat(text: &str) -> Chat {
    Chat(text.to_owned())
}

fn texts(said: &[FromPlayer<Chat>]) -> Vec<&str> {
    said.iter().map(|it| it.message.0.as_str()).collect()
}

#[test]
fn of_what_comes_in_one_frame_each_type_and_the_stream_keep_their_order() {
    let (mut net, [alice, bob, carol]) = lobby(ServerConfig::default());
    for round in 0..10 {
        say(&mut net, alice, Broadcast::new(chat(&format!("a{round}"))));
        say(&mut net, bob, Broadcast::new(Step(round)));
        if round == 5 {
            let lie = Raw { message_type: MessageType::of("Chat"), data: vec![0xff; 3].into() };
            say(&mut net, alice, Broadcast::new(lie));
        }
        say(&mut net, bob, Broadcast::new(chat(&format!("b{round}"))));
    }
    net.server.update();
    net.clients[carol].update();

    let expected: Vec<_> = (0..10).flat_map(|n| [format!("a{n}"), format!("b{n}")]).collect();
    let chats = recorded::<FromPlayer<Chat>>(&net.server);
    assert_eq!(texts(chats), expected);
    assert!(
        chats
            .iter()
            .all(|it| (it.client_id == chats[0].client_id) == (it.message.0.starts_with('a')))
    );
    let steps = recorded::<FromPlayer<Step>>(&net.server).iter().map(|it| it.message.0);
    assert!(steps.eq(0..10));
    let heard = recorded::<FromRoom<Chat>>(&net.clients[carol]);
    assert!(heard.iter().map(|it| &it.message.0).eq(&expected));
    assert!(heard.iter().all(|it| it.sender.player().is_some()));
    let steps = recorded::<FromRoom<Step>>(&net.clients[carol]).iter().map(|it| it.message.0);
    assert!(steps.eq(0..10));

    // In the stream, all of them have their places.
    let mut seqs = recorded::<GhostServerEvent>(&net.server).iter().filter_map(|event| {
        if let GhostServerEvent::PayloadReceived(it) = event { it.seq } else { None }
    });
    let first = seqs.next().unwrap();
    assert!(seqs.eq(first + 1..first + 31));
    let mut seqs = recorded::<GhostClientEvent>(&net.clients[carol]).iter().filter_map(|event| {
        if let GhostClientEvent::PayloadReceived(it) = event { it.seq } else { None }
    });
    assert_eq!(seqs.next(), Some(first));
    assert!(seqs.eq(first + 1..first + 31));
    let last = recorded::<GhostServerEvent>(&net.server).last();
    let Some(GhostServerEvent::Undecodable(Undecodable { connection, .. })) = last else {
        panic!("{last:?}")
    };
    assert_eq!(*connection, chats[0].connection);
}

#[test]
fn whom_a_rule_puts_out_in_the_middle_of_a_frame_is_heard_up_to_then() {
    let (mut net, [alice, bob]) = lobby(ServerConfig::default());
    net.server.add_observer(
        |left: On<PlayerLeft>, players: Query<Entity, With<Player>>, mut commands: Commands| {
            let others = players.iter().filter(|&player| player != left.player);
            others.for_each(|player| commands.entity(player).despawn());
        },
    );
    say(&mut net, alice, Broadcast::new(chat("before")));
    let room = net.room(bob, "lobby").unwrap();
    net.clients[bob].world_mut().trigger(Leave { room });
    net.clients[bob].update();
    net.advance(Duration::ZERO);
    say(&mut net, alice, Broadcast::new(chat("after")));
    net.server.update();
    assert_eq!(texts(recorded::<FromPlayer<Chat>>(&net.server)), ["before"]);
    let said = Traffic { messages: 1, bytes: 8 + "before".len() as u64 };
    assert_eq!(net.server.world().resource::<GhostServer>().received, said);
    let mut stats = net.server.world_mut().query::<&ConnectionStats>();
    let heard: Vec<_> = stats.iter(net.server.world()).map(|stats| stats.received).collect();
    assert!(heard.contains(&said) && heard.contains(&Traffic::default()), "{heard:?}");
}

#[test]
fn what_a_newcomer_says_comes_with_its_player_in_the_frame_of_its_join() {
    #[derive(Default, Resource)]
    struct Seen(Vec<String>);

    let (mut net, [alice]) = lobby(ServerConfig::default());
    net.server.init_resource::<Seen>().add_systems(
        Update,
        |mut said: MessageReader<FromPlayer<Chat>>,
         players: Query<(&Player, &InRoom)>,
         mut joined: MessageReader<PlayerJoined>,
         mut seen: ResMut<Seen>| {
            let joined: Vec<_> = joined.read().map(|it| it.player).collect();
            for said in said.read() {
                let (player, room) = players.get(said.player).unwrap();
                assert_eq!((player.client_id, room.0), (said.client_id, said.room));
                assert_eq!(joined, [said.player]);
                seen.0.push(said.message.0.clone());
            }
        },
    );
    let room = net.room(alice, "lobby").unwrap();
    net.clients[alice].world_mut().trigger(Leave { room });
    net.settle();
    net.clients[alice].world_mut().trigger(Join::new("lobby"));
    net.clients[alice].update();
    net.advance(Duration::ZERO);
    net.server.update(); // the rules say yes
    net.advance(Duration::ZERO);
    net.clients[alice].update();
    assert!(net.room(alice, "lobby").is_some());
    say(&mut net, alice, Broadcast::new(chat("here I am")));
    net.server.update();
    assert_eq!(net.server.world().resource::<Seen>().0, ["here I am"]);
}

#[test]
fn what_is_more_than_a_frame_takes_comes_in_order_in_later_frames() {
    let (channel_capacity, outbox_limit) = (10_000, 64 << 20);
    let config = ServerConfig::from(RelayConfig {
        channel_capacity,
        outbox_limit,
        ..RelayConfig::for_games()
    });
    let (mut net, [alice]) = lobby(config);
    let room = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    const LEN: usize = 16 * 1024;
    for n in 0..=255 {
        net.server.world_mut().write_message(ToRoom::new(room, Raw::new(vec![n; LEN])));
        net.server.update();
        net.advance(Duration::ZERO);
    }
    net.clients[alice].update();
    let first = recorded::<FromRoom<Raw>>(&net.clients[alice]).len();
    assert!(first > 10 && first * LEN < 3 << 20, "{first} at once");
    net.settle();
    let heard = recorded::<FromRoom<Raw>>(&net.clients[alice]);
    assert!(heard.iter().map(|it| it.message.data[0]).eq(0..=255));
}

#[test]
fn what_a_frame_says_arrives_whole_whatever_the_lengths() {
    let (mut net, [alice, bob]) = lobby(ServerConfig::default());
    let lengths = [0, 1, 100, 20_000, 3, 16_384, 40_000, 0, 7];
    let said: Vec<_> =
        (b'a'..).zip(lengths).map(|(c, n)| char::from(c).to_string().repeat(n)).collect();
    for text in &said {
        net.clients[alice].world_mut().write_message(Broadcast::new(chat(text)));
    }
    net.settle();
    let heard = recorded::<FromRoom<Chat>>(&net.clients[bob]);
    assert!(heard.iter().map(|it| &it.message.0).eq(&said));
    assert_eq!(net.clients[alice].world().resource::<GhostClient>().sent.messages, 9);
}

#[test]
fn of_what_a_frame_writes_only_what_has_no_receiver_stays() {
    let (mut net, [alice, bob]) = lobby(ServerConfig::default());
    let (lobby, nowhere) = (net.room(alice, "lobby").unwrap(), Entity::PLACEHOLDER);
    for (n, room) in [lobby, nowhere, lobby, nowhere, lobby].into_iter().enumerate() {
        let step = Step(u32::try_from(n).unwrap());
        net.clients[alice].world_mut().write_message(Broadcast::new(step).in_room(room));
    }
    net.settle();
    let heard = recorded::<FromRoom<Step>>(&net.clients[bob]).iter().map(|it| it.message.0);
    assert!(heard.eq([0, 2, 4]));
    let unsent = recorded::<Unsent>(&net.clients[alice]).iter();
    let unsent = unsent.map(|it| it.message.as_ref().unwrap().1[0]);
    assert!(unsent.eq([1, 3]));
    let sent = net.clients[alice].world().resource::<GhostClient>().sent;
    assert_eq!(sent, Traffic { messages: 3, bytes: 12 });
}

#[test]
fn what_a_frame_says_to_rooms_and_players_is_counted_where_it_went() {
    let (mut net, [alice]) = lobby(ServerConfig::default());
    let cave = net.server.world_mut().spawn(Room::new("cave")).id();
    net.settle();
    let lobby = net.server.world().resource::<Rooms>().get("lobby").unwrap();
    let player = net.server.world().get::<Players>(lobby).unwrap().iter().next().unwrap();
    for (n, room) in [lobby, cave, lobby, lobby, Entity::PLACEHOLDER].into_iter().enumerate() {
        let step = Step(u32::try_from(n).unwrap());
        net.server.world_mut().write_message(ToRoom::new(room, step));
        net.server.world_mut().write_message(ToPlayer::new(player, step));
    }
    net.settle();
    let heard = recorded::<FromRoom<Step>>(&net.clients[alice]).iter().map(|it| it.message.0);
    assert!(heard.eq([0, 2, 3]));
    let told = recorded::<FromServer<Step>>(&net.clients[alice]).iter().map(|it| it.message.0);
    assert!(told.eq(0..5));
    let sent = |room| net.server.world().get::<RoomStats>(room).unwrap().sent.messages;
    assert_eq!((sent(lobby), sent(cave)), (3, 1));
    let server = net.server.world().resource::<GhostServer>();
    assert_eq!((server.sent.messages, server.sent.bytes, server.undelivered), (9, 36, 1));
}

#[test]
fn who_floods_the_server_from_no_room_loses_its_own_words_only() {
    let (mut net, [alice]) = lobby(ServerConfig::from(RelayConfig {
        limits: Limits::none(),
        ..RelayConfig::for_games()
    }));
    record::<Missed>(&mut net.server);
    let mallory = net.connect(protocol);
    let newcomer = net.connect(protocol);
    for frame in 0..5 {
        for _ in 0..4 {
            for _ in 0..5_000 {
                let nothing = Raw { message_type: MessageType::RAW, data: Vec::new().into() };
                net.clients[mallory].world_mut().write_message(ToServer::new(nothing));
            }
            net.clients[mallory].update();
            net.advance(Duration::ZERO);
        }
        if frame == 2 {
            net.clients[newcomer].world_mut().trigger(Join::new("lobby"));
            net.clients[newcomer].update();
            net.advance(Duration::ZERO);
        }
        say(&mut net, alice, Broadcast::new(chat(&frame.to_string())));
        net.server.update();
    }
    net.settle();
    assert_eq!(texts(recorded::<FromPlayer<Chat>>(&net.server)), ["0", "1", "2", "3", "4"]);
    assert!(net.room(newcomer, "lobby").is_some(), "it was let in");
    let id = net.clients[mallory].world().resource::<GhostClient>().client_id.unwrap();
    let missed = recorded::<Missed>(&net.server);
    assert!(!missed.is_empty() && missed.iter().all(|it| it.client_id == id), "{missed:?}");
    let heard = net.server.world().get::<ConnectionStats>(missed[0].connection).unwrap().received;
    let missed = missed.iter().map(|it| it.messages).sum::<u64>();
    assert_eq!(heard.messages + missed, 5 * 4 * 5_000);
}
