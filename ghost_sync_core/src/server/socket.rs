//! The socket of a connection: what waits is written to it, and it is closed in peace.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

use crate::{
    relay::{LinkId, Offer, Output, Relay},
    wire::DisconnectReason,
};

use super::writer::Writer;

/// Slices in one write.
const SLICES: usize = 64;

/// The socket of a connection, and the tasks that belong to it.
#[derive(Debug)]
pub(super) struct Socket {
    writer: Writer,
    reader: JoinHandle<()>,
    /// The task that waits for it to take more, while it is full.
    drain: Option<AbortHandle>,
    /// Why nothing more can be written; the reader reports it at the end of its data.
    broken: Option<DisconnectReason>,
}

/// What became of an attempt to write everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wrote {
    All,
    /// All of it to a stream that still holds some back.
    Unflushed,
    /// The socket is full.
    Some,
    /// There is no such connection, or nothing can be written to it.
    Nothing,
}

impl Socket {
    pub(super) fn new(writer: Writer, reader: JoinHandle<()>) -> Self {
        Self { writer, reader, drain: None, broken: None }
    }

    /// Writes what waits for `id` once, if that is to a socket that is not known to be full;
    /// returns what was offered to it and how much it took.
    pub(super) fn try_write(
        &self,
        relay: &Relay,
        id: LinkId,
    ) -> Option<(Offer, Result<usize, DisconnectReason>)> {
        if self.broken.is_some() || self.drain.is_some() {
            return None;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let offer = relay.transmit(id, &mut slices);
        if offer.slices == 0 {
            return None;
        }
        match self.writer.try_write(&slices[..offer.slices])? {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            written => Some((offer, written.map_err(|error| DisconnectReason::from_io(&error)))),
        }
    }

    /// Writes what waits for `id` until nothing does or the socket is full; then `cx` is
    /// woken when it takes more.
    pub(super) fn write(
        &mut self,
        relay: &mut Relay,
        now: Instant,
        id: LinkId,
        mut cx: Option<&mut Context<'_>>,
        out: &mut Vec<Output>,
    ) -> Wrote {
        if self.broken.is_some() {
            relay.blocked(now, id, out);
            return Wrote::Nothing;
        }
        relay.catch_up(now, id, out);
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let offer = relay.transmit(id, &mut slices);
            if offer.slices == 0 {
                break;
            }
            let slices = &slices[..offer.slices];
            let wrote = match &mut cx {
                Some(cx) => self.writer.poll_write(cx, slices),
                None => self.writer.write_now(slices),
            };
            let error = match wrote {
                Poll::Pending => return Wrote::Some,
                Poll::Ready(Ok(0)) => io::ErrorKind::WriteZero.into(),
                Poll::Ready(Ok(written)) => {
                    relay.sent(now, id, offer, written, out);
                    if offer.is_all && written == offer.bytes {
                        break;
                    }
                    continue;
                }
                Poll::Ready(Err(error)) => error,
            };
            return self.fail(relay, now, id, &error, out);
        }
        match self.writer.poll_flush(cx) {
            Poll::Ready(Ok(())) => Wrote::All,
            Poll::Pending => Wrote::Unflushed,
            Poll::Ready(Err(error)) => self.fail(relay, now, id, &error, out),
        }
    }

    /// The other side's last words may still be there to read.
    fn fail(
        &mut self,
        relay: &mut Relay,
        now: Instant,
        id: LinkId,
        error: &io::Error,
        out: &mut Vec<Output>,
    ) -> Wrote {
        self.broken = Some(DisconnectReason::from_io(error));
        relay.blocked(now, id, out);
        Wrote::Nothing
    }

    /// Nothing more can be written, for this reason.
    pub(super) fn set_broken(&mut self, reason: DisconnectReason) {
        self.broken = Some(reason);
    }

    /// Why it is lost whose reader came to an end for `reason`.
    pub(super) fn reason(&self, reason: DisconnectReason) -> DisconnectReason {
        self.broken.clone().unwrap_or(reason)
    }

    /// Whether a task waits for it to take more. Only one may register for that.
    pub(super) fn is_waited_for(&self) -> bool {
        self.drain.is_some()
    }

    /// This task waits for it to take more.
    pub(super) fn wait_with(&mut self, drain: AbortHandle) {
        self.drain = Some(drain);
    }

    /// Nobody waits for it any more.
    pub(super) fn waited(&mut self) {
        self.drain = None;
    }

    /// Ends the wait for it to take more.
    pub(super) fn stop_waiting(&self) {
        if let Some(drain) = &self.drain {
            drain.abort();
        }
    }

    /// Says that nothing more comes, then waits for the other side to do the same, for as long
    /// as a goodbye may take.
    pub(super) async fn close(mut self, linger: Duration) {
        let goodbye = async {
            self.writer.shutdown().await;
            let _ = (&mut self.reader).await;
        };
        let _ = timeout(linger, goodbye).await;
        self.reader.abort();
    }

    /// Drops it without a goodbye. Its descriptor is free when both of its halves are: that is
    /// waited for.
    pub(super) async fn free(self) {
        let Self { writer, mut reader, .. } = self;
        drop(writer);
        reader.abort();
        let _ = (&mut reader).await;
    }

    /// Drops it without a goodbye.
    pub(super) fn abort(self) {
        self.stop_waiting();
        self.reader.abort();
    }
}
