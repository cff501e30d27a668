//! What waits for programs that stand still is bounded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    Client, ClientMessage, Delivery, GapReason, MessageType, RelayEvent, RelayMode, Request,
    RoomConfig, RoomId, SendFlags, ServerEvent, Verdict, embed::*,
};
use tokio::{io::AsyncWriteExt, task::yield_now};

use crate::world::{STEPS, World, events, join, missed, name, poll, say, stranger};

#[tokio::test(start_paused = true)]
async fn a_frame_that_stands_still_loses_volatile_messages_and_stays_connected() {
    let mut world = World::new().await;
    let (mut first, _) = world.join().await;
    let (mut second, _) = world.join().await;
    poll(&mut first);
    let payload = Bytes::from(vec![7; 50_000]);
    for _ in 0..100 {
        for delivery in [Delivery::Volatile, Delivery::Reliable] {
            let payload = match delivery {
                Delivery::Reliable => Bytes::from_static(b"end"),
                _ => payload.clone(),
            };
            let (room, flags, message_type) = (None, SendFlags::NONE, MessageType::RAW);
            let said = Request::Broadcast { room, delivery, flags, message_type, payload };
            first.send(said).unwrap();
        }
        first.flush();
        world.step().await;
    }
    // A minute of frames that never came.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut heard = Vec::new();
    for _ in 0..40 {
        heard.extend(events(poll(&mut second)));
        world.step().await;
    }
    let ends = heard.iter().filter(|event| {
        matches!(event, ServerEvent::Broadcast { delivery: Delivery::Reliable, .. })
    });
    assert_eq!(ends.count(), 100);
    assert!(heard.iter().any(|event| {
        matches!(event, ServerEvent::Gap { reason: GapReason::InboxFull, own: 0, .. })
    }));
    assert_eq!(world.server.handle().client_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_program_that_stands_still_is_told_how_much_it_missed() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    world.updates.clear();
    for _ in 0..200 {
        for _ in 0..8 {
            client.send(say(&[7; 10_000])).unwrap();
        }
        client.flush();
        for _ in 0..16 {
            yield_now().await;
        }
    }
    world.step().await;
    let mut seen = 0;
    let mut missed = 0;
    for update in &world.updates {
        match update {
            ServerUpdate::Event(RelayEvent::Broadcast { .. }) => seen += 1,
            ServerUpdate::Missed { messages, .. } => missed += messages,
            _ => {}
        }
    }
    assert_eq!(seen + missed, 1600);
    assert!((90..120).contains(&seen), "a client's share is a mebibyte: {seen} {missed}");
}

#[tokio::test(start_paused = true)]
async fn one_client_that_says_nothing_all_the_time_keeps_nobody_else_from_being_heard() {
    let mut world = World::new().await;
    let (mut honest, honest_id) = world.join().await;
    let mut flooder = stranger(&mut world).await;
    let mut flood = BytesMut::new();
    for _ in 0..60_000 {
        ClientMessage::ToServer { room: RoomId(0), message_type: MessageType::RAW, payload: b"" }
            .encode(&mut flood);
    }
    let (mut heard, mut newcomers) = (0, Vec::new());
    for frame in 0..10 {
        // All of it is there before anybody else has a word in.
        flooder.write_all(&flood).await.unwrap();
        honest.send(say(b"I am here")).unwrap();
        honest.flush();
        if frame % 3 == 0 {
            let mut newcomer = world.connect(Client::builder());
            newcomer.send(join("lobby")).unwrap();
            newcomer.flush();
            newcomers.push(newcomer);
        }
        for _ in 0..STEPS {
            yield_now().await;
        }
        tokio::time::advance(Duration::from_millis(16)).await;
        world.updates.clear();
        world.server.poll(&mut world.updates);
        for update in &world.updates {
            match update {
                ServerUpdate::Event(RelayEvent::Broadcast { client_id, .. }) => {
                    heard += u32::from(*client_id == honest_id);
                }
                ServerUpdate::Missed { client_id, messages, .. } => {
                    assert_ne!(*client_id, honest_id, "{messages} messages in frame {frame}");
                }
                ServerUpdate::Ask { ask, .. } => {
                    let verdict = Verdict::Accept;
                    world.server.send(ServerCommand::Answer { ask: *ask, verdict });
                }
                _ => {}
            }
        }
        world.server.flush();
    }
    world.step().await;
    assert_eq!(heard, 10, "of ten messages");
    for newcomer in &mut newcomers {
        let updates = poll(newcomer);
        let joined = |update: &ClientUpdate| {
            matches!(update, ClientUpdate::Event(ServerEvent::Joined { .. }))
        };
        assert!(updates.iter().any(joined), "{updates:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_missed_is_told_before_its_end() {
    let mut world = World::new().await;
    let mut flooder = stranger(&mut world).await;
    world.updates.clear();
    let mut flood = BytesMut::new();
    for _ in 0..60_000 {
        ClientMessage::ToServer { room: RoomId(0), message_type: MessageType::RAW, payload: b"" }
            .encode(&mut flood);
    }
    flooder.write_all(&flood).await.unwrap();
    drop(flooder);
    world.step().await;
    let mut seen = 0;
    for update in &world.updates {
        match update {
            ServerUpdate::Event(RelayEvent::Message { .. }) => seen += 1,
            ServerUpdate::Missed { messages, .. } => seen += messages,
            ServerUpdate::Event(RelayEvent::ConnectionClosed { .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, 60_000);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_server_program_that_stands_still_is_bounded() {
    let mut world = World::new().await;
    let config = RoomConfig::default().mode(RelayMode::Moderated);
    world.server.send(ServerCommand::CreateRoom { name: name("court"), config });
    world.server.flush();
    let (mut client, client_id) = world.join().await;
    client.send(join("court")).unwrap();
    client.flush();
    world.step().await;
    world.updates.clear();
    for _ in 0..20 {
        for _ in 0..16 {
            client.send(say(&[7; 60_000])).unwrap();
        }
        for _ in 0..512 {
            let value = "v".repeat(1500);
            world.server.handle().set_client_metadata(client_id, "key", &value).unwrap();
            client.send(Request::SetMetadata { key: "own".into(), value: Some(value) }).unwrap();
        }
        client.flush();
        for _ in 0..STEPS {
            yield_now().await;
        }
        // The verdicts do not come in time, so more may be asked for.
        tokio::time::sleep(Duration::from_secs(3)).await;
        poll(&mut client);
    }
    // What nobody can answer any more is not shown, but kept until then.
    let kept = format!("{:?}", world.server).len();
    assert!(kept < 48 << 20, "{} MiB of text", kept >> 20);
    world.server.poll(&mut world.updates);
    let changes = world.updates.iter().filter(|update| {
        matches!(update, ServerUpdate::Event(RelayEvent::ClientMetadataChanged { .. }))
    });
    let (changes, missed) = (changes.count(), world.updates.iter().filter_map(missed).sum::<u64>());
    assert!(changes < (8 << 20) / 1500 && missed > 0, "{changes} {missed}");
}
