//! Viewers of a recording.

use std::time::Duration;

use bytes::BytesMut;
use ghost_sync_core::{
    Client, ClientMessage, CloseReason, Decoder, Hello, LeaveReason, Refusal, RequestKind, RoomId,
    RoomName, Server, ServerEvent, ServerMessage, VERSIONS, Versions,
    recording::{PlaybackOptions, Recording, Speed},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

use crate::support::{Disk, fastest, next, recorded, rest, said, serve, watch, watch_joined};

#[tokio::test(start_paused = true)]
async fn speed_and_place_are_chosen_and_the_roster_is_that_of_the_place() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    for (times, whole) in [(1.0, 3000), (2.0, 1500), (0.5, 6000)] {
        let speed = Speed::new(times).unwrap();
        let playback = recording.serve(PlaybackOptions { speed, ..PlaybackOptions::default() });
        let start = Instant::now();
        let (mut viewer, _) = watch_joined(&playback).await;
        assert_eq!(rest(&mut viewer).await.len(), 11);
        assert_eq!(start.elapsed().as_millis(), whole);
    }
    // From the server's words on: 2 s are over, both are there, the value is known.
    let playback = recording.serve(PlaybackOptions { from: 6, ..PlaybackOptions::default() });
    let start = Instant::now();
    let (mut viewer, joined) = watch_joined(&playback).await;
    let ServerEvent::Joined { seq: 5, members, .. } = joined else { panic!("{joined:?}") };
    assert_eq!(members.len(), 3);
    assert_eq!(said(next(&mut viewer).await), (4, true, "here".into()));
    assert_eq!(said(next(&mut viewer).await), (6, false, "half-time".into()));
    assert_eq!(rest(&mut viewer).await.len(), 5);
    assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
}

#[test]
fn no_speed_is_none_or_backwards() {
    for wrong in [0.0, -1.0, f64::NAN] {
        assert_eq!(Speed::new(wrong), None);
    }
    assert_eq!(Speed::new(f64::INFINITY), Some(Speed::FASTEST));
}

#[tokio::test(start_paused = true)]
async fn every_viewer_has_a_clock_of_its_own_and_may_watch_again() {
    let playback =
        Recording::read(&recorded().await[..]).unwrap().serve(PlaybackOptions::default());
    let (mut first, _) = watch_joined(&playback).await;
    sleep(Duration::from_millis(1500)).await;
    let (mut second, _) = watch_joined(&playback).await;
    let start = Instant::now();
    assert_eq!(rest(&mut first).await.len(), 11);
    assert_eq!(start.elapsed().as_millis(), 1500);
    assert_eq!(rest(&mut second).await.len(), 11);
    assert_eq!(start.elapsed().as_millis(), 3000);
    first.join("arena").await.unwrap();
    assert!(matches!(next(&mut first).await, ServerEvent::Joined { .. }));
    assert_eq!(rest(&mut first).await.len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_cannot_speak_and_is_told_why() {
    let playback =
        Recording::read(&recorded().await[..]).unwrap().serve(PlaybackOptions::default());
    let (mut viewer, _) = watch_joined(&playback).await;
    let reference = viewer.broadcast("goal!").await.unwrap();
    viewer.set_metadata("name", "Eve").await.unwrap();
    viewer.join("elsewhere").await.unwrap();
    viewer.join("arena").await.unwrap();
    viewer.list_rooms().await.unwrap();
    viewer.leave().await.unwrap();
    let mut refused = Vec::new();
    loop {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the match goes on beside it")]
        match next(&mut viewer).await {
            ServerEvent::Refused(error) => refused.push(error),
            ServerEvent::RoomList { rooms, .. } => assert_eq!(rooms[0].name, "arena"),
            ServerEvent::Left { reason, .. } => break assert_eq!(reason, LeaveReason::Left),
            _ => {}
        }
    }
    let why = Refusal::Rejected { message: "this is a recording".into() };
    let arena = RoomName::new("arena").ok();
    assert_eq!(refused[0].request, RequestKind::Broadcast);
    assert_eq!((&refused[0].room, refused[0].reference), (&arena, Some(reference)));
    assert_eq!(refused[0].reason, why);
    assert_eq!(refused[1].reason, why);
    assert_eq!(refused[2].reason, Refusal::RoomNotFound { room: "elsewhere".into() });
    assert_eq!(refused.len(), 3, "it is in the arena already");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_a_long_silence_stays_connected() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    server.broadcast("arena", "long ago").unwrap();
    sleep(Duration::from_secs(300)).await;
    server.broadcast("arena", "now").unwrap();
    recorder.stop().await.unwrap();
    let (mut viewer, _) = watch_joined(&disk.read().serve(PlaybackOptions::default())).await;
    let start = Instant::now();
    assert_eq!(said(next(&mut viewer).await).2, "long ago");
    assert_eq!(said(next(&mut viewer).await).2, "now");
    assert_eq!(start.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_full_house_takes_no_more_viewers() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    let playback =
        recording.serve(PlaybackOptions { max_viewers: 1, ..PlaybackOptions::default() });
    let first = watch(&playback).await;
    let second = Client::builder().connect_over(playback.connect_local()).await;
    assert!(second.unwrap_err().may_retry());
    first.disconnect().await;
    watch(&playback).await;
}

#[tokio::test]
async fn viewers_come_over_tcp_too() {
    let playback = Recording::read(&recorded().await[..]).unwrap().serve(fastest());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { playback.listen(listener).await });
    let mut viewer = Client::connect(addr).await.unwrap();
    viewer.join("arena").await.unwrap();
    assert!(matches!(next(&mut viewer).await, ServerEvent::Joined { .. }));
    assert_eq!(rest(&mut viewer).await.len(), 11);
    server.abort();
}

/// The bodies that a playback says to a peer that sends these.
async fn answers(bodies: &[&[u8]]) -> Vec<Vec<u8>> {
    let playback = Recording::read(&recorded().await[..]).unwrap().serve(fastest());
    let mut peer = playback.connect_local();
    for body in bodies {
        let len = u32::try_from(body.len()).unwrap();
        peer.write_all(&[&len.to_le_bytes()[..], body].concat()).await.unwrap();
    }
    peer.shutdown().await.unwrap();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).await.unwrap();
    let mut decoder = Decoder::new(1 << 20);
    let mut said = &said[..];
    std::iter::from_fn(|| decoder.next_frame(&mut said).unwrap().map(<[u8]>::to_vec)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_another_version_and_an_unknown_request_are_answered_as_a_server_does() {
    let mut hello = BytesMut::new();
    ClientMessage::Hello(Hello::default()).encode(&mut hello);
    let said = answers(&[&hello[4..], &[100, 1, 2]]).await;
    let said: Vec<_> = said.iter().map(|body| ServerMessage::decode(body).unwrap()).collect();
    let reason = Refusal::Unsupported { kind: 100 };
    let refused = ServerMessage::Refused { room: RoomId(0), reference: 0, reason };
    assert!(matches!(said[0], ServerMessage::Welcome(_)), "{said:?}");
    assert_eq!(said[1], refused);

    let said = answers(&[b"\0GHST\x07\0\x08\0and whatever comes then"]).await;
    let client = Versions { oldest: 7, newest: 8 };
    let reason = CloseReason::VersionMismatch { client, server: VERSIONS };
    assert_eq!(ServerMessage::decode(&said[0]), Ok(ServerMessage::Close { reason }));
}
