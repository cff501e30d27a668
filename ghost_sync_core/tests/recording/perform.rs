//! Recordings that are performed against a server.

use std::{io, time::Duration};

use ghost_sync_core::{
    ClientId, Delivery, MessageType, Refusal, RoomConfig, Seat, SendOptions, Server, ServerHandle,
    ServerMessage,
    recording::{PerformOptions, Recording, Speed, WhyNot},
};
use tokio::time::{Instant, sleep};

use crate::support::{Disk, join, recorded, serve};

/// The log of a room, without the ids of this server's clients.
async fn log_of(server: &ServerHandle) -> Vec<ServerMessage<'static>> {
    let disk = Disk::default();
    server.record("arena", disk.clone()).unwrap().stop().await.unwrap();
    without_ids(&disk.read())
}

fn without_ids(recording: &Recording) -> Vec<ServerMessage<'static>> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "players cause nothing else")]
    let events = recording.events().map(|event| match event.message {
        ServerMessage::PlayerJoined { room, seq, mut member } => {
            member.client_id = ClientId::nil();
            ServerMessage::PlayerJoined { room, seq, member }
        }
        ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload } => {
            let payload = payload.to_vec().leak();
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload }
        }
        ServerMessage::PlayerMetadata { room, seq, seat, version, key, value } => {
            let (key, value) =
                (key.to_owned().leak(), value.map(|value| &*value.to_owned().leak()));
            ServerMessage::PlayerMetadata { room, seq, seat, version, key, value }
        }
        ServerMessage::PlayerLeft { room, seq, seat, reason } => {
            ServerMessage::PlayerLeft { room, seq, seat, reason }
        }
        message => panic!("{message:?}"),
    });
    events.collect()
}

/// A match in which everything is done by players.
async fn chatter(server: &ServerHandle) {
    let players = [join(server, "Ada").await, join(server, "Bob").await];
    for number in 0..20_u32 {
        let delivery = match number % 3 {
            0 => Delivery::Reliable,
            1 => Delivery::Volatile,
            _ => Delivery::Latest(number),
        };
        let options =
            SendOptions { delivery, message_type: MessageType(number), ..SendOptions::default() };
        let player = &players[number as usize / 2 % 2];
        player.broadcast_with(format!("word {number}"), options).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    players[1].set_metadata("team", "red").await.unwrap();
    sleep(Duration::from_millis(10)).await;
    players[0].leave().await.unwrap();
    sleep(Duration::from_millis(10)).await;
    players[1].disconnect().await;
}

async fn recorded_chatter() -> Recording {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    chatter(&server).await;
    recorder.stop().await.unwrap();
    disk.read()
}

#[tokio::test(start_paused = true)]
async fn a_performance_leaves_the_same_log_on_a_fresh_server() {
    let recording = recorded_chatter().await;
    let options = || PerformOptions { speed: Speed::FASTEST, ..PerformOptions::default() };
    for in_order in [true, false] {
        let server = serve(Server::builder()).await;
        let connector = || std::future::ready(Ok(server.connect_local()));
        let options = PerformOptions { in_order, ..options() };
        let performance = recording.perform(connector, options).await;
        assert!(performance.not_performed.is_empty(), "{:?}", performance.not_performed);
        assert_eq!((performance.performed, performance.left_out), (25, 0));
        assert!(performance.players.is_empty());
        let log = log_of(&server).await;
        if in_order {
            assert_eq!(log, without_ids(&recording));
        } else {
            assert_eq!(log.len(), 25);
        }
        server.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_performance_takes_as_long_as_the_match_and_leaves_out_the_server() {
    let recording = Recording::read(&recorded().await[..]).unwrap();
    let server = serve(Server::builder()).await;
    let connector = || std::future::ready(Ok(server.connect_local()));
    let start = Instant::now();
    let performance = recording.perform(connector, PerformOptions::default()).await;
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(performance.not_performed.is_empty(), "{:?}", performance.not_performed);
    // The words of the server and the metadata of its room.
    assert_eq!((performance.performed, performance.left_out), (9, 2));

    // From the middle on, those who were there join at once; one can stay.
    let options = PerformOptions { from: 6, speed: Speed::FASTEST, ..PerformOptions::default() };
    let cut = recording.events().nth(7).unwrap();
    assert!(matches!(cut.message, ServerMessage::PlayerMetadata { .. }), "{cut:?}");
    let performance = recording.perform(connector, options).await;
    assert_eq!((performance.performed, performance.left_out), (6, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_refuses_is_reported() {
    let recording = recorded_chatter().await;
    let server = serve(Server::builder()).await;
    server.configure_room("arena", RoomConfig::default().capacity(1)).unwrap();
    let connector = || std::future::ready(Ok(server.connect_local()));
    let options = PerformOptions { speed: Speed::FASTEST, ..PerformOptions::default() };
    let performance = recording.perform(connector, options).await;
    let not = performance.not_performed;
    assert_eq!((not[0].seq, not[0].seat), (2, Seat(2)));
    assert!(matches!(&not[0].why, WhyNot::Refused(Refusal::RoomFull { capacity: 1, .. })));
    assert!(not[1..].iter().all(|not| matches!(not.why, WhyNot::NotInRoom)), "{not:?}");
    assert_eq!((performance.performed, not.len()), (12, 13));
}

#[tokio::test(start_paused = true)]
async fn players_who_did_not_leave_are_handed_over() {
    let server = serve(Server::builder()).await;
    let disk = Disk::default();
    let recorder = server.record("arena", disk.clone()).unwrap();
    let _ada = join(&server, "Ada").await;
    recorder.stop().await.unwrap();
    let fresh = serve(Server::builder()).await;
    let there = fresh.clone();
    let connector = move || std::future::ready(Ok(there.connect_local()));
    let recording = disk.read();
    let performing = async move { recording.perform(connector, PerformOptions::default()).await };
    let performance = tokio::spawn(performing).await.unwrap();
    assert_eq!(performance.players.len(), 1);
    assert_eq!(fresh.room_client_count("arena"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_reported_for_each_player() {
    let connector = || {
        std::future::ready(Err::<tokio::io::DuplexStream, _>(
            io::ErrorKind::ConnectionRefused.into(),
        ))
    };
    let performance = recorded_chatter().await.perform(connector, PerformOptions::default()).await;
    assert_eq!((performance.performed, performance.not_performed.len()), (0, 25));
    assert!(matches!(performance.not_performed[0].why, WhyNot::NotConnected(_)));
}
