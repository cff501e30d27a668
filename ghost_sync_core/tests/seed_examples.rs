//! The usage examples that this crate grew from, as a user would write them now.
//!
//! What changed against them: `on_connect` and `on_join` answer with a
//! [`Verdict`] (`bool` converts into it) and are given what the client brought;
//! events have more fields, hence `..`; a room is called `room`, not `room_id`.

#![expect(clippy::wildcard_enum_match_arm, reason = "as a user would write it")]

use std::net::SocketAddr;

use ghost_sync_core::{
    Client, ConnectInfo, JoinInfo, NoopHandler, Server, ServerEvent, ServerHandle, ServerHandler,
    Uuid, Verdict,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

struct GameHandler;

impl ServerHandler for GameHandler {
    fn on_connect(&self, connect: &ConnectInfo<'_>) -> Verdict {
        // reject non-local in dev
        connect.addr.ip().is_loopback().into()
    }

    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        eprintln!("{} joined {}", join.client_id, join.room);
        true.into()
    }

    fn on_backpressure(&self, client_id: Uuid, room: &str) {
        eprintln!("slow client {client_id} in {room}");
    }
}

struct MaxPlayers {
    limit: usize,
    handle: ServerHandle,
}

impl ServerHandler for MaxPlayers {
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        match self.handle.room_client_count(join.room) {
            Some(count) => (count < self.limit).into(),
            None => false.into(),
        }
    }
}

struct StrictRooms;

impl ServerHandler for StrictRooms {
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        // only allow pre-approved rooms
        matches!(join.room, "lobby" | "deathmatch" | "duel").into()
    }
}

/// The server of the guide; port 0 instead of 7777.
async fn server() -> Result<ServerHandle> {
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .max_clients(128)
        .max_payload(64 * 1024)
        .channel_capacity(64)
        .handler(GameHandler)
        .build();

    let handle = server.run().await?;

    // rooms are managed at runtime via the handle
    handle.create_room("lobby")?;
    handle.create_room("deathmatch")?;
    Ok(handle)
}

/// The client of the guide; returns after the first broadcast it hears.
async fn client(addr: SocketAddr, greeting: &str) -> Result<Option<String>> {
    let mut client = Client::connect(addr).await?;

    client.join("lobby").await?;

    // join() sends the request; confirmation comes via recv()
    match client.recv().await? {
        Some(ServerEvent::Joined { client_id, room, .. }) => {
            eprintln!("joined {room} as {client_id}");
        }
        Some(ServerEvent::Refused(msg)) => {
            eprintln!("join failed: {msg}");
            return Ok(None);
        }
        _ => return Ok(None),
    }

    client.broadcast(greeting).await?;

    while let Some(event) = client.recv().await? {
        match event {
            ServerEvent::Broadcast { sender, data, .. } => {
                let text = String::from_utf8_lossy(&data).into_owned();
                eprintln!("{sender}: {text}");
                return Ok(Some(text));
            }
            ServerEvent::PlayerJoined { client_id, .. } => {
                eprintln!(">> {client_id} joined");
                client.broadcast(greeting).await?;
            }
            ServerEvent::PlayerLeft { client_id, .. } => {
                eprintln!(">> {client_id} left");
            }
            _ => {}
        }
    }
    Ok(None)
}

#[tokio::test]
async fn the_server_and_the_lobby_client_of_the_guide_work_together() {
    let handle = server().await.unwrap();
    let addr = handle.local_addr().unwrap();
    let (first, second) = tokio::join!(client(addr, "hello"), client(addr, "hi"));
    let mut heard = [first.unwrap().unwrap(), second.unwrap().unwrap()];
    heard.sort();
    assert_eq!(heard, ["hello", "hi"]);
    handle.shutdown().await;
}

#[tokio::test]
async fn the_quick_example_joins_and_is_told_its_room() {
    let server = Server::builder().bind("127.0.0.1:0").handler(NoopHandler).build();
    let handle = server.run().await.unwrap();
    handle.create_room("test-room").unwrap();
    let mut client = Client::connect(handle.local_addr().unwrap()).await.unwrap();
    client.join_with("test-room", b"").await.unwrap();
    while let Ok(Some(event)) = client.recv().await {
        if let ServerEvent::Joined { room, .. } = event {
            assert_eq!(room, "test-room");
            return;
        }
    }
    panic!("the connection ended");
}

#[tokio::test]
async fn a_handler_can_hold_the_handle_and_limit_its_rooms() {
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .room("duel")
        .handler_with(|handle| MaxPlayers { limit: 1, handle })
        .build();
    let handle = server.run().await.unwrap();
    let addr = handle.local_addr().unwrap();
    let mut first = Client::connect(addr).await.unwrap();
    first.join("duel").await.unwrap();
    assert!(matches!(first.recv().await, Ok(Some(ServerEvent::Joined { .. }))));
    let mut second = Client::connect(addr).await.unwrap();
    second.join("duel").await.unwrap();
    assert!(matches!(second.recv().await, Ok(Some(ServerEvent::Refused(_)))));
    handle.shutdown().await;
}

#[tokio::test]
async fn only_rooms_on_the_list_can_be_joined() {
    let server = Server::builder().bind("127.0.0.1:0").room("cellar").handler(StrictRooms).build();
    let handle = server.run().await.unwrap();
    let mut client = Client::connect(handle.local_addr().unwrap()).await.unwrap();
    client.join("cellar").await.unwrap();
    let Ok(Some(ServerEvent::Refused(error))) = client.recv().await else { panic!("let in") };
    assert_eq!(error.to_string(), "join \"cellar\": rejected by the server");
}
