//! The client: waiting, splitting, limits, ends.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_core::Stream;
use ghost_sync_core::{
    Client, CloseReason, ConnectError, Delivery, DisconnectReason, GapReason, LeaveReason, Limits,
    MAX_HELLO, MessageType, Secret, SendOptions, Server, ServerEvent, ServerMessage, VERSIONS,
    Welcome,
    client::{SendError, TryRecvError},
};
use tokio::time::Instant;

use crate::support::*;

async fn next_of<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_greet_is_given_up() {
    let (ours, _theirs) = tokio::io::duplex(1 << 16);
    let start = Instant::now();
    let error = Client::builder().connect_over(ours).await.unwrap_err();
    assert!(matches!(error, ConnectError::HandshakeTimedOut { .. }), "{error:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_answer_is_given_up() {
    // A listener whose queue is full leaves newcomers without an answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let waiting: Vec<_> =
        (0..8).map(|_| tokio::spawn(tokio::net::TcpStream::connect(addr))).collect();
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    let error = Client::connect(addr).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    assert!(error.may_retry());
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_is_too_long_is_not_sent() {
    let (ours, _theirs) = tokio::io::duplex(1 << 16);
    let error = Client::builder().data(vec![0; MAX_HELLO]).connect_over(ours).await.unwrap_err();
    assert!(matches!(error, ConnectError::HelloTooLarge { len } if len > MAX_HELLO), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_roster_shows_everybody_with_their_metadata() {
    let server = server().await;
    let ann = Client::builder().metadata("name", "Ann").connect_over(server.connect_local());
    let mut ann = ann.await.unwrap();
    ann.join("lobby").await.unwrap();
    hear_joined(&mut ann, "lobby").await;
    let mut bob = connect(&server).await;
    bob.join("lobby").await.unwrap();
    let ServerEvent::Joined { members, client_id, seat, .. } = next(&mut bob).await else {
        panic!()
    };
    assert_eq!(members[0].client_id, ann.client_id());
    assert_eq!(members[0].meta, [("name".to_owned(), "Ann".to_owned())]);
    assert_eq!((members[1].client_id, members[1].seat), (client_id, seat));
    bob.set_metadata("name", "Bob").await.unwrap();
    next(&mut ann).await;
    let ServerEvent::PlayerMetadata { client_id, key, value, version: 1, .. } =
        next(&mut ann).await
    else {
        panic!()
    };
    assert_eq!((client_id, &key[..], value.as_deref()), (bob.client_id(), "name", Some("Bob")));
    bob.remove_metadata("name").await.unwrap();
    let ServerEvent::PlayerMetadata { value: None, version: 2, .. } = next(&mut ann).await else {
        panic!()
    };
}

#[tokio::test(start_paused = true)]
async fn a_large_roster_comes_in_pages_and_is_one_event() {
    let server = server().await;
    let mut members = Vec::new();
    for _ in 0..200 {
        members.push(join(&server, "lobby").await);
    }
    let mut last = connect(&server).await;
    last.join("lobby").await.unwrap();
    let ServerEvent::Joined { members: listed, .. } = next(&mut last).await else { panic!() };
    let listed: Vec<_> = listed.iter().map(|member| member.client_id).collect();
    let expected = members.iter().chain([&last]).map(Client::client_id);
    assert_eq!(listed, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_ping_tells_the_round_trip() {
    let server = server().await;
    let mut client = connect(&server).await;
    client.ping().await.unwrap();
    let ServerEvent::Pong { rtt } = next(&mut client).await else { panic!() };
    assert!(rtt < Duration::from_millis(10), "{rtt:?}");
}

#[tokio::test(start_paused = true)]
async fn halves_work_apart_and_the_stream_ends_with_the_connection() {
    let server = server().await;
    let other = join(&server, "lobby").await;
    let (sender, mut receiver) = connect(&server).await.split();
    let asking = tokio::spawn(async move {
        sender.join("lobby").await.unwrap();
        sender
    });
    let joined = next_of(&mut receiver).await;
    assert!(matches!(joined, Some(Ok(ServerEvent::Joined { .. }))), "{joined:?}");
    let sender = asking.await.unwrap();
    other.broadcast(b"hi").await.unwrap();
    assert!(matches!(next_of(&mut receiver).await, Some(Ok(ServerEvent::Broadcast { .. }))));
    server.disconnect(sender.client_id(), "bye").unwrap();
    let kicked = DisconnectReason::Closed(CloseReason::Kicked { message: "bye".into() });
    assert_eq!(next_of(&mut receiver).await, Some(Err(kicked.clone())));
    assert_eq!(next_of(&mut receiver).await, None);
    assert_eq!(receiver.recv().await, Err(kicked.clone()));
    assert_eq!(sender.join("lobby").await, Err(SendError::Disconnected(kicked)));
}

#[tokio::test(start_paused = true)]
async fn try_recv_says_whether_more_may_come() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    assert_eq!(client.try_recv(), Err(TryRecvError::Empty));
    client.disconnect().await;
    assert_eq!(client.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(client.recv().await, Ok(None));
    assert_eq!(next_of(&mut client).await, None);
    assert_eq!(client.broadcast(b"").await, Err(SendError::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_goodbye_still_leaves() {
    let server = server().await;
    let (client, mut other) = (join(&server, "lobby").await, join(&server, "lobby").await);
    for _ in 0..10 {
        client.broadcast([7; 50_000]).await.unwrap();
    }
    client.disconnect().await;
    for _ in 0..10 {
        assert_eq!(hear(&mut other).await.len(), 50_000);
    }
    let ServerEvent::PlayerLeft { reason: LeaveReason::Left, .. } = next(&mut other).await else {
        panic!()
    };
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_says_goodbye() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    let (sender, receiver) = connect(&server).await.split();
    let clone = sender.clone();
    drop(sender);
    drop(receiver);
    clone.list_rooms().await.unwrap();
    assert_eq!(server.client_count(), 1);
    drop(clone);
    assert_eq!(ears.end().await, DisconnectReason::Closed(CloseReason::Requested));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_listen_is_told_what_it_missed() {
    let server = serve(Server::builder().limits(Limits::none())).await;
    let builder = Client::builder().inbox_limit(100_000);
    let mut lazy = builder.connect_over(server.connect_local()).await.unwrap();
    lazy.join("lobby").await.unwrap();
    hear_joined(&mut lazy, "lobby").await;
    let busy = join(&server, "lobby").await;
    for round in 0..1000_u32 {
        let delivery = match round % 4 {
            0 => Delivery::Volatile,
            1 => Delivery::Latest(1),
            2 => Delivery::Latest(2),
            _ => Delivery::Reliable,
        };
        let data = if delivery == Delivery::Reliable { vec![] } else { vec![7; 1000] };
        let options = SendOptions { delivery, ..SendOptions::default() };
        busy.broadcast_with(data, options).await.unwrap();
        tokio::task::yield_now().await;
    }
    lazy.ping().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut expected = None;
    let (mut reliable, mut latest, mut lost) = (0, [0; 2], 0);
    let mut until = u64::MAX;
    while expected.is_none_or(|next| next <= until) {
        match next(&mut lazy).await {
            ServerEvent::PlayerJoined { seq, .. } => {
                expected = Some(seq + 1);
                until = seq + 1000;
            }
            ServerEvent::Broadcast { seq, delivery, .. } => {
                assert_eq!(Some(seq), expected);
                expected = Some(seq + 1);
                match delivery {
                    Delivery::Reliable => reliable += 1,
                    Delivery::Latest(1) => latest[0] = seq,
                    Delivery::Latest(_) => latest[1] = seq,
                    Delivery::Volatile => {}
                }
            }
            // What was left unread was overtaken on the server.
            ServerEvent::Gap {
                from,
                to,
                own: 0,
                reason: GapReason::InboxFull | GapReason::Lagged,
                ..
            } => {
                assert_eq!(Some(from), expected);
                expected = Some(to + 1);
                lost += to + 1 - from;
            }
            ServerEvent::Pong { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(reliable, 250);
    let last = expected.unwrap() - 1;
    assert_eq!(latest, [last - 2, last - 1], "the last values stay");
    assert!(lost > 500, "{lost}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_must_not_miss_what_it_does_not_take_is_disconnected() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    let builder = Client::builder().inbox_limit(50_000);
    let mut lazy = builder.connect_over(server.connect_local()).await.unwrap();
    lazy.join("lobby").await.unwrap();
    hear_joined(&mut lazy, "lobby").await;
    let busy = join(&server, "lobby").await;
    for _ in 0..100 {
        busy.broadcast([7; 1000]).await.unwrap();
    }
    assert_eq!(ears.end().await, DisconnectReason::Closed(CloseReason::Requested));
    let DisconnectReason::Closed(CloseReason::SlowConsumer { max, .. }) = end(&mut lazy).await
    else {
        panic!()
    };
    assert_eq!(max, 50_000);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_while_the_outbox_is_full() {
    let (ours, theirs) = tokio::io::duplex(1000);
    let mut server = Raw::new(theirs);
    let greet = async {
        server.frame().await.unwrap();
        let welcome = ServerMessage::Welcome(Welcome {
            version: VERSIONS.newest,
            client_id: ghost_sync_core::Uuid::from_u128(7),
            max_payload: 5000,
            ping_interval_ms: 0,
            idle_timeout_ms: 0,
            resume_grace_ms: 0,
            epoch: 0,
            secret: Secret::default(),
            rooms: Vec::new(),
            ..Welcome::default()
        });
        server.say_bytes(&welcome.to_frame()).await;
        server
    };
    let builder = Client::builder().outbox_limit(10_000);
    let (client, mut server) = tokio::join!(builder.connect_over(ours), greet);
    let client = client.unwrap();
    let mut sent = 0;
    let stuck = async {
        loop {
            client.send_to_server([7; 5000]).await.unwrap();
            sent += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3600), stuck).await.is_err());
    assert!((2..=4).contains(&sent), "{sent}");
    let wait = client.send_to_server(b"late");
    let read = async {
        let mut frames = 0;
        while let Some(frame) = server.frame().await {
            frames += 1;
            if frame.len() < 100 {
                return frames;
            }
        }
        frames
    };
    let (reference, frames) = tokio::join!(wait, read);
    assert_eq!(reference.unwrap(), frames);
    assert_eq!(frames, sent + 1);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_with_their_players_and_metadata() {
    let server = server().await;
    server.create_room_with("hidden", ghost_sync_core::RoomConfig::default().unlisted()).unwrap();
    server.set_room_metadata("lobby", "map", "cellar").unwrap();
    let mut client = join(&server, "lobby").await;
    client.list_rooms().await.unwrap();
    let ServerEvent::RoomList { count: 1, rooms } = next(&mut client).await else { panic!() };
    assert_eq!((&rooms[0].name[..], rooms[0].players), ("lobby", 1));
    assert_eq!(rooms[0].meta, [("map".to_owned(), "cellar".to_owned())]);
}

/// Bytes whose reading asks the client something.
struct Curious<'a>(&'a Client);

impl AsRef<[u8]> for Curious<'_> {
    fn as_ref(&self) -> &[u8] {
        let _ = self.0.rooms();
        b"hi"
    }
}

impl AsRef<str> for Curious<'_> {
    fn as_ref(&self) -> &str {
        let _ = self.0.rooms();
        "lobby"
    }
}

#[test]
fn what_the_program_hands_over_may_ask_the_client() {
    let (done, end) = std::sync::mpsc::channel();
    // One that waits for itself would do so for ever, on a thread of its own.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = server().await;
            let client = join(&server, "lobby").await;
            let me = || Curious(&client);
            client.broadcast(me()).await.unwrap();
            client.sender().try_broadcast(me(), &SendOptions::default()).unwrap();
            client.send_to_server_with(Some(me()), MessageType::RAW, me()).await.unwrap();
            client.set_metadata(me(), me()).await.unwrap();
            client.remove_metadata(me()).await.unwrap();
            client.join_with(me(), me()).await.unwrap();
            client.leave_room(me()).await.unwrap();
        });
        let _ = done.send(());
    });
    end.recv_timeout(Duration::from_secs(10)).expect("every call comes back");
}
