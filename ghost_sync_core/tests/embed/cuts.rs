//! Connections that are cut under a client, which comes back by itself.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    Client, ClientId, MessageType, Refusal, Request, RequestError, RequestKind, Secret, Server,
    ServerEvent, ServerHandle, ServerMessage, VERSIONS, Welcome, embed::*,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    sync::Notify,
    task::yield_now,
};

use crate::world::{STEPS, join, name, poll};

fn set_name(value: String) -> ClientCommand {
    Request::SetMetadata { key: "name".into(), value: Some(value) }.into()
}

/// Takes connections for a server, and cuts them when asked.
async fn proxy(listener: TcpListener, server: ServerHandle, cut: Arc<Notify>) {
    while let Ok((mut outside, _)) = listener.accept().await {
        let mut inside = server.connect_local();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut outside, &mut inside) => {}
            () = cut.notified() => {}
        }
    }
}

/// A client in real time, whose connection may be cut.
struct Cuttable {
    client: ClientBridge,
    cut: Arc<Notify>,
    unheard: VecDeque<ServerEvent>,
}

impl Cuttable {
    fn new() -> Self {
        let network = Network::new().unwrap();
        let server =
            Server::builder().local_only().room("lobby").resume_grace(Duration::ZERO).build();
        let server = network.handle().block_on(server.run()).unwrap();
        let listener = network.handle().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let target = Target::Addr(listener.local_addr().unwrap().to_string());
        let cut = Arc::new(Notify::new());
        network.spawn(proxy(listener, server, cut.clone()));
        let reconnect = Reconnect { base: Duration::from_millis(1), ..Reconnect::default() };
        let client = ClientBridge::connect(&network, Client::builder(), target, reconnect);
        Self { client, cut, unheard: VecDeque::new() }
    }

    fn send(&mut self, commands: impl IntoIterator<Item = ClientCommand>) {
        commands.into_iter().for_each(|command| self.client.send(command).unwrap());
        self.client.flush();
    }

    /// Waits for an event that means something to `look`.
    fn hear<T>(&mut self, look: impl Fn(ServerEvent) -> Option<T>) -> T {
        loop {
            while let Some(event) = self.unheard.pop_front() {
                if let Some(found) = look(event) {
                    return found;
                }
            }
            self.client.wake().recv_timeout(Duration::from_secs(10)).unwrap();
            for update in poll(&mut self.client) {
                match update {
                    ClientUpdate::Event(event) => self.unheard.push_back(event),
                    ClientUpdate::Disconnected { retry_in, .. } => assert!(retry_in.is_some()),
                    _ => {}
                }
            }
        }
    }

    /// Waits until it is in a room; returns its id.
    fn hear_joined(&mut self) -> ClientId {
        self.hear(|event| match event {
            ServerEvent::Joined { client_id, members, .. } => {
                assert_eq!(members.len(), 1);
                Some(client_id)
            }
            _ => None,
        })
    }

    fn hear_refusal(&mut self) -> Refusal {
        self.hear(|event| match event {
            ServerEvent::Refused(error) => Some(error.reason),
            _ => None,
        })
    }
}

#[test]
fn a_client_whose_connection_is_cut_comes_back_and_joins_its_rooms_again() {
    let mut client = Cuttable::new();
    client.send([set_name("Ann".into()), join("lobby")]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.hear(|event| match event {
            ServerEvent::Joined { client_id, members, .. } => {
                assert_eq!(members.len(), 1);
                assert_eq!(members[0].meta, [("name".to_owned(), "Ann".to_owned())]);
                Some(client_id)
            }
            _ => None,
        }));
        client.cut.notify_one();
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

#[test]
fn a_client_that_joins_twice_joins_again_after_a_cut() {
    let mut client = Cuttable::new();
    client.send([join("lobby")]);
    client.hear_joined();
    client.send([join("lobby")]);
    client.hear(|event| match event {
        ServerEvent::AlreadyJoined { room } => (room == *"lobby").then_some(()),
        ServerEvent::Refused(error) => panic!("{error}"),
        _ => None,
    });
    client.cut.notify_one();
    client.hear_joined();
}

#[test]
fn a_client_that_left_and_joined_joins_again_after_a_cut() {
    let mut client = Cuttable::new();
    client.send([join("lobby")]);
    client.hear_joined();
    client.send([Request::Leave { room: name("lobby") }.into(), join("lobby")]);
    client.hear_joined();
    client.cut.notify_one();
    client.hear_joined();
}

#[test]
fn metadata_that_was_refused_does_not_keep_a_client_out() {
    let mut client = Cuttable::new();
    client.send([set_name("v".repeat(3000)), join("lobby")]);
    assert!(matches!(client.hear_refusal(), Refusal::MetadataTooLarge { max_bytes: 2048, .. }));
    client.hear_joined();
    client.send([set_name("v".repeat(2044)), set_name("v".repeat(2045))]);
    assert!(matches!(client.hear_refusal(), Refusal::MetadataTooLarge { max_entries: 32, .. }));
    client.cut.notify_one();
    let meta = client.hear(|event| match event {
        ServerEvent::Joined { members, .. } => members.into_iter().next().map(|own| own.meta),
        _ => None,
    });
    assert_eq!(meta, [("name".to_owned(), "v".repeat(2044))]);
}

/// A server that greets the first who comes, and then does nothing.
async fn greet_only(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = [0; 1000];
    assert!(stream.read(&mut hello).await.unwrap() > 0);
    let mut welcome = BytesMut::new();
    ServerMessage::Welcome(Welcome {
        version: VERSIONS.newest,
        client_id: ClientId::from_u128(1),
        max_payload: 1 << 25,
        ping_interval_ms: 0,
        idle_timeout_ms: 0,
        resume_grace_ms: 0,
        epoch: 0,
        secret: Secret::default(),
        rooms: Vec::new(),
        ..Welcome::default()
    })
    .encode(&mut welcome);
    stream.write_all(&welcome).await.unwrap();
    stream
}

#[tokio::test]
async fn commands_behind_a_full_outbox_outlive_the_connection() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let target = Target::Addr(listener.local_addr().unwrap().to_string());
    let network = Network::from_handle(Handle::current());
    let reconnect = Reconnect { base: Duration::from_millis(1), ..Reconnect::default() };
    let builder = Client::builder().outbox_limit(1000);
    let mut client = ClientBridge::connect(&network, builder, target, reconnect);
    let stream = greet_only(&listener).await;
    let mut updates = Vec::new();
    while !updates.iter().any(|update| matches!(update, ClientUpdate::Connected { .. })) {
        yield_now().await;
        client.poll(&mut updates);
    }
    let send = |payload| Request::ToServer { room: None, message_type: MessageType::RAW, payload };
    client.send(send(Bytes::from(vec![1; 12 << 20]))).unwrap();
    client.flush();
    for command in [join("lobby"), Request::Ping.into(), ClientCommand::Disconnect] {
        client.send(command).unwrap();
    }
    client.flush();
    // The big one is on its way, and the rest taken.
    stream.readable().await.unwrap();
    for _ in 0..STEPS {
        yield_now().await;
    }
    drop(stream);
    updates.clear();
    let wait = async {
        while !matches!(updates.last(), Some(ClientUpdate::Disconnected { .. })) {
            yield_now().await;
            client.poll(&mut updates);
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.unwrap();
    assert!(
        matches!(
            updates[..],
            [
                ClientUpdate::Event(ServerEvent::Refused(RequestError {
                    request: RequestKind::Ping,
                    reason: Refusal::NotConnected,
                    ..
                })),
                ClientUpdate::Event(ServerEvent::Refused(RequestError {
                    request: RequestKind::Join,
                    reason: Refusal::NotConnected,
                    ..
                })),
                ClientUpdate::Disconnected { reason: ClientEnd::Requested, retry_in: None }
            ]
        ),
        "{updates:?}"
    );
}
