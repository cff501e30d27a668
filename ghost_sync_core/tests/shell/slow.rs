//! A handler that takes its time, and members on slow lines.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use ghost_sync_core::{
    ClientId, CloseReason, Decoder, LeaveReason, Limits, MAX_SERVER_FRAME, Refusal, Server,
    ServerEvent, ServerHandler, ServerMessage,
};
use tokio::{
    io::AsyncReadExt,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{interval, sleep, timeout},
};

use crate::support::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a permit for every fact.
struct Slow {
    go: Mutex<mpsc::Receiver<()>>,
    told: UnboundedSender<String>,
}

impl Slow {
    fn new() -> (Self, mpsc::Sender<()>, UnboundedReceiver<String>) {
        let (permits, go) = mpsc::channel();
        let (told, tells) = unbounded_channel();
        (Self { go: Mutex::new(go), told }, permits, tells)
    }

    fn tell(&self, fact: impl Into<String>) {
        let _ = self.told.send(fact.into());
        let _ = self.go.lock().map(|go| go.recv());
    }
}

impl ServerHandler for Slow {
    fn on_room_create(&self, room: &str) {
        self.tell(room);
    }

    fn on_leave(&self, _: ClientId, room: &str, _: &LeaveReason) {
        self.tell(room);
    }

    fn on_shutdown(&self) {
        let _ = self.told.send("shutdown".to_owned());
    }
}

#[tokio::test]
async fn what_a_slow_handler_has_to_hear_is_bounded_and_no_leave_of_it_is_lost() {
    let (slow, permits, mut tells) = Slow::new();
    let builder = Server::builder().handler(slow).ask_timeout(Duration::from_millis(200));
    let server = serve(builder.room("arena").limits(Limits::none())).await;
    let mut client = connect(&server).await;
    let mut joined = 0;
    // Each change of the room is a leave that has to be told.
    let refusal = loop {
        client.join(["lobby", "arena"][joined % 2]).await.unwrap();
        match timeout(PATIENCE, next(&mut client)).await.unwrap() {
            ServerEvent::Joined { .. } => joined += 1,
            ServerEvent::Left { .. } => {
                joined += 1;
                timeout(PATIENCE, next(&mut client)).await.unwrap();
            }
            ServerEvent::Refused(error) => break error.reason,
            event => panic!("{event:?}"),
        }
        assert!(joined < 3000, "as many leaves wait");
    };
    assert_eq!(refusal, Refusal::TimedOut { after_ms: 200 });
    // The first fact is being told, two are the rooms.
    drop(permits);
    for _ in 0..joined + 1 {
        timeout(PATIENCE, tells.recv()).await.expect("every leave is told").unwrap();
    }
    client.join("lobby").await.unwrap();
    while !matches!(next(&mut client).await, ServerEvent::Joined { .. }) {}
}

#[tokio::test]
async fn a_server_stops_in_time_whatever_its_handler_still_has_to_hear() {
    let (slow, permits, mut tells) = Slow::new();
    let server = serve(Server::builder().handler(slow)).await;
    for number in 0..500 {
        server.create_room(format!("room {number}")).unwrap();
    }
    assert_eq!(timeout(PATIENCE, tells.recv()).await.unwrap().as_deref(), Some("lobby"));
    let stop = server.shutdown_with("over", Duration::from_millis(10));
    timeout(PATIENCE, stop).await.expect("it stops");
    // The rest is dropped, but for the end.
    permits.send(()).unwrap();
    assert_eq!(timeout(PATIENCE, tells.recv()).await.unwrap().as_deref(), Some("shutdown"));
    assert_eq!(timeout(PATIENCE, tells.recv()).await.unwrap(), None);
}

#[test]
fn the_end_of_the_runtime_waits_for_one_fact_and_not_for_all() {
    let (slow, permits, mut tells) = Slow::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _server = runtime.block_on(async {
        let server = serve(Server::builder().handler(slow)).await;
        for number in 0..500 {
            server.create_room(format!("room {number}")).unwrap();
        }
        tells.recv().await.unwrap();
        server
    });
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        let _ = done.send(());
    });
    // A fact that was begun is told to its end, of which one permit is enough.
    let start = std::time::Instant::now();
    while end.recv_timeout(Duration::from_millis(50)).is_err() {
        let _ = permits.send(());
        assert!(start.elapsed() < PATIENCE, "it waits for every fact");
    }
}

/// A member of the lobby that takes `bytes` of its line at a time, and counts messages.
async fn read_slowly(
    stream: tokio::io::DuplexStream,
    bytes: usize,
    every: Duration,
    messages: usize,
) -> Result<(), CloseReason> {
    let (raw, _) = Raw::joined(stream).await;
    let mut stream = raw.into_stream();
    let mut decoder = Decoder::new(MAX_SERVER_FRAME);
    let (mut heard, mut buffer) = (0, vec![0; bytes]);
    while heard < messages {
        sleep(every).await;
        let len = stream.read(&mut buffer).await.unwrap();
        assert!(len > 0, "closed after {heard} messages");
        let mut input = &buffer[..len];
        while let Some(body) = decoder.next_frame(&mut input).unwrap() {
            match ServerMessage::decode(body).unwrap() {
                ServerMessage::Broadcast { .. } => heard += 1,
                ServerMessage::Close { reason } => return Err(reason),
                _ => {}
            }
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sender_of_much_closes_nobody_who_reads_however_slow_its_line() {
    let server = serve(Server::builder().limits(Limits::none())).await;
    // A third of a megabyte a second, in pieces.
    let slow = server.connect_local();
    let every = Duration::from_millis(190);
    let slow = tokio::spawn(read_slowly(slow, 64 << 10, every, 300));
    sleep(Duration::from_millis(1)).await;
    let mut sender = connect(&server).await;
    sender.join("lobby").await.unwrap();
    hear_joined(&mut sender, "lobby").await;
    // A megabyte and a half a second.
    let speak = async {
        let mut pace = interval(Duration::from_millis(10));
        for _ in 0..300 {
            pace.tick().await;
            sender.broadcast([7; 15_000]).await.unwrap();
        }
    };
    let (spoken, heard) = tokio::join!(timeout(PATIENCE * 6, speak), slow);
    spoken.expect("the sender is not held for ever");
    assert_eq!(heard.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn many_senders_of_much_together_close_nobody_who_reads_either() {
    let builder = Server::builder().limits(Limits::none()).write_timeout(Duration::from_secs(1));
    let server = serve(builder).await;
    // A megabyte a second.
    let slow = server.connect_local();
    let slow = tokio::spawn(read_slowly(slow, 64 << 10, Duration::from_millis(64), 600));
    sleep(Duration::from_millis(1)).await;
    // A quarter of that each.
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (sender, mut receiver) = join(&server, "lobby").await.split();
        tasks.push(tokio::spawn(async move { while let Ok(Some(_)) = receiver.recv().await {} }));
        tasks.push(tokio::spawn(async move {
            let mut pace = interval(Duration::from_millis(60));
            loop {
                pace.tick().await;
                sender.broadcast([7; 15_000]).await.unwrap();
            }
        }));
    }
    assert_eq!(slow.await.unwrap(), Ok(()));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_as_players_do_never_waits_for_a_slow_member() {
    let server = server().await;
    let slow = tokio::spawn(read_slowly(
        server.connect_local(),
        4 << 10,
        Duration::from_millis(500),
        usize::MAX,
    ));
    sleep(Duration::from_millis(1)).await;
    let (loud, player) = (join(&server, "lobby").await, join(&server, "lobby").await);
    // More than it gets to say while it is held.
    let loud = tokio::spawn(async move {
        for _ in 0..2000 {
            loud.broadcast([7; 15_000]).await.unwrap();
        }
    });
    sleep(Duration::from_secs(1)).await;
    let mut far = join(&server, "lobby").await;
    let mut pace = interval(Duration::from_millis(16));
    for number in 0..60_u8 {
        let said = pace.tick().await;
        player.broadcast([number; 200]).await.unwrap();
        loop {
            match timeout(PATIENCE, next(&mut far)).await.expect("it is heard") {
                ServerEvent::Broadcast { data, .. } if data.len() == 200 => break,
                _ => {}
            }
        }
        assert!(said.elapsed() < Duration::from_millis(16), "{:?}", said.elapsed());
    }
    assert!(!loud.is_finished() && !slow.is_finished(), "the room is as it was");
    loud.abort();
    slow.abort();
}
