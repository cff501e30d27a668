//! Somebody who speaks for itself on a socket, well or badly.

use std::{io, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use ghost_sync_core::{
    ClientMessage, CloseReason, Decoder, Delivery, Hello, JoinOptions, MessageType, Refusal,
    RoomId, SendFlags, ServerMessage,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::rig::{PATIENCE, SHARED};

/// A raw connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
    unread: Bytes,
}

impl Peer {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }

    /// On a socket that takes little at once.
    pub(crate) async fn narrow(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(socket.connect(addr).await.unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, decoder: Decoder::new(1 << 24), unread: Bytes::new() }
    }

    /// With the handshake done.
    pub(crate) async fn greeted(addr: SocketAddr) -> Self {
        let mut peer = Self::connect(addr).await;
        peer.greet().await;
        peer
    }

    pub(crate) async fn greet(&mut self) {
        self.say(&hello()).await;
        self.hear(|message| matches!(message, ServerMessage::Welcome(_)).then_some(())).await;
    }

    /// In the shared room.
    pub(crate) async fn joined(addr: SocketAddr) -> (Self, RoomId) {
        let mut peer = Self::greeted(addr).await;
        let room = peer.join(SHARED).await.unwrap();
        (peer, room)
    }

    /// Asks for a seat and waits for the answer.
    pub(crate) async fn join(&mut self, room: &str) -> Result<RoomId, Refusal> {
        self.say(&join(room)).await;
        self.hear(|message| match message {
            ServerMessage::Joined { room, .. } => Some(Ok(room)),
            ServerMessage::JoinRefused { reason, .. } => Some(Err(reason)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn say(&mut self, message: &ClientMessage<'_>) {
        self.say_bytes(&frame(message)).await.unwrap();
    }

    /// Fails if the other side has gone, which a flood may find out.
    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server takes it")
    }

    /// The next frame's body; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(body) = self.decoder.next_frame_shared(&mut self.unread).unwrap() {
                return Some(body);
            }
            let mut bytes = BytesMut::new();
            let read = timeout(PATIENCE, self.stream.read_buf(&mut bytes));
            if read.await.expect("something comes").unwrap_or(0) == 0 {
                return None;
            }
            self.unread = bytes.freeze();
        }
    }

    /// Reads on until `find` has found something.
    pub(crate) async fn hear<T>(&mut self, find: impl Fn(ServerMessage<'_>) -> Option<T>) -> T {
        loop {
            let body = self.frame().await.expect("the connection stays");
            let message = ServerMessage::decode(&body).unwrap();
            if let ServerMessage::Close { reason } = &message {
                panic!("closed: {reason}");
            }
            if let Some(found) = find(message) {
                return found;
            }
        }
    }

    /// Reads until the server ends the connection, which it must give one reason for.
    pub(crate) async fn close_reason(&mut self) -> CloseReason {
        self.end().await.expect("a reason")
    }

    /// Reads to the end; the reason, if one was given.
    pub(crate) async fn end(&mut self) -> Option<CloseReason> {
        let mut end = None;
        while let Some(body) = self.frame().await {
            assert_eq!(end, None, "nothing follows a goodbye");
            if let ServerMessage::Close { reason } = ServerMessage::decode(&body).unwrap() {
                end = Some(reason);
            }
        }
        end
    }

    /// Asks for an answer, to know that everything before was dealt with.
    pub(crate) async fn sync(&mut self) {
        let nonce = 0x5f5f_5f5f;
        self.say(&ClientMessage::Ping { nonce }).await;
        self.hear(|message| (message == ServerMessage::Pong { nonce }).then_some(())).await;
    }
}

pub(crate) fn hello() -> ClientMessage<'static> {
    ClientMessage::Hello(Hello::default())
}

pub(crate) fn join(room: &str) -> ClientMessage<'_> {
    ClientMessage::Join { request: 1, room, options: JoinOptions::default() }
}

pub(crate) fn broadcast(room: RoomId, payload: &[u8]) -> ClientMessage<'_> {
    ClientMessage::Broadcast {
        room,
        delivery: Delivery::Reliable,
        flags: SendFlags::NONE,
        message_type: MessageType::RAW,
        payload,
    }
}

/// As a frame of its own.
pub(crate) fn frame(message: &ClientMessage<'_>) -> BytesMut {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes);
    bytes
}
