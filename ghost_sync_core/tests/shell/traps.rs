//! Defects that the first implementation had; none may come back.

use std::time::Duration;

use ghost_sync_core::{
    Client, ClientMessage, CloseReason, Delivery, DisconnectReason, LeaveReason, Refusal,
    RequestKind, Server, ServerEvent, ServerMessage,
};
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn pings_never_desynchronise_the_stream() {
    // Frames of a busy room, cut into odd pieces, with a ping of either side after each.
    let server = serve(Server::builder().ping_interval(Duration::from_millis(10))).await;
    let (ours, theirs) = tokio::io::duplex(7);
    let (mut outside, mut inside) = (theirs, server.connect_local());
    tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut outside, &mut inside, 5, 3).await;
    });
    let mut slow = Client::builder().connect_over(ours).await.unwrap();
    slow.join("lobby").await.unwrap();
    hear_joined(&mut slow, "lobby").await;
    let mut other = join(&server, "lobby").await;
    next(&mut slow).await;
    for round in 0..200_u32 {
        let data = round.to_string().repeat(9);
        other.broadcast(&data).await.unwrap();
        slow.ping().await.unwrap();
        slow.broadcast(&data).await.unwrap();
        assert_eq!(hear(&mut other).await, data);
        loop {
            match next(&mut slow).await {
                ServerEvent::Broadcast { data: heard, .. } => break assert_eq!(heard, data),
                ServerEvent::Pong { .. } => {}
                event => panic!("{event:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_recv_loses_nothing() {
    let server = server().await;
    let (mut first, mut second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    next(&mut first).await;
    let mut heard = 0_u32;
    for round in 0..100_u32 {
        second.broadcast(round.to_le_bytes()).await.unwrap();
    }
    while heard < 100 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            event = first.recv() => match event {
                Ok(Some(ServerEvent::Broadcast { data, .. })) => {
                    assert_eq!(data, heard.to_le_bytes()[..]);
                    heard += 1;
                }
                event => panic!("{event:?}"),
            },
        }
    }
    second.disconnect().await;
    assert_eq!(second.recv().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_join_answer_is_never_overtaken_by_a_broadcast() {
    let server = server().await;
    let talker = join(&server, "lobby").await;
    let come_and_go = async {
        for _ in 0..100 {
            let mut guest = connect(&server).await;
            guest.join("lobby").await.unwrap();
            let ServerEvent::Joined { seq, members, .. } = next(&mut guest).await else {
                panic!("something came first")
            };
            assert_eq!(members.len(), 2);
            // The first event after it is the next one.
            let ServerEvent::Broadcast { seq: first, .. } = next(&mut guest).await else {
                panic!()
            };
            assert_eq!(first, seq + 1);
            guest.leave().await.unwrap();
            while !matches!(next(&mut guest).await, ServerEvent::Left { .. }) {}
        }
    };
    let talk = async {
        loop {
            talker.broadcast(b"bla").await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = come_and_go => {}
        () = talk => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_kick_closes_the_connection_and_panics_nowhere() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    let mut victim = join(&server, "lobby").await;
    let mut witness = join(&server, "lobby").await;
    server.disconnect(victim.client_id(), "cheating").unwrap();
    let reason = CloseReason::Kicked { message: "cheating".into() };
    loop {
        match victim.recv().await {
            Ok(Some(ServerEvent::PlayerJoined { .. })) => {}
            end => break assert_eq!(end, Err(DisconnectReason::Closed(reason.clone()))),
        }
    }
    let ServerEvent::PlayerLeft { client_id, reason: why, .. } = next(&mut witness).await else {
        panic!()
    };
    let kicked = LeaveReason::Kicked { message: "cheating".into() };
    assert_eq!((client_id, why), (victim.client_id(), kicked));
    assert_eq!(ears.end().await, DisconnectReason::Closed(reason));
    assert_eq!(server.client_count(), 1);
    assert!(server.disconnect(victim.client_id(), "again").is_err());
}

#[tokio::test]
async fn shutdown_returns_after_everything_is_closed() {
    let (ear, mut ears) = ear();
    let server = Server::builder().bind("127.0.0.1:0").room("lobby").handler(ear).build();
    let server = server.run().await.unwrap();
    let addr = server.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let client = Client::connect(addr).await.unwrap();
        client.join("lobby").await.unwrap();
        clients.push(client);
    }
    while server.room_client_count("lobby") != Some(10) {
        tokio::task::yield_now().await;
    }
    server.shutdown_with("over", Duration::from_secs(10)).await;
    assert_eq!(server.client_count(), 0);
    assert!(!server.is_running());
    let told = ears.rest().await;
    let left = told.iter().filter(|told| matches!(told, Told::Left(..))).count();
    let gone = told.iter().filter(|told| matches!(told, Told::Disconnected(..))).count();
    assert_eq!((left, gone), (10, 10));
    // The port is free at once.
    std::net::TcpListener::bind(addr).unwrap();
    let reason = CloseReason::ServerShutdown { message: "over".into(), retry_after_ms: 1000 };
    for mut client in clients {
        assert_eq!(end(&mut client).await, DisconnectReason::Closed(reason.clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn taking_a_value_with_the_wrong_type_leaves_it() {
    let server = server().await;
    let client = join(&server, "lobby").await;
    let id = client.client_id();
    server.insert_room_value("lobby", 7_u32).unwrap();
    server.insert_client_value(id, "score".to_owned()).unwrap();
    assert_eq!(server.take_room_value::<String>("lobby"), None);
    assert_eq!(server.take_client_value::<u32>(id), None);
    assert_eq!(server.room_value::<u32>("lobby").as_deref(), Some(&7));
    assert_eq!(server.take_room_value::<u32>("lobby").as_deref(), Some(&7));
    assert_eq!(server.take_client_value::<String>(id).as_deref(), Some(&"score".to_owned()));
    assert_eq!(server.room_value::<u32>("lobby"), None);
}

#[tokio::test(start_paused = true)]
async fn a_softly_deleted_room_refuses_broadcasts_and_joins() {
    let server = server().await;
    let mut member = join(&server, "lobby").await;
    server.delete_room("lobby").unwrap();
    let ServerEvent::RoomDeleted { room, .. } = next(&mut member).await else { panic!() };
    assert_eq!(room, "lobby");
    let reference = member.broadcast(b"anybody?").await.unwrap();
    let ServerEvent::Refused(error) = next(&mut member).await else { panic!() };
    assert_eq!(error.request, RequestKind::Broadcast);
    assert_eq!((error.room, error.reference), (Some(name("lobby")), Some(reference)));
    assert_eq!(error.reason, Refusal::RoomNotFound { room: "lobby".into() });
    member.join("lobby").await.unwrap();
    let ServerEvent::Refused(error) = next(&mut member).await else { panic!() };
    assert_eq!(error.reason, Refusal::RoomNotFound { room: "lobby".into() });

    // The same name again is another room.
    server.create_room("lobby").unwrap();
    let mut guest = join(&server, "lobby").await;
    member.broadcast(b"hello?").await.unwrap();
    assert!(matches!(next(&mut member).await, ServerEvent::Refused(_)));
    member.join("lobby").await.unwrap();
    assert!(matches!(
        next(&mut member).await,
        ServerEvent::Left { reason: LeaveReason::Moved, .. }
    ));
    hear_joined(&mut member, "lobby").await;
    assert!(matches!(next(&mut guest).await, ServerEvent::PlayerJoined { .. }));
}

#[tokio::test(start_paused = true)]
async fn with_defaults_a_silent_client_is_timed_out_and_a_healthy_one_stays() {
    let server = server().await;
    // This one never calls recv.
    let healthy = join(&server, "lobby").await;
    let mut silent = Raw::open(server.connect_local()).await;
    let start = Instant::now();
    assert!(matches!(silent.close_reason().await, CloseReason::IdleTimeout { .. }));
    assert_eq!(start.elapsed(), Duration::from_secs(31));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(server.client_ids(), [healthy.client_id()]);
}

#[tokio::test(start_paused = true)]
async fn one_lost_ping_kills_nobody() {
    let server = server().await;
    let mut raw = Raw::open(server.connect_local()).await;
    let mut answered = 0;
    // Answers every other ping, for ten minutes.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(600) {
        let body = raw.frame().await.expect("a connection");
        let Ok(ServerMessage::Ping { nonce, .. }) = ServerMessage::decode(&body) else {
            panic!("{:?}", ServerMessage::decode(&body))
        };
        answered += 1;
        if answered % 2 == 0 {
            raw.say(&ClientMessage::Pong { nonce, received: 0 }).await;
        }
    }
    assert_eq!(server.client_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_of_one_gets_its_own_broadcasts_only_with_echo() {
    let server = server().await;
    let mut alone = join(&server, "lobby").await;
    alone.broadcast(b"silence").await.unwrap();
    let flags = ghost_sync_core::SendFlags::ECHO.with(ghost_sync_core::SendFlags::ACK);
    let options = ghost_sync_core::SendOptions { flags, ..Default::default() };
    let reference = alone.broadcast_with(b"echo", options).await.unwrap();
    let mut told = [next(&mut alone).await, next(&mut alone).await];
    told.sort_by_key(|event| matches!(event, ServerEvent::Ack { .. }));
    let ServerEvent::Broadcast { sender, data, seq, delivery: Delivery::Reliable, .. } = &told[0]
    else {
        panic!("{told:?}")
    };
    assert_eq!((sender.client_id(), &data[..]), (Some(alone.client_id()), &b"echo"[..]));
    assert_eq!(told[1], ServerEvent::Ack { room: name("lobby"), reference, seq: *seq });
}
