//! Streams that the program brings itself.

use std::{net::SocketAddr, time::Duration};

use ghost_sync_core::{
    Client, CloseReason, GateConfig, Server, ServerMessage, server::AcceptError,
};
use tokio::io::{AsyncReadExt, BufStream, duplex};

use crate::support::*;

const SIZE: usize = 64 * 1024;

fn far_away() -> SocketAddr {
    "192.0.2.7:4096".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_over_a_stream_of_the_programs_own_is_one_like_any_other() {
    let server = server().await;
    let mut other = join(&server, "lobby").await;
    let (ours, theirs) = duplex(SIZE);
    server.accept(ours, far_away()).unwrap();
    let mut client = Client::builder().connect_over(theirs).await.unwrap();
    assert_eq!(server.client_addr(client.client_id()), Some(far_away()));
    client.join("lobby").await.unwrap();
    hear_joined(&mut client, "lobby").await;
    next(&mut other).await;
    client.broadcast("hello").await.unwrap();
    assert_eq!(hear(&mut other).await, "hello");
    other.broadcast("welcome").await.unwrap();
    assert_eq!(hear(&mut client).await, "welcome");
    client.disconnect().await;
    next(&mut other).await;
    assert_eq!(server.client_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_holds_back_is_flushed_and_so_is_the_goodbye() {
    let server = server().await;
    // Less than is written: a flush has to wait for the other side, too.
    let (ours, theirs) = duplex(64);
    server.accept(BufStream::with_capacity(SIZE, SIZE, ours), far_away()).unwrap();
    let mut client = Client::builder().connect_over(theirs).await.unwrap();
    client.join("lobby").await.unwrap();
    hear_joined(&mut client, "lobby").await;
    for text in ["short".to_owned(), "long".repeat(1000)] {
        server.broadcast("lobby", &text).unwrap();
        assert_eq!(hear(&mut client).await, text);
    }
    server.begin_shutdown("enough", Duration::from_secs(5));
    let reason = end(&mut client).await;
    assert!(reason.to_string().contains("enough"), "{reason}");
    server.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_is_closed_in_time_and_says_why() {
    let server = server().await;
    let (ours, mut theirs) = duplex(SIZE);
    server.accept(ours, far_away()).unwrap();
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.unwrap();
    let Ok(ServerMessage::Close { reason }) = ServerMessage::decode(&said[4..]) else {
        panic!("{said:?}")
    };
    assert!(matches!(reason, CloseReason::HandshakeTimeout { .. }), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn the_gate_turns_streams_away_and_a_server_that_does_not_run_takes_none() {
    let gate = GateConfig::default().half_open(2);
    let idle = Server::builder().local_only().gate(gate).build();
    let (ours, _theirs) = duplex(SIZE);
    assert_eq!(idle.handle().accept(ours, far_away()), Err(AcceptError::NotRunning));
    let server = idle.run().await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = duplex(SIZE);
        server.accept(ours, far_away()).unwrap();
        silent.push(theirs);
    }
    let (ours, mut theirs) = duplex(SIZE);
    assert_eq!(server.accept(ours, far_away()), Err(AcceptError::TurnedAway));
    assert_eq!(theirs.read(&mut [0; 16]).await.unwrap(), 0, "it is closed at once");
    let (ours, theirs) = duplex(SIZE);
    server.accept(ours, "192.0.2.8:4096".parse().unwrap()).unwrap();
    Client::builder().connect_over(theirs).await.unwrap();
}
