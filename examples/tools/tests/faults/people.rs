//! Who connects to a relay: an honest pair, and sockets that speak for themselves.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use bytes::BytesMut;
use ghost_sync_core::{
    Client, ClientMessage, CloseReason, Decoder, Hello, ServerEvent, ServerMessage,
};
use tokio::time::timeout;

use crate::daemon::PATIENCE;

/// Two clients in the lobby.
pub(crate) struct Pair {
    pub(crate) mouth: Client,
    pub(crate) ear: Client,
    said: u64,
}

impl Pair {
    pub(crate) async fn join(addr: SocketAddr) -> Self {
        let mouth = enter(addr, "lobby").await;
        let ear = enter(addr, "lobby").await;
        Self { mouth, ear, said: 0 }
    }

    /// Says something that must arrive.
    pub(crate) async fn talk(&mut self) {
        self.said += 1;
        self.mouth.broadcast(self.said.to_le_bytes()).await.unwrap();
        loop {
            match next(&mut self.ear).await {
                ServerEvent::Broadcast { sender, data, .. }
                    if sender.client_id() == Some(self.mouth.client_id()) =>
                {
                    return assert_eq!(data, self.said.to_le_bytes()[..]);
                }
                _ => {}
            }
        }
    }
}

/// A client that is in `room`. Waits for a server that is busy, full or not there yet.
pub(crate) async fn enter(addr: SocketAddr, room: &str) -> Client {
    let connect = async {
        loop {
            match Client::connect(addr).await {
                Ok(client) => break client,
                Err(error) => assert!(error.may_retry(), "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let mut client = timeout(PATIENCE, connect).await.expect("the server is there");
    client.join(room).await.unwrap();
    loop {
        if let ServerEvent::Joined { .. } = next(&mut client).await {
            return client;
        }
    }
}

pub(crate) async fn next(client: &mut Client) -> ServerEvent {
    let event = timeout(PATIENCE, client.recv()).await.expect("something happens");
    event.expect("a connection").expect("an open one")
}

/// A socket that has said hello.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
}

impl Raw {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self { stream, decoder: Decoder::new(1 << 24) };
        raw.say(&ClientMessage::Hello(Hello::default()));
        raw
    }

    pub(crate) fn say(&mut self, message: &ClientMessage<'_>) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Answers pings until the server ends the connection, and tells why it did.
    pub(crate) fn answer_pings(mut self) -> Option<CloseReason> {
        let mut buffer = [0; 4096];
        loop {
            let len = self.stream.read(&mut buffer).unwrap_or(0);
            if len == 0 {
                return None;
            }
            let mut bytes = &buffer[..len];
            let mut answers = Vec::new();
            while let Some(body) = self.decoder.next_frame(&mut bytes).unwrap() {
                match ServerMessage::decode(body).unwrap() {
                    ServerMessage::Ping { nonce, .. } => answers.push(nonce),
                    ServerMessage::Close { reason } => return Some(reason),
                    _ => {}
                }
            }
            for nonce in answers {
                self.say(&ClientMessage::Pong { nonce, received: 0 });
            }
        }
    }
}
