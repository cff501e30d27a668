//! How a connection ended.

use std::io;

use crate::wire::CloseReason;

/// How a connection ended, in the words of the program that saw it end.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// One side closed it and said why.
    #[error(transparent)]
    Closed(CloseReason),
    /// The other side closed it without a word.
    #[error("connection closed")]
    ConnectionClosed,
    /// The other side, or something between, cut it: a crash, perhaps.
    #[error("connection reset")]
    ConnectionReset,
    /// The operating system gave it up.
    #[error("connection lost: {0}")]
    ConnectionLost(io::ErrorKind),
}

impl DisconnectReason {
    /// Whether a client should come back by itself.
    pub fn may_reconnect(&self) -> bool {
        match self {
            Self::Closed(reason) => reason.may_reconnect(),
            Self::ConnectionClosed | Self::ConnectionReset | Self::ConnectionLost(_) => true,
        }
    }
}

impl From<io::ErrorKind> for DisconnectReason {
    fn from(kind: io::ErrorKind) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds have no name of ours")]
        match kind {
            io::ErrorKind::UnexpectedEof => Self::ConnectionClosed,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::ConnectionReset,
            other => Self::ConnectionLost(other),
        }
    }
}
