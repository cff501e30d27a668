//! The half of a connection that is written to.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::tcp::OwnedWriteHalf,
};

/// Where bytes for a client go.
///
/// Two kinds, since nearly all that a server does is writing: a socket can be written to by
/// whoever has a reference, so that many threads write to many sockets at once while the shard
/// stands still, each slice where it lies. Any other stream has a state that one caller at a
/// time may change, and perhaps holds back what it was given until it is flushed.
pub(super) enum Writer {
    Tcp(OwnedWriteHalf),
    /// The lock is never waited for; it is there to be shared between threads.
    Stream(Box<Mutex<dyn AsyncWrite + Send + Unpin>>),
}

impl Writer {
    /// Any stream.
    pub(super) fn stream(stream: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::Stream(Box::new(Mutex::new(stream)))
    }

    /// Writes what can be written now, of a socket; `None` for what is not one.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        match (self, slices) {
            // The system does less for one than for a list of one.
            (Self::Tcp(socket), [one]) => Some(socket.try_write(one)),
            (Self::Tcp(socket), slices) => Some(socket.try_write_vectored(slices)),
            (Self::Stream(_), _) => None,
        }
    }

    /// Writes what can be written now; `Pending` if that is nothing, after which `cx` is
    /// woken when it may be something.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Stream(stream) => Pin::new(stream.get_mut()).poll_write_vectored(cx, slices),
        }
    }

    /// The same, but nobody is woken.
    pub(super) fn write_now(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.try_write(slices) {
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Some(result) => Poll::Ready(result),
            None => self.poll_write(&mut Context::from_waker(Waker::noop()), slices),
        }
    }

    /// Passes on what a stream holds back; `Pending` while it cannot, after which `cx` is woken
    /// when it may. A socket holds nothing back.
    pub(super) fn poll_flush(&mut self, cx: Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Stream(stream) => {
                let mut nobody = Context::from_waker(Waker::noop());
                Pin::new(stream.get_mut()).poll_flush(cx.unwrap_or(&mut nobody))
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) async fn shutdown(&mut self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown().await,
            Self::Stream(stream) => stream.get_mut().shutdown().await,
        };
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(socket) => f.debug_tuple("Tcp").field(socket).finish(),
            Self::Stream(_) => f.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}

/// Runs `work` outside of Tokio's cooperative budget: what is polled in it is
/// only pending if it is.
pub(super) fn without_budget<T>(work: impl FnOnce() -> T) -> T {
    let mut work = Some(work);
    let mut result = None;
    let run = poll_fn(|_| {
        result = work.take().map(|work| work());
        Poll::Ready(())
    });
    let run = pin!(tokio::task::unconstrained(run));
    let _ = run.poll(&mut Context::from_waker(Waker::noop()));
    result.expect("it was polled once, and is ready at once")
}
