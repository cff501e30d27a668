//! What a connection is to the shells: two halves of a byte stream. Knows no
//! message.

mod conditioner;

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, DuplexStream, ReadBuf},
    net::TcpStream,
};

pub use conditioner::Conditioner;

/// One end of a connection inside this process, as
/// [`ServerHandle::connect_local`](crate::server::ServerHandle::connect_local) makes it.
pub type LocalStream = DuplexStream;

/// Bytes that wait in a [`LocalStream`] in either direction, at most.
pub(crate) const LOCAL_BUFFER: usize = 64 * 1024;

/// Bytes taken from a stream at once, at most.
const READ_BUFFER: usize = 64 * 1024;

/// Bytes that the kernel may hold back unsent. What waits longer waits with
/// us, where it can still be replaced or skipped.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_LIMIT: u32 = 16 * 1024;

thread_local! {
    /// Lent to whoever reads, so that a connection on which nothing comes holds no buffer.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into());
}

/// Reads what is there, up to `most` bytes, and shows it to `take`; no bytes mean the end
/// of the stream.
pub(crate) fn poll_read<R: AsyncRead + Unpin, T>(
    reader: &mut R,
    cx: &mut Context<'_>,
    most: usize,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    BUFFER.with_borrow_mut(|buffer| {
        let most = most.min(buffer.len());
        let mut buffer = ReadBuf::new(&mut buffer[..most]);
        Pin::new(reader).poll_read(cx, &mut buffer).map_ok(|()| take(buffer.filled()))
    })
}

/// Prepares a socket for small messages that must not wait.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_LIMIT)?;
    Ok(())
}

/// The time by Tokio's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
