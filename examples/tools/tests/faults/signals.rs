//! Processes that are stopped, slowed down and killed.

use std::{
    net::TcpStream,
    process::Stdio,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use ghost_sync_core::{Client, LeaveReason, ResumeFailure, ServerEvent};
use tokio::time::timeout;

use crate::{
    daemon::{PATIENCE, Relay, command, load},
    people::{Pair, Raw, enter, next},
};

/// Settings that notice silence soon.
const IMPATIENT: [&str; 4] = ["--ping-interval", "300ms", "--idle-timeout", "1s"];

#[tokio::test]
async fn fault_29_a_client_that_is_stopped_loses_its_seat_and_learns_so_when_it_goes_on() {
    let more = ["--create-on-join", "--resume-grace", "0s"];
    let relay = Relay::start(&[&IMPATIENT[..], &more].concat());
    let mut witness = enter(relay.addr, "load-0").await;
    let mut stopped = load(&relay, &["--members", "2", "--seconds", "60"]);
    let mut present = 0;
    while present < 2 {
        present +=
            usize::from(matches!(next(&mut witness).await, ServerEvent::PlayerJoined { .. }));
    }
    stopped.signal("STOP");
    while present > 0 {
        if let ServerEvent::PlayerLeft { reason, .. } = next(&mut witness).await {
            assert_eq!(reason, LeaveReason::TimedOut);
            present -= 1;
        }
    }
    stopped.signal("CONT");
    assert_eq!(stopped.wait(), Some(1), "it notices, and says so");
}

#[tokio::test]
async fn fault_30_a_server_that_was_stopped_blames_nobody() {
    let relay = Relay::start(&IMPATIENT);
    let (ended, ends) = channel();
    for _ in 0..8 {
        let (raw, ended) = (Raw::connect(relay.addr), ended.clone());
        thread::spawn(move || ended.send(raw.answer_pings()));
    }
    // One answer means that all of them were greeted before.
    drop(enter(relay.addr, "lobby").await);
    relay.process.signal("STOP");
    thread::sleep(Duration::from_secs(3));
    relay.process.signal("CONT");
    // Long enough to notice whoever does not answer.
    let end = ends.recv_timeout(Duration::from_secs(2));
    assert_eq!(end, Err(RecvTimeoutError::Timeout));
    Pair::join(relay.addr).await.talk().await;
}

#[tokio::test]
async fn fault_53_a_server_that_hardly_gets_to_run_keeps_its_clients() {
    let relay = Relay::start(&["--ping-interval", "300ms", "--idle-timeout", "5s"]);
    let mut pair = Pair::join(relay.addr).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        relay.process.signal("STOP");
        tokio::time::sleep(Duration::from_millis(80)).await;
        relay.process.signal("CONT");
        tokio::time::sleep(Duration::from_millis(10)).await;
        pair.talk().await;
    }
}

#[tokio::test]
async fn fault_55_connections_that_waited_for_a_stopped_server_are_served_or_forgotten() {
    let relay = Relay::start(&[]);
    let mut pair = Pair::join(relay.addr).await;
    relay.process.signal("STOP");
    // As many as the system queues.
    let mut waiting: Vec<_> = (0..300)
        .map_while(|_| TcpStream::connect_timeout(&relay.addr, Duration::from_millis(200)).ok())
        .collect();
    assert!(waiting.len() > 20, "only {} connections wait", waiting.len());
    waiting.truncate(waiting.len() / 3);
    relay.process.signal("CONT");
    pair.talk().await;
    Pair::join(relay.addr).await.talk().await;
}

#[tokio::test]
async fn fault_104_a_relay_that_is_asked_to_stop_under_load_ends_well_and_in_time() {
    let mut relay = Relay::start(&["--create-on-join", "--drain", "2s"]);
    let mut load = load(&relay, &["--members", "8", "--rate", "200", "--seconds", "60"]);
    let mut witness = enter(relay.addr, "load-0").await;
    let mut heard = 0;
    while heard < 100 {
        heard += usize::from(matches!(next(&mut witness).await, ServerEvent::Broadcast { .. }));
    }
    let start = Instant::now();
    relay.process.signal("TERM");
    let end = timeout(PATIENCE, async {
        loop {
            if let Err(reason) = witness.recv().await {
                break reason;
            }
        }
    });
    let end = end.await.unwrap();
    assert!(end.may_reconnect(), "{end}");
    assert_eq!(relay.process.wait(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_ne!(load.wait(), Some(0));
}

#[tokio::test]
async fn fault_105_the_clients_of_a_killed_relay_know_at_once_and_find_the_next_one() {
    let mut relay = Relay::start(&[]);
    let mut pair = Pair::join(relay.addr).await;
    pair.talk().await;
    relay.process.signal("KILL");
    let start = Instant::now();
    for client in [&mut pair.mouth, &mut pair.ear] {
        hear(client, |event| matches!(event, ServerEvent::Reconnecting { .. })).await;
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(relay.process.wait(), None, "a signal ended it");
    // The port can be taken again at once.
    let bind = relay.addr.to_string();
    let again = Relay::spawn(command(&bind, &[]).stderr(Stdio::null()));
    assert_eq!(again.addr, relay.addr);
    for client in [&mut pair.mouth, &mut pair.ear] {
        let reason = ResumeFailure::EpochChanged;
        hear(client, |event| *event == ServerEvent::ResumeFailed { reason: reason.clone() }).await;
        hear(client, |event| matches!(event, ServerEvent::Joined { rejoined: true, .. })).await;
    }
    pair.talk().await;
}

/// Waits for an event.
async fn hear(client: &mut Client, is_it: impl Fn(&ServerEvent) -> bool) {
    let heard = async { while !is_it(&client.recv().await.unwrap().unwrap()) {} };
    timeout(PATIENCE, heard).await.unwrap();
}
