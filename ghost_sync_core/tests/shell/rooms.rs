//! Rooms as several clients see them.

use std::time::Duration;

use ghost_sync_core::{
    ClientId, CreateOnJoin, JoinInfo, LeaveReason, Refusal, RelayMode, RequestKind, RoomConfig,
    SendOptions, Server, ServerEvent, ServerHandler, Verdict,
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn joining_another_room_leaves_the_first() {
    let server = serve(Server::builder().room("duel")).await;
    let (mut mover, mut stayer) = (join(&server, "lobby").await, join(&server, "lobby").await);
    next(&mut mover).await;
    mover.join("duel").await.unwrap();
    let ServerEvent::Left { room, reason: LeaveReason::Moved } = next(&mut mover).await else {
        panic!()
    };
    assert_eq!(room, "lobby");
    hear_joined(&mut mover, "duel").await;
    let ServerEvent::PlayerLeft { reason: LeaveReason::Moved, .. } = next(&mut stayer).await else {
        panic!()
    };
    assert_eq!(mover.rooms(), [name("duel")]);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_in_several_rooms_where_the_server_allows_it() {
    let server = serve(Server::builder().room("duel").rooms_per_client(2)).await;
    let mut client = join(&server, "lobby").await;
    client.join("duel").await.unwrap();
    hear_joined(&mut client, "duel").await;
    assert_eq!(client.rooms(), [name("lobby"), name("duel")]);
    let (mut lobby, mut duel) = (join(&server, "lobby").await, join(&server, "duel").await);
    let room = Some(name("lobby"));
    client.broadcast_with(b"lobby", SendOptions { room, ..Default::default() }).await.unwrap();
    client.broadcast(b"duel").await.unwrap();
    assert_eq!((hear(&mut lobby).await, hear(&mut duel).await), ("lobby".into(), "duel".into()));
    client.leave_room("lobby").await.unwrap();
    while !matches!(next(&mut client).await, ServerEvent::Left { .. }) {}
    assert_eq!(client.rooms(), [name("duel")]);
}

#[tokio::test(start_paused = true)]
async fn a_full_room_refuses_the_next_client_until_somebody_leaves() {
    let server = server().await;
    server.create_room_with("duel", RoomConfig::default().capacity(1)).unwrap();
    let first = join(&server, "duel").await;
    let mut second = connect(&server).await;
    second.join("duel").await.unwrap();
    let ServerEvent::Refused(error) = next(&mut second).await else { panic!() };
    assert_eq!((error.request, error.room), (RequestKind::Join, Some(name("duel"))));
    assert_eq!(error.reason, Refusal::RoomFull { room: "duel".into(), capacity: 1 });
    first.disconnect().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    second.join("duel").await.unwrap();
    hear_joined(&mut second, "duel").await;
}

#[tokio::test(start_paused = true)]
async fn a_join_makes_the_room_where_the_server_says_so() {
    let server = serve(Server::builder().create_on_join(CreateOnJoin::Always)).await;
    let client = join(&server, "new").await;
    assert!(server.room_exists("new"));
    client.disconnect().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(server.room_exists("new"), "empty rooms stay unless told otherwise");
}

/// Makes rooms with as many seats as their creators want, and hears what is said there.
struct Rooms(tokio::sync::mpsc::UnboundedSender<String>);

impl ServerHandler for Rooms {
    fn on_create_room_request(&self, join: &JoinInfo<'_>) -> Verdict {
        match join.options {
            Some([seats]) if join.data.is_empty() => {
                Verdict::CreateRoom { config: RoomConfig::default().capacity((*seats).into()) }
            }
            Some(_) => Verdict::reject("one byte: how many seats"),
            None => Verdict::reject("nobody made that room"),
        }
    }

    fn on_broadcast(&self, _: ClientId, room: &str, _: &[u8]) {
        let _ = self.0.send(room.to_owned());
    }
}

#[tokio::test(start_paused = true)]
async fn a_creator_says_how_its_room_is_to_be_and_a_typed_code_makes_none() {
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let builder = Server::builder().handler(Rooms(sender)).create_on_join(CreateOnJoin::Ask);
    let server = serve(builder).await;
    let mut host = connect(&server).await;
    host.create_or_join("code", [2]).await.unwrap();
    hear_joined(&mut host, "code").await;
    assert_eq!(server.room_config("code").unwrap().capacity.unwrap().get(), 2);
    host.broadcast(b"welcome").await.unwrap();
    assert_eq!(heard.recv().await.unwrap(), "code", "its rules hear what is said there");

    let mut guest = connect(&server).await;
    guest.join_existing("cod").await.unwrap();
    guest.join("cod").await.unwrap();
    for reason in [
        Refusal::RoomNotFound { room: "cod".into() },
        Refusal::Rejected { message: "nobody made that room".into() },
    ] {
        let ServerEvent::Refused(error) = next(&mut guest).await else { panic!() };
        assert_eq!(error.reason, reason);
    }
    guest.join_existing("code").await.unwrap();
    hear_joined(&mut guest, "code").await;
    assert_eq!(server.room_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn joining_where_one_is_keeps_the_seat_and_is_no_error() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    client.join("lobby").await.unwrap();
    let room = name("lobby");
    assert_eq!(next(&mut client).await, ServerEvent::AlreadyJoined { room: room.clone() });
    client.leave().await.unwrap();
    client.join("lobby").await.unwrap();
    assert!(matches!(next(&mut client).await, ServerEvent::Left { .. }));
    hear_joined(&mut client, "lobby").await;
    assert_eq!((client.rooms(), server.room_client_count("lobby")), (vec![room], Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_closed_room_puts_everybody_out() {
    let server = server().await;
    let (mut first, mut second) = (join(&server, "lobby").await, join(&server, "lobby").await);
    next(&mut first).await;
    server.close_room("lobby", "closing time").unwrap();
    for client in [&mut first, &mut second] {
        let ServerEvent::RoomDeleted { message, .. } = next(client).await else { panic!() };
        assert_eq!(message, "closing time");
        let left = loop {
            match next(client).await {
                ServerEvent::Left { reason, .. } => break reason,
                ServerEvent::PlayerLeft { .. } => {}
                event => panic!("{event:?}"),
            }
        };
        assert_eq!(left, LeaveReason::RoomDeleted { message: "closing time".into() });
    }
}

#[tokio::test(start_paused = true)]
async fn an_authoritative_room_gives_broadcasts_to_the_server_only() {
    let (ear, mut ears) = ear();
    let server = serve(Server::builder().handler(ear)).await;
    let config = RoomConfig::default().mode(RelayMode::ServerOnly);
    server.create_room_with("ruled", config).unwrap();
    let (first, mut second) = (join(&server, "ruled").await, join(&server, "ruled").await);
    first.broadcast(b"move").await.unwrap();
    let message = loop {
        let told = ears.next().await;
        if matches!(told, Told::Message(..)) {
            break told;
        }
    };
    let room = Some("ruled".to_owned());
    assert_eq!(message, Told::Message(first.client_id(), room, "move".into()));
    server.broadcast("ruled", b"state").unwrap();
    assert_eq!(hear(&mut second).await, "state");
}

#[tokio::test(start_paused = true)]
async fn everybody_hears_everything_in_one_order() {
    let server = server().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(join(&server, "lobby").await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let options = || SendOptions {
                flags: ghost_sync_core::SendFlags::ECHO,
                ..SendOptions::default()
            };
            for round in 0..50_u8 {
                client.broadcast_with([round], options()).await.unwrap();
                tokio::task::yield_now().await;
            }
            let mut heard = Vec::new();
            while heard.len() < 400 {
                if let ServerEvent::Broadcast { seq, sender, data, .. } = next(&mut client).await {
                    heard.push((seq, sender.client_id().unwrap(), data));
                }
            }
            // Whoever is done first must not leave before the others have heard it.
            (client, heard)
        });
    }
    let mut all: Vec<_> = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done.unwrap());
    }
    for (client, heard) in &all {
        assert_eq!(*heard, all[0].1);
        let own = heard.iter().filter(|(_, sender, _)| *sender == client.client_id());
        assert!(own.map(|(_, _, data)| data[0]).eq(0..50));
    }
}
