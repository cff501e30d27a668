//! Why a server does not run, or does not take a connection.

use std::{io, sync::Arc};

use crate::relay::{ConfigError, CreateRoomError};

use super::bans_file::BansFileError;

/// Why [`Server::run`](super::Server::run) gave no running server.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program listens there, or this one already. Stop it, or choose
    /// another port; port 0 takes any that is free.
    #[error("{addr} is in use already")]
    AddressInUse {
        /// The address asked for.
        addr: String,
    },
    /// The operating system does not allow it; ports below 1024 need rights.
    #[error("no permission to listen on {addr}")]
    PermissionDenied {
        /// The address asked for.
        addr: String,
    },
    /// That is not `host:port`, or not an address of this machine.
    #[error("{addr} is not an address to listen on: write HOST:PORT, with a host of this machine")]
    InvalidAddress {
        /// The address asked for.
        addr: String,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// Something else is wrong.
    #[error("cannot listen on {addr}")]
    Other {
        /// The address asked for.
        addr: String,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// With that setting nobody could be served.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// Mend the file of bans, or take it away.
    #[error(transparent)]
    Bans(#[from] BansFileError),
    /// It was shut down before it ran; build another.
    #[error("the server was stopped before it ran")]
    Stopped,
    /// The runtime of its [`Network`](crate::embed::Network) ended before it ran. Give it one that
    /// lives as long as the program.
    #[error("the network has ended before the server ran")]
    NetworkEnded,
    /// One of the rooms to start with cannot be made.
    #[error("cannot make a room to start with")]
    Room(#[source] CreateRoomError),
}

impl BindError {
    pub(super) fn new(addr: &str, source: io::Error) -> Self {
        let (addr, source) = (addr.to_owned(), Arc::new(source));
        #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds have no name of ours")]
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { addr },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { addr },
            io::ErrorKind::InvalidInput | io::ErrorKind::AddrNotAvailable => {
                Self::InvalidAddress { addr, source }
            }
            _ => Self::Other { addr, source },
        }
    }
}

/// Why [`ServerHandle::accept`](super::ServerHandle::accept) did not take a stream, which is
/// closed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The server does not run yet, or no more.
    #[error("the server does not run")]
    NotRunning,
    /// As many connections come from that address as its [gate](crate::relay::GateConfig) lets
    /// in. Close it without an answer.
    #[error("too many connections from that address")]
    TurnedAway,
}
