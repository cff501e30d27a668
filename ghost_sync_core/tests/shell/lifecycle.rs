//! How a server starts and ends.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use ghost_sync_core::{
    BindError, Client, ClientId, ConnectError, Direction, DisconnectReason, JoinInfo, LeaveReason,
    Protocol, RelayConfig, Server, ServerBuilder, ServerHandle, ServerHandler, Verdict,
};
use tokio::{net::TcpListener, time::Instant};

use crate::support::*;

#[tokio::test]
async fn port_zero_takes_a_free_port_and_says_which() {
    let server = Server::builder().bind("127.0.0.1:0").build().run().await.unwrap();
    let addr = server.local_addr().unwrap();
    assert_ne!(addr.port(), 0);
    Client::connect(addr).await.unwrap();
}

#[tokio::test]
async fn what_keeps_a_server_from_listening_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let bind = async |addr: &str| Server::builder().bind(addr).build().run().await.unwrap_err();
    let error = bind(&addr).await;
    assert!(matches!(&error, BindError::AddressInUse { addr: told } if *told == addr), "{error:?}");
    for nonsense in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "203.0.113.1:0"] {
        let error = bind(nonsense).await;
        assert!(matches!(error, BindError::InvalidAddress { .. }), "{error:?}");
        assert!(error.to_string().contains("write HOST:PORT"), "it says what to do: {error}");
    }
}

/// A setting is changed.
type Change = fn(ServerBuilder) -> ServerBuilder;

#[tokio::test]
async fn a_setting_that_makes_no_sense_is_refused_by_its_name() {
    let long = Duration::from_secs(31);
    let nonsense: [(&str, Change); 17] = [
        ("max_clients", |server| server.max_clients(0)),
        ("max_payload", |server| server.max_payload(0)),
        ("max_payload", |server| server.max_payload(usize::MAX)),
        ("max_rooms", |server| server.max_rooms(0)),
        ("rooms_per_client", |server| server.rooms_per_client(0)),
        ("rooms_per_client", |server| server.rooms_per_client(3272)),
        ("channel_capacity", |server| server.channel_capacity(0)),
        ("outbox_limit", |server| server.outbox_limit(0)),
        ("outbox_limit", |server| server.outbox_limit(4095)),
        ("idle_timeout", |server| server.idle_timeout(Duration::ZERO)),
        ("ping_interval", |server| server.ping_interval(Duration::ZERO)),
        ("handshake_timeout", |server| server.handshake_timeout(Duration::from_nanos(1))),
        ("write_timeout", |server| server.write_timeout(Duration::ZERO)),
        ("ask_timeout", |server| server.ask_timeout(Duration::ZERO)),
        ("ping_interval", |server| server.ping_interval(Duration::from_secs(31))),
        ("ping_interval", |server| server.idle_timeout(Duration::from_secs(13))),
        ("ping_interval", |server| server.ping_interval(Duration::MAX)),
    ];
    for (name, change) in nonsense {
        let server = change(Server::builder()).local_only().build();
        let error = server.run().await.unwrap_err();
        let BindError::Setting(fault) = &error else { panic!("{name}: {error:?}") };
        assert_eq!(fault.setting, name);
        assert!(error.to_string().starts_with(&format!("{name} is ")), "{error}");
    }
    let all = Server::builder().max_payload((16 << 20) - 512).idle_timeout(long * 1000);
    let all = all.rooms_per_client(2862);
    serve(all.resume_grace(Duration::ZERO).history_limit(0).outbox_limit(usize::MAX)).await;
}

#[tokio::test(start_paused = true)]
async fn settings_may_be_given_as_a_whole_but_for_what_the_server_knows_itself() {
    let mut types = Protocol::default();
    types.add("Chat", 1, Direction::Both);
    let mut config = RelayConfig { max_clients: 1, ..RelayConfig::default() };
    // Nobody would answer.
    (config.host.ask_connect, config.host.ask_join) = (true, true);
    let server = serve(Server::builder().protocol(types).relay(config)).await;
    let other = Client::builder().protocol(Protocol::default());
    let refused = other.connect_over(server.connect_local()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::ProtocolMismatch { .. }), "{refused:?}");
    let _first = join(&server, "lobby").await;
    let refused = Client::builder().connect_over(server.connect_local()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::MaxClientsReached { max: 1, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_was_stopped_before_does_not_run() {
    for builder in [Server::builder(), Server::builder().room("lobby")] {
        let server = builder.bind("127.0.0.1:0").build();
        server.handle().begin_shutdown("never mind", Duration::ZERO);
        let error = server.run().await.unwrap_err();
        assert!(matches!(error, BindError::Stopped), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_shuts_down_waits_for_the_same_end() {
    let server = server().await;
    // This one does not answer the goodbye.
    let _mute = Raw::open(server.connect_local()).await;
    let start = Instant::now();
    let first = server.shutdown_with("over", Duration::from_secs(5));
    let second = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!server.is_running());
        server.shutdown().await;
    };
    tokio::join!(first, second, server.stopped());
    assert_eq!(server.client_count(), 0);
    assert!(start.elapsed() <= Duration::from_secs(6));
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_goes_on_when_nobody_waits_for_it() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    let mut shutdown = Box::pin(server.shutdown());
    assert!(futures_poll(shutdown.as_mut()).await.is_none());
    drop(shutdown);
    end(&mut client).await;
    server.stopped().await;
}

/// Polls a future once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn clients_that_take_nothing_cannot_hold_up_a_shutdown() {
    let server = server().await;
    let mut stuck = Vec::new();
    for _ in 0..3 {
        stuck.push(Raw::joined(server.connect_local()).await);
    }
    for _ in 0..20 {
        server.broadcast("lobby", [7; 60_000]).unwrap();
    }
    let start = Instant::now();
    server.shutdown_with("over", Duration::from_secs(3)).await;
    assert!(start.elapsed() <= Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(server.client_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_shut_the_server_down() {
    struct Fuse(ServerHandle);
    impl ServerHandler for Fuse {
        fn on_room_delete(&self, _: &str) {
            self.0.begin_shutdown("the fuse blew", Duration::from_secs(1));
        }
    }
    let server = serve(Server::builder().handler_with(Fuse)).await;
    server.delete_room("lobby").unwrap();
    server.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_holds_the_handle_is_freed_with_the_server() {
    struct Holder {
        _handle: ServerHandle,
        _alive: std::sync::Arc<()>,
    }
    impl ServerHandler for Holder {}
    let alive = std::sync::Arc::new(());
    let held = alive.clone();
    let make = move |handle| Holder { _handle: handle, _alive: held };
    let server = serve(Server::builder().handler_with(make)).await;
    assert_eq!(std::sync::Arc::strong_count(&alive), 2);
    server.shutdown().await;
    tokio::task::yield_now().await;
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_handles_are_dropped_goes_on() {
    let server = server().await;
    let mut client = join(&server, "lobby").await;
    drop(server);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    client.ping().await.unwrap();
    next(&mut client).await;
}

#[test]
fn the_end_of_the_runtime_ends_everything_without_a_panic() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, mut client) = runtime.block_on(async {
        let server = server().await;
        let client = join(&server, "lobby").await;
        (server, client)
    });
    drop(runtime);
    server.broadcast("lobby", b"anybody?").unwrap();
    assert!(server.client_count() <= 1);
    assert!(matches!(
        client.try_recv(),
        Err(ghost_sync_core::client::TryRecvError::Disconnected(_))
    ));
}

/// Tells the value of each client that has gone, and waits after that.
struct Heir {
    server: ServerHandle,
    go: Mutex<mpsc::Receiver<()>>,
    values: tokio::sync::mpsc::UnboundedSender<Option<u32>>,
}

impl ServerHandler for Heir {
    fn on_disconnect(&self, client: ClientId, _: &DisconnectReason) {
        let value = self.server.client_value::<u32>(client);
        let _ = self.values.send(value.map(|value| *value));
        let _ = self.go.lock().map(|go| go.recv());
    }
}

#[tokio::test]
async fn the_values_of_a_client_are_there_until_its_end_is_told() {
    let (let_go, go) = mpsc::channel();
    let (values, mut told) = tokio::sync::mpsc::unbounded_channel();
    let go = Mutex::new(go);
    let builder = Server::builder().handler_with(move |server| Heir { server, go, values });
    let server = serve(builder).await;
    let (first, second) = (connect(&server).await, connect(&server).await);
    server.insert_client_value(first.client_id(), 1_u32).unwrap();
    server.insert_client_value(second.client_id(), 2_u32).unwrap();
    first.disconnect().await;
    assert_eq!(told.recv().await, Some(Some(1)));
    // This one goes while the handler still hears of the other.
    second.disconnect().await;
    while server.client_count() > 0 {
        tokio::task::yield_now().await;
    }
    let_go.send(()).unwrap();
    assert_eq!(told.recv().await, Some(Some(2)));
    drop(let_go);
}

/// Says yes to joins late, and tells what follows.
struct Late {
    asked: tokio::sync::mpsc::UnboundedSender<()>,
    go: Mutex<mpsc::Receiver<()>>,
    told: tokio::sync::mpsc::UnboundedSender<&'static str>,
}

impl ServerHandler for Late {
    fn on_join(&self, _: &JoinInfo<'_>) -> Verdict {
        let _ = self.asked.send(());
        let _ = self.go.lock().map(|go| go.recv());
        Verdict::Accept
    }

    fn on_leave(&self, _: ClientId, _: &str, _: &LeaveReason) {
        let _ = self.told.send("leave");
    }

    fn on_shutdown(&self) {
        let _ = self.told.send("shutdown");
    }
}

#[tokio::test]
async fn a_yes_to_a_join_during_a_shutdown_is_followed_by_a_leave() {
    let (let_go, go) = mpsc::channel();
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let builder = Server::builder().ask_timeout(Duration::from_secs(60));
    let server = serve(builder.handler(Late { asked, go: Mutex::new(go), told })).await;
    let mut client = connect(&server).await;
    client.join("lobby").await.unwrap();
    asks.recv().await.unwrap();
    server.begin_shutdown("bye", Duration::from_secs(60));
    end(&mut client).await;
    drop(client);
    let early = tokio::time::timeout(Duration::from_millis(100), tells.recv()).await;
    assert!(early.is_err(), "{early:?}");
    let_go.send(()).unwrap();
    server.shutdown().await;
    assert_eq!((tells.recv().await, tells.recv().await), (Some("leave"), Some("shutdown")));
    assert_eq!(tells.recv().await, None);
}
