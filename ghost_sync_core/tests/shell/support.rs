//! A server, its clients, peers that speak raw bytes, and a handler that tells
//! what it hears.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    Client, ClientId, ClientMessage, CloseReason, Decoder, DisconnectReason, Hello, JoinInfo,
    JoinOptions, LeaveReason, MessageType, RoomId, RoomName, Server, ServerBuilder, ServerEvent,
    ServerHandle, ServerHandler, ServerMessage, Verdict,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// A server in memory with a lobby.
pub(crate) async fn serve(builder: ServerBuilder) -> ServerHandle {
    builder.local_only().room("lobby").build().run().await.unwrap()
}

/// A server with default settings.
pub(crate) async fn server() -> ServerHandle {
    serve(Server::builder()).await
}

pub(crate) async fn connect(server: &ServerHandle) -> Client {
    Client::builder().connect_over(server.connect_local()).await.unwrap()
}

/// A client that is in `room` and has heard so.
pub(crate) async fn join(server: &ServerHandle, room: &str) -> Client {
    let mut client = connect(server).await;
    client.join(room).await.unwrap();
    hear_joined(&mut client, room).await;
    client
}

pub(crate) async fn hear_joined(client: &mut Client, name: &str) {
    let event = next(client).await;
    assert!(matches!(&event, ServerEvent::Joined { room, .. } if *room == name), "{event:?}");
}

/// The next event; the connection must be there.
pub(crate) async fn next(client: &mut Client) -> ServerEvent {
    client.recv().await.expect("a connection").expect("an open one")
}

/// The payload of the next event, which must be a broadcast.
pub(crate) async fn hear(client: &mut Client) -> Bytes {
    match next(client).await {
        ServerEvent::Broadcast { data, .. } => data,
        event => panic!("{event:?}"),
    }
}

/// How the connection ends; events before that do not matter.
pub(crate) async fn end(client: &mut Client) -> DisconnectReason {
    loop {
        match client.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("closed from this side"),
            Err(reason) => return reason,
        }
    }
}

pub(crate) fn name(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A peer that speaks for itself, whatever that is.
pub(crate) struct Raw<S> {
    stream: S,
    decoder: Decoder,
    unread: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, decoder: Decoder::new(1 << 24), unread: Bytes::new() }
    }

    /// A peer whose handshake is done.
    pub(crate) async fn open(stream: S) -> Self {
        let mut raw = Self::new(stream);
        raw.say(&hello()).await;
        let body = raw.frame().await.unwrap();
        assert!(matches!(ServerMessage::decode(&body), Ok(ServerMessage::Welcome(_))));
        raw
    }

    /// A peer in the lobby; returns the room's number too.
    pub(crate) async fn joined(stream: S) -> (Self, RoomId) {
        let mut raw = Self::open(stream).await;
        raw.say(&ClientMessage::Join {
            request: 1,
            room: "lobby",
            options: JoinOptions::default(),
        })
        .await;
        let body = raw.frame().await.unwrap();
        let Ok(ServerMessage::Joined { room, .. }) = ServerMessage::decode(&body) else {
            panic!("not joined")
        };
        raw.frame().await.unwrap();
        (raw, room)
    }

    pub(crate) async fn say(&mut self, message: &ClientMessage<'_>) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.say_bytes(&bytes).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame's body; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(body) = self.decoder.next_frame_shared(&mut self.unread).unwrap() {
                return Some(body);
            }
            let mut bytes = BytesMut::new();
            if self.stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
            self.unread = bytes.freeze();
        }
    }

    /// Reads on until the server closes, without answering pings.
    pub(crate) async fn close_reason(&mut self) -> CloseReason {
        loop {
            let body = self.frame().await.expect("a reason before the end");
            if let Ok(ServerMessage::Close { reason }) = ServerMessage::decode(&body) {
                assert_eq!(self.frame().await, None);
                return reason;
            }
        }
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }
}

pub(crate) fn hello() -> ClientMessage<'static> {
    ClientMessage::Hello(Hello::default())
}

/// What a handler was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Joining(ClientId, String),
    Left(ClientId, String, LeaveReason),
    Broadcast(ClientId, String, Bytes),
    Message(ClientId, Option<String>, Bytes),
    Lagged(ClientId, String),
    Created(String),
    Deleted(String),
    Disconnected(ClientId, DisconnectReason),
    Shutdown,
}

/// A handler that accepts everybody and passes on what it is told.
pub(crate) struct Ear(mpsc::UnboundedSender<Told>);

/// The other end of an [`Ear`].
pub(crate) struct Ears(mpsc::UnboundedReceiver<Told>);

pub(crate) fn ear() -> (Ear, Ears) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Ear(sender), Ears(receiver))
}

impl Ears {
    pub(crate) async fn next(&mut self) -> Told {
        tokio::time::timeout(Duration::from_secs(600), self.0.recv())
            .await
            .expect("nothing was told for ten minutes")
            .expect("the handler is gone")
    }

    /// The next reason for the end of a connection.
    pub(crate) async fn end(&mut self) -> DisconnectReason {
        loop {
            if let Told::Disconnected(_, reason) = self.next().await {
                return reason;
            }
        }
    }

    /// Everything up to the shutdown, which is the last.
    pub(crate) async fn rest(&mut self) -> Vec<Told> {
        let mut rest = Vec::new();
        while let Some(told) = self.0.recv().await {
            rest.push(told);
        }
        assert_eq!(rest.pop(), Some(Told::Shutdown));
        rest
    }
}

impl Ear {
    fn tell(&self, told: Told) {
        let _ = self.0.send(told);
    }
}

impl ServerHandler for Ear {
    fn on_join(&self, join: &JoinInfo<'_>) -> Verdict {
        self.tell(Told::Joining(join.client_id, join.room.to_owned()));
        Verdict::Accept
    }

    fn on_leave(&self, client: ClientId, room: &str, reason: &LeaveReason) {
        self.tell(Told::Left(client, room.to_owned(), reason.clone()));
    }

    fn on_broadcast(&self, client: ClientId, room: &str, data: &[u8]) {
        self.tell(Told::Broadcast(client, room.to_owned(), Bytes::copy_from_slice(data)));
    }

    fn on_message(&self, client: ClientId, room: Option<&str>, _: MessageType, data: &[u8]) {
        let room = room.map(str::to_owned);
        self.tell(Told::Message(client, room, Bytes::copy_from_slice(data)));
    }

    fn on_backpressure(&self, client: ClientId, room: &str) {
        self.tell(Told::Lagged(client, room.to_owned()));
    }

    fn on_room_create(&self, room: &str) {
        self.tell(Told::Created(room.to_owned()));
    }

    fn on_room_delete(&self, room: &str) {
        self.tell(Told::Deleted(room.to_owned()));
    }

    fn on_disconnect(&self, client: ClientId, reason: &DisconnectReason) {
        self.tell(Told::Disconnected(client, reason.clone()));
    }

    fn on_shutdown(&self) {
        self.tell(Told::Shutdown);
    }
}
