//! A server and its clients in one program.

use std::io;

use crate::server::ServerHandle;

use super::{Connector, LocalConnector, ServerBridge};

impl ServerBridge {
    /// The way to the server for clients in this process.
    pub fn local(&self) -> LocalConnector {
        self.handle().into()
    }
}

impl LocalConnector {
    /// Leads to another server from now on: one that was started in place of the former.
    pub fn lead_to(&self, server: ServerHandle) {
        self.set(connector(server));
    }
}

impl From<ServerHandle> for LocalConnector {
    fn from(server: ServerHandle) -> Self {
        Self::new(connector(server))
    }
}

/// Connects once the server runs.
fn connector(server: ServerHandle) -> Connector {
    Connector::new(move || {
        let server = server.clone();
        async move {
            if server.running().await {
                Ok(server.connect_local())
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        }
    })
}
