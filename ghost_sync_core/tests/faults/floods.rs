//! More than anybody should send (36 to 57).

use std::time::Duration;

use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, CreateOnJoin, Delivery, Limits, MessageType, Refusal, RoomConfig,
    RoomId, SendFlags, ServerMessage,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::Instant};

use crate::{
    peer::{Peer, broadcast, frame, hello},
    rig::{PATIENCE, Rig, SHARED, builder, until},
};

/// The same message many times.
fn many(message: &ClientMessage<'_>, times: usize) -> BytesMut {
    let frame = frame(message);
    BytesMut::from(&frame.repeat(times)[..])
}

#[tokio::test]
async fn fault_36_connections_that_come_and_go_leave_nothing_behind() {
    let rig = Rig::new().await;
    let mut tasks = JoinSet::new();
    for worker in 0..4_u8 {
        let addr = rig.addr;
        tasks.spawn(async move {
            for _ in 0..400 {
                let stream = TcpStream::connect(addr).await.unwrap();
                if worker % 2 == 0 {
                    stream.set_zero_linger().unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_40_who_is_one_too_many_is_told_so_and_when_to_come_back() {
    let rig = Rig::with(builder().max_clients(6)).await;
    let first = Peer::greeted(rig.addr).await;
    let mut second = Peer::greeted(rig.addr).await;
    for _ in 0..50 {
        let mut late = Peer::connect(rig.addr).await;
        late.say(&hello()).await;
        let reason = late.close_reason().await;
        assert!(matches!(reason, CloseReason::MaxClientsReached { max: 6, .. }), "{reason:?}");
        assert!(reason.retry_after().is_some());
    }
    second.sync().await;
    drop((first, second));
    rig.finish().await;
}

#[tokio::test]
async fn fault_41_joining_and_leaving_all_the_time_confuses_no_roster() {
    let rig = Rig::with(builder().limits(Limits::none())).await;
    let (mut peer, mut room) = Peer::joined(rig.addr).await;
    for _ in 0..500 {
        peer.say(&ClientMessage::Leave { room }).await;
        room = peer.join(SHARED).await.unwrap();
    }
    // Without waiting for answers, too.
    let mut bytes = BytesMut::new();
    for _ in 0..200 {
        ClientMessage::Leave { room }.encode(&mut bytes);
        crate::peer::join(SHARED).encode(&mut bytes);
    }
    peer.say_bytes(&bytes).await.unwrap();
    peer.sync().await;
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_42_rooms_are_made_up_to_the_limit_and_go_when_they_are_empty() {
    let rooms = RoomConfig::default().remove_when_empty(Duration::from_millis(20));
    let settings = builder()
        .create_on_join(CreateOnJoin::Always)
        .room_defaults(rooms)
        .max_rooms(20)
        .rooms_per_client(1000);
    let rig = Rig::with(settings).await;
    let mut peer = Peer::greeted(rig.addr).await;
    for number in 0..100 {
        let joined = peer.join(&format!("made-{number}")).await;
        match joined {
            Ok(_) => assert!(number < 18),
            Err(reason) => {
                assert!(number >= 18);
                assert_eq!(reason, Refusal::ServerOutOfRooms { max: 20 });
            }
        }
    }
    drop(peer);
    assert!(until(|| rig.server.room_count() == 2).await);
    rig.finish().await;
}

#[tokio::test]
async fn fault_43_one_client_is_in_as_many_rooms_as_it_may_be() {
    let settings = builder()
        .create_on_join(CreateOnJoin::Always)
        .room_defaults(RoomConfig::default().remove_when_empty(Duration::from_millis(1)))
        .limits(Limits::none())
        .rooms_per_client(8);
    let rig = Rig::with(settings).await;
    let mut peer = Peer::greeted(rig.addr).await;
    let joins = async {
        let mut joined = 0;
        for number in 0..50 {
            joined += usize::from(peer.join(&format!("made-{number}")).await.is_ok());
        }
        joined
    };
    assert_eq!(joins.await, 8);
    drop(peer);
    rig.finish().await;
}

/// Says this very often in a room, next to somebody who hears it: where that is not limited,
/// and where the limits end it.
async fn storm(payload: &[u8], delivery: Delivery, times: usize) {
    storm_with(Limits::none(), payload, delivery, times).await;
    storm_with(Limits::default(), payload, delivery, times).await;
}

async fn storm_with(limits: Limits, payload: &[u8], delivery: Delivery, times: usize) {
    let ends = limits == Limits::default();
    let rig = Rig::with(builder().limits(limits)).await;
    let (mut peer, room) = Peer::joined(rig.addr).await;
    let message = ClientMessage::Broadcast {
        room,
        delivery,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload,
    };
    let bytes = many(&message, times);
    // A server that has enough of it reads on, or it would take its last words back.
    peer.say_bytes(&bytes).await.unwrap();
    if ends {
        let reason = peer.close_reason().await;
        assert!(matches!(reason, CloseReason::RateLimited { .. }), "{reason:?}");
    } else {
        peer.sync().await;
    }
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_44_a_storm_of_messages_keeps_nobody_from_talking() {
    storm(&[7; 64], Delivery::Volatile, 40_000).await;
}

#[tokio::test]
async fn fault_44_a_storm_of_one_value_keeps_nobody_from_talking() {
    storm(&[7; 64], Delivery::Latest(1), 40_000).await;
}

#[tokio::test]
async fn fault_45_a_room_where_everybody_shouts_stays_in_order() {
    let rig = Rig::with(builder().limits(Limits::none())).await;
    let mut shouting = JoinSet::new();
    for _ in 0..6 {
        let (mut peer, room) = Peer::joined(rig.addr).await;
        shouting.spawn(async move {
            let message = ClientMessage::Broadcast {
                room,
                delivery: Delivery::Volatile,
                flags: SendFlags::NONE,
                message_type: MessageType::RAW,
                payload: &[7; 100],
            };
            let bytes = many(&message, 300);
            for _ in 0..5 {
                peer.say_bytes(&bytes).await.unwrap();
                peer.sync().await;
            }
        });
    }
    shouting.join_all().await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_46_a_flood_of_tiny_frames_keeps_nobody_from_talking() {
    storm(b"!", Delivery::Volatile, 50_000).await;
}

/// Sends requests without reading an answer until the server has enough of it.
async fn ask_without_listening(message: ClientMessage<'_>) {
    let rig = Rig::with(builder().limits(Limits::none())).await;
    let mut peer = Peer::narrow(rig.addr).await;
    peer.greet().await;
    let bytes = many(&message, 1000);
    let start = Instant::now();
    while peer.say_bytes(&bytes).await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "it never ends");
    }
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_47_pings_whose_answers_nobody_reads_end_the_connection() {
    ask_without_listening(ClientMessage::Ping { nonce: 1 }).await;
}

#[tokio::test]
async fn fault_48_mistakes_whose_refusals_nobody_reads_end_the_connection() {
    ask_without_listening(broadcast(RoomId(999), b"boo")).await;
}

#[tokio::test]
async fn fault_49_metadata_grows_up_to_its_limit_only() {
    let rig = Rig::with(builder().limits(Limits::none())).await;
    let mut peer = Peer::greeted(rig.addr).await;
    let mut refused = 0;
    for number in 0..300 {
        let (key, value) = (format!("{number:0>60}"), "v".repeat(1000));
        let (key, value) = (key.as_str(), Some(value.as_str()));
        peer.say(&ClientMessage::SetMetadata { key, value, if_version: None }).await;
        peer.say(&ClientMessage::Ping { nonce: number }).await;
        let no = peer.hear(|message| match message {
            ServerMessage::Refused { reason: Refusal::MetadataTooLarge { .. }, .. } => Some(true),
            ServerMessage::Pong { .. } => Some(false),
            _ => None,
        });
        if no.await {
            refused += 1;
            peer.hear(|message| matches!(message, ServerMessage::Pong { .. }).then_some(())).await;
        }
    }
    assert!(refused > 250, "only {refused} of 300 kilobytes were refused");
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_27_answers_to_questions_that_nobody_asked_change_nothing() {
    let rig = Rig::new().await;
    let mut peer = Peer::greeted(rig.addr).await;
    let bytes = many(&ClientMessage::Pong { nonce: 77, received: 0 }, 20_000);
    peer.say_bytes(&bytes).await.unwrap();
    peer.sync().await;
    peer.stream.shutdown().await.unwrap();
    drop(peer);
    rig.finish().await;
}
