//! A game over lines that break all the time, on real sockets: everybody hears
//! exactly the room's log.
//!
//! `CHAOS_SECONDS=300` lets it go on for five minutes, with a cut each second.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use ghost_sync_core::{Client, ClientId, Server, ServerEvent, ServerHandle, ServerMessage};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    proxy::{Chaos, Line, Proxy},
    rig::{PATIENCE, SHARED},
};

const CLIENTS: usize = 4;

/// What was said: its place, who said it, the words.
type Said = (u64, ClientId, Bytes);

/// Reads the room's log as it grows.
async fn write_down(server: ServerHandle, stop: watch::Receiver<bool>) -> Vec<(u64, Bytes)> {
    let mut log: Vec<(u64, Bytes)> = Vec::new();
    loop {
        let over = *stop.borrow();
        let next = log.last().map_or(1, |last| last.0 + 1);
        let history = server.history(SHARED, next, usize::MAX).unwrap();
        assert!(history.oldest <= next, "the log went by");
        log.extend(history.events.into_iter().map(|event| (event.seq, event.frame)));
        if over {
            return log;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

struct Heard {
    id: ClientId,
    said: Vec<Said>,
    resumed: usize,
}

/// Listens until the event `last`, which is known when all have spoken.
async fn listen(mut client: Client, last: watch::Receiver<u64>) -> Heard {
    let (mut said, mut resumed, mut reached) = (Vec::new(), 0, 0);
    while *last.borrow() == 0 || reached < *last.borrow() {
        let Ok(event) = timeout(Duration::from_millis(100), client.recv()).await else { continue };
        match event.expect("it comes back every time").unwrap() {
            ServerEvent::Broadcast { seq, sender, data, .. } => {
                said.push((seq, sender.client_id().unwrap_or_default(), data));
                reached = seq;
            }
            ServerEvent::PlayerAway { seq, .. }
            | ServerEvent::PlayerBack { seq, .. }
            | ServerEvent::PlayerJoined { seq, .. } => reached = seq,
            ServerEvent::Resumed => resumed += 1,
            ServerEvent::Reconnecting { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    Heard { id: client.client_id(), said, resumed }
}

#[tokio::test]
async fn a_game_whose_links_are_cut_all_the_time_hears_exactly_the_log() {
    let seconds = std::env::var("CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    let (time, cut_every) = match seconds {
        Some(seconds) => (Duration::from_secs(seconds), Duration::from_secs(1)),
        None => (Duration::from_secs(3), Duration::from_millis(300)),
    };
    let server = Server::builder().bind("127.0.0.1:0").room(SHARED).build().run().await.unwrap();
    let line = Line { jitter: Duration::from_millis(3), pieces: 50, ..Line::default() };
    let chaos = Chaos { seed: 11, up: line.clone(), down: line, ..Chaos::default() };
    let target = server.local_addr().unwrap();
    let proxy = Proxy::start("127.0.0.1:0", target, chaos).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let clerk = tokio::spawn(write_down(server.clone(), stopped));
    let (tell_last, last) = watch::channel(0);
    let (mut ears, mut mouths) = (Vec::new(), Vec::new());
    let (mut ids, mut since) = (BTreeMap::new(), BTreeMap::new());
    for number in 0..CLIENTS {
        let mut client = Client::connect(proxy.addr()).await.unwrap();
        client.join(SHARED).await.unwrap();
        let joined = client.recv().await.unwrap();
        let Some(ServerEvent::Joined { seat, seq, .. }) = joined else { panic!("{joined:?}") };
        ids.insert(seat, client.client_id());
        since.insert(client.client_id(), seq);
        let sender = client.sender().clone();
        ears.push(tokio::spawn(listen(client, last.clone())));
        mouths.push(tokio::spawn(async move {
            let start = Instant::now();
            let mut said = 0_u64;
            while start.elapsed() < time {
                sender.broadcast(format!("{number} says {said}")).await.unwrap();
                said += 1;
                sleep(Duration::from_millis(7)).await;
            }
            said
        }));
    }
    let mut cuts = tokio::time::interval(cut_every);
    let mut said = 0;
    for mut mouth in mouths {
        said += loop {
            tokio::select! {
                said = &mut mouth => break said.unwrap(),
                _ = cuts.tick() => proxy.cut(),
            }
        };
    }
    // All of it is in the log once everybody is back and has sent what was left.
    let spoken = async {
        loop {
            let log = server.history(SHARED, 1, usize::MAX).unwrap();
            if server.away_count() == 0 && log.next > said {
                let frames = log.events.iter().map(|event| &event.frame[4..]);
                let broadcasts = frames.filter(|frame| frame[0] == 6).count();
                if log.oldest > 1 || broadcasts as u64 == said {
                    return log.next - 1;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, spoken).await.expect("everybody comes back");
    // A moment for what is under way, where the log's start is gone.
    let mut quiet = server.history(SHARED, u64::MAX, 1).unwrap().next;
    loop {
        sleep(Duration::from_millis(300)).await;
        let next = server.history(SHARED, u64::MAX, 1).unwrap().next;
        if next == quiet {
            break;
        }
        quiet = next;
    }
    tell_last.send_replace(server.broadcast(SHARED, b"the end").unwrap());
    let mut heard = Vec::new();
    for ear in ears {
        heard.push(timeout(PATIENCE, ear).await.expect("it hears the end").unwrap());
    }
    stop.send_replace(true);
    let log = clerk.await.unwrap();
    let mut spoken: Vec<Said> = Vec::new();
    for (_, frame) in &log {
        if let Ok(ServerMessage::Broadcast { seq, sender, payload, .. }) =
            ServerMessage::decode(&frame[4..])
        {
            let id = ids.get(&sender).copied().unwrap_or_default();
            spoken.push((seq, id, Bytes::copy_from_slice(payload)));
        }
    }
    assert_eq!(spoken.len() as u64, said + 1, "everything was said, and once");
    let mut resumed = 0;
    for heard in heard {
        resumed += heard.resumed;
        let is_due = |(seq, sender, _): &&Said| *seq > since[&heard.id] && *sender != heard.id;
        let due = spoken.iter().filter(is_due);
        assert!(heard.said.iter().eq(due), "{} heard something else", heard.id);
    }
    assert!(resumed >= CLIENTS, "only {resumed} times");
}
