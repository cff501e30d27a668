//! Ways to a server that the program makes itself.

use std::{fmt, io, pin::Pin, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

/// Makes streams to a server, one for each attempt: another transport than TCP, or
/// a line that a test can cut.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn() -> Connecting + Send + Sync>);

pub(super) type Connecting = Pin<Box<dyn Future<Output = io::Result<Pin<Box<dyn Duplex>>>> + Send>>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// The way to a server in this process, for clients in it. Clones lead to the same one.
///
/// The default leads nowhere yet: who connects waits for [`lead_to`](Self::lead_to).
#[derive(Clone, Debug, Default)]
pub struct LocalConnector {
    server: watch::Sender<Option<Connector>>,
}

impl Connector {
    /// Calls `connect` for each stream, on the network's threads.
    pub fn new<C, F, S>(connect: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self(Arc::new(move || {
            let stream = connect();
            Box::pin(async move { Ok(Box::pin(stream.await?) as Pin<Box<dyn Duplex>>) })
        }))
    }

    pub(super) fn connect(&self) -> Connecting {
        (self.0)()
    }
}

impl LocalConnector {
    /// Leads where `server` does.
    #[cfg(feature = "server")]
    pub(in crate::embed) fn new(server: Connector) -> Self {
        Self { server: watch::Sender::new(Some(server)) }
    }

    /// Leads there from now on.
    #[cfg(feature = "server")]
    pub(in crate::embed) fn set(&self, server: Connector) {
        self.server.send_replace(Some(server));
    }

    pub(super) fn connect(&self) -> Connecting {
        let mut server = self.server.subscribe();
        Box::pin(async move {
            let gone = |_| io::ErrorKind::ConnectionRefused;
            let connector = server.wait_for(Option::is_some).await.map_err(gone)?.clone();
            connector.ok_or(io::ErrorKind::ConnectionRefused)?.connect().await
        })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
