//! Server and client over bad lines.

use std::time::Duration;

use ghost_sync_core::{
    Client, CloseReason, DisconnectReason, LeaveReason, Server, ServerEvent, ServerHandle,
    link::Conditioner,
};
use tokio::time::Instant;

use crate::support::*;

/// A client in the lobby, and its line.
async fn far_away(server: &ServerHandle) -> (Client, Conditioner) {
    let (stream, line) = Conditioner::new(server.connect_local());
    let mut client = Client::builder().connect_over(stream).await.unwrap();
    client.join("lobby").await.unwrap();
    hear_joined(&mut client, "lobby").await;
    (client, line)
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_shows_in_the_round_trip() {
    let server = server().await;
    let (mut client, line) = far_away(&server).await;
    line.delay(Duration::from_millis(150));
    client.ping().await.unwrap();
    let ServerEvent::Pong { rtt } = next(&mut client).await else { panic!() };
    assert_eq!(rtt.as_millis(), 300);
    tokio::time::sleep(Duration::from_secs(14)).await;
    let rtt = server.client_rtt(client.client_id()).unwrap();
    assert_eq!(rtt.as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_short_stall_loses_nothing() {
    let server = server().await;
    let (mut client, line) = far_away(&server).await;
    let mut other = join(&server, "lobby").await;
    next(&mut client).await;
    line.stall();
    other.broadcast(b"hello").await.unwrap();
    client.broadcast(b"anybody?").await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(client.try_recv().is_err() && other.try_recv().is_err());
    line.resume();
    assert_eq!(hear(&mut client).await, "hello");
    assert_eq!(hear(&mut other).await, "anybody?");
}

#[tokio::test(start_paused = true)]
async fn a_dead_line_is_noticed_by_both_sides() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().resume_grace(Duration::ZERO).handler(ear)).await;
    let (mut client, line) = far_away(&server).await;
    let mut witness = join(&server, "lobby").await;
    let start = Instant::now();
    line.stall();
    let reason = DisconnectReason::Closed(CloseReason::IdleTimeout { after_ms: 31_000 });
    assert_eq!(ears.end().await, reason);
    let ServerEvent::PlayerLeft { reason: LeaveReason::TimedOut, .. } = next(&mut witness).await
    else {
        panic!()
    };
    assert_eq!(end(&mut client).await, reason);
    assert!(start.elapsed() <= Duration::from_secs(45), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_cut_line_ends_both_sides_at_once() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    let (mut client, line) = far_away(&server).await;
    line.cut();
    assert_eq!(end(&mut client).await, DisconnectReason::ConnectionClosed);
    assert_eq!(ears.end().await, DisconnectReason::ConnectionClosed);
}
