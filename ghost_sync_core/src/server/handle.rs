//! The way to a server, from anywhere.

mod access;
mod extensions;
mod metadata;
mod rooms;
mod speak;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    link::{LocalStream, local},
    relay::{ClientNotFound, ConnId, Output, QueueLen, Relay},
    wire::{ClientId, RoomName},
};

pub use metadata::MetadataSnapshot;

use super::{
    connection,
    error::AcceptError,
    service::{Phase, Service},
};

/// The way to a server. Clones lead to the same one.
///
/// Its methods work on any thread, inside hooks, before the server runs and
/// after it has stopped; they take a short lock and never wait for anything
/// else, unless they are `async`.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    service: Arc<Service>,
}

/// What [`ServerHandle::shutdown`] tells clients.
const GOODBYE: &str = "goodbye";

/// How long [`ServerHandle::shutdown`] waits for clients to close.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Where connections inside this process come from.
const LOCAL_ADDR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl ServerHandle {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    /// Where the server listens, while it runs; `None` if it listens nowhere.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.service.addr()
    }

    /// Whether clients can connect.
    pub fn is_running(&self) -> bool {
        self.service.phase() == Phase::Running
    }

    /// Connects to the server inside this process. The stream is served like a
    /// socket, as one from localhost: give it to
    /// [`ClientBuilder::connect_over`](crate::client::ClientBuilder::connect_over).
    /// It is closed at once if the server does not run.
    pub fn connect_local(&self) -> LocalStream {
        let (ours, theirs) = local::pair();
        if self.is_running() {
            connection::open_stream(&self.service.shard, ours, LOCAL_ADDR);
        }
        theirs
    }

    /// Serves a client over any byte stream, as if it had come in over a listener of the
    /// server's own: what another transport gives once its own handshake is done, say. `addr`
    /// is where the client comes from; of one address no more are taken than
    /// [`ServerBuilder::gate`](super::ServerBuilder::gate) lets in, and whoever says nothing has
    /// to make room for others. The stream is shut down once the connection has ended.
    ///
    /// Sockets are written to from many threads at once; other streams one after another.
    ///
    /// ```
    /// use ghost_sync_core::Server;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().local_only().room("lobby").build().run().await?;
    /// let (ours, theirs) = tokio::io::duplex(64 * 1024);
    /// server.accept(ours, "192.0.2.7:4096".parse()?)?;
    ///
    /// # #[cfg(feature = "client")] {
    /// let client = ghost_sync_core::Client::builder().connect_over(theirs).await?;
    /// client.join("lobby").await?;
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AcceptError`]; the stream is closed then.
    pub fn accept<S>(&self, stream: S, addr: SocketAddr) -> Result<(), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        if !self.is_running() {
            return Err(AcceptError::NotRunning);
        }
        if !self.service.shard.admits(addr) {
            return Err(AcceptError::TurnedAway);
        }
        connection::open_stream(&self.service.shard, stream, addr);
        Ok(())
    }

    /// Clients whose handshake is complete.
    pub fn client_count(&self) -> usize {
        self.look(Relay::client_count)
    }

    /// The ids of these clients, in no particular order.
    pub fn client_ids(&self) -> Vec<ClientId> {
        self.look(|relay| relay.clients().map(|(_, client_id)| client_id).collect())
    }

    /// The room that a client joined last of those it is in.
    pub fn client_room(&self, client: ClientId) -> Option<RoomName> {
        self.client_rooms(client).pop()
    }

    /// The rooms that a client is in, in the order in which it joined them.
    pub fn client_rooms(&self, client: ClientId) -> Vec<RoomName> {
        self.look(|relay| {
            let rooms = relay.conn_of(client).into_iter().flat_map(|conn| relay.rooms_of(conn));
            rooms.map(|(_, name)| name.clone()).collect()
        })
    }

    /// Where a client comes from.
    pub fn client_addr(&self, client: ClientId) -> Option<SocketAddr> {
        self.look(|relay| relay.addr_of(relay.conn_of(client)?))
    }

    /// The last round trip to a client that was measured; every ping measures it.
    pub fn client_rtt(&self, client: ClientId) -> Option<Duration> {
        self.look(|relay| relay.rtt_of(relay.conn_of(client)?))
    }

    /// What waits to be sent to a client.
    pub fn queue_len(&self, client: ClientId) -> Option<QueueLen> {
        self.look(|relay| Some(relay.queue_len(relay.conn_of(client)?)))
    }

    /// Ends a client's connection; it is told why, and does not come back by itself.
    /// [`kick`](Self::kick) takes only its seat in a room.
    ///
    /// # Errors
    /// [`ClientNotFound`] if it is gone already.
    pub fn disconnect(
        &self,
        client: ClientId,
        message: impl AsRef<str>,
    ) -> Result<(), ClientNotFound> {
        let message = message.as_ref();
        let shard = &self.service.shard;
        shard.act(|relay, now, out| relay.disconnect(now, conn_of(relay, client)?, message, out))
    }

    /// Stops the server: nobody can connect any more, every client is told and
    /// closed, the handler hears the rest. Waits until all of that is done, for
    /// some 5 s at most, and for rules that still decide about a join until their
    /// time is up. Everybody who calls it waits for the same end.
    ///
    /// The server stops whether or not the future is driven to its end.
    pub async fn shutdown(&self) {
        self.shutdown_with(GOODBYE, SHUTDOWN).await;
    }

    /// Stops the server: `message` is what clients are told, and connections that
    /// did not close within `deadline` are dropped. A handler that is busy gets as
    /// long again (a second at least); what it has not heard by then it is not told, but for
    /// the end, and the log says how much that is.
    pub async fn shutdown_with(&self, message: impl AsRef<str>, deadline: Duration) {
        self.begin_shutdown(message, deadline);
        self.stopped().await;
    }

    /// Begins to stop the server, without waiting for it.
    pub fn begin_shutdown(&self, message: impl AsRef<str>, deadline: Duration) {
        self.service.stop(message.as_ref(), deadline);
    }

    /// Waits until the server has stopped, whoever stops it.
    pub async fn stopped(&self) {
        self.service.stopped().await;
    }

    /// Waits until clients can connect; `false` if they never will.
    #[cfg(feature = "client")]
    pub(crate) async fn running(&self) -> bool {
        self.service.started().await;
        self.is_running()
    }

    /// Does something to the relay, under the lock: what is code of the program, such as an
    /// `AsRef`, runs before.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Relay, Instant, &mut Vec<Output>) -> T) -> T {
        self.service.shard.act(act)
    }

    /// Reads from the relay, under the lock.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Relay) -> T) -> T {
        self.service.shard.look(at)
    }

    /// The runtime that the server runs in, once it does.
    #[cfg(feature = "client")]
    pub(crate) fn runtime(&self) -> Option<tokio::runtime::Handle> {
        self.service.shard.runtime().cloned()
    }

    /// Whether nothing happens here any more.
    #[cfg(feature = "client")]
    pub(crate) fn has_stopped(&self) -> bool {
        self.service.phase() == Phase::Stopped
    }
}

fn conn_of(relay: &Relay, client: ClientId) -> Result<ConnId, ClientNotFound> {
    relay.conn_of(client).ok_or(ClientNotFound)
}
