//! What a connection is to the shells: two halves of a byte stream. Knows no
//! message. Each transport has a file here.

mod conditioner;
pub(crate) mod local;
pub(crate) mod tcp;

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::io::{AsyncRead, ReadBuf};

pub use conditioner::Conditioner;
pub use local::LocalStream;

/// Bytes taken from a stream at once, at most.
const READ_BUFFER: usize = 64 * 1024;

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

/// The time by Tokio's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
