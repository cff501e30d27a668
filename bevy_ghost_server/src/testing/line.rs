//! A client's way to the server, which a test can break.

use std::{
    future::ready,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bevy_ghost_client::Connector;
use ghost_sync_core::link::LocalStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ServerHandle;

/// Where one client's streams lead, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    server: ServerHandle,
    condition: Condition,
    /// Streams before this one are cut.
    first: u64,
    /// The number of the newest stream.
    last: u64,
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Condition {
    Open,
    /// Nothing goes through.
    Stalled,
    /// There is no way.
    Cut,
}

/// One of the streams, as the client has it.
struct Stream {
    line: Line,
    number: u64,
    inner: LocalStream,
}

impl Line {
    pub(super) fn new(server: ServerHandle) -> Self {
        let (condition, waiting) = (Condition::Open, Vec::new());
        Self(Arc::new(Mutex::new(State { server, condition, first: 1, last: 0, waiting })))
    }

    pub(super) fn connector(&self) -> Connector {
        let line = self.clone();
        Connector::new(move || ready(line.connect()))
    }

    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.first = state.last + 1;
        state.change(Condition::Cut);
    }

    pub(super) fn stall(&self) {
        self.lock().change(Condition::Stalled);
    }

    pub(super) fn mend(&self) {
        self.lock().change(Condition::Open);
    }

    /// Leads to another server from the next stream on.
    pub(super) fn lead_to(&self, server: ServerHandle) {
        self.lock().server = server;
    }

    fn connect(&self) -> io::Result<Stream> {
        let mut state = self.lock();
        if state.condition == Condition::Cut {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        state.last += 1;
        Ok(Stream { line: self.clone(), number: state.last, inner: state.server.connect_local() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self, condition: Condition) {
        self.condition = condition;
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Stream {
    /// Whether something goes through now.
    fn poll_through(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.line.lock();
        if self.number < state.first {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        if state.condition == Condition::Stalled { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_through(cx))?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_through(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_through(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
