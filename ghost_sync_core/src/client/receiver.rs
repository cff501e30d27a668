//! The half of a client that is told.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_core::{FusedStream, Stream};

use crate::wire::DisconnectReason;

use super::{
    ServerEvent, TryRecvError,
    state::{End, State},
};

/// The receiving half of a [`Client`](super::Client); a [`Stream`] too.
///
/// Dropping it throws further events away; the connection goes on as long as a
/// [`ClientSender`](super::ClientSender) lives.
#[derive(Debug)]
pub struct ClientReceiver {
    state: Arc<State>,
    /// The stream has said how the connection ended.
    terminated: bool,
}

impl ClientReceiver {
    pub(super) fn new(state: Arc<State>) -> Self {
        state.add_handle();
        Self { state, terminated: false }
    }

    /// The next event; `None` after this side closed the connection.
    ///
    /// Nothing is lost when the future is dropped, so it may stand in a `select!`.
    ///
    /// # Errors
    /// How the connection ended, after the last event, and again each time.
    pub async fn recv(&mut self) -> Result<Option<ServerEvent>, DisconnectReason> {
        match poll_fn(|cx| self.state.poll_event(cx.waker())).await {
            Ok(event) => Ok(Some(event)),
            Err(end) => end.reason().map_or(Ok(None), Err),
        }
    }

    /// The next event, if one is there.
    ///
    /// # Errors
    /// [`TryRecvError`] says whether more may come.
    pub fn try_recv(&mut self) -> Result<ServerEvent, TryRecvError> {
        match self.state.poll_event(Waker::noop()) {
            Poll::Ready(Ok(event)) => Ok(event),
            Poll::Ready(Err(end)) => {
                Err(end.reason().map_or(TryRecvError::Closed, TryRecvError::Disconnected))
            }
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    /// Waits for events and appends about `at_most` bytes of them to `into`.
    pub(crate) async fn recv_many(
        &self,
        into: &mut Vec<ServerEvent>,
        at_most: usize,
    ) -> Result<(), End> {
        poll_fn(|cx| self.state.poll_events(cx.waker(), into, at_most)).await
    }
}

impl Stream for ClientReceiver {
    type Item = Result<ServerEvent, DisconnectReason>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.terminated {
            return Poll::Ready(None);
        }
        self.state.poll_event(cx.waker()).map(|event| match event {
            Ok(event) => Some(Ok(event)),
            Err(end) => {
                self.terminated = true;
                end.reason().map(Err)
            }
        })
    }
}

impl FusedStream for ClientReceiver {
    fn is_terminated(&self) -> bool {
        self.terminated
    }
}

impl Drop for ClientReceiver {
    fn drop(&mut self) {
        self.state.stop_listening();
        self.state.remove_handle();
    }
}
