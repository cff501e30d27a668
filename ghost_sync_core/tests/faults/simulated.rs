//! The same server on a simulated network, where time costs nothing.

use std::{cell::Cell, rc::Rc, time::Duration};

use ghost_sync_core::{Client, DisconnectReason, LeaveReason, Server, ServerEvent, ServerHandle};
use tokio::time::Instant;
use turmoil::{Builder, Sim, net::TcpListener, net::TcpStream};

use crate::rig::SHARED;

const PORT: u16 = 7777;

const GRACE: Duration = Duration::from_secs(60);

/// A network with a server on it.
fn network(seed: u64) -> Sim<'static> {
    let mut network = Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(5))
        .build();
    network.host("server", || async {
        let server = Server::builder().local_only().room(SHARED).resume_grace(GRACE);
        let server = server.build().run().await?;
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(carry(stream, server.clone()));
        }
    });
    network
}

/// The server takes streams of its own process only; this makes one of a simulated one.
async fn carry(mut outside: TcpStream, server: ServerHandle) {
    let mut inside = server.connect_local();
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
}

async fn enter() -> Client {
    let connector = || TcpStream::connect(("server", PORT));
    let mut client = Client::builder().connect_through(connector).await.unwrap();
    client.join(SHARED).await.unwrap();
    assert!(matches!(client.recv().await, Ok(Some(ServerEvent::Joined { .. }))));
    client
}

#[test]
fn fault_28_a_client_beyond_a_dead_link_is_missed_in_time_and_notices_in_time() {
    for seed in 0..5 {
        let mut network = network(seed);
        let noticed = Rc::new(Cell::new(0));
        let (left, ended) = (noticed.clone(), noticed.clone());
        network.client("witness", async move {
            let mut client = enter().await;
            let joined = client.recv().await?;
            assert!(matches!(joined, Some(ServerEvent::PlayerJoined { .. })), "{joined:?}");
            // It knows that it is in.
            assert!(matches!(client.recv().await?, Some(ServerEvent::Broadcast { .. })));
            turmoil::hold("lost", "server");
            let start = Instant::now();
            let event = client.recv().await?;
            assert!(matches!(event, Some(ServerEvent::PlayerAway { .. })), "{event:?}");
            assert!(start.elapsed() <= Duration::from_secs(45), "{:?}", start.elapsed());
            let event = client.recv().await?;
            let Some(ServerEvent::PlayerLeft { reason, .. }) = event else { panic!("{event:?}") };
            assert_eq!(reason, LeaveReason::TimedOut);
            assert!(start.elapsed() <= GRACE + Duration::from_secs(45), "{:?}", start.elapsed());
            left.set(left.get() + 1);
            Ok(())
        });
        network.client("lost", async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut client = enter().await;
            client.broadcast(b"here").await?;
            let end = loop {
                match client.recv().await {
                    Ok(event) => assert!(event.is_some()),
                    Err(end) => break end,
                }
            };
            assert!(matches!(end, DisconnectReason::Closed(_)), "{end:?}");
            assert!(end.may_reconnect());
            ended.set(ended.get() + 1);
            Ok(())
        });
        network.run().unwrap();
        assert_eq!(noticed.get(), 2);
    }
}

#[test]
fn a_network_that_falls_apart_and_heals_costs_time_and_nothing_else() {
    for seed in 0..5 {
        let mut network = network(seed);
        let resumed = Rc::new(Cell::new(0));
        for name in ["one", "other"] {
            let resumed = resumed.clone();
            network.client(name, async move {
                let mut client = enter().await;
                let sender = client.sender().clone();
                tokio::spawn(async move {
                    // Both are in by then.
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    for number in 0..300_u32 {
                        sender.broadcast(number.to_le_bytes()).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                });
                let mut heard = 0_u32;
                while heard < 300 {
                    match client.recv().await?.unwrap() {
                        ServerEvent::Broadcast { data, .. } => {
                            assert_eq!(data, heard.to_le_bytes()[..]);
                            heard += 1;
                            if heard == 50 && name == "one" {
                                turmoil::partition("one", "server");
                                tokio::spawn(async {
                                    tokio::time::sleep(Duration::from_secs(50)).await;
                                    turmoil::repair("one", "server");
                                });
                            }
                        }
                        ServerEvent::Resumed => resumed.set(resumed.get() + 1),
                        ServerEvent::PlayerJoined { .. }
                        | ServerEvent::PlayerAway { .. }
                        | ServerEvent::PlayerBack { .. }
                        | ServerEvent::Reconnecting { .. } => {}
                        event => panic!("{event:?}"),
                    }
                }
                // The other may not have heard it all yet.
                tokio::time::sleep(Duration::from_secs(120)).await;
                client.disconnect().await;
                Ok(())
            });
        }
        network.run().unwrap();
        assert_eq!(resumed.get(), 1, "seed {seed}");
    }
}

#[test]
fn a_short_hole_in_the_network_costs_time_and_nothing_else() {
    for seed in 0..5 {
        let mut network = network(seed);
        network.client("ear", async move {
            let mut client = enter().await;
            let mut heard = 0_u32;
            while heard < 100 {
                match client.recv().await?.unwrap() {
                    ServerEvent::Broadcast { data, .. } => {
                        assert_eq!(data, heard.to_le_bytes()[..]);
                        heard += 1;
                        if heard == 30 {
                            turmoil::hold("ear", "server");
                            tokio::spawn(async {
                                tokio::time::sleep(Duration::from_secs(10)).await;
                                turmoil::release("ear", "server");
                            });
                        }
                    }
                    ServerEvent::PlayerJoined { .. } => {}
                    event => panic!("{event:?}"),
                }
            }
            client.disconnect().await;
            Ok(())
        });
        network.client("mouth", async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut client = enter().await;
            for number in 0..100_u32 {
                client.broadcast(number.to_le_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Until the other has heard it all.
            while !matches!(client.recv().await?, Some(ServerEvent::PlayerLeft { .. })) {}
            Ok(())
        });
        network.run().unwrap();
    }
}
