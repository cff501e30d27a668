//! Whatever a handler does, it harms nobody else.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use ghost_sync_core::{
    AsyncServerHandler, Client, ClientId, CreateOnJoin, JoinInfo, LeaveReason, Limits, MessageType,
    Refusal, RelayMode, RoomConfig, Server, ServerEvent, ServerHandle, ServerHandler, Verdict,
};
use tokio::time::Instant;

use crate::support::*;

async fn refusal(client: &mut Client) -> Refusal {
    match next(client).await {
        ServerEvent::Refused(error) => error.reason,
        event => panic!("{event:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_hears_everything_in_order() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    let first = join(&server, "lobby").await;
    let mut second = join(&server, "lobby").await;
    first.broadcast(b"hi").await.unwrap();
    hear(&mut second).await;
    second.send_to_server(b"to the server").await.unwrap();
    second.send_to_server_with(Some("lobby"), MessageType::of("Cast"), b"spell").await.unwrap();
    second.leave().await.unwrap();
    while !matches!(next(&mut second).await, ServerEvent::Left { .. }) {}
    server.delete_room("lobby").unwrap();
    server.shutdown().await;
    let (one, two) = (first.client_id(), second.client_id());
    let lobby = || "lobby".to_owned();
    let mut told = ears.rest().await;
    // Questions are asked beside the facts.
    let asked: Vec<_> = told.extract_if(.., |told| matches!(told, Told::Joining(..))).collect();
    assert_eq!(asked, [Told::Joining(one, lobby()), Told::Joining(two, lobby())]);
    let stopped =
        ghost_sync_core::DisconnectReason::Closed(ghost_sync_core::CloseReason::ServerShutdown {
            message: "goodbye".into(),
            retry_after_ms: 1000,
        });
    let mut ends = told.split_off(told.len() - 3);
    ends.sort_by_key(|told| matches!(told, Told::Disconnected(id, _) if *id == two));
    assert_eq!(
        told,
        [
            Told::Created(lobby()),
            Told::Broadcast(one, lobby(), "hi".into()),
            Told::Message(two, None, "to the server".into()),
            Told::Message(two, Some(lobby()), "spell".into()),
            Told::Left(two, lobby(), LeaveReason::Left),
            Told::Deleted(lobby()),
        ]
    );
    assert_eq!(
        ends,
        [
            Told::Left(one, lobby(), LeaveReason::Disconnected),
            Told::Disconnected(one, stopped.clone()),
            Told::Disconnected(two, stopped),
        ]
    );
}

/// Blocks in `on_join` to rooms called `block` until it is let go, then says yes; to `tell`
/// it says more than that.
struct Blocking {
    go: Mutex<mpsc::Receiver<()>>,
    left: tokio::sync::mpsc::UnboundedSender<String>,
}

impl ServerHandler for Blocking {
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        if join.room != "lobby" {
            let _ = self.go.lock().map(|go| go.recv());
        }
        if join.room == "tell" { Verdict::greet(Vec::new()) } else { Verdict::Accept }
    }

    fn on_leave(&self, _: ClientId, room: &str, _: &LeaveReason) {
        let _ = self.left.send(room.to_owned());
    }
}

#[tokio::test]
async fn a_handler_that_blocks_means_no_and_stalls_nobody() {
    let (let_go, go) = mpsc::channel();
    let (left, mut leaves) = tokio::sync::mpsc::unbounded_channel();
    let handler = Blocking { go: Mutex::new(go), left };
    let builder = Server::builder().ask_timeout(Duration::from_millis(20)).handler(handler);
    let server = serve(builder.room("block")).await;
    let mut stuck = connect(&server).await;
    stuck.join("block").await.unwrap();
    let (mut first, second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    next(&mut first).await;
    second.broadcast(b"hi").await.unwrap();
    assert_eq!(hear(&mut first).await, "hi");
    assert_eq!(refusal(&mut stuck).await, Refusal::TimedOut { after_ms: 20 });
    assert!(leaves.try_recv().is_err());
    // It says yes in the end: too late, so it is told that the client left.
    let_go.send(()).unwrap();
    assert_eq!(leaves.recv().await.as_deref(), Some("block"));
    assert_eq!(server.room_client_count("block"), Some(0));
}

#[tokio::test]
async fn hooks_that_never_return_do_not_take_the_place_of_others() {
    let (let_go, go) = mpsc::channel();
    let (left, _leaves) = tokio::sync::mpsc::unbounded_channel();
    let handler = Blocking { go: Mutex::new(go), left };
    let builder = Server::builder().ask_timeout(Duration::from_millis(200)).handler(handler);
    let server = serve(builder.room("block")).await;
    let mut stuck = Vec::new();
    for _ in 0..130 {
        stuck.push(connect(&server).await);
    }
    for client in &stuck {
        client.join("block").await.unwrap();
    }
    for client in &mut stuck {
        assert_eq!(refusal(client).await, Refusal::TimedOut { after_ms: 200 });
    }
    join(&server, "lobby").await;
    drop(let_go);
}

#[tokio::test]
async fn a_yes_to_a_client_that_has_gone_is_followed_by_one_leave() {
    let (let_go, go) = mpsc::channel();
    let (left, mut leaves) = tokio::sync::mpsc::unbounded_channel();
    let handler = Blocking { go: Mutex::new(go), left };
    let server = serve(Server::builder().handler(handler).room("block").room("tell")).await;
    for room in ["block", "tell"] {
        let client = connect(&server).await;
        client.join(room).await.unwrap();
        client.disconnect().await;
        while server.client_count() > 0 {
            tokio::task::yield_now().await;
        }
        let_go.send(()).unwrap();
        let left = tokio::time::timeout(Duration::from_secs(5), leaves.recv()).await;
        assert_eq!(left.ok().flatten().as_deref(), Some(room));
    }
    server.shutdown().await;
    assert!(leaves.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_means_no_and_hears_on() {
    struct Clumsy(Ear);
    impl ServerHandler for Clumsy {
        fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
            assert_ne!(join.room, "trap", "stepped into it");
            Verdict::Accept
        }
        fn on_room_create(&self, room: &str) {
            assert_ne!(room, "trap", "stepped into it");
            self.0.on_room_create(room);
        }
    }
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(Clumsy(ear))).await;
    server.create_room("trap").unwrap();
    server.create_room("safe").unwrap();
    let mut client = connect(&server).await;
    client.join("trap").await.unwrap();
    let failed = Refusal::Rejected { message: "the server's rules failed".into() };
    assert_eq!(refusal(&mut client).await, failed);
    client.join("safe").await.unwrap();
    hear_joined(&mut client, "safe").await;
    assert_eq!(ears.next().await, Told::Created("lobby".into()));
    assert_eq!(ears.next().await, Told::Created("safe".into()));
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_call_back_into_the_server() {
    struct Busy(ServerHandle);
    impl ServerHandler for Busy {
        fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
            let server = &self.0;
            let _ = server.create_room("made by the rules");
            let _ = server.set_client_metadata(join.client_id, "asked for", join.room);
            server.send_to(join.client_id, b"welcome").is_ok().into()
        }
        fn on_broadcast(&self, client: ClientId, room: &str, data: &[u8]) {
            let _ = self.0.broadcast(room, data.to_ascii_uppercase());
            let _ = self.0.kick(client, room, "shouting");
        }
    }
    let server = serve(Server::builder().handler_with(Busy)).await;
    let mut client = connect(&server).await;
    client.join("lobby").await.unwrap();
    assert!(matches!(next(&mut client).await, ServerEvent::Direct { .. }));
    hear_joined(&mut client, "lobby").await;
    assert!(server.room_exists("made by the rules"));
    client.broadcast(b"hey").await.unwrap();
    assert_eq!(hear(&mut client).await, "HEY");
    assert!(matches!(next(&mut client).await, ServerEvent::Left { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_slow_to_hear_misses_messages_and_no_lifecycle() {
    struct Slow(Mutex<mpsc::Receiver<()>>, Ear);
    impl ServerHandler for Slow {
        fn on_room_create(&self, room: &str) {
            if room == "stop" {
                let _ = self.0.lock().map(|go| go.recv());
            }
        }
        fn on_broadcast(&self, client: ClientId, room: &str, data: &[u8]) {
            self.1.on_broadcast(client, room, data);
        }
        fn on_room_delete(&self, room: &str) {
            self.1.on_room_delete(room);
        }
    }
    let (let_go, go) = mpsc::channel();
    let (ear, mut ears) = ear();
    let builder = Server::builder().handler(Slow(Mutex::new(go), ear));
    let server = serve(builder.limits(Limits::none())).await;
    let (first, mut second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    server.create_room("stop").unwrap();
    for _ in 0..200 {
        first.broadcast([7; 60_000]).await.unwrap();
        hear(&mut second).await;
    }
    server.delete_room("stop").unwrap();
    let_go.send(()).unwrap();
    let mut seen = 0;
    while !matches!(ears.next().await, Told::Deleted(_)) {
        seen += 1;
    }
    // Of one client 512 KiB may wait, and one batch more be on its way.
    assert!((8..20).contains(&seen), "{seen}");
}

#[tokio::test(start_paused = true)]
async fn rooms_are_made_and_messages_pass_as_the_rules_say() {
    struct Rules;
    impl ServerHandler for Rules {
        fn on_create_room_request(&self, join: &JoinInfo<'_>) -> Verdict {
            join.room.starts_with("my ").into()
        }
        fn on_relay(&self, _: ClientId, _: &str, _: MessageType, data: &[u8]) -> Verdict {
            if data.is_ascii() { Verdict::Accept } else { Verdict::reject("speak plainly") }
        }
    }
    let defaults = RoomConfig::default().mode(RelayMode::Moderated);
    let builder = Server::builder().handler(Rules).create_on_join(CreateOnJoin::Ask);
    let server = serve(builder.room_defaults(defaults)).await;
    let mut first = connect(&server).await;
    first.join("your room").await.unwrap();
    assert!(matches!(refusal(&mut first).await, Refusal::Rejected { .. }));
    first.join("my room").await.unwrap();
    hear_joined(&mut first, "my room").await;
    let mut second = join(&server, "my room").await;
    next(&mut first).await;
    for word in ["hey", "hé", "ho"] {
        first.broadcast(word).await.unwrap();
    }
    assert_eq!(hear(&mut second).await, "hey");
    assert_eq!(hear(&mut second).await, "ho");
    assert_eq!(refusal(&mut first).await, Refusal::Rejected { message: "speak plainly".into() });
}

/// An asynchronous handler that takes its time, or never answers.
struct Patient;

impl AsyncServerHandler for Patient {
    async fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        match join.room {
            "never" => std::future::pending().await,
            "panic" => panic!("on purpose"),
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        Verdict::Accept
    }
}

#[tokio::test(start_paused = true)]
async fn asynchronous_rules_are_awaited_and_time_out() {
    let builder = Server::builder().async_handler(Patient).room("never").room("panic");
    let server = serve(builder).await;
    let start = Instant::now();
    let (first, second) = tokio::join!(join(&server, "lobby"), join(&server, "lobby"));
    assert_eq!(start.elapsed(), Duration::from_secs(1), "questions are asked side by side");
    drop((first, second));
    let mut client = connect(&server).await;
    client.join("never").await.unwrap();
    assert_eq!(refusal(&mut client).await, Refusal::TimedOut { after_ms: 2000 });
    client.join("panic").await.unwrap();
    assert!(matches!(refusal(&mut client).await, Refusal::Rejected { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_slows_nobody_down_and_is_reported() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear).limits(Limits::none())).await;
    let (_stuck, _) = Raw::joined(server.connect_local()).await;
    let (first, mut second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    let options = || ghost_sync_core::SendOptions {
        delivery: ghost_sync_core::Delivery::Volatile,
        ..Default::default()
    };
    let start = Instant::now();
    for _ in 0..100 {
        first.broadcast_with([7; 30_000], options()).await.unwrap();
        assert_eq!(hear(&mut second).await.len(), 30_000);
    }
    // Whether it reads at all is clear after 100 ms.
    assert!(start.elapsed() <= Duration::from_millis(100), "{:?}", start.elapsed());
    loop {
        if let Told::Lagged(_, room) = ears.next().await {
            break assert_eq!(room, "lobby");
        }
    }
    // Ten seconds later it is out.
    let reason = loop {
        if let Told::Left(_, _, reason) = ears.next().await {
            break reason;
        }
    };
    assert_eq!(reason, LeaveReason::TooSlow);
    assert_eq!(server.client_count(), 2);
}
