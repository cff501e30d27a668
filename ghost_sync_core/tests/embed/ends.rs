//! How servers, clients and runtimes end.

use std::time::Duration;

use bytes::Bytes;
use ghost_sync_core::{
    Client, Delivery, MessageType, RelayEvent, RoomConfig, Server, ServerEvent, Verdict, embed::*,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
};

use crate::world::{STEPS, World, events, join, name, poll};

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_tells_its_clients_and_its_program() {
    let mut world = World::new().await;
    let (mut client, _) = world.join().await;
    let (message, deadline) = ("restart".to_owned(), Duration::from_secs(1));
    world.updates.clear();
    world.server.send(ServerCommand::Shutdown { message, deadline });
    world.server.flush();
    world.step().await;
    let updates = poll(&mut client);
    let [ClientUpdate::Disconnected { reason, retry_in: Some(wait) }] = &updates[..] else {
        panic!("{updates:?}")
    };
    assert_eq!(reason.to_string(), "the server is shutting down: restart");
    let asked = Duration::from_secs(1);
    assert!((asked..=asked + Reconnect::default().base).contains(wait), "{wait:?}");
    let updates = &world.updates;
    assert!(
        matches!(
            updates[..],
            [
                ServerUpdate::Event(RelayEvent::PlayerLeft { .. }),
                ServerUpdate::Event(RelayEvent::RoomEmptied { .. }),
                ServerUpdate::Event(RelayEvent::ConnectionClosed { .. }),
                ServerUpdate::Stopped
            ]
        ),
        "{updates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_its_seats_is_away_when_it_ends() {
    for drops in [true, false] {
        let mut world = World::new().await;
        let (mut client, _) = world.join().await;
        world.updates.clear();
        client.keep_seats(true);
        if drops {
            drop(client);
        } else {
            client.send(ClientCommand::Disconnect).unwrap();
            client.flush();
        }
        world.step().await;
        let held =
            |it: &ServerUpdate| matches!(it, ServerUpdate::Event(RelayEvent::PlayerAway { .. }));
        let left =
            |it: &ServerUpdate| matches!(it, ServerUpdate::Event(RelayEvent::PlayerLeft { .. }));
        let updates = &world.updates;
        assert!(updates.iter().any(held) && !updates.iter().any(left), "{drops}: {updates:?}");
    }
}

#[test]
fn dropping_everything_says_goodbye_and_ends_the_threads() {
    let network = Network::new().unwrap();
    let mut server = ServerBridge::start(&network, Server::builder().bind("127.0.0.1:0"));
    let wake = server.wake();
    let mut updates = Vec::new();
    while updates.is_empty() {
        wake.recv_timeout(Duration::from_secs(5)).unwrap();
        server.poll(&mut updates);
    }
    let ServerUpdate::Started { addr: Some(addr) } = updates[0] else { panic!("{updates:?}") };
    let handle = server.handle();
    drop(network);
    drop(server);
    assert!(!handle.is_running());
    assert!(std::net::TcpStream::connect(addr).is_err());
}

/// A runtime that only runs while a test drives it.
fn driven() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_end_of_the_runtime_is_told_to_both_sides_once() {
    let runtime = driven();
    let network = Network::from_handle(runtime.handle().clone());
    let mut world = runtime.block_on(World::new());
    let (mut client, _) = runtime.block_on(world.join());
    assert!(world.server.handle().is_running());
    world.updates.clear();
    drop(runtime);
    world.server.poll(&mut world.updates);
    let stopped = world.updates.iter().filter(|update| matches!(update, ServerUpdate::Stopped));
    assert_eq!(stopped.count(), 1);
    assert!(matches!(world.updates.last(), Some(ServerUpdate::Stopped)), "{:?}", world.updates);
    assert!(!world.server.handle().is_running());
    let updates = poll(&mut client);
    let [ClientUpdate::Disconnected { reason, retry_in: None }] = &updates[..] else {
        panic!("{updates:?}")
    };
    assert!(matches!(reason, ClientEnd::NetworkEnded) && !reason.may_retry(), "{reason:?}");
    // Nothing follows, whatever is still asked for.
    world.server.send(ServerCommand::BroadcastAll {
        message_type: MessageType::RAW,
        payload: Bytes::new(),
    });
    world.server.flush();
    client.send(join("lobby")).unwrap();
    client.flush();
    world.updates.clear();
    world.server.poll(&mut world.updates);
    assert!(world.updates.is_empty() && poll(&mut client).is_empty());
    drop((world, client, network));
}

#[test]
fn a_runtime_that_ends_before_the_start_is_told_to_both_sides() {
    let runtime = driven();
    let network = Network::from_handle(runtime.handle().clone());
    let start = || {
        let server = ServerBridge::start(&network, Server::builder().local_only());
        let (target, reconnect) = (Target::Local(server.local()), Reconnect::default());
        (ClientBridge::connect(&network, Client::builder(), target, reconnect), server)
    };
    let before = start();
    drop(runtime);
    for (mut client, mut server) in [before, start()] {
        let mut updates = Vec::new();
        server.poll(&mut updates);
        let [ServerUpdate::Failed(error)] = &updates[..] else { panic!("{updates:?}") };
        assert_eq!(error.to_string(), "the network has ended before the server ran");
        let updates = poll(&mut client);
        let [ClientUpdate::Disconnected { reason: ClientEnd::NetworkEnded, retry_in: None }] =
            updates[..]
        else {
            panic!("{updates:?}")
        };
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_flushed_before_a_server_is_dropped_is_said_before_its_end() {
    // More batches than may be on their way, too.
    for count in 1..40_u64 {
        let mut world = World::new().await;
        let (mut client, _) = world.join().await;
        let World { mut server, .. } = world;
        for number in 0..count {
            server.send(ServerCommand::Broadcast {
                room: name("lobby"),
                delivery: Delivery::Reliable,
                except: Vec::new(),
                message_type: MessageType::RAW,
                payload: Bytes::copy_from_slice(&number.to_le_bytes()),
            });
            server.flush();
        }
        drop(server);
        let (mut heard, mut end) = (0_u64, None);
        for _ in 0..STEPS {
            yield_now().await;
            for update in poll(&mut client) {
                match update {
                    ClientUpdate::Event(ServerEvent::Broadcast { data, .. }) => {
                        assert_eq!(data, heard.to_le_bytes()[..]);
                        heard += 1;
                    }
                    ClientUpdate::Disconnected { reason, .. } => {
                        end.get_or_insert_with(|| reason.to_string());
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(heard, count);
        let words = "the server is shutting down: the server program has ended";
        assert_eq!(end.as_deref(), Some(words));
    }
}

#[test]
fn the_last_words_of_a_program_are_heard_however_the_threads_run() {
    for round in 0..50 {
        let network = Network::new().unwrap();
        let lobby = RoomConfig::default().observed();
        let builder = Server::builder().local_only().room_with("lobby", lobby);
        let mut server = ServerBridge::start(&network, builder);
        let target = Target::Local(server.local());
        let once = Reconnect { enabled: false, ..Reconnect::default() };
        let mut client = ClientBridge::connect(&network, Client::builder(), target, once);
        client.send(join("lobby")).unwrap();
        client.flush();
        let mut joined = false;
        while !joined {
            let mut updates = Vec::new();
            server.poll(&mut updates);
            for update in updates {
                if let ServerUpdate::Ask { ask, .. } = update {
                    server.send(ServerCommand::Answer { ask, verdict: Verdict::Accept });
                }
            }
            server.flush();
            joined = events(poll(&mut client))
                .iter()
                .any(|event| matches!(event, ServerEvent::Joined { .. }));
            std::thread::yield_now();
        }
        server.send(ServerCommand::Broadcast {
            room: name("lobby"),
            delivery: Delivery::Reliable,
            except: Vec::new(),
            message_type: MessageType::RAW,
            payload: Bytes::from_static(b"good night"),
        });
        server.flush();
        drop(server);
        let mut heard = Vec::new();
        loop {
            client.wake().recv_timeout(Duration::from_secs(10)).unwrap();
            let updates = poll(&mut client);
            let over = matches!(updates.last(), Some(ClientUpdate::Disconnected { .. }));
            heard.extend(events(updates));
            if over {
                break;
            }
        }
        let said = |event: &ServerEvent| matches!(event, ServerEvent::Broadcast { data, .. } if data == "good night");
        assert!(heard.iter().any(said), "round {round}: {heard:?}");
    }
}
