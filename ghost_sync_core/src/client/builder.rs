//! How a client connects.

use std::{collections::BTreeMap, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
};

use crate::{
    link,
    relay::DisconnectReason,
    wire::{ClientMessage, HEADER_LEN, MAGIC, MAX_HELLO, Protocol, VERSION},
};

use super::{
    Client, ConnectError, ServerEvent,
    inbox::Inbox,
    session::{Greeted, Session},
    shared::Shared,
    task::Task,
};

/// What a client may be told before it connects; [`Client::builder`] makes one.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    connect_timeout: Duration,
    handshake_timeout: Duration,
    inbox_limit: usize,
    outbox_limit: usize,
    protocol: Protocol,
    data: Bytes,
    meta: BTreeMap<String, String>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            inbox_limit: 1 << 20,
            outbox_limit: 1 << 20,
            protocol: Protocol::default(),
            data: Bytes::new(),
            meta: BTreeMap::new(),
        }
    }
}

impl ClientBuilder {
    /// How long to look for the server's machine and wait for its answer; 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for the server's greeting, once connected; 5 s by default.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Bytes of events that may wait for [`Client::recv`]; 1 MiB by default.
    ///
    /// Past it, superseded `Latest` and then `Volatile` broadcasts are given up,
    /// which [`ServerEvent::Gap`] says. If that is not enough, the connection
    /// ends with [`CloseReason::SlowConsumer`](crate::wire::CloseReason::SlowConsumer).
    #[must_use]
    pub fn inbox_limit(mut self, bytes: usize) -> Self {
        self.inbox_limit = bytes;
        self
    }

    /// Bytes of requests that may wait to leave; 1 MiB by default. Past it,
    /// requests wait.
    #[must_use]
    pub fn outbox_limit(mut self, bytes: usize) -> Self {
        self.outbox_limit = bytes.max(1);
        self
    }

    /// The typed messages that this program knows. None by default, which every
    /// server accepts.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Adds to the client's metadata, which everybody in its rooms can see.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }

    /// Takes an entry out of the client's metadata.
    #[must_use]
    pub(crate) fn without_meta(mut self, key: &str) -> Self {
        self.meta.remove(key);
        self
    }

    /// The client's metadata.
    pub(crate) fn own_meta(&self) -> &BTreeMap<String, String> {
        &self.meta
    }

    /// Bytes for the server's rules, such as a ticket.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Connects over TCP.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing goes on in the background then, nor when the
    /// future is dropped.
    pub async fn connect(self, addr: impl ToSocketAddrs) -> Result<Client, ConnectError> {
        let after = self.connect_timeout;
        let stream = tokio::time::timeout(after, TcpStream::connect(addr))
            .await
            .map_err(|_| ConnectError::TimedOut { after })?
            .map_err(ConnectError::from_io)?;
        link::tune(&stream).map_err(ConnectError::from_io)?;
        let (reader, writer) = stream.into_split();
        self.handshake(reader, writer).await
    }

    /// Connects over any byte stream, such as
    /// [`ServerHandle::connect_local`](crate::server::ServerHandle::connect_local)
    /// or one end of [`tokio::io::duplex`].
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_over<S>(self, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        self.handshake(reader, writer).await
    }

    async fn handshake<R, W>(self, mut reader: R, mut writer: W) -> Result<Client, ConnectError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let mut session = Session::new(self.hello()?);
        let mut events = Vec::new();
        let after = self.handshake_timeout;
        let greeting = greet(&mut reader, &mut writer, &mut session, &mut events, &self.protocol);
        let greeted = tokio::time::timeout(after, greeting)
            .await
            .map_err(|_| ConnectError::HandshakeTimedOut { after })??;
        let inbox = Inbox::new(self.inbox_limit);
        let shared = Shared::new(session, inbox, events, self.outbox_limit);
        tokio::spawn(Task::new(shared.clone(), reader, writer, greeted.silence));
        tracing::debug!(client_id = %greeted.client_id, "connected");
        Ok(Client::new(shared, greeted))
    }

    fn hello(&self) -> Result<BytesMut, ConnectError> {
        let mut hello = BytesMut::new();
        let entry = |(key, value): (&String, &String)| (key.clone(), value.clone());
        ClientMessage::Hello {
            magic: MAGIC,
            version: VERSION,
            protocol: self.protocol.hash(),
            data: &self.data,
            meta: self.meta.iter().map(entry).collect(),
        }
        .encode(&mut hello);
        let len = hello.len() - HEADER_LEN;
        if len > MAX_HELLO { Err(ConnectError::HelloTooLarge { len }) } else { Ok(hello) }
    }
}

/// Says hello and waits for the answer.
async fn greet<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    reader: &mut R,
    writer: &mut W,
    session: &mut Session,
    events: &mut Vec<ServerEvent>,
    protocol: &Protocol,
) -> Result<Greeted, ConnectError> {
    // A server that closes at once may have said why: read before giving up.
    let written = writer.write_all(&session.take_outbox()).await.and(writer.flush().await);
    loop {
        let read = std::future::poll_fn(|cx| link::poll_read(reader, cx, Bytes::copy_from_slice));
        let end = match read.await {
            Ok(bytes) if bytes.is_empty() => DisconnectReason::ConnectionClosed,
            Ok(bytes) => match session.receive(link::now(), bytes, events) {
                Ok(()) => match session.greeted() {
                    Some(greeted) => return Ok(greeted),
                    None => continue,
                },
                Err(reason) => {
                    let _ = writer.write_all(&session.take_outbox()).await;
                    let _ = writer.shutdown().await;
                    reason
                }
            },
            Err(error) => DisconnectReason::from_io(&error),
        };
        tracing::debug!(%end, ?written, "no greeting");
        return Err(ConnectError::from_end(end, protocol));
    }
}
