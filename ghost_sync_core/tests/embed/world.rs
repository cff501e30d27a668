//! A server and its clients, stepped by hand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    Client, ClientId, ClientMessage, Delivery, Hello, JoinOptions, Limits, MessageType, RelayEvent,
    Request, RoomConfig, RoomName, SendFlags, Server, ServerEvent, ServerHandle, Verdict,
    embed::*,
    link::{Conditioner, LocalStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Handle,
    task::yield_now,
};

pub(crate) const STEPS: usize = 64;

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) server: ServerBridge,
    pub(crate) updates: Vec<ServerUpdate>,
}

impl World {
    /// A server with a lobby, and nobody there.
    pub(crate) async fn new() -> Self {
        let network = Network::from_handle(Handle::current());
        let lobby = RoomConfig::default().observed();
        let builder = Server::builder().local_only().room_with("lobby", lobby);
        // Frames that stand still show most while others say more than players do.
        let builder = builder.limits(Limits::none());
        let server = ServerBridge::start(&network, builder);
        let mut world = Self { network, server, updates: Vec::new() };
        world.step().await;
        assert!(matches!(
            world.updates[..],
            [
                ServerUpdate::Started { addr: None },
                ServerUpdate::Event(RelayEvent::RoomCreated { .. })
            ]
        ));
        world
    }

    /// Lets the background do all it can, and the server's program accept everybody.
    pub(crate) async fn step(&mut self) {
        for _ in 0..STEPS {
            yield_now().await;
            let start = self.updates.len();
            self.server.poll(&mut self.updates);
            for update in &self.updates[start..] {
                if let ServerUpdate::Ask { ask, .. } = update {
                    let verdict = Verdict::Accept;
                    self.server.send(ServerCommand::Answer { ask: *ask, verdict });
                }
            }
            self.server.flush();
        }
    }

    /// Lets some seconds pass.
    pub(crate) async fn pass(&mut self) {
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.step().await;
        }
    }

    pub(crate) fn connect(&self, client: ghost_sync_core::ClientBuilder) -> ClientBridge {
        let target = Target::Local(self.server.local());
        ClientBridge::connect(&self.network, client, target, Reconnect::default())
    }

    /// A client that is in the lobby.
    pub(crate) async fn join(&mut self) -> (ClientBridge, ClientId) {
        let mut client = self.connect(Client::builder());
        client.send(join("lobby")).unwrap();
        client.flush();
        self.step().await;
        let updates = poll(&mut client);
        let ClientUpdate::Event(ServerEvent::Joined { client_id, .. }) = updates[updates.len() - 1]
        else {
            panic!("{updates:?}")
        };
        (client, client_id)
    }
}

pub(crate) fn name(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

pub(crate) fn join(room: &str) -> ClientCommand {
    let (room, options) = (name(room), JoinOptions::default());
    Request::Join { room, options, if_nowhere: false }.into()
}

pub(crate) fn say(payload: &'static [u8]) -> ClientCommand {
    Request::Broadcast {
        room: None,
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload: Bytes::from_static(payload),
    }
    .into()
}

pub(crate) fn poll(client: &mut ClientBridge) -> Vec<ClientUpdate> {
    let mut updates = Vec::new();
    client.poll(&mut updates);
    updates
}

pub(crate) fn events(updates: Vec<ClientUpdate>) -> Vec<ServerEvent> {
    let event = |update| match update {
        ClientUpdate::Event(event) => Some(event),
        _ => None,
    };
    updates.into_iter().filter_map(event).collect()
}

/// Somebody who has said hello and is in no room.
pub(crate) async fn stranger(world: &mut World) -> LocalStream {
    let mut stream = world.server.handle().connect_local();
    let mut hello = BytesMut::new();
    ClientMessage::Hello(Hello::default()).encode(&mut hello);
    stream.write_all(&hello).await.unwrap();
    world.step().await;
    assert!(stream.read(&mut [0; 1000]).await.unwrap() > 0, "a welcome");
    stream
}

pub(crate) fn missed(update: &ServerUpdate) -> Option<u64> {
    if let ServerUpdate::Missed { messages, .. } = update { Some(*messages) } else { None }
}

/// Lines to whichever server is there, all of which can be cut.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<(Option<ServerHandle>, Vec<Conditioner>)>>);

impl Lines {
    pub(crate) fn lead_to(&self, server: Option<ServerHandle>) {
        let (there, lines) = &mut *self.0.lock().unwrap();
        *there = server;
        lines.drain(..).for_each(|line| line.cut());
    }

    pub(crate) fn connector(&self) -> Connector {
        let lines = self.0.clone();
        Connector::new(move || {
            let (server, lines) = &mut *lines.lock().unwrap();
            let stream = server.as_ref().map(|server| {
                let (stream, line) = Conditioner::new(server.connect_local());
                lines.push(line);
                stream
            });
            std::future::ready(stream.ok_or_else(|| std::io::ErrorKind::ConnectionRefused.into()))
        })
    }
}

/// A client that was in the lobby of a server that said goodbye, and its lines to another.
pub(crate) async fn parted(builder: ghost_sync_core::ClientBuilder) -> (ClientBridge, Lines) {
    let mut world = World::new().await;
    let lines = Lines::default();
    lines.lead_to(Some(world.server.handle()));
    let (target, reconnect) = (Target::Through(lines.connector()), Reconnect::default());
    let mut client = ClientBridge::connect(&world.network, builder, target, reconnect);
    client.send(join("lobby")).unwrap();
    client.flush();
    world.step().await;
    let (message, deadline) = ("restart".to_owned(), Duration::from_secs(1));
    world.server.send(ServerCommand::Shutdown { message, deadline });
    world.server.flush();
    world.step().await;
    lines.lead_to(None);
    let updates = poll(&mut client);
    assert!(matches!(updates.last(), Some(ClientUpdate::Disconnected { .. })), "{updates:?}");
    (client, lines)
}
