//! What a program can do with the handle, from wherever it is.

use std::time::Duration;

use ghost_sync_core::{
    Client, ClientId, CreateRoomError, Delivery, LeaveReason, MessageType, MetadataError,
    RoomConfig, Server, ServerEvent, ServerHandle, relay::ServerSendError,
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn rooms_and_clients_can_be_counted_and_named() {
    let server = server().await;
    server.create_room_with("duel", RoomConfig::default().capacity(2)).unwrap();
    let (first, second) = (join(&server, "lobby").await, join(&server, "duel").await);
    assert_eq!(server.room_count(), 2);
    assert!(server.room_exists("duel") && !server.room_exists("cellar"));
    let rooms: Vec<_> = server.rooms().into_iter().map(|room| (room.name, room.players)).collect();
    assert_eq!(rooms, [(name("duel"), 1), (name("lobby"), 1)]);
    assert_eq!(server.room_clients("duel"), Some(vec![second.client_id()]));
    assert_eq!(server.room_client_count("lobby"), Some(1));
    assert_eq!(server.room_clients("cellar"), None);
    assert_eq!(server.client_count(), 2);
    assert_eq!(server.client_room(first.client_id()), Some(name("lobby")));
    assert_eq!(server.client_rooms(second.client_id()), [name("duel")]);
    assert!(server.client_addr(first.client_id()).unwrap().ip().is_loopback());
    let queue = server.queue_len(first.client_id()).unwrap();
    assert_eq!((queue.frames, queue.bytes), (0, 0));
    first.disconnect().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(server.client_addr(first.client_id()), None);
    assert!(server.queue_len(first.client_id()).is_none());
    assert_eq!(server.local_addr(), None);
}

#[tokio::test(start_paused = true)]
async fn the_server_speaks_to_all_but_some_and_says_what_may_be_lost() {
    let server = server().await;
    let (mut first, mut second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    let (raw, left_out) = (MessageType::RAW, [first.client_id()]);
    let reliable = Delivery::Reliable;
    server.broadcast_except("lobby", left_out, reliable, raw, b"not you").unwrap();
    server.broadcast("lobby", b"all").unwrap();
    let heard = async |client: &mut Client| loop {
        if let ServerEvent::Broadcast { data, .. } = next(client).await {
            break data;
        }
    };
    assert_eq!(heard(&mut first).await, "all");
    assert_eq!(heard(&mut second).await, "not you");
    server.send_to_with(first.client_id(), Delivery::Latest(1), raw, b"here").unwrap();
    server.send_to_many_with(left_out, Delivery::Volatile, raw, b"bang").unwrap();
    for expected in ["here", "bang"] {
        let ServerEvent::Direct { missed, data, .. } = next(&mut first).await else { panic!() };
        assert_eq!((missed, &data[..]), (Some(0), expected.as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_speaks_to_a_room_to_one_to_some_and_to_all() {
    let server = server().await;
    let mut inside = join(&server, "lobby").await;
    let mut outside = connect(&server).await;
    server.broadcast("lobby", b"room").unwrap();
    let ServerEvent::Broadcast { sender, data, .. } = next(&mut inside).await else { panic!() };
    assert!(sender.is_server() && data == "room");

    let ids = [inside.client_id(), outside.client_id()];
    server.send_to(ids[1], b"one").unwrap();
    assert_eq!(server.send_to_many(ids, b"some"), Ok(2));
    assert_eq!(server.broadcast_all(b"all"), Ok(2));
    for expected in ["one", "some", "all"] {
        let ServerEvent::Direct { room: None, message_type, data, .. } = next(&mut outside).await
        else {
            panic!()
        };
        assert_eq!((message_type, data), (MessageType::RAW, expected.into()));
    }
    for expected in ["some", "all"] {
        let ServerEvent::Direct { data, .. } = next(&mut inside).await else { panic!() };
        assert_eq!(data, expected);
    }
    assert!(matches!(
        server.send_to_many(ids, [0; 70_000]),
        Err(ServerSendError::PayloadTooLarge { len: 70_000, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn metadata_of_rooms_and_clients_is_versioned() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    let id = client.client_id();
    assert_eq!(server.set_room_metadata("lobby", "map", "cellar"), Ok(1));
    assert_eq!(
        server.compare_and_set_room_metadata("lobby", "map", Some("attic"), 0),
        Err(MetadataError::Conflict { current: 1 })
    );
    assert_eq!(server.compare_and_set_room_metadata("lobby", "map", Some("attic"), 1), Ok(2));
    assert_eq!(server.room_metadata("lobby").unwrap().value("map"), Some("attic"));
    assert_eq!(server.remove_room_metadata("lobby", "map"), Ok(3));
    for (at, expected) in [(1, Some("cellar")), (2, Some("attic")), (3, None)] {
        let ServerEvent::RoomMetadata { version, value, .. } = next(&mut client).await else {
            panic!()
        };
        assert_eq!((version, value.as_deref()), (at, expected));
    }
    assert_eq!(server.set_client_metadata(id, "team", "red"), Ok(1));
    assert!(server.compare_and_set_client_metadata(id, "team", None, 7).is_err());
    let meta = server.client_metadata(id).unwrap();
    assert_eq!((meta.version, meta.value("team")), (1, Some("red")));
    assert_eq!(server.remove_client_metadata(id, "team"), Ok(2));
    assert!(matches!(
        server.set_room_metadata("lobby", "big", "x".repeat(100_000)),
        Err(MetadataError::TooLarge { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn values_last_as_long_as_their_room_or_client() {
    let server = server().await;
    let client = join(&server, "lobby").await;
    let id = client.client_id();
    let value = std::sync::Arc::new(());
    server.insert_room_value("lobby", value.clone()).unwrap();
    server.insert_client_value(id, value.clone()).unwrap();
    assert_eq!(server.insert_room_value("lobby", 1_u8), Ok(None));
    assert_eq!(server.insert_room_value("lobby", 2_u8).unwrap().as_deref(), Some(&1));
    server.delete_room("lobby").unwrap();
    client.disconnect().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
    assert!(server.insert_room_value("lobby", 3_u8).is_err());
    assert!(server.insert_client_value(id, 3_u8).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_removed_from_a_room_stays_connected() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    server.kick(client.client_id(), "lobby", "time out").unwrap();
    let ServerEvent::Left { reason, .. } = next(&mut client).await else { panic!() };
    assert_eq!(reason, LeaveReason::Kicked { message: "time out".into() });
    tokio::time::sleep(Duration::from_secs(10)).await;
    client.join("lobby").await.unwrap();
    hear_joined(&mut client, "lobby").await;
    assert!(server.kick(client.client_id(), "cellar", "").is_err());
}

#[tokio::test]
async fn a_handle_works_on_a_thread_without_a_runtime() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    let id = client.client_id();
    let there = server.clone();
    let thread = std::thread::spawn(move || {
        there.create_room("cellar").unwrap();
        there.broadcast("lobby", b"from afar").unwrap();
        there.kick(id, "lobby", "bye").unwrap();
        drop(there.connect_local());
        there.begin_shutdown("over", Duration::from_secs(1));
    });
    assert_eq!(hear(&mut client).await, "from afar");
    end(&mut client).await;
    thread.join().unwrap();
    server.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_handle_after_the_end_returns_errors() {
    let server = server().await;
    let client = join(&server, "lobby").await;
    server.shutdown().await;
    assert_eq!(server.create_room("new"), Err(CreateRoomError::Stopped));
    assert!(server.disconnect(client.client_id(), "").is_err());
    assert!(server.send_to(client.client_id(), b"").is_err());
    assert_eq!(server.client_count(), 0);
    assert_eq!(server.broadcast_all(b""), Ok(0));
    let late = Client::builder().connect_over(server.connect_local());
    assert!(late.await.is_err());
    let _ = (server.broadcast("lobby", b""), server.rooms(), server.delete_room("lobby"));
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_handle_before_the_start_makes_rooms_and_connects_nobody() {
    let server = Server::builder().local_only().build();
    let handle = server.handle();
    handle.create_room("early").unwrap();
    let early = Client::builder().connect_over(handle.connect_local());
    assert!(early.await.is_err());
    server.run().await.unwrap();
    join(&handle, "early").await;
}

/// A name whose reading asks the server something, as that of a program may.
struct Curious(ServerHandle);

impl AsRef<str> for Curious {
    fn as_ref(&self) -> &str {
        assert_eq!(self.0.client_count(), 0);
        "lobby"
    }
}

impl AsRef<[u8]> for Curious {
    fn as_ref(&self) -> &[u8] {
        assert_eq!(self.0.client_count(), 0);
        b"lobby"
    }
}

#[tokio::test]
async fn what_the_program_hands_over_may_ask_the_server() {
    let server = server().await;
    let (nobody, me) = (ClientId::nil(), || Curious(server.clone()));
    let (done, end) = std::sync::mpsc::channel();
    let calls = {
        let server = server.clone();
        move || {
            let me = || Curious(server.clone());
            let room = RoomConfig::default();
            let _ = server.create_room(me());
            let _ = server.create_room_with(me(), room.clone());
            let _ = server.configure_room(me(), room);
            let _ = server.room_config(me());
            let _ = server.broadcast(me(), me());
            let _ = server.send_to(nobody, me());
            let _ = server.send_to_many([nobody], me());
            let _ = server.broadcast_all(me());
            let _ = server.disconnect(nobody, me());
            let _ = server.kick(nobody, me(), me());
            let _ = server.room_exists(me());
            let _ = server.room_clients(me());
            let _ = server.room_client_count(me());
            let _ = server.history(me(), 0, 100);
            let _ = server.set_room_metadata(me(), me(), me());
            let _ = server.remove_room_metadata(me(), me());
            let _ = server.compare_and_set_room_metadata(me(), me(), None, 0);
            let _ = server.room_metadata(me());
            let _ = server.set_client_metadata(nobody, me(), me());
            let _ = server.remove_client_metadata(nobody, me());
            let _ = server.compare_and_set_client_metadata(nobody, me(), None, 0);
            let _ = server.insert_room_value(me(), 1_u32);
            let _ = server.room_value::<u32>(me());
            let _ = server.take_room_value::<u32>(me());
            let _ = server.close_room(me(), me());
            let _ = server.delete_room(me());
            let _ = done.send(());
        }
    };
    // One that waits for itself would do so for ever, on a thread of its own.
    std::thread::spawn(calls);
    end.recv_timeout(Duration::from_secs(10)).expect("every call comes back");
    drop(server.record(me(), std::io::sink()));
    server.shutdown_with(me(), Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_given_other_settings_is_still_heard() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    assert_eq!(server.room_config("cellar"), None);
    let config = server.room_config("lobby").unwrap();
    server.configure_room("lobby", config.capacity(2)).unwrap();
    assert_eq!(server.room_config("lobby").unwrap().capacity.map(u32::from), Some(2));
    server.configure_room("lobby", RoomConfig::default()).unwrap();
    let (first, mut second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    first.broadcast(b"hi").await.unwrap();
    assert_eq!(hear(&mut second).await, "hi");
    loop {
        if let Told::Broadcast(client, room, data) = ears.next().await {
            break assert_eq!((client, &*room, &*data), (first.client_id(), "lobby", &b"hi"[..]));
        }
    }
}
