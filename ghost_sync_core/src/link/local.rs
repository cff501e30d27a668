//! Connections inside this process.

use tokio::io::DuplexStream;

/// One end of a connection inside this process, as
/// [`ServerHandle::connect_local`](crate::server::ServerHandle::connect_local) makes it.
pub type LocalStream = DuplexStream;

/// Bytes that wait in a [`LocalStream`] in either direction, at most.
pub(super) const BUFFER: usize = 64 * 1024;

/// Both ends of a connection.
#[cfg(feature = "server")]
pub(crate) fn pair() -> (LocalStream, LocalStream) {
    tokio::io::duplex(BUFFER)
}
