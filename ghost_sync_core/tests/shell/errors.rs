//! Every error of the guide is really produced, and reaches both sides.

use std::time::Duration;

use ghost_sync_core::{
    Client, ClientMessage, CloseReason, ConnectError, ConnectInfo, CreateRoomError, Delivery,
    Direction, DisconnectReason, HEADER_LEN, Hello, MAX_OVERHEAD, MessageType, Mismatch, Protocol,
    Refusal, RequestKind, RoomId, RoomNotFound, Secret, SendFlags, Server, ServerEvent,
    ServerHandler, ServerMessage, TypeMismatch, VERSIONS, Verdict, Versions, Welcome,
    client::SendError,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};

use crate::support::*;

/// A server with an ear.
async fn listening() -> (ghost_sync_core::ServerHandle, Ears) {
    let (ear, ears) = ear();
    (serve(Server::builder().handler(ear)).await, ears)
}

fn say(room: RoomId, payload: &[u8]) -> ClientMessage<'_> {
    ClientMessage::Broadcast {
        room,
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload,
    }
}

#[tokio::test(start_paused = true)]
async fn idle_timeout_reaches_both_sides() {
    let (server, mut ears) = listening().await;
    let mut silent = Raw::open(server.connect_local()).await;
    let start = Instant::now();
    let reason = silent.close_reason().await;
    assert_eq!(reason, CloseReason::IdleTimeout { after_ms: 31_000 });
    assert_eq!(start.elapsed().as_secs(), 31);
    assert_eq!(ears.end().await, DisconnectReason::Closed(reason));
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_up_a_server_that_went_silent() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let mut server = Raw::new(theirs);
    let greet = async {
        server.frame().await.unwrap();
        let welcome = ServerMessage::Welcome(Welcome {
            version: VERSIONS.newest,
            client_id: ghost_sync_core::Uuid::from_u128(7),
            max_payload: 10,
            ping_interval_ms: 13_000,
            idle_timeout_ms: 31_000,
            resume_grace_ms: 0,
            epoch: 0,
            secret: Secret::default(),
            rooms: Vec::new(),
            ..Welcome::default()
        });
        server.say_bytes(&welcome.to_frame()).await;
        server
    };
    let (client, mut server) = tokio::join!(Client::builder().connect_over(ours), greet);
    let mut client = client.unwrap();
    let reason = CloseReason::IdleTimeout { after_ms: 31_000 };
    assert_eq!(end(&mut client).await, DisconnectReason::Closed(reason.clone()));
    let goodbye = server.frame().await.unwrap();
    assert_eq!(ClientMessage::decode(&goodbye), Ok(ClientMessage::Close { reason }));
}

#[tokio::test(start_paused = true)]
async fn ping_timeout_reaches_both_sides() {
    let (server, mut ears) = listening().await;
    let mut deaf = Raw::open(server.connect_local()).await;
    let chatter = ClientMessage::ListRooms { request: 1 };
    let reason = loop {
        deaf.say(&chatter).await;
        let mut closed = None;
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            closed = Some(deaf.close_reason().await);
        })
        .await;
        if let Some(reason) = closed {
            break reason;
        }
    };
    assert_eq!(reason, CloseReason::PingTimeout { missed: 2 });
    assert_eq!(ears.end().await, DisconnectReason::Closed(reason));
}

#[tokio::test(start_paused = true)]
async fn connection_closed_reaches_both_sides() {
    let (server, mut ears) = listening().await;
    drop(Raw::open(server.connect_local()).await);
    assert_eq!(ears.end().await, DisconnectReason::ConnectionClosed);

    let proxy = async |mut outside: tokio::io::DuplexStream| {
        let mut inside = server.connect_local();
        let copy = tokio::io::copy_bidirectional(&mut outside, &mut inside);
        let _ = tokio::time::timeout(Duration::from_secs(1), copy).await;
    };
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (client, ()) = tokio::join!(Client::builder().connect_over(ours), proxy(theirs));
    assert_eq!(end(&mut client.unwrap()).await, DisconnectReason::ConnectionClosed);
    assert_eq!(ears.end().await, DisconnectReason::ConnectionClosed);
}

/// Cuts a connection as a crash does.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn connection_reset_reaches_both_sides() {
    let (ear, mut ears) = ear();
    let server = Server::builder().bind("127.0.0.1:0").handler(ear).build();
    let server = server.run().await.unwrap();
    let stream = TcpStream::connect(server.local_addr().unwrap()).await.unwrap();
    reset(Raw::open(stream).await.into_stream());
    assert_eq!(ears.end().await, DisconnectReason::ConnectionReset);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let crash = async {
        let (outside, _) = listener.accept().await.unwrap();
        let mut outside = Raw::new(outside);
        let mut inside = Raw::new(server.connect_local());
        outside.frame().await.unwrap();
        inside.say(&hello()).await;
        let welcome = inside.frame().await.unwrap();
        let len = u32::try_from(welcome.len()).unwrap().to_le_bytes();
        outside.say_bytes(&[&len[..], &welcome].concat()).await;
        outside.into_stream()
    };
    let (client, stream) = tokio::join!(Client::connect(addr), crash);
    reset(stream);
    assert_eq!(end(&mut client.unwrap()).await, DisconnectReason::ConnectionReset);
}

#[tokio::test]
async fn connection_refused_by_the_machine_is_told_to_the_client() {
    // Bound, but not listening: nobody else gets the port, and nobody answers.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = Client::connect(socket.local_addr().unwrap()).await.unwrap_err();
    assert!(matches!(error, ConnectError::ConnectionRefused(_)), "{error:?}");
    assert!(error.may_retry());
}

#[tokio::test(start_paused = true)]
async fn connection_refused_by_the_rules_reaches_both_sides() {
    struct Closed;
    impl ServerHandler for Closed {
        fn on_connect(&self, connect: &ConnectInfo<'_>) -> Verdict {
            Verdict::reject(format!("no entry with {:?} for {}", connect.data, connect.user_agent))
        }
    }
    let server = serve(Server::builder().handler(Closed)).await;
    let builder = Client::builder().data(&[7][..]).user_agent("game/1.0");
    let error = builder.connect_over(server.connect_local()).await.unwrap_err();
    assert_eq!(error.to_string(), "refused by the server: no entry with [7] for game/1.0");
    assert!(!error.may_retry());
    let mut raw = Raw::new(server.connect_local());
    raw.say(&hello()).await;
    let message = "no entry with [] for ".to_owned();
    assert_eq!(raw.close_reason().await, CloseReason::ConnectionRefused { message });
    assert_eq!(server.client_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn payload_too_large_is_found_by_the_client_and_by_the_server() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().max_payload(100).handler(ear)).await;
    let client = join(&server, "lobby").await;
    let error = client.broadcast([0; 101]).await.unwrap_err();
    assert_eq!(error, SendError::PayloadTooLarge { len: 101, max: 100 });
    client.broadcast([0; 100]).await.unwrap();

    let (mut raw, room) = Raw::joined(server.connect_local()).await;
    raw.say(&say(room, &[0; 101])).await;
    let body = raw.frame().await.unwrap();
    let refused = ServerMessage::decode(&body).unwrap();
    let reason = Refusal::PayloadTooLarge { len: 101, max: 100 };
    assert_eq!(refused, ServerMessage::Refused { room, reference: 1, reason });

    let len = u32::try_from(100 + MAX_OVERHEAD + 1).unwrap();
    let header: [u8; HEADER_LEN] = len.to_le_bytes();
    raw.say_bytes(&header).await;
    let reason = CloseReason::PayloadTooLarge { len, max: len - 1 };
    assert_eq!(raw.close_reason().await, reason);
    assert_eq!(ears.end().await, DisconnectReason::Closed(reason));
}

#[tokio::test(start_paused = true)]
async fn protocol_violations_reach_both_sides() {
    let (server, mut ears) = listening().await;
    for garbage in [&[1, 0, 0, 0, 200][..], &[0, 0, 0, 0], &[2, 0, 0, 0, 8, 1]] {
        let mut raw = Raw::open(server.connect_local()).await;
        raw.say_bytes(garbage).await;
        let reason = raw.close_reason().await;
        assert!(matches!(reason, CloseReason::Protocol { .. }), "{reason:?}");
        assert_eq!(ears.end().await, DisconnectReason::Closed(reason));
    }
    for stranger in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 32], b"SSH-2.0-OpenSSH_9.6\r\n"] {
        let mut raw = Raw::new(server.connect_local());
        raw.say_bytes(stranger).await;
        let reason = raw.close_reason().await;
        assert!(matches!(reason, CloseReason::Protocol { .. }), "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn room_not_found_reaches_both_sides() {
    let server = server().await;
    let mut client = connect(&server).await;
    client.join("nowhere").await.unwrap();
    let ServerEvent::Refused(error) = next(&mut client).await else { panic!() };
    assert_eq!((error.request, error.room), (RequestKind::Join, Some(name("nowhere"))));
    assert_eq!(error.reason, Refusal::RoomNotFound { room: "nowhere".into() });
    assert_eq!(server.delete_room("nowhere"), Err(RoomNotFound("nowhere".into())));
    assert!(server.broadcast("nowhere", b"").is_err());
}

#[tokio::test(start_paused = true)]
async fn room_already_exists_is_told() {
    let server = server().await;
    let error = server.create_room("lobby").unwrap_err();
    assert_eq!(error, CreateRoomError::RoomAlreadyExists(name("lobby")));
    let twice = Server::builder().local_only().room("den").room("den").build().run().await;
    let error = twice.unwrap_err();
    assert!(matches!(error, ghost_sync_core::BindError::Room(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn not_in_room_is_found_by_the_client_and_by_the_server() {
    let server = server().await;
    let client = connect(&server).await;
    assert_eq!(client.broadcast(b"hi").await, Err(SendError::NotInRoom));
    assert_eq!(client.leave().await, Err(SendError::NotInRoom));
    let mut raw = Raw::open(server.connect_local()).await;
    let room = RoomId(1);
    raw.say(&say(room, b"hi")).await;
    raw.say(&ClientMessage::Leave { room }).await;
    for reference in [1, 0] {
        let body = raw.frame().await.unwrap();
        let refused = ServerMessage::Refused { room, reference, reason: Refusal::NotInRoom };
        assert_eq!(ServerMessage::decode(&body), Ok(refused));
    }
}

#[tokio::test(start_paused = true)]
async fn max_clients_reached_reaches_both_sides() {
    let server = serve(Server::builder().max_clients(2)).await;
    let clients = (connect(&server).await, connect(&server).await);
    let stream = server.connect_local();
    let error = Client::builder().connect_over(stream).await.unwrap_err();
    assert!(matches!(error, ConnectError::MaxClientsReached { max: 2, .. }), "{error:?}");
    assert_eq!(server.client_count(), 2);
    clients.0.disconnect().await;
    // Its place is free once the server has heard the goodbye.
    tokio::time::sleep(Duration::from_millis(1)).await;
    connect(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_socket_is_closed_in_time() {
    let (server, _ears) = listening().await;
    let mut raw = Raw::new(server.connect_local());
    let start = Instant::now();
    assert_eq!(raw.close_reason().await, CloseReason::HandshakeTimeout { after_ms: 5000 });
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_mismatch_names_both_versions_and_the_types_that_differ() {
    let mut ours = Protocol::default();
    let mut theirs = ours.clone();
    ours.add("Move", 1, Direction::Both);
    ours.add("Score", 1, Direction::FromServer);
    ours.add("Turn", 1, Direction::FromClients);
    theirs.add("Move", 2, Direction::Both);
    theirs.add("Chat", 3, Direction::Both);
    theirs.add("Turn", 1, Direction::Both);
    let server = serve(Server::builder().protocol(ours.clone())).await;
    let connect =
        |protocol| Client::builder().protocol(protocol).connect_over(server.connect_local());
    let error = connect(theirs).await.unwrap_err();
    assert!(!error.may_retry());
    assert_eq!(
        error.to_string(),
        "typed messages differ: the server lacks Chat; this client lacks Score; Move has another \
         shape; Turn is said from both sides here, and from clients on the server (rebuild both \
         from the same source)"
    );
    let ConnectError::ProtocolMismatch { differing } = error else { panic!("{error:?}") };
    let chat = TypeMismatch { name: "Chat".to_owned(), how: Mismatch::OnlyHere };
    assert_eq!(differing[0], chat);
    connect(ours).await.unwrap();

    let mut raw = Raw::new(server.connect_local());
    let client = Versions { oldest: 8, newest: 9 };
    raw.say(&ClientMessage::Hello(Hello { versions: client, ..Hello::default() })).await;
    let reason = CloseReason::VersionMismatch { client, server: VERSIONS };
    assert_eq!(raw.close_reason().await, reason);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_forgot_its_types_learns_which_it_lacks() {
    let mut typed = Protocol::default();
    typed.add("Chat", 1, Direction::Both);
    typed.add("Move", 1, Direction::Both);
    for (ours, theirs, lacks) in [
        (typed.clone(), Protocol::default(), "this client lacks Chat, Move"),
        (Protocol::default(), typed.clone(), "the server lacks Chat, Move"),
    ] {
        let server = serve(Server::builder().protocol(ours)).await;
        let client = Client::builder().protocol(theirs).connect_over(server.connect_local());
        let words = format!("typed messages differ: {lacks} (rebuild both from the same source)");
        assert_eq!(client.await.unwrap_err().to_string(), words);
        // One that was never told of types is any program.
        connect(&server).await;
    }
    let any = serve(Server::builder()).await;
    Client::builder().protocol(typed).connect_over(any.connect_local()).await.unwrap();
}
