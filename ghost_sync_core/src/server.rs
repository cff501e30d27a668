//! Layer 3: a relay on Tokio. Knows sockets, timers and the program's rules;
//! what happens in rooms is decided by [`relay`](crate::relay).
//!
//! [`Server::builder`] sets it up, [`Server::run`] starts it, and the
//! [`ServerHandle`] that it gives is the way to everything else. A
//! [`ServerHandler`] answers questions and hears what happens.

mod accept;
mod alarm;
mod builder;
mod connection;
mod driver;
mod error;
mod handle;
mod handler;
mod hooks;
mod host;
mod journal;
mod senders;
mod service;
mod shard;
mod shares;
mod values;
mod writer;

pub use builder::ServerBuilder;
pub use error::BindError;
pub use handle::{MetaSnapshot, ServerHandle};
pub use handler::{AsyncServerHandler, ConnectInfo, JoinInfo, NoopHandler, ServerHandler};
pub(crate) use host::Sink;
pub(crate) use shares::{Part, Shares};

use builder::{Listen, Settings};
use service::Service;
use std::sync::Arc;

use crate::relay::CreateRoomError;

/// A relay that is set up, but does not run yet.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    settings: Settings,
}

impl Server {
    /// Settings to run a server with.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The way to this server, for whoever needs it before it runs. Nothing can
    /// connect before that, but rooms can be made.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(self.service.clone())
    }

    /// Starts the server in the background of the current Tokio runtime, where it
    /// runs until [`ServerHandle::shutdown`] or the end of the runtime. Dropping
    /// the handle does not stop it.
    ///
    /// # Errors
    /// [`BindError`]; nothing runs then.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn run(self) -> Result<ServerHandle, BindError> {
        let handle = self.handle();
        let Self { service, settings } = self;
        if let Some(fault) = settings.fault {
            return Err(fault.into());
        }
        let listener = match &settings.listen {
            Listen::Tcp(addr) => Some(accept::bind(addr).await?),
            Listen::Nowhere => None,
        };
        let addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        for (name, config) in settings.rooms {
            match handle.create_room_with(&name, config) {
                Ok(()) => {}
                Err(CreateRoomError::Stopped) => return Err(BindError::Stopped),
                Err(error) => return Err(BindError::Room(error)),
            }
        }
        if !service.start(addr) {
            return Err(BindError::Stopped);
        }
        if let Some(listener) = listener {
            tracing::debug!(?addr, "listening");
            tokio::spawn(accept::accept(listener, service));
        }
        Ok(handle)
    }
}
