//! A server that is set up, and how it starts.

use std::{path::PathBuf, sync::Arc};

use crate::relay::{AuthPolicy, ConfigError, CreateRoomError, RoomConfig};

use super::{
    accept, alarm::Precision, bans_file, driver, error::BindError, handle::ServerHandle,
    service::Service,
};

/// A relay that is set up, but does not run yet.
#[derive(Debug)]
pub struct Server {
    pub(super) service: Arc<Service>,
    pub(super) settings: Settings,
}

/// What is left to do when the server is to run.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) listen: Listen,
    pub(super) rooms: Vec<(String, RoomConfig)>,
    /// Where bans are kept.
    pub(super) bans: Option<PathBuf>,
    /// What makes no sense among the settings.
    pub(super) fault: Option<ConfigError>,
}

#[derive(Debug)]
pub(super) enum Listen {
    Tcp(String),
    Nowhere,
}

impl Server {
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
        if let Some(path) = settings.bans {
            bans_file::load(&path, &service)?;
            tokio::spawn(bans_file::keep(path, service.clone()));
        }
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
        // Without sockets there need be no I/O, and writing costs too little to wait with it.
        let timer = if listener.is_some() { Precision::Finer } else { Precision::Millisecond };
        tokio::spawn(driver::drive(service.clone(), timer));
        tokio::spawn(service.shard.auth().clone().keep_fresh());
        if service.shard.auth().policy() == AuthPolicy::Anonymous && listener.is_some() {
            tracing::info!("nobody is asked for a token: anybody may come in as anybody");
        }
        if let Some(hooks) = service.hooks() {
            tokio::spawn(hooks.clone().tell());
        }
        if let Some(listener) = listener {
            tracing::debug!(?addr, "listening");
            tokio::spawn(accept::accept(listener, service));
        }
        Ok(handle)
    }
}
