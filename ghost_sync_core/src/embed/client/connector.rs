//! Ways to a server that the program makes itself.

use std::{fmt, io, pin::Pin, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

/// Makes streams to a server, one for each attempt: another transport than TCP, or
/// a line that a test can cut.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn() -> Connecting + Send + Sync>);

pub(super) type Connecting = Pin<Box<dyn Future<Output = io::Result<Pin<Box<dyn Duplex>>>> + Send>>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

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

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
