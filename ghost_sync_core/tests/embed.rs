//! The bridges for frame-polled programs, stepped by hand on a stopped clock.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails where it meets what it does not expect"
)]

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    Client, ClientId, ClientMessage, ConnectError, Delivery, GapReason, Hello, JoinOptions, Limits,
    MessageType, MetaError, Question, Refusal, RelayEvent, RelayMode, Replay, Request,
    RequestError, RoomConfig, RoomId, RoomName, Secret, SendFlags, Server, ServerEvent,
    ServerHandle, ServerMessage, VERSIONS, Verdict, Welcome,
    embed::*,
    link::{Conditioner, LocalStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Handle, Runtime},
    sync::Notify,
    task::yield_now,
};

const STEPS: usize = 64;

struct World {
    network: Network,
    server: ServerBridge,
    updates: Vec<ServerUpdate>,
}

impl World {
    /// A server with a lobby, and nobody there.
    async fn new() -> Self {
        let network = Network::from_handle(Handle::current());
        let lobby = RoomConfig::default().observed();
        let builder = Server::builder().local_only().room_with("lobby", lobby);
        // Frames that stand still show most while others say more than players do.
        let builder = builder.limits(Limits::none());
        let server = ServerBridge::start(&network, builder);
        let mut world = Self { network, server, updates: Vec::new() };
        world.step().await;
        assert!(matches!(
            world.updates[..],
            [
                ServerUpdate::Started { addr: None },
                ServerUpdate::Event(RelayEvent::RoomCreated { .. })
            ]
        ));
        world
    }

    /// Lets the background do all it can, and the server's program accept everybody.
    async fn step(&mut self) {
        for _ in 0..STEPS {
            yield_now().await;
            let start = self.updates.len();
            self.server.poll(&mut self.updates);
            for update in &self.updates[start..] {
                if let ServerUpdate::Ask { ask, .. } = update {
                    let verdict = Verdict::Accept;
                    self.server.send(ServerCommand::Answer { ask: *ask, verdict });
                }
            }
            self.server.flush();
        }
    }

    /// Lets some seconds pass.
    async fn pass(&mut self) {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.step().await;
        }
    }

    fn connect(&self, client: ghost_sync_core::ClientBuilder) -> ClientBridge {
        let target = Target::Local(self.server.local());
        ClientBridge::connect(&self.network, client, target, Reconnect::default())
    }

    /// A client that is in the lobby.
    async fn join(&mut self) -> (ClientBridge, ClientId) {
        let mut client = self.connect(Client::builder());
        client.send(join("lobby")).unwrap();
        client.flush();
        self.step().await;
        let updates = poll(&mut client);
        let ClientUpdate::Event(ServerEvent::Joined { client_id, .. }) = updates[updates.len() - 1]
        else {
            panic!("{updates:?}")
        };
        (client, client_id)
    }
}

fn name(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn join(room: &str) -> ClientCommand {
    let (room, options) = (name(room), JoinOptions::default());
    ClientCommand::Join { room, options, if_nowhere: false }
}

fn set_name(value: String) -> ClientCommand {
    ClientCommand::SetMeta { key: "name".into(), value: Some(value) }
}

fn say(payload: &'static [u8]) -> ClientCommand {
    ClientCommand::Broadcast {
        room: None,
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload: Bytes::from_static(payload),
    }
}

fn poll(client: &mut ClientBridge) -> Vec<ClientUpdate> {
    let mut updates = Vec::new();
    client.poll(&mut updates);
    updates
}

fn events(updates: Vec<ClientUpdate>) -> Vec<ServerEvent> {
    let event = |update| match update {
        ClientUpdate::Event(event) => Some(event),
        _ => None,
    };
    updates.into_iter().filter_map(event).collect()
}

#[tokio::test(start_paused = true)]
async fn two_clients_hear_each_other_and_the_server_sees_both() {
    let mut world = World::new().await;
    let (mut first, first_id) = world.join().await;
    let (mut second, second_id) = world.join().await;
    assert!(matches!(
        &events(poll(&mut first))[..],
        [ServerEvent::PlayerJoined { client_id, .. }] if *client_id == second_id
    ));
    first.send(say(b"hello")).unwrap();
    first.flush();
    world.step().await;
    assert!(matches!(
        &events(poll(&mut second))[..],
        [ServerEvent::Broadcast { sender, data, .. }]
            if sender.client_id() == Some(first_id) && data == "hello"
    ));
    assert!(world.updates.iter().any(|update| matches!(
        update,
        ServerUpdate::Event(RelayEvent::Broadcast { payload, .. }) if payload == "hello"
    )));
}

#[tokio::test(start_paused = true)]
async fn the_program_decides_who_joins() {
    let mut world = World::new().await;
    let mut client = world.connect(Client::builder());
    client.send(join("lobby")).unwrap();
    client.flush();
    let mut asked = 0;
    for _ in 0..2 * STEPS {
        yield_now().await;
        let mut updates = Vec::new();
        world.server.poll(&mut updates);
        for update in updates {
            if let ServerUpdate::Ask { ask, question, expires_in } = update {
                assert!(expires_in <= Duration::from_secs(2));
                asked += 1;
                let verdict = match question {
                    Question::Join { .. } => Verdict::reject("not today"),
                    _ => Verdict::Accept,
                };
                world.server.send(ServerCommand::Answer { ask, verdict });
            }
        }
        world.server.flush();
    }
    assert_eq!(asked, 2);
    let [ServerEvent::Error(error)] = &events(poll(&mut client))[..] else { panic!() };
    assert_eq!(error.reason, Refusal::Rejected { message: "not today".into() });
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_answers_refuses_by_silence() {
    let network = Network::from_handle(Handle::current());
    let server = ServerBridge::start(&network, Server::builder().local_only());
    let target = Target::Local(server.local());
    let once = Reconnect { enabled: false, ..Reconnect::default() };
    let mut client = ClientBridge::connect(&network, Client::builder(), target, once);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let updates = poll(&mut client);
    let [
        ClientUpdate::Connecting { attempt: 0 },
        ClientUpdate::Disconnected { reason: ClientEnd::Connect(error), retry_in: None },
    ] = &updates[..]
    else {
        panic!("{updates:?}")
    };
    assert_eq!(error.to_string(), "refused by the server: no decision within 2000 ms");
}

/// Takes connections for a server, and cuts them when asked.
async fn proxy(listener: TcpListener, server: ServerHandle, cut: Arc<Notify>) {
    while let Ok((mut outside, _)) = listener.accept().await {
        let mut inside = server.connect_local();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut outside, &mut inside) => {}
            () = cut.notified() => {}
        }
    }
}

/// A client in real time, whose connection may be cut.
struct Cuttable {
    client: ClientBridge,
    cut: Arc<Notify>,
    unheard: VecDeque<ServerEvent>,
}

impl Cuttable {
    fn new() -> Self {
        let network = Network::new().unwrap();
        let server =
            Server::builder().local_only().room("lobby").resume_grace(Duration::ZERO).build();
        let server = network.handle().block_on(server.run()).unwrap();
        let listener = network.handle().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let target = Target::Addr(listener.local_addr().unwrap().to_string());
        let cut = Arc::new(Notify::new());
        network.spawn(proxy(listener, server, cut.clone()));
        let reconnect = Reconnect { base: Duration::from_millis(1), ..Reconnect::default() };
        let client = ClientBridge::connect(&network, Client::builder(), target, reconnect);
        Self { client, cut, unheard: VecDeque::new() }
    }

    fn send(&mut self, commands: impl IntoIterator<Item = ClientCommand>) {
        commands.into_iter().for_each(|command| self.client.send(command).unwrap());
        self.client.flush();
    }

    /// Waits for an event that means something to `look`.
    fn hear<T>(&mut self, look: impl Fn(ServerEvent) -> Option<T>) -> T {
        loop {
            while let Some(event) = self.unheard.pop_front() {
                if let Some(found) = look(event) {
                    return found;
                }
            }
            self.client.wake().recv_timeout(Duration::from_secs(10)).unwrap();
            for update in poll(&mut self.client) {
                match update {
                    ClientUpdate::Event(event) => self.unheard.push_back(event),
                    ClientUpdate::Disconnected { retry_in, .. } => assert!(retry_in.is_some()),
                    _ => {}
                }
            }
        }
    }

    /// Waits until it is in a room; returns its id.
    fn hear_joined(&mut self) -> ClientId {
        self.hear(|event| match event {
            ServerEvent::Joined { client_id, members, .. } => {
                assert_eq!(members.len(), 1);
                Some(client_id)
            }
            _ => None,
        })
    }

    fn hear_refusal(&mut self) -> Refusal {
        self.hear(|event| match event {
            ServerEvent::Error(error) => Some(error.reason),
            _ => None,
        })
    }
}

#[test]
fn a_client_whose_connection_is_cut_comes_back_and_joins_its_rooms_again() {
    let mut client = Cuttable::new();
    client.send([set_name("Ann".into()), join("lobby")]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.hear(|event| match event {
            ServerEvent::Joined { client_id, members, .. } => {
                assert_eq!(members.len(), 1);
                assert_eq!(members[0].meta, [("name".to_owned(), "Ann".to_owned())]);
                Some(client_id)
            }
            _ => None,
        }));
        client.cut.notify_one();
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

#[test]
fn a_client_that_joins_twice_joins_again_after_a_cut() {
    let mut client = Cuttable::new();
    client.send([join("lobby")]);
    client.hear_joined();
    client.send([join("lobby")]);
    client.hear(|event| match event {
        ServerEvent::AlreadyJoined { room } => (room == *"lobby").then_some(()),
        ServerEvent::Error(error) => panic!("{error}"),
        _ => None,
    });
    client.cut.notify_one();
    client.hear_joined();
}

#[test]
fn a_client_that_left_and_joined_joins_again_after_a_cut() {
    let mut client = Cuttable::new();
    client.send([join("lobby")]);
    client.hear_joined();
    client.send([ClientCommand::Leave { room: name("lobby") }, join("lobby")]);
    client.hear_joined();
    client.cut.notify_one();
    client.hear_joined();
}

#[test]
fn metadata_that_was_refused_does_not_keep_a_client_out() {
    let mut client = Cuttable::new();
    client.send([set_name("v".repeat(3000)), join("lobby")]);
    assert!(matches!(client.hear_refusal(), Refusal::MetaTooLarge { max_bytes: 2048, .. }));
    client.hear_joined();
    client.send([set_name("v".repeat(2044)), set_name("v".repeat(2045))]);
    assert!(matches!(client.hear_refusal(), Refusal::MetaTooLarge { max_entries: 32, .. }));
    client.cut.notify_one();
    let meta = client.hear(|event| match event {
        ServerEvent::Joined { members, .. } => members.into_iter().next().map(|own| own.meta),
        _ => None,
    });
    assert_eq!(meta, [("name".to_owned(), "v".repeat(2044))]);
}

/// A server that greets the first who comes, and then does nothing.
async fn greet_only(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = [0; 1000];
    assert!(stream.read(&mut hello).await.unwrap() > 0);
    let mut welcome = BytesMut::new();
    ServerMessage::Welcome(Welcome {
        version: VERSIONS.newest,
        client_id: ClientId::from_u128(1),
        max_payload: 1 << 25,
        ping_interval_ms: 0,
        idle_timeout_ms: 0,
        resume_grace_ms: 0,
        epoch: 0,
        secret: Secret::default(),
        rooms: Vec::new(),
        extensions: Vec::new(),
    })
    .encode(&mut welcome);
    stream.write_all(&welcome).await.unwrap();
    stream
}

#[tokio::test]
async fn commands_behind_a_full_outbox_outlive_the_connection() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let target = Target::Addr(listener.local_addr().unwrap().to_string());
    let network = Network::from_handle(Handle::current());
    let reconnect = Reconnect { base: Duration::from_millis(1), ..Reconnect::default() };
    let builder = Client::builder().outbox_limit(1000);
    let mut client = ClientBridge::connect(&network, builder, target, reconnect);
    let stream = greet_only(&listener).await;
    let mut updates = Vec::new();
    while !updates.iter().any(|update| matches!(update, ClientUpdate::Connected { .. })) {
        yield_now().await;
        client.poll(&mut updates);
    }
    let send =
        |payload| ClientCommand::Send { room: None, message_type: MessageType::RAW, payload };
    client.send(send(Bytes::from(vec![1; 12 << 20]))).unwrap();
    client.flush();
    for command in [join("lobby"), ClientCommand::Ping, ClientCommand::Disconnect] {
        client.send(command).unwrap();
    }
    client.flush();
    // The big one is on its way, and the rest taken.
    stream.readable().await.unwrap();
    for _ in 0..STEPS {
        yield_now().await;
    }
    drop(stream);
    updates.clear();
    let wait = async {
        while !matches!(updates.last(), Some(ClientUpdate::Disconnected { .. })) {
            yield_now().await;
            client.poll(&mut updates);
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap();
    assert!(
        matches!(
            updates[..],
            [
                ClientUpdate::Event(ServerEvent::Error(RequestError {
                    request: Request::Ping,
                    reason: Refusal::NotConnected
                })),
                ClientUpdate::Event(ServerEvent::Error(RequestError {
                    request: Request::Join { .. },
                    reason: Refusal::NotConnected
                })),
                ClientUpdate::Disconnected { reason: ClientEnd::Requested, retry_in: None }
            ]
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_tells_its_clients_and_its_program() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    let (message, deadline) = ("restart".to_owned(), Duration::from_secs(1));
    world.updates.clear();
    world.server.send(ServerCommand::Shutdown { message, deadline });
    world.server.flush();
    world.step().await;
    let updates = poll(&mut client);
    let [ClientUpdate::Disconnected { reason, retry_in: Some(wait) }] = &updates[..] else {
        panic!("{updates:?}")
    };
    assert_eq!(reason.to_string(), "the server is shutting down: restart");
    let asked = Duration::from_secs(1);
    assert!((asked..=asked + Reconnect::default().base).contains(wait), "{wait:?}");
    let updates = &world.updates;
    assert!(
        matches!(
            updates[..],
            [
                ServerUpdate::Event(RelayEvent::PlayerLeft { .. }),
                ServerUpdate::Event(RelayEvent::RoomEmptied { .. }),
                ServerUpdate::Event(RelayEvent::ConnectionClosed { .. }),
                ServerUpdate::Stopped
            ]
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_room_that_cannot_be_made_is_refused_in_order() {
    let mut world = World::new().await;
    world.updates.clear();
    for room in ["den", "lobby", "attic"] {
        let config = RoomConfig::default();
        world.server.send(ServerCommand::CreateRoom { name: name(room), config });
    }
    world.server.flush();
    world.step().await;
    let told: Vec<_> = world
        .updates
        .iter()
        .map(|update| match update {
            ServerUpdate::Event(RelayEvent::RoomCreated { name, .. }) => format!("+{name}"),
            ServerUpdate::RoomRefused { name, .. } => format!("-{name}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["+den", "-lobby", "+attic"]);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_stands_still_loses_volatile_messages_and_stays_connected() {
    let mut world = World::new().await;
    let (mut first, _) = world.join().await;
    let (mut second, _) = world.join().await;
    poll(&mut first);
    let payload = Bytes::from(vec![7; 50_000]);
    for _ in 0..100 {
        for delivery in [Delivery::Volatile, Delivery::Reliable] {
            let payload = match delivery {
                Delivery::Reliable => Bytes::from_static(b"end"),
                _ => payload.clone(),
            };
            let (room, flags, message_type) = (None, SendFlags::NONE, MessageType::RAW);
            let said = ClientCommand::Broadcast { room, delivery, flags, message_type, payload };
            first.send(said).unwrap();
        }
        first.flush();
        world.step().await;
    }
    // A minute of frames that never came.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut heard = Vec::new();
    for _ in 0..40 {
        heard.extend(events(poll(&mut second)));
        world.step().await;
    }
    let ends = heard.iter().filter(|event| {
        matches!(event, ServerEvent::Broadcast { delivery: Delivery::Reliable, .. })
    });
    assert_eq!(ends.count(), 100);
    assert!(heard.iter().any(|event| {
        matches!(event, ServerEvent::Gap { reason: GapReason::InboxFull, own: 0, .. })
    }));
    assert_eq!(world.server.handle().client_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_program_that_stands_still_is_told_how_much_it_missed() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    world.updates.clear();
    for _ in 0..200 {
        for _ in 0..8 {
            client.send(say(&[7; 10_000])).unwrap();
        }
        client.flush();
        for _ in 0..16 {
            yield_now().await;
        }
    }
    world.step().await;
    let mut seen = 0;
    let mut missed = 0;
    for update in &world.updates {
        match update {
            ServerUpdate::Event(RelayEvent::Broadcast { .. }) => seen += 1,
            ServerUpdate::Missed { messages, .. } => missed += messages,
            _ => {}
        }
    }
    assert_eq!(seen + missed, 1600);
    assert!((90..120).contains(&seen), "a client's share is a mebibyte: {seen} {missed}");
}

/// Somebody who has said hello and is in no room.
async fn stranger(world: &mut World) -> LocalStream {
    let mut stream = world.server.handle().connect_local();
    let mut hello = BytesMut::new();
    ClientMessage::Hello(Hello::default()).encode(&mut hello);
    stream.write_all(&hello).await.unwrap();
    world.step().await;
    assert!(stream.read(&mut [0; 1000]).await.unwrap() > 0, "a welcome");
    stream
}

#[tokio::test(start_paused = true)]
async fn one_client_that_says_nothing_all_the_time_keeps_nobody_else_from_being_heard() {
    let mut world = World::new().await;
    let (mut honest, honest_id) = world.join().await;
    let mut flooder = stranger(&mut world).await;
    let mut flood = BytesMut::new();
    for _ in 0..60_000 {
        ClientMessage::Send { room: RoomId(0), message_type: MessageType::RAW, payload: b"" }
            .encode(&mut flood);
    }
    let (mut heard, mut newcomers) = (0, Vec::new());
    for frame in 0..10 {
        // All of it is there before anybody else has a word in.
        flooder.write_all(&flood).await.unwrap();
        honest.send(say(b"I am here")).unwrap();
        honest.flush();
        if frame % 3 == 0 {
            let mut newcomer = world.connect(Client::builder());
            newcomer.send(join("lobby")).unwrap();
            newcomer.flush();
            newcomers.push(newcomer);
        }
        for _ in 0..STEPS {
            yield_now().await;
        }
        tokio::time::advance(Duration::from_millis(16)).await;
        world.updates.clear();
        world.server.poll(&mut world.updates);
        for update in &world.updates {
            match update {
                ServerUpdate::Event(RelayEvent::Broadcast { client_id, .. }) => {
                    heard += u32::from(*client_id == honest_id);
                }
                ServerUpdate::Missed { client_id, messages, .. } => {
                    assert_ne!(*client_id, honest_id, "{messages} messages in frame {frame}");
                }
                ServerUpdate::Ask { ask, .. } => {
                    let verdict = Verdict::Accept;
                    world.server.send(ServerCommand::Answer { ask: *ask, verdict });
                }
                _ => {}
            }
        }
        world.server.flush();
    }
    world.step().await;
    assert_eq!(heard, 10, "of ten messages");
    for newcomer in &mut newcomers {
        let updates = poll(newcomer);
        let joined = |update: &ClientUpdate| {
            matches!(update, ClientUpdate::Event(ServerEvent::Joined { .. }))
        };
        assert!(updates.iter().any(joined), "{updates:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_missed_is_told_before_its_end() {
    let mut world = World::new().await;
    let mut flooder = stranger(&mut world).await;
    world.updates.clear();
    let mut flood = BytesMut::new();
    for _ in 0..60_000 {
        ClientMessage::Send { room: RoomId(0), message_type: MessageType::RAW, payload: b"" }
            .encode(&mut flood);
    }
    flooder.write_all(&flood).await.unwrap();
    drop(flooder);
    world.step().await;
    let mut seen = 0;
    for update in &world.updates {
        match update {
            ServerUpdate::Event(RelayEvent::Message { .. }) => seen += 1,
            ServerUpdate::Missed { messages, .. } => seen += messages,
            ServerUpdate::Event(RelayEvent::ConnectionClosed { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, 60_000);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_server_program_that_stands_still_is_bounded() {
    let mut world = World::new().await;
    let config = RoomConfig::default().mode(RelayMode::Moderated);
    world.server.send(ServerCommand::CreateRoom { name: name("court"), config });
    world.server.flush();
    let (mut client, client_id) = world.join().await;
    client.send(join("court")).unwrap();
    client.flush();
    world.step().await;
    world.updates.clear();
    for _ in 0..20 {
        for _ in 0..16 {
            client.send(say(&[7; 60_000])).unwrap();
        }
        for _ in 0..512 {
            let value = "v".repeat(1500);
            world.server.handle().set_client_meta(client_id, "key", &value).unwrap();
            client.send(ClientCommand::SetMeta { key: "own".into(), value: Some(value) }).unwrap();
        }
        client.flush();
        for _ in 0..STEPS {
            yield_now().await;
        }
        // The verdicts do not come in time, so more may be asked for.
        tokio::time::sleep(Duration::from_secs(3)).await;
        poll(&mut client);
    }
    // What nobody can answer any more is not shown, but kept until then.
    let kept = format!("{:?}", world.server).len();
    assert!(kept < 48 << 20, "{} MiB of text", kept >> 20);
    world.server.poll(&mut world.updates);
    let changes = world.updates.iter().filter(|update| {
        matches!(update, ServerUpdate::Event(RelayEvent::ClientMetaChanged { .. }))
    });
    let (changes, missed) = (changes.count(), world.updates.iter().filter_map(missed).sum::<u64>());
    assert!(changes < (8 << 20) / 1500 && missed > 0, "{changes} {missed}");
}

fn missed(update: &ServerUpdate) -> Option<u64> {
    if let ServerUpdate::Missed { messages, .. } = update { Some(*messages) } else { None }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_comes_back() {
    let mut world = World::new().await;
    let mut client = world.connect(Client::builder());
    client.send(say(b"too early")).unwrap();
    client.flush();
    world.step().await;
    client.send(say(b"in no room")).unwrap();
    client.flush();
    world.step().await;
    let events = events(poll(&mut client));
    let [ServerEvent::Error(early), ServerEvent::Error(late)] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(matches!(early.request, Request::Broadcast { reference: 0, .. }));
    assert_eq!(late.reason, Refusal::NotInRoom);
}

#[tokio::test(start_paused = true)]
async fn what_the_program_cannot_say_or_set_comes_back_to_it_in_order() {
    let mut world = World::new().await;
    let (_client, client_id) = world.join().await;
    let conn = world.updates.iter().find_map(|update| match update {
        ServerUpdate::Event(RelayEvent::ConnectionOpened { conn, client_id: id, .. }) => {
            (*id == client_id).then_some(*conn)
        }
        _ => None,
    });
    let conn = conn.unwrap();
    world.updates.clear();
    let (message_type, long) = (MessageType(7), Bytes::from(vec![0; 70_000]));
    let (room, key, value) = (name("lobby"), "k".to_owned(), Some("v".repeat(100_000)));
    world.server.send(ServerCommand::SetRoomMeta {
        room: room.clone(),
        key: key.clone(),
        value: Some("map".to_owned()),
    });
    world.server.send(ServerCommand::Broadcast {
        room: room.clone(),
        delivery: Delivery::Reliable,
        except: Vec::new(),
        message_type,
        payload: long.clone(),
    });
    world.server.send(ServerCommand::Direct {
        conns: vec![conn],
        room: Some(room.clone()),
        delivery: Delivery::Volatile,
        message_type,
        payload: long.clone(),
    });
    world.server.send(ServerCommand::BroadcastAll { message_type, payload: long.clone() });
    world.server.send(ServerCommand::BroadcastLast {
        room: name("nowhere"),
        key: 1,
        except: Vec::new(),
        message_type,
        payload: Bytes::new(),
    });
    world.server.send(ServerCommand::SetRoomMeta { room, key: key.clone(), value: value.clone() });
    world.server.send(ServerCommand::SetClientMeta { conn, key, value });
    world.server.flush();
    world.step().await;
    let told = world.updates.iter().map(|update| match update {
        ServerUpdate::Event(RelayEvent::RoomMetaChanged { .. }) => "set".to_owned(),
        ServerUpdate::Unsent { to, message_type: MessageType(7), payload, error } => {
            let to = match to {
                Audience::Room(room) => room.to_string(),
                Audience::Clients { conns, room } => {
                    assert_eq!((&conns[..], room), (&[conn][..], &Some(name("lobby"))));
                    "one".to_owned()
                }
                Audience::Everybody => "all".to_owned(),
            };
            format!("{to} {} {error}", payload.len())
        }
        ServerUpdate::MetaRefused { of, key, value, error: MetaError::TooLarge { .. } } => {
            assert_eq!((key.as_str(), value.as_ref().unwrap().len()), ("k", 100_000));
            match of {
                MetaOwner::Room(room) => format!("meta of {room}"),
                MetaOwner::Client(of) if *of == conn => "meta of the client".to_owned(),
                MetaOwner::Client(other) => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    });
    let told: Vec<_> = told.collect();
    let too_large = "a payload of 70000 bytes is too large: at most 65536 are allowed";
    let expected = [
        "set".to_owned(),
        format!("lobby 70000 {too_large}"),
        format!("one 70000 {too_large}"),
        format!("all 70000 {too_large}"),
        "nowhere 0 room \"nowhere\" not found".to_owned(),
        "meta of lobby".to_owned(),
        "meta of the client".to_owned(),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn the_program_says_something_to_all_but_some_and_what_may_be_lost() {
    let mut world = World::new().await;
    let (mut first, first_id) = world.join().await;
    let (mut second, _) = world.join().await;
    let of_first = world.updates.iter().find_map(|update| match update {
        ServerUpdate::Event(RelayEvent::ConnectionOpened { conn, client_id, .. }) => {
            (*client_id == first_id).then_some(*conn)
        }
        _ => None,
    });
    let (room, message_type) = (name("lobby"), MessageType::RAW);
    for (except, payload) in [(of_first, "not you"), (None, "all")] {
        world.server.send(ServerCommand::Broadcast {
            room: room.clone(),
            delivery: Delivery::Reliable,
            except: except.into_iter().collect(),
            message_type,
            payload: payload.into(),
        });
    }
    for payload in ["old", "new"] {
        world.server.send(ServerCommand::Direct {
            conns: of_first.into_iter().collect(),
            room: None,
            delivery: Delivery::Latest(3),
            message_type,
            payload: payload.into(),
        });
    }
    world.server.flush();
    world.step().await;
    let said = |client: &mut ClientBridge| -> Vec<String> {
        let told = events(poll(client)).into_iter().filter_map(|event| match event {
            ServerEvent::Broadcast { data, .. } => {
                Some(String::from_utf8_lossy(&data).into_owned())
            }
            ServerEvent::Direct { data, missed, .. } => {
                Some(format!("{} {missed:?}", String::from_utf8_lossy(&data)))
            }
            _ => None,
        });
        told.collect()
    };
    let mut told = said(&mut first);
    told.sort();
    assert_eq!(told, ["all", "new Some(1)"]);
    assert_eq!(said(&mut second), ["not you", "all"]);
}

#[tokio::test(start_paused = true)]
async fn messages_beyond_the_outbox_are_not_taken() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    let mut taken = 0;
    while client.send(say(&[7; 60_000])).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, (1 << 20) / 60_200);
    client.send(ClientCommand::Ping).unwrap();
    client.flush();
    client.send(say(b"again")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_is_told_so_and_nothing_else() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    client.send(ClientCommand::Disconnect).unwrap();
    client.flush();
    world.step().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let updates = poll(&mut client);
    assert!(
        matches!(
            updates[..],
            [ClientUpdate::Disconnected { reason: ClientEnd::Requested, retry_in: None }]
        ),
        "{updates:?}"
    );
    assert_eq!(world.server.handle().client_count(), 0);
}

#[test]
fn dropping_everything_says_goodbye_and_ends_the_threads() {
    let network = Network::new().unwrap();
    let mut server = ServerBridge::start(&network, Server::builder().bind("127.0.0.1:0"));
    let wake = server.wake();
    let mut updates = Vec::new();
    while updates.is_empty() {
        wake.recv_timeout(Duration::from_secs(5)).unwrap();
        server.poll(&mut updates);
    }
    let ServerUpdate::Started { addr: Some(addr) } = updates[0] else { panic!("{updates:?}") };
    let handle = server.handle();
    drop(network);
    drop(server);
    assert!(!handle.is_running());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_join_may_ask_for_what_was_said_before() {
    let mut world = World::new().await;
    let config = RoomConfig::default().replay(2);
    world.server.send(ServerCommand::ConfigureRoom { name: name("lobby"), config });
    let (mut speaker, _) = world.join().await;
    for payload in [b"one", b"two", b"six"] {
        speaker.send(say(payload)).unwrap();
    }
    speaker.flush();
    world.step().await;
    let mut newcomer = world.connect(Client::builder());
    let options = JoinOptions { replay: Replay::Last(8), ..JoinOptions::default() };
    let room = name("lobby");
    newcomer.send(ClientCommand::Join { room, options, if_nowhere: false }).unwrap();
    newcomer.flush();
    world.step().await;
    let said: Vec<_> = events(poll(&mut newcomer))
        .into_iter()
        .filter_map(|event| match event {
            ServerEvent::Broadcast { replay: true, data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["two", "six"]);
}

/// Lines to whichever server is there, all of which can be cut.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<(Option<ServerHandle>, Vec<Conditioner>)>>);

impl Lines {
    fn lead_to(&self, server: Option<ServerHandle>) {
        let (there, lines) = &mut *self.0.lock().unwrap();
        *there = server;
        lines.drain(..).for_each(|line| line.cut());
    }

    fn connector(&self) -> Connector {
        let lines = self.0.clone();
        Connector::new(move || {
            let (server, lines) = &mut *lines.lock().unwrap();
            let stream = server.as_ref().map(|server| {
                let (stream, line) = Conditioner::new(server.connect_local());
                lines.push(line);
                stream
            });
            std::future::ready(stream.ok_or_else(|| std::io::ErrorKind::ConnectionRefused.into()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_greeted_anew_is_told_its_new_id_before_its_rooms() {
    let mut world = World::new().await;
    let lines = Lines::default();
    lines.lead_to(Some(world.server.handle()));
    let target = Target::Through(lines.connector());
    let reconnect = Reconnect::default();
    let mut client = ClientBridge::connect(&world.network, Client::builder(), target, reconnect);
    client.send(join("lobby")).unwrap();
    client.flush();
    world.step().await;
    poll(&mut client);

    lines.lead_to(None);
    let mut world = World::new().await;
    lines.lead_to(Some(world.server.handle()));
    world.pass().await;
    let mut updates = poll(&mut client);
    let ticket = |update: &mut ClientUpdate| matches!(update, ClientUpdate::Ticket { .. });
    assert_eq!(updates.extract_if(.., ticket).count(), 1);
    let [
        ClientUpdate::Event(ServerEvent::Reconnecting { .. }),
        ClientUpdate::Event(ServerEvent::ResumeFailed { .. }),
        ClientUpdate::Connected { client_id: new, resumed: None },
        ClientUpdate::Event(ServerEvent::Joined { client_id, rejoined: true, .. }),
    ] = updates[..]
    else {
        panic!("{updates:?}")
    };
    assert_eq!(new, client_id);

    // One that says goodbye to everybody ends the session, and is come back to as well.
    let (message, deadline) = ("restart".to_owned(), Duration::from_secs(1));
    world.server.send(ServerCommand::Shutdown { message, deadline });
    world.server.flush();
    world.step().await;
    let mut world = World::new().await;
    lines.lead_to(Some(world.server.handle()));
    world.pass().await;
    let updates = poll(&mut client);
    assert!(
        matches!(
            updates.last(),
            Some(ClientUpdate::Event(ServerEvent::Joined { rejoined: true, .. }))
        ),
        "{updates:?}"
    );
}

/// A client that was in the lobby of a server that said goodbye, and its lines to another.
async fn parted(builder: ghost_sync_core::ClientBuilder) -> (ClientBridge, Lines) {
    let mut world = World::new().await;
    let lines = Lines::default();
    lines.lead_to(Some(world.server.handle()));
    let (target, reconnect) = (Target::Through(lines.connector()), Reconnect::default());
    let mut client = ClientBridge::connect(&world.network, builder, target, reconnect);
    client.send(join("lobby")).unwrap();
    client.flush();
    world.step().await;
    let (message, deadline) = ("restart".to_owned(), Duration::from_secs(1));
    world.server.send(ServerCommand::Shutdown { message, deadline });
    world.server.flush();
    world.step().await;
    lines.lead_to(None);
    let updates = poll(&mut client);
    assert!(matches!(updates.last(), Some(ClientUpdate::Disconnected { .. })), "{updates:?}");
    (client, lines)
}

#[tokio::test(start_paused = true)]
async fn a_join_of_the_program_beside_that_of_the_client_itself_is_one_seat() {
    let (mut client, lines) = parted(Client::builder()).await;
    let mut world = World::new().await;
    lines.lead_to(Some(world.server.handle()));
    let mut updates = Vec::new();
    while !updates.iter().any(|update| matches!(update, ClientUpdate::Connected { .. })) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        world.step().await;
        client.poll(&mut updates);
    }
    client.send(join("lobby")).unwrap();
    client.flush();
    world.step().await;
    client.poll(&mut updates);
    let told: Vec<_> = events(updates)
        .into_iter()
        .map(|event| match event {
            ServerEvent::Joined { rejoined, .. } => format!("joined, rejoined: {rejoined}"),
            ServerEvent::AlreadyJoined { room } => format!("already in {room}"),
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(told, ["joined, rejoined: true", "already in lobby"]);
    let seats = |update: &&ServerUpdate| {
        matches!(
            update,
            ServerUpdate::Event(RelayEvent::PlayerJoined { .. } | RelayEvent::PlayerLeft { .. })
        )
    };
    assert_eq!(world.updates.iter().filter(seats).count(), 1, "{:?}", world.updates);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_gone_after_a_restart_is_told_apart_from_one_that_was_asked_for() {
    for asks in [false, true] {
        let (mut client, lines) = parted(Client::builder()).await;
        if asks {
            client.send(join("lobby")).unwrap();
            client.flush();
        }
        let mut world = World::new().await;
        let (name, message) = (name("lobby"), String::new());
        world.server.send(ServerCommand::CloseRoom { name: name.clone(), message });
        world.server.flush();
        world.step().await;
        lines.lead_to(Some(world.server.handle()));
        world.pass().await;
        let told = events(poll(&mut client));
        let [ServerEvent::Error(error)] = &told[..] else { panic!("{told:?}") };
        let room = name.clone();
        let request = if asks { Request::Join { room } } else { Request::Rejoin { room } };
        assert_eq!(error.request, request);
        // Neither is asked for again.
        lines.lead_to(Some(world.server.handle()));
        world.pass().await;
        let told = events(poll(&mut client));
        assert!(!told.iter().any(|event| matches!(event, ServerEvent::Error(_))), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_wait_for_a_connection_is_refused_as_such() {
    let (mut client, _lines) = parted(Client::builder()).await;
    let room = Some(name("lobby"));
    let say = ClientCommand::Broadcast {
        room: room.clone(),
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload: Bytes::new(),
    };
    for command in [ClientCommand::Ping, ClientCommand::ListRooms, say] {
        client.send(command).unwrap();
    }
    client.flush();
    for _ in 0..STEPS {
        yield_now().await;
    }
    let refused: Vec<_> = events(poll(&mut client))
        .into_iter()
        .map(|event| match event {
            ServerEvent::Error(error) => (error.request, error.reason),
            event => panic!("{event:?}"),
        })
        .collect();
    let requests = [Request::Ping, Request::ListRooms, Request::Broadcast { room, reference: 0 }];
    assert_eq!(refused, requests.map(|request| (request, Refusal::NotConnected)));
}

#[tokio::test(start_paused = true)]
async fn a_client_in_no_room_that_is_greeted_anew_is_told_its_new_id() {
    let mut world = World::new().await;
    let lines = Lines::default();
    lines.lead_to(Some(world.server.handle()));
    let (target, reconnect) = (Target::Through(lines.connector()), Reconnect::default());
    let mut client = ClientBridge::connect(&world.network, Client::builder(), target, reconnect);
    world.step().await;
    poll(&mut client);
    lines.lead_to(Some(world.server.handle()));
    world.pass().await;
    let mut updates = poll(&mut client);
    let ticket = |update: &mut ClientUpdate| matches!(update, ClientUpdate::Ticket { .. });
    assert_eq!(updates.extract_if(.., ticket).count(), 1);
    assert!(
        matches!(
            updates[..],
            [
                ClientUpdate::Event(ServerEvent::Reconnecting { .. }),
                ClientUpdate::Event(ServerEvent::ResumeFailed { .. }),
                ClientUpdate::Connected { .. }
            ]
        ),
        "{updates:?}"
    );
}

/// A runtime that only runs while a test drives it.
fn driven() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_end_of_the_runtime_is_told_to_both_sides_once() {
    let runtime = driven();
    let network = Network::from_handle(runtime.handle().clone());
    let mut world = runtime.block_on(World::new());
    let (mut client, _) = runtime.block_on(world.join());
    assert!(world.server.handle().is_running());
    world.updates.clear();
    drop(runtime);
    world.server.poll(&mut world.updates);
    let stopped = world.updates.iter().filter(|update| matches!(update, ServerUpdate::Stopped));
    assert_eq!(stopped.count(), 1);
    assert!(matches!(world.updates.last(), Some(ServerUpdate::Stopped)), "{:?}", world.updates);
    assert!(!world.server.handle().is_running());
    let updates = poll(&mut client);
    let [ClientUpdate::Disconnected { reason, retry_in: None }] = &updates[..] else {
        panic!("{updates:?}")
    };
    assert!(matches!(reason, ClientEnd::NetworkEnded) && !reason.may_retry(), "{reason:?}");
    // Nothing follows, whatever is still asked for.
    world.server.send(ServerCommand::BroadcastAll {
        message_type: MessageType::RAW,
        payload: Bytes::new(),
    });
    world.server.flush();
    client.send(join("lobby")).unwrap();
    client.flush();
    world.updates.clear();
    world.server.poll(&mut world.updates);
    assert!(world.updates.is_empty() && poll(&mut client).is_empty());
    drop((world, client, network));
}

#[test]
fn a_runtime_that_ends_before_the_start_is_told_to_both_sides() {
    let runtime = driven();
    let network = Network::from_handle(runtime.handle().clone());
    let start = || {
        let server = ServerBridge::start(&network, Server::builder().local_only());
        let (target, reconnect) = (Target::Local(server.local()), Reconnect::default());
        (ClientBridge::connect(&network, Client::builder(), target, reconnect), server)
    };
    let before = start();
    drop(runtime);
    for (mut client, mut server) in [before, start()] {
        let mut updates = Vec::new();
        server.poll(&mut updates);
        let [ServerUpdate::Failed(error)] = &updates[..] else { panic!("{updates:?}") };
        assert_eq!(error.to_string(), "the network has ended before the server ran");
        let updates = poll(&mut client);
        let [ClientUpdate::Disconnected { reason: ClientEnd::NetworkEnded, retry_in: None }] =
            updates[..]
        else {
            panic!("{updates:?}")
        };
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_flushed_before_a_server_is_dropped_is_said_before_its_end() {
    // More batches than may be on their way, too.
    for count in 1..40_u64 {
        let mut world = World::new().await;
        let (mut client, _) = world.join().await;
        let World { mut server, .. } = world;
        for number in 0..count {
            server.send(ServerCommand::Broadcast {
                room: name("lobby"),
                delivery: Delivery::Reliable,
                except: Vec::new(),
                message_type: MessageType::RAW,
                payload: Bytes::copy_from_slice(&number.to_le_bytes()),
            });
            server.flush();
        }
        drop(server);
        let (mut heard, mut end) = (0_u64, None);
        for _ in 0..STEPS {
            yield_now().await;
            for update in poll(&mut client) {
                match update {
                    ClientUpdate::Event(ServerEvent::Broadcast { data, .. }) => {
                        assert_eq!(data, heard.to_le_bytes()[..]);
                        heard += 1;
                    }
                    ClientUpdate::Disconnected { reason, .. } => {
                        end.get_or_insert_with(|| reason.to_string());
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(heard, count);
        let words = "the server is shutting down: the server program has ended";
        assert_eq!(end.as_deref(), Some(words));
    }
}

#[test]
fn the_last_words_of_a_program_are_heard_however_the_threads_run() {
    for round in 0..50 {
        let network = Network::new().unwrap();
        let lobby = RoomConfig::default().observed();
        let builder = Server::builder().local_only().room_with("lobby", lobby);
        let mut server = ServerBridge::start(&network, builder);
        let target = Target::Local(server.local());
        let once = Reconnect { enabled: false, ..Reconnect::default() };
        let mut client = ClientBridge::connect(&network, Client::builder(), target, once);
        client.send(join("lobby")).unwrap();
        client.flush();
        let mut joined = false;
        while !joined {
            let mut updates = Vec::new();
            server.poll(&mut updates);
            for update in updates {
                if let ServerUpdate::Ask { ask, .. } = update {
                    server.send(ServerCommand::Answer { ask, verdict: Verdict::Accept });
                }
            }
            server.flush();
            joined = events(poll(&mut client))
                .iter()
                .any(|event| matches!(event, ServerEvent::Joined { .. }));
            std::thread::yield_now();
        }
        server.send(ServerCommand::Broadcast {
            room: name("lobby"),
            delivery: Delivery::Reliable,
            except: Vec::new(),
            message_type: MessageType::RAW,
            payload: Bytes::from_static(b"good night"),
        });
        server.flush();
        drop(server);
        let mut heard = Vec::new();
        loop {
            client.wake().recv_timeout(Duration::from_secs(10)).unwrap();
            let updates = poll(&mut client);
            let over = matches!(updates.last(), Some(ClientUpdate::Disconnected { .. }));
            heard.extend(events(updates));
            if over {
                break;
            }
        }
        let said = |event: &ServerEvent| matches!(event, ServerEvent::Broadcast { data, .. } if data == "good night");
        assert!(heard.iter().any(said), "round {round}: {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_never_work_is_told_before_anything_is_dialled() {
    let network = Network::from_handle(Handle::current());
    let dialled = Connector::new(|| -> std::future::Ready<std::io::Result<LocalStream>> {
        panic!("dialled")
    });
    let through = || Target::Through(dialled.clone());
    let web = || Target::Addr("http://127.0.0.1:1".to_owned());
    let empty_key = "metadata that no server takes: \"\" is not a key of metadata: \
                     a key of metadata needs at least one character";
    let many = "metadata that no server takes: metadata is limited to 2048 bytes and 32 entries";
    let url = "\"http://127.0.0.1:1\" is not the address of a server: \
               write HOST:PORT without http://";
    let cases = [
        (Client::builder().meta("", "v"), through(), empty_key),
        (Client::builder().meta("k", "v".repeat(2048)), through(), many),
        (Client::builder(), web(), url),
    ];
    for (builder, target, words) in cases {
        let mut client = ClientBridge::connect(&network, builder, target, Reconnect::default());
        for _ in 0..STEPS {
            yield_now().await;
        }
        let updates = poll(&mut client);
        let [
            ClientUpdate::Connecting { attempt: 0 },
            ClientUpdate::Disconnected { reason, retry_in: None },
        ] = &updates[..]
        else {
            panic!("{updates:?}")
        };
        assert_eq!(reason.to_string(), words);
        assert!(!reason.may_retry());
    }
    let data = Client::builder().data(vec![0; 4096]);
    let mut client = ClientBridge::connect(&network, data, through(), Reconnect::default());
    for _ in 0..STEPS {
        yield_now().await;
    }
    let updates = poll(&mut client);
    assert!(
        matches!(
            updates[..],
            [
                _,
                ClientUpdate::Disconnected {
                    reason: ClientEnd::Connect(ConnectError::HelloTooLarge { .. }),
                    retry_in: None
                }
            ]
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn metadata_that_no_server_takes_is_refused_without_a_connection_too() {
    let network = Network::from_handle(Handle::current());
    let nowhere = Connector::new(std::future::pending::<std::io::Result<LocalStream>>);
    let target = Target::Through(nowhere);
    let mut client =
        ClientBridge::connect(&network, Client::builder(), target, Reconnect::default());
    let set = |key: &str, len| ClientCommand::SetMeta {
        key: key.to_owned(),
        value: Some("v".repeat(len)),
    };
    for command in [set("", 1), set("k", 2048), set("k", 2047)] {
        client.send(command).unwrap();
    }
    client.flush();
    for _ in 0..STEPS {
        yield_now().await;
    }
    let refused: Vec<_> = events(poll(&mut client))
        .into_iter()
        .map(|event| match event {
            ServerEvent::Error(RequestError { request: Request::SetMeta, reason }) => reason,
            event => panic!("{event:?}"),
        })
        .collect();
    assert!(
        matches!(
            refused[..],
            [
                Refusal::InvalidMetaKey { .. },
                Refusal::MetaTooLarge { max_bytes: 2048, max_entries: 32 }
            ]
        ),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_answers_for_a_server_that_is_started_again_ends_no_client() {
    let mut world = World::new().await;
    let handle = world.server.handle();
    let (dials, cut) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, wait) = (dials.clone(), cut.clone());
    let way = Connector::new(move || {
        let (handle, wait) = (handle.clone(), wait.clone());
        // The second to the fourth time, somebody else is there.
        let stranger = (1..4).contains(&count.fetch_add(1, Ordering::Relaxed));
        async move {
            let (mut near, far) = tokio::io::duplex(1 << 16);
            if stranger {
                near.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await?;
                tokio::spawn(async move { near.read(&mut [0; 64]).await });
            } else {
                let mut server = handle.connect_local();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut server) => {}
                        () = wait.notified() => {}
                    }
                });
            }
            Ok(far)
        }
    });
    for resume in [true, false] {
        dials.store(0, Ordering::Relaxed);
        let mut builder = Client::builder();
        if !resume {
            builder = builder.resume_for(Duration::ZERO);
        }
        let target = Target::Through(way.clone());
        let mut client =
            ClientBridge::connect(&world.network, builder, target, Reconnect::default());
        client.send(join("lobby")).unwrap();
        client.flush();
        world.step().await;
        poll(&mut client);
        cut.notify_waiters();
        for _ in 0..3 {
            world.pass().await;
        }
        let updates = poll(&mut client);
        let over =
            |it: &ClientUpdate| matches!(it, ClientUpdate::Disconnected { retry_in: None, .. });
        assert!(!updates.iter().any(over), "{updates:?}");
        let back = |it: &ClientUpdate| {
            let resumed = matches!(it, ClientUpdate::Event(ServerEvent::Resumed));
            resumed || matches!(it, ClientUpdate::Connected { .. })
        };
        assert!(updates.iter().any(back), "{updates:?}");
        assert_eq!(dials.load(Ordering::Relaxed), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_flushed_when_the_client_has_ended_comes_back() {
    let network = Network::from_handle(Handle::current());
    let target = Target::Addr("nowhere".to_owned());
    let mut client =
        ClientBridge::connect(&network, Client::builder(), target, Reconnect::default());
    for _ in 0..STEPS {
        yield_now().await;
    }
    client.send(say(b"too late")).unwrap();
    client.flush();
    client.send(say(b"later still")).unwrap();
    client.flush();
    let lost = client.take_lost();
    assert!(matches!(lost[..], [ClientCommand::Broadcast { .. }]), "of one flush: {lost:?}");
    assert!(client.take_lost().is_empty());
    let updates = poll(&mut client);
    let [.., ClientUpdate::Disconnected { retry_in: None, .. }] = &updates[..] else {
        panic!("{updates:?}")
    };
}
