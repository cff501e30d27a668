//! Names, numbers and claims that are not the client's to make (58 to 68).

use std::collections::HashSet;

use ghost_sync_core::{
    ClientMessage, CloseReason, CreateOnJoin, MessageType, Refusal, RoomConfig, RoomId,
    ServerMessage, Welcome,
};

use crate::{
    peer::{Peer, broadcast, frame, hello},
    rig::{CALM, Rig, SHARED, builder, until},
};

#[tokio::test]
async fn fault_58_odd_room_names_are_refused_or_taken_byte_by_byte() {
    let rooms = RoomConfig::default().remove_when_empty(std::time::Duration::from_millis(1));
    let made = builder().create_on_join(CreateOnJoin::Always).room_defaults(rooms);
    let rig = Rig::with(made).await;
    let mut peer = Peer::greeted(rig.addr).await;
    let (long, longest) = ("a".repeat(129), "ä".repeat(64));
    for bad in ["", "a\0b", "a\r\nb", "\u{1b}[31m", "\u{7f}", &long] {
        let refusal = peer.join(bad).await.unwrap_err();
        assert!(matches!(refusal, Refusal::InvalidRoomName { .. }), "{bad:?}: {refusal:?}");
    }
    for odd in ["../..", "%00", "*", ">", "🎮👨‍👩‍👧", "\u{202e}ybbol", "a\u{200b}b", " ", &longest]
    {
        peer.join(odd).await.unwrap();
        let id = rig.server.client_ids();
        let room = id.iter().filter_map(|id| rig.server.client_room(*id)).find(|room| *room == odd);
        assert!(room.is_some(), "{odd:?}");
    }
    // A name that does not even fit into a frame is more than a bad name.
    peer.say_bytes(&frame(&crate::peer::join(&"a".repeat(1 << 20)))).await.unwrap();
    assert!(matches!(peer.close_reason().await, CloseReason::PayloadTooLarge { .. }));
    rig.finish().await;
}

#[tokio::test]
async fn fault_59_twins_of_a_name_are_other_rooms() {
    let rig = Rig::new().await;
    let mut peer = Peer::greeted(rig.addr).await;
    for twin in ["Shared", "shared ", "ѕhared", "share\u{200b}d"] {
        let refusal = peer.join(twin).await.unwrap_err();
        assert_eq!(refusal, Refusal::RoomNotFound { room: twin.into() });
    }
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_61_ids_are_random_and_none_comes_twice() {
    let rig = Rig::new().await;
    let mut seen: HashSet<_> = rig.server.client_ids().into_iter().collect();
    for _ in 0..300 {
        let mut peer = Peer::connect(rig.addr).await;
        peer.say(&hello()).await;
        let id = peer.hear(|message| match message {
            ServerMessage::Welcome(Welcome { client_id, .. }) => Some(client_id),
            _ => None,
        });
        let id = id.await;
        assert_eq!(id.get_version_num(), 4, "122 random bits");
        assert!(seen.insert(id));
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_65_numbers_of_rooms_that_are_not_ones_own_open_no_door() {
    let rig = Rig::new().await;
    let (mut peer, own) = Peer::joined(rig.addr).await;
    // The calm room is among these.
    let others = (0..40).chain([u32::MAX]).map(RoomId).filter(|room| *room != own);
    let mut reference = 0;
    for room in others {
        let send = ClientMessage::ToServer { room, message_type: MessageType::RAW, payload: b"?" };
        for message in [broadcast(room, b"boo"), send] {
            if matches!(&message, ClientMessage::ToServer { room: RoomId(0), .. }) {
                // That is about no room.
                continue;
            }
            peer.say(&message).await;
            reference += 1;
            let (of, refused, reason) = peer
                .hear(|message| match message {
                    ServerMessage::Refused { room, reference, reason } => {
                        Some((room, reference, reason))
                    }
                    _ => None,
                })
                .await;
            assert_eq!((of, refused, reason), (room, reference, Refusal::NotInRoom));
        }
        peer.say(&ClientMessage::Leave { room }).await;
        peer.hear(|message| matches!(message, ServerMessage::Refused { .. }).then_some(())).await;
    }
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_65_what_is_said_after_leaving_is_refused_and_harms_nobody() {
    let rig = Rig::new().await;
    let (mut peer, room) = Peer::joined(rig.addr).await;
    let mut bytes = frame(&broadcast(room, b"heard"));
    bytes.extend(frame(&ClientMessage::Leave { room }));
    bytes.extend(frame(&broadcast(room, b"too late")));
    peer.say_bytes(&bytes).await.unwrap();
    let refused = peer.hear(|message| match message {
        ServerMessage::Refused { reference, reason, .. } => Some((reference, reason)),
        _ => None,
    });
    assert_eq!(refused.await, (2, Refusal::NotInRoom));
    drop(peer);
    rig.finish().await;
}

#[tokio::test]
async fn fault_67_a_room_that_is_not_listed_is_not_in_the_list() {
    let rig = Rig::new().await;
    rig.server.create_room_with("secret", RoomConfig::default().unlisted()).unwrap();
    let mut peer = Peer::greeted(rig.addr).await;
    peer.say(&ClientMessage::ListRooms { request: 1 }).await;
    let names: Vec<_> = peer
        .hear(|message| match message {
            ServerMessage::RoomList { rooms, .. } => Some(rooms),
            _ => None,
        })
        .await
        .into_iter()
        .map(|room| room.name)
        .collect();
    assert_eq!(names, [CALM, SHARED]);
    drop(peer);
    rig.server.delete_room("secret").unwrap();
    assert!(until(|| rig.server.room_count() == 2).await);
    rig.finish().await;
}
