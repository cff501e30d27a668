//! The half of a connection that is written to.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt, WriteHalf},
    net::tcp::OwnedWriteHalf,
};

use crate::link::LocalStream;

/// Where bytes for a client go.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(OwnedWriteHalf),
    Local(WriteHalf<LocalStream>),
}

impl Writer {
    /// Writes what can be written now, of a socket; `None` for what is not one.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        match (self, slices) {
            // The system does less for one than for a list of one.
            (Self::Tcp(socket), [one]) => Some(socket.try_write(one)),
            (Self::Tcp(socket), slices) => Some(socket.try_write_vectored(slices)),
            (Self::Local(_), _) => None,
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
            Self::Local(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
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

    /// Says that nothing more comes.
    pub(super) async fn shutdown(&mut self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown().await,
            Self::Local(stream) => stream.shutdown().await,
        };
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
