//! Rules that fail, and servers that stop (84 to 110).

use std::time::Duration;

use ghost_sync_core::{
    Client, ClientId, ClientMessage, CloseReason, ConnectError, ConnectInfo, CreateOnJoin,
    DisconnectReason, JoinInfo, JoinOptions, LeaveReason, MessageType, Refusal, RelayMode,
    RoomConfig, Server, ServerHandler, ServerMessage, Verdict,
};
use tokio::{runtime::Handle, task::JoinSet};

use crate::{
    peer::{Peer, broadcast},
    rig::{PATIENCE, Rig, SHARED, builder, enter, until},
};

/// Rules that panic about everything of bombs.
struct Bombs;

fn look_at(text: &str) -> Verdict {
    assert!(!text.contains("bomb"), "a bomb");
    Verdict::Accept
}

impl ServerHandler for Bombs {
    fn on_connect(&self, connect: &ConnectInfo<'_>) -> Verdict {
        look_at(&String::from_utf8_lossy(connect.data))
    }

    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        look_at(&String::from_utf8_lossy(join.data))
    }

    fn on_create_room_request(&self, join: &JoinInfo<'_>) -> Verdict {
        look_at(join.room)
    }

    fn on_relay(&self, _: ClientId, _: &str, _: MessageType, data: &[u8]) -> Verdict {
        look_at(&String::from_utf8_lossy(data))
    }

    fn on_broadcast(&self, _: ClientId, _: &str, data: &[u8]) {
        look_at(&String::from_utf8_lossy(data));
    }

    fn on_message(&self, _: ClientId, _: Option<&str>, _: MessageType, _: &[u8]) {
        look_at("bomb");
    }

    fn on_leave(&self, _: ClientId, room: &str, _: &LeaveReason) {
        look_at(if room == SHARED { "bomb" } else { room });
    }

    fn on_disconnect(&self, _: ClientId, _: &DisconnectReason) {
        look_at("bomb");
    }

    fn on_room_create(&self, _: &str) {
        look_at("bomb");
    }

    fn on_room_delete(&self, _: &str) {
        look_at("bomb");
    }

    fn on_shutdown(&self) {
        look_at("bomb");
    }
}

#[tokio::test]
async fn fault_84_a_rule_of_any_kind_that_panics_means_no_and_nothing_else() {
    let settings = builder()
        .handler(Bombs)
        .create_on_join(CreateOnJoin::Ask)
        .rooms_per_client(4)
        .room_with("moderated", RoomConfig::default().mode(RelayMode::Moderated));
    let rig = Rig::with(settings).await;
    let refused = Client::builder().data(&b"bomb"[..]).connect(rig.addr).await;
    assert!(matches!(refused, Err(ConnectError::Rejected { .. })), "{refused:?}");
    let mut peer = Peer::greeted(rig.addr).await;
    let refusal = peer.join("bombs are made here").await.unwrap_err();
    assert!(matches!(refusal, Refusal::Rejected { .. }), "{refusal:?}");
    let bomb = ClientMessage::Join {
        request: 2,
        room: SHARED,
        options: JoinOptions {
            data: b"bomb",
            replay: ghost_sync_core::Replay::Nothing,
            ..JoinOptions::default()
        },
    };
    peer.say(&bomb).await;
    let refusal = peer.hear(|message| match message {
        ServerMessage::JoinRefused { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(refusal.await, Refusal::Rejected { .. }));
    let room = peer.join("moderated").await.unwrap();
    peer.say(&broadcast(room, b"bomb")).await;
    let refusal = peer.hear(|message| match message {
        ServerMessage::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(matches!(refusal.await, Refusal::Rejected { .. }));
    // Ears that panic have no say at all.
    let room = peer.join(SHARED).await.unwrap();
    peer.say(&broadcast(room, b"bomb")).await;
    peer.say(&ClientMessage::ToServer { room, message_type: MessageType::RAW, payload: b"" }).await;
    peer.say(&ClientMessage::Leave { room }).await;
    peer.sync().await;
    rig.server.create_room("made").unwrap();
    rig.server.delete_room("made").unwrap();
    drop(peer);
    rig.finish().await;
}

/// Rules that take far too long about bombs.
struct Sleepers;

impl ServerHandler for Sleepers {
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        if join.data == b"bomb" {
            std::thread::sleep(Duration::from_millis(700));
        }
        Verdict::Accept
    }
}

#[tokio::test]
async fn fault_85_a_rule_that_blocks_means_no_and_holds_nobody_up() {
    let rig = Rig::with(builder().handler(Sleepers).ask_timeout(Duration::from_millis(100))).await;
    let mut peers = JoinSet::new();
    for _ in 0..8 {
        let addr = rig.addr;
        peers.spawn(async move {
            let mut peer = Peer::greeted(addr).await;
            let replay = ghost_sync_core::Replay::Nothing;
            peer.say(&ClientMessage::Join {
                request: 1,
                room: SHARED,
                options: JoinOptions { data: b"bomb", replay, ..JoinOptions::default() },
            })
            .await;
            peer.hear(|message| match message {
                ServerMessage::JoinRefused { reason, .. } => Some(reason),
                ServerMessage::Joined { .. } => panic!("nobody said yes in time"),
                _ => None,
            })
            .await
        });
    }
    for refusal in peers.join_all().await {
        assert!(matches!(refusal, Refusal::TimedOut { after_ms: 100 }), "{refusal:?}");
    }
    rig.round().await;
    rig.finish().await;
}

#[tokio::test]
async fn fault_104_a_server_stops_in_time_while_everybody_shouts() {
    let server = Server::builder().bind("127.0.0.1:0").room(SHARED).build().run().await.unwrap();
    let addr = server.local_addr().unwrap();
    let mut ends = JoinSet::new();
    for _ in 0..8 {
        let (client, _) = enter(addr, SHARED).await;
        let (sender, mut receiver) = client.split();
        ends.spawn(async move {
            let shout = async {
                while sender.broadcast([7; 500]).await.is_ok() {
                    tokio::task::yield_now().await;
                }
                std::future::pending::<()>().await;
            };
            let listen = async {
                loop {
                    match receiver.recv().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("it did not close by itself"),
                        Err(reason) => break reason,
                    }
                }
            };
            tokio::select! {
                () = shout => unreachable!("it never ends"),
                reason = listen => reason,
            }
        });
    }
    // Somebody who takes nothing is among them.
    let mut stuck = Peer::narrow(addr).await;
    stuck.greet().await;
    stuck.join(SHARED).await.unwrap();
    let stop = server.shutdown_with("over", Duration::from_secs(2));
    tokio::time::timeout(PATIENCE, stop).await.expect("it stops");
    assert_eq!((server.client_count(), server.is_running()), (0, false));
    std::net::TcpListener::bind(addr).expect("the port is free");
    while let Some(end) = ends.join_next().await {
        let end = end.unwrap();
        assert!(
            matches!(&end, DisconnectReason::Closed(CloseReason::ServerShutdown { .. })),
            "{end:?}"
        );
    }
    drop(stuck);
    assert!(until(|| Handle::current().metrics().num_alive_tasks() == 0).await, "a task is left");
}

#[tokio::test]
async fn fault_105_a_server_that_is_there_again_takes_its_clients_back() {
    let rig = Rig::new().await;
    let first = Server::builder().bind("127.0.0.1:0").room(SHARED).build().run().await.unwrap();
    let addr = first.local_addr().unwrap();
    let (mut client, _) = enter(addr, SHARED).await;
    first.shutdown_with("back soon", Duration::from_secs(2)).await;
    let reason = loop {
        match client.recv().await {
            Ok(_) => {}
            Err(reason) => break reason,
        }
    };
    assert!(reason.may_reconnect());
    let refused = Client::connect(addr).await.unwrap_err();
    assert!(refused.may_retry());
    let settings = Server::builder().bind(addr.to_string()).room(SHARED);
    let second = settings.build().run().await.unwrap();
    let (again, _) = enter(addr, SHARED).await;
    assert_ne!(again.client_id(), client.client_id());
    drop((again, client));
    second.shutdown_with("over", Duration::from_secs(2)).await;
    rig.finish().await;
}
