//! Matches that are recorded, and disks that take them.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use ghost_sync_core::{
    Client, Delivery, MessageType, SendOptions, Server, ServerBuilder, ServerEvent, ServerHandle,
    recording::{Playback, PlaybackOptions, Recording, Speed},
};
use tokio::time::sleep;

/// A file in memory.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn read(&self) -> Recording {
        Recording::read(&self.bytes()[..]).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) async fn serve(builder: ServerBuilder) -> ServerHandle {
    builder.local_only().room("arena").build().run().await.unwrap()
}

pub(crate) async fn connect(server: &ServerHandle, name: &str) -> Client {
    let stream = server.connect_local();
    Client::builder().metadata("name", name).connect_over(stream).await.unwrap()
}

pub(crate) async fn join(server: &ServerHandle, name: &str) -> Client {
    let mut client = connect(server, name).await;
    client.join("arena").await.unwrap();
    assert!(matches!(next(&mut client).await, ServerEvent::Joined { .. }));
    client
}

pub(crate) async fn next(client: &mut Client) -> ServerEvent {
    client.recv().await.expect("a connection").expect("an open one")
}

/// Events until the client is put out of the room, or nothing comes for a minute.
pub(crate) async fn rest(client: &mut Client) -> Vec<ServerEvent> {
    let mut events = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(60), next(client)).await {
        if matches!(event, ServerEvent::Left { .. }) {
            break;
        }
        events.push(event);
    }
    events
}

pub(crate) async fn watch(playback: &Playback) -> Client {
    Client::builder().connect_over(playback.connect_local()).await.unwrap()
}

/// A viewer in the room, and the answer to its join.
pub(crate) async fn watch_joined(playback: &Playback) -> (Client, ServerEvent) {
    let mut viewer = watch(playback).await;
    viewer.join("arena").await.unwrap();
    let joined = next(&mut viewer).await;
    (viewer, joined)
}

pub(crate) fn fastest() -> PlaybackOptions {
    PlaybackOptions { speed: Speed::FASTEST, ..PlaybackOptions::default() }
}

pub(crate) fn latest(key: u32) -> SendOptions {
    SendOptions { delivery: Delivery::Latest(key), ..SendOptions::default() }
}

/// A small match: two players, words of all kinds, metadata, somebody who leaves.
pub(crate) async fn play_a_match(server: &ServerHandle) {
    let ada = join(server, "Ada").await;
    sleep(Duration::from_secs(1)).await;
    let mut bob = join(server, "Bob").await;
    ada.broadcast("hello").await.unwrap();
    ada.broadcast_with("here", latest(7)).await.unwrap();
    let typed = SendOptions {
        delivery: Delivery::Volatile,
        message_type: MessageType(9),
        ..SendOptions::default()
    };
    ada.broadcast_with("boom", typed).await.unwrap();
    for _ in 0..3 {
        next(&mut bob).await;
    }
    sleep(Duration::from_secs(2)).await;
    server.broadcast("arena", "half-time").unwrap();
    server.set_room_metadata("arena", "map", "moon").unwrap();
    bob.set_metadata("team", "red").await.unwrap();
    bob.broadcast("bye").await.unwrap();
    bob.leave().await.unwrap();
    while !matches!(next(&mut bob).await, ServerEvent::Left { .. }) {}
    ada.disconnect().await;
}

/// The bytes of a recorded match.
pub(crate) async fn recorded() -> Vec<u8> {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    play_a_match(&server).await;
    recorder.stop().await.unwrap();
    server.shutdown().await;
    disk.bytes()
}

pub(crate) fn said(event: ServerEvent) -> (u64, bool, Bytes) {
    let ServerEvent::Broadcast { seq, replay, data, .. } = event else { panic!("{event:?}") };
    (seq, replay, data)
}
