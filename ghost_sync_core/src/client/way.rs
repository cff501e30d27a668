//! Ways to a server: where its links come from.

use std::{io, net::SocketAddr, pin::Pin, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::link::tcp;

use super::{ConnectError, ServerAddr, dial::dial};

/// A way to a server, to be gone more than once.
pub(super) trait Way: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// A link to begin a session on, to whichever server is there now, within that time.
    fn forth(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// A link to go on with the session: to the server that has it.
    fn back(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Over TCP.
#[derive(Debug)]
pub(super) struct Tcp {
    addr: ServerAddr,
    /// The machine that the session is on, whatever else has the same name.
    peer: Option<SocketAddr>,
}

/// Over streams that the program makes.
#[derive(Debug)]
pub(super) struct Through<C>(pub(super) C);

/// Over one stream, and then never again.
#[derive(Debug)]
pub(super) struct Once<S>(pub(super) Option<Pin<Box<S>>>);

impl Tcp {
    pub(super) fn new(addr: ServerAddr) -> Self {
        Self { addr, peer: None }
    }
}

impl Way for Tcp {
    type Stream = TcpStream;

    async fn forth(&mut self, within: Duration) -> Result<TcpStream, ConnectError> {
        let stream = dial(&self.addr, within).await?;
        self.peer = Some(stream.peer_addr().map_err(ConnectError::from_io)?);
        Ok(stream)
    }

    async fn back(&mut self) -> io::Result<TcpStream> {
        tcp::dial(self.peer.ok_or(io::ErrorKind::NotConnected)?).await
    }
}

impl<C, F, S> Way for Through<C>
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    type Stream = Pin<Box<S>>;

    async fn forth(&mut self, within: Duration) -> Result<Self::Stream, ConnectError> {
        let stream = timeout(within, self.back()).await;
        stream.map_err(|_| ConnectError::TimedOut { after: within })?.map_err(ConnectError::from_io)
    }

    async fn back(&mut self) -> io::Result<Self::Stream> {
        (self.0)().await.map(Box::pin)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Way for Once<S> {
    type Stream = Pin<Box<S>>;

    async fn forth(&mut self, _: Duration) -> Result<Self::Stream, ConnectError> {
        self.back().await.map_err(ConnectError::from_io)
    }

    async fn back(&mut self) -> io::Result<Self::Stream> {
        self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}
