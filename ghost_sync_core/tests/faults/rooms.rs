//! Rooms that come and go while clients do too (95 to 103).

use std::{collections::HashSet, time::Duration};

use ghost_sync_core::{
    ClientMessage, CloseReason, CreateOnJoin, Limits, Refusal, RoomConfig, ServerMessage,
};
use tokio::task::JoinSet;

use crate::{
    peer::{Peer, broadcast, frame},
    rig::{Rig, SHARED, builder, until},
};

#[tokio::test]
async fn fault_95_a_join_meets_a_room_or_none_and_nobody_stays_in_a_room_that_is_gone() {
    let rig = Rig::with(builder().rooms_per_client(2).limits(Limits::none())).await;
    let mut peers = JoinSet::new();
    for _ in 0..6 {
        let mut peer = Peer::greeted(rig.addr).await;
        peers.spawn(async move {
            let mut joined = 0;
            while joined < 20 {
                let Ok(room) = peer.join("brief").await else { continue };
                joined += 1;
                // Its end is told, and then the leave.
                let gone = peer.hear(|message| match message {
                    ServerMessage::RoomDeleted { room, .. } => Some(room),
                    _ => None,
                });
                assert_eq!(gone.await, room);
                let left = peer.hear(|message| match message {
                    ServerMessage::Left { room, .. } => Some(room),
                    _ => None,
                });
                assert_eq!(left.await, room);
            }
        });
    }
    while !peers.is_empty() {
        rig.server.create_room("brief").unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        rig.server.close_room("brief", "that was it").unwrap();
        for id in rig.server.client_ids() {
            assert_ne!(rig.server.client_room(id).as_ref().map(AsRef::as_ref), Some("brief"));
        }
        while let Some(done) = peers.try_join_next() {
            done.unwrap();
        }
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_97_a_room_made_again_at_once_is_another_room() {
    let rig = Rig::with(builder().rooms_per_client(2)).await;
    rig.server.create_room("again").unwrap();
    let mut old = Peer::greeted(rig.addr).await;
    let before = old.join("again").await.unwrap();
    rig.server.delete_room("again").unwrap();
    rig.server.create_room("again").unwrap();
    let mut new = Peer::greeted(rig.addr).await;
    let after = new.join("again").await.unwrap();
    assert_ne!(before, after);
    assert_eq!(rig.server.room_client_count("again"), Some(1));
    old.say(&broadcast(before, b"hello?")).await;
    let refused = old.hear(|message| match message {
        ServerMessage::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(refused.await, Refusal::RoomNotFound { room: "again".into() });
    new.sync().await;
    drop((old, new));
    rig.server.delete_room("again").unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn fault_98_nothing_of_a_kicked_client_comes_after_its_leave() {
    let rig = Rig::new().await;
    for _ in 0..20 {
        let known: HashSet<_> = rig.server.client_ids().into_iter().collect();
        let (mut peer, room) = Peer::joined(rig.addr).await;
        let victim = rig.server.client_ids().into_iter().find(|id| !known.contains(id)).unwrap();
        let bytes = frame(&broadcast(room, b"still here")).repeat(50);
        peer.say_bytes(&bytes).await.unwrap();
        tokio::task::yield_now().await;
        rig.server.disconnect(victim, "enough").unwrap();
        let _ = peer.say_bytes(&bytes).await;
        // The honest clients check that only members are heard.
        let end = peer.end().await;
        assert!(matches!(end, None | Some(CloseReason::Kicked { .. })), "{end:?}");
        drop(peer);
        assert!(until(|| rig.server.client_count() == 4).await);
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_99_a_hundred_joins_at_once_take_exactly_the_seats_there_are() {
    let rig = Rig::new().await;
    rig.server.create_room_with("small", RoomConfig::default().capacity(10)).unwrap();
    let mut joins = JoinSet::new();
    for _ in 0..100 {
        let addr = rig.addr;
        joins.spawn(async move {
            let mut peer = Peer::greeted(addr).await;
            let joined = peer.join("small").await;
            (peer, joined)
        });
    }
    let (seated, refused): (Vec<_>, Vec<_>) =
        joins.join_all().await.into_iter().partition(|(_, joined)| joined.is_ok());
    assert_eq!((seated.len(), refused.len()), (10, 90));
    for (_, joined) in refused {
        assert_eq!(joined, Err(Refusal::RoomFull { room: "small".into(), capacity: 10 }));
    }
    drop(seated);
    rig.server.delete_room("small").unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn fault_100_a_join_beats_the_end_of_an_empty_room_or_makes_it_anew() {
    let settings = builder()
        .limits(Limits::none())
        .create_on_join(CreateOnJoin::Always)
        .room_defaults(RoomConfig::default().remove_when_empty(Duration::from_millis(1)));
    let rig = Rig::with(settings).await;
    let mut peer = Peer::greeted(rig.addr).await;
    for _ in 0..100 {
        let room = peer.join("brief").await.expect("always");
        assert_eq!(rig.server.room_client_count("brief"), Some(1));
        peer.say(&ClientMessage::Leave { room }).await;
        peer.hear(|message| matches!(message, ServerMessage::Left { .. }).then_some(())).await;
    }
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_101_of_many_who_make_a_room_at_once_one_does() {
    let rig = Rig::new().await;
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let server = rig.server.clone();
            std::thread::spawn(move || server.create_room("contested").is_ok())
        })
        .collect();
    let made = makers.into_iter().map(|maker| maker.join().unwrap());
    assert_eq!(made.filter(|made| *made).count(), 1);
    rig.server.delete_room("contested").unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn fault_102_what_is_asked_twice_is_answered_twice() {
    let rig = Rig::new().await;
    let (mut peer, room) = Peer::joined(rig.addr).await;
    let twice = peer.join(SHARED).await;
    assert_eq!(twice, Err(Refusal::AlreadyJoined { room: SHARED.into() }));
    peer.say(&ClientMessage::Leave { room }).await;
    peer.hear(|message| matches!(message, ServerMessage::Left { .. }).then_some(())).await;
    for message in [ClientMessage::Leave { room }, broadcast(room, b"anybody?")] {
        peer.say(&message).await;
        let refused = peer.hear(|message| match message {
            ServerMessage::Refused { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(refused.await, Refusal::NotInRoom);
    }
    drop(peer);
    rig.finish().await;
}
