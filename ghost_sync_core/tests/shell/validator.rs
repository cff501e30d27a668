//! Rooms whose broadcasts are checked by a function.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use ghost_sync_core::{
    Client, ClientId, MessageType, Refusal, RelayMode, RoomConfig, SendFlags, SendOptions, Server,
    ServerEvent, ServerHandle, ServerHandler, Spoken, Verdict,
};
use tokio::time::timeout;

use crate::support::*;

fn polite(spoken: &Spoken) -> Verdict {
    match &spoken.payload[..] {
        b"bug" => panic!("a validator that panics"),
        b"bad" => Verdict::reject("mind your language"),
        b"damn" => Verdict::AcceptAs { payload: b"dear".as_slice().into() },
        _ => Verdict::Accept,
    }
}

async fn serve_den(config: RoomConfig) -> ServerHandle {
    serve(Server::builder().room_with("den", config)).await
}

async fn pair(server: &ServerHandle) -> (Client, Client) {
    let mut listener = join(server, "den").await;
    let speaker = join(server, "den").await;
    next(&mut listener).await;
    (speaker, listener)
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_heard_in_order_and_what_does_not_is_refused_by_its_number() {
    let server = serve_den(RoomConfig::default().validator(polite)).await;
    let (mut speaker, mut listener) = pair(&server).await;
    let mut references = Vec::new();
    for text in ["one", "bad", "damn", "bug", "two"] {
        references.push(speaker.broadcast(text).await.unwrap());
    }
    for heard in ["one", "dear", "two"] {
        assert_eq!(hear(&mut listener).await, heard);
    }
    for (reference, why) in [(1, "mind your language"), (3, "the server's rules failed")] {
        let ServerEvent::Refused(error) = next(&mut speaker).await else { panic!("{why}") };
        assert_eq!(error.reference, Some(references[reference]));
        assert_eq!(error.reason, Refusal::Rejected { message: why.to_owned() });
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_an_echo_hears_what_the_room_hears() {
    let server = serve_den(RoomConfig::default().validator(polite)).await;
    let (mut speaker, _listener) = pair(&server).await;
    let options = SendOptions { flags: SendFlags::ECHO, ..SendOptions::default() };
    speaker.broadcast_with("damn", options).await.unwrap();
    assert_eq!(hear(&mut speaker).await, "dear");
}

/// Counts what it is asked about, and what it is told.
#[derive(Clone, Default)]
struct Counts {
    asked: Arc<AtomicUsize>,
}

impl ServerHandler for Counts {
    fn on_relay(&self, _: ClientId, _: &str, _: MessageType, data: &[u8]) -> Verdict {
        assert_eq!(data, b"dear", "it is asked about what the validator made of it");
        self.asked.fetch_add(1, Ordering::Relaxed);
        Verdict::Accept
    }
}

#[tokio::test(start_paused = true)]
async fn a_moderated_room_asks_its_handler_about_what_has_passed() {
    let counts = Counts::default();
    let config = RoomConfig::default().mode(RelayMode::Moderated).validator(polite);
    let builder = Server::builder().handler(counts.clone()).room_with("den", config);
    let server = serve(builder).await;
    let (speaker, mut listener) = pair(&server).await;
    speaker.broadcast("bad").await.unwrap();
    speaker.broadcast("damn").await.unwrap();
    assert_eq!(hear(&mut listener).await, "dear");
    assert_eq!(counts.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_validator_holds_up_its_own_room_only() {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let slow = move |spoken: &Spoken| {
        if spoken.payload == "first" {
            // Long enough to be noticed.
            std::thread::sleep(Duration::from_millis(20));
        } else {
            let _ = gate.lock().map(|gate| gate.recv());
        }
        Verdict::Accept
    };
    let server = serve_den(RoomConfig::default().validator(slow)).await;
    let (slow_one, mut patient) = pair(&server).await;
    slow_one.broadcast("first").await.unwrap();
    assert_eq!(hear(&mut patient).await, "first");
    for text in 0..10 {
        slow_one.broadcast(text.to_string()).await.unwrap();
    }
    // Nothing is decided there meanwhile, and others talk.
    let others = async {
        let mut listener = join(&server, "lobby").await;
        let speaker = join(&server, "lobby").await;
        next(&mut listener).await;
        for _ in 0..100 {
            speaker.broadcast("quick").await.unwrap();
            hear(&mut listener).await;
        }
    };
    timeout(Duration::from_secs(20), others).await.expect("others are not held up");
    // What was not decided in time is refused; the rest is heard in its order.
    (0..10).for_each(|_| release.send(()).unwrap());
    slow_one.broadcast("last").await.unwrap();
    release.send(()).unwrap();
    let all = async { while hear(&mut patient).await != "last" {} };
    timeout(Duration::from_secs(20), all).await.expect("it goes on");
}
