//! Peers that are slow, silent or gone without a word (21 to 35).

use std::time::Duration;

use ghost_sync_core::{
    Client, ClientMessage, CloseReason, Delivery, Limits, MessageType, SendFlags, SendOptions,
    ServerEvent,
};
use tokio::{net::TcpStream, time::Instant};

use crate::{
    peer::{Peer, broadcast, frame, hello},
    proxy::{Chaos, Line, Proxy},
    rig::{PATIENCE, Rig, SHARED, builder, enter, until},
};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn fault_21_a_greeting_that_trickles_in_is_late() {
    let rig = Rig::with(builder().handshake_timeout(SHORT)).await;
    let mut peer = Peer::connect(rig.addr).await;
    let start = Instant::now();
    // Longer than the server has patience, if it comes at this pace.
    for byte in frame(&hello()) {
        tokio::time::sleep(SHORT / 10).await;
        if peer.say_bytes(&[byte]).await.is_err() {
            break;
        }
    }
    let end = peer.end().await;
    assert!(matches!(end, None | Some(CloseReason::HandshakeTimeout { .. })), "{end:?}");
    assert!(start.elapsed() >= SHORT);
    rig.finish().await;
}

#[tokio::test]
async fn fault_22_sockets_that_say_nothing_hold_their_places_for_a_moment_only() {
    let rig = Rig::with(builder().handshake_timeout(SHORT).max_clients(60)).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(rig.addr).await.unwrap());
    }
    // They are still open on their side; the server has let them go.
    let deadline = Instant::now() + PATIENCE;
    let mut newcomer = loop {
        match Client::connect(rig.addr).await {
            Ok(client) => break client,
            Err(error) => assert!(error.may_retry() && Instant::now() < deadline, "{error}"),
        }
    };
    newcomer.disconnect().await;
    while let Ok(Some(_)) = newcomer.recv().await {}
    drop((silent, newcomer));
    rig.finish().await;
}

#[tokio::test]
async fn fault_24_who_never_reads_misses_what_may_be_missed_and_holds_nobody_up() {
    let rig = Rig::with(builder().outbox_limit(128 << 10).limits(Limits::none())).await;
    let mut stuck = Peer::narrow(rig.addr).await;
    stuck.greet().await;
    stuck.join(SHARED).await.unwrap();
    let (mut mouth, room) = Peer::joined(rig.addr).await;
    let message = ClientMessage::Broadcast {
        room,
        delivery: Delivery::Volatile,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload: &[7; 1000],
    };
    let bytes = frame(&message);
    for _ in 0..2000 {
        mouth.say_bytes(&bytes).await.unwrap();
    }
    mouth.sync().await;
    let most = rig.server.client_ids().into_iter().filter_map(|id| rig.server.queue_len(id));
    assert!(most.map(|queue| queue.bytes).max().unwrap() <= 128 << 10);
    rig.round().await;
    drop((stuck, mouth));
    rig.finish().await;
}

#[tokio::test]
async fn fault_24_who_never_reads_what_must_not_be_missed_is_closed() {
    let rig = Rig::with(builder().outbox_limit(128 << 10).limits(Limits::none())).await;
    let mut stuck = Peer::narrow(rig.addr).await;
    stuck.greet().await;
    stuck.join(SHARED).await.unwrap();
    let (mut mouth, room) = Peer::joined(rig.addr).await;
    let bytes = frame(&broadcast(room, &[7; 1000]));
    let players = || rig.server.room_client_count(SHARED).unwrap();
    let start = Instant::now();
    while players() == 4 {
        mouth.say_bytes(&bytes).await.unwrap();
        mouth.sync().await;
        assert!(start.elapsed() < PATIENCE);
    }
    drop((stuck, mouth));
    rig.finish().await;
}

#[tokio::test]
async fn fault_26_who_talks_but_never_answers_is_closed_after_two_pings() {
    let rig = Rig::with(builder().ping_interval(SHORT)).await;
    let mut peer = Peer::greeted(rig.addr).await;
    let start = Instant::now();
    let talk = frame(&ClientMessage::Pong { nonce: 1, received: 0 });
    while peer.say_bytes(&talk).await.is_ok() {
        tokio::time::sleep(SHORT / 10).await;
        assert!(start.elapsed() < PATIENCE);
    }
    assert!(start.elapsed() > SHORT * 2, "one lost ping is nothing");
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_28_a_peer_that_vanished_is_noticed_by_its_silence() {
    let rig = Rig::with(builder().ping_interval(SHORT).idle_timeout(SHORT * 4)).await;
    let line = Line { stall_at: Some(400), ..Line::default() };
    let chaos = Chaos { up: line.clone(), down: line, ..Chaos::default() };
    let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
    let mut lost = Client::connect(proxy.addr()).await.unwrap();
    // The line dies under way; neither side is told.
    let _ = lost.join(SHARED).await;
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            match lost.recv().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it did not close by itself"),
                Err(reason) => break reason,
            }
        }
    });
    assert!(told.await.expect("the client notices too").may_reconnect());
    assert!(until(|| rig.server.client_count() == 4).await);
    drop((lost, proxy));
    rig.finish().await;
}

#[tokio::test]
async fn fault_32_a_message_that_was_cut_on_the_way_is_not_told() {
    let rig = Rig::new().await;
    for seed in 0..12 {
        let down = Line { end: Some((crate::proxy::End::Reset, 300..2500)), ..Line::default() };
        let chaos = Chaos { seed, down, ..Chaos::default() };
        let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
        let mut client = Client::connect(proxy.addr()).await.unwrap();
        client.join(SHARED).await.unwrap();
        let mut next = None;
        // The honest clients' messages come until the line is cut inside of one.
        while let Ok(Some(event)) = client.recv().await {
            match event {
                ServerEvent::Joined { seq, .. } => next = Some(seq + 1),
                ServerEvent::Broadcast { seq, data, .. } => {
                    assert_eq!((Some(seq), data.len()), (next, 45));
                    next = Some(seq + 1);
                }
                event => panic!("{event:?}"),
            }
        }
        // The next of these sees no more of it.
        assert!(until(|| rig.server.client_count() == 4).await);
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_33_small_messages_do_not_wait_for_company() {
    let rig = Rig::with(builder().limits(Limits::none())).await;
    let mut peer = Peer::greeted(rig.addr).await;
    let mut times = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        peer.sync().await;
        times.push(start.elapsed());
    }
    times.sort();
    // Delayed acknowledgements alone would take 40 ms each.
    assert!(times[50] < Duration::from_millis(20), "median {:?}", times[50]);
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_34_on_a_thin_line_old_news_are_skipped_and_that_is_said() {
    let rig = Rig::with(builder().channel_capacity(64).outbox_limit(64 << 10)).await;
    let down = Line { bytes_per_second: 200_000, pieces: 2000, ..Line::default() };
    let chaos = Chaos { seed: 34, down, ..Chaos::default() };
    let proxy = Proxy::start("127.0.0.1:0", rig.addr, chaos).await.unwrap();
    let mut thin = Client::connect(proxy.addr()).await.unwrap();
    thin.join(SHARED).await.unwrap();
    let (mouth, _) = enter(rig.addr, SHARED).await;
    let volatile = || SendOptions { delivery: Delivery::Volatile, ..SendOptions::default() };
    let talk = async {
        loop {
            mouth.broadcast_with([7; 8000], volatile()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut next = None;
    let listen = async {
        loop {
            // The client itself checks that every number is accounted for.
            match thin.recv().await.expect("it stays connected").unwrap() {
                ServerEvent::Joined { seq, .. } => next = Some(seq + 1),
                ServerEvent::Broadcast { seq, .. } | ServerEvent::PlayerJoined { seq, .. } => {
                    assert_eq!(next, Some(seq));
                    next = Some(seq + 1);
                }
                ServerEvent::Gap { from, .. } => {
                    assert_eq!(next, Some(from));
                    break;
                }
                event => panic!("{event:?}"),
            }
        }
    };
    tokio::select! {
        () = talk => {}
        heard = tokio::time::timeout(PATIENCE, listen) => heard.expect("a gap is told"),
    }
    drop((thin, proxy, mouth));
    rig.finish().await;
}
