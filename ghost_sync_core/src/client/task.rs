//! The task behind a client: one link after the other, until the session is over.

use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::wire::DisconnectReason;

use super::{
    ConnectError, Reconnect,
    attempts::Attempts,
    drive::Drive,
    handshake::open,
    session::Session,
    state::{Course, State},
    way::Way,
};

/// Keeps a session linked.
#[derive(Debug)]
pub(super) struct Task<W> {
    pub(super) state: Arc<State>,
    pub(super) way: W,
    pub(super) limits: Limits,
}

/// How long things may take.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) handshake: Duration,
    pub(super) reconnect: Reconnect,
    /// How long to look for another link; `None`: as long as the server holds seats.
    pub(super) resume_for: Option<Duration>,
}

/// Ends the connection with the task, however that ends.
struct End(Arc<State>);

impl<W: Way> Task<W> {
    /// A link on which a session has begun.
    pub(super) async fn begin(&mut self) -> Result<W::Stream, ConnectError> {
        let mut stream = self.way.forth(self.limits.connect).await?;
        let after = self.limits.handshake;
        timeout(after, open(&mut stream, &self.state))
            .await
            .map_err(|_| ConnectError::HandshakeTimedOut { after })?
            .map_err(|why| self.state.look(|session| why.into_error(session.protocol())))?;
        Ok(stream)
    }

    pub(super) async fn run(mut self, mut stream: W::Stream) {
        let _end = End(self.state.clone());
        let mut attempts = Attempts::new(self.limits.reconnect.clone());
        loop {
            let start = Instant::now();
            Drive::new(&self.state, stream).await;
            let Some(lost) = self.state.lost_link() else { return };
            tracing::debug!(%lost, "reconnecting");
            let wait = attempts.wait(start.elapsed(), lost.retry_after());
            stream = match self.reconnect(&lost, wait, &mut attempts).await {
                Ok(stream) => stream,
                Err(reason) => return self.state.give_up(reason),
            };
        }
    }

    /// Another link on which the session, or a new one, is open. Fails with the
    /// reason for which there is none.
    async fn reconnect(
        &mut self,
        lost: &DisconnectReason,
        wait: Duration,
        attempts: &mut Attempts,
    ) -> Result<W::Stream, DisconnectReason> {
        let state = self.state.clone();
        let mut closed = pin!(poll_fn(|cx| match state.course(cx.waker()) {
            Course::End => Poll::Ready(()),
            Course::On | Course::Away => Poll::Pending,
        }));
        let grace = || self.state.look(Session::greeted).map(|greeted| greeted.grace);
        let patience = self.limits.resume_for.or_else(grace).unwrap_or_default();
        // Who is asked to stay away for longer has nothing to come back to.
        if lost.retry_after().is_some_and(|asked| asked > patience) {
            return Err(lost.clone());
        }
        tokio::select! {
            biased;
            () = &mut closed => Err(lost.clone()),
            found = timeout(patience, self.search(wait, attempts, patience)) => {
                found.unwrap_or_else(|_| Err(lost.clone()))
            }
        }
    }

    /// Tries until it works, or will not within `patience`.
    async fn search(
        &mut self,
        mut wait: Duration,
        attempts: &mut Attempts,
        patience: Duration,
    ) -> Result<W::Stream, DisconnectReason> {
        loop {
            sleep(wait).await;
            match self.attempt().await {
                Ok(stream) => return Ok(stream),
                Err(reason) if !reason.may_reconnect() => return Err(reason),
                Err(reason) if reason.retry_after().is_some_and(|asked| asked > patience) => {
                    return Err(reason);
                }
                Err(reason) => wait = attempts.wait(Duration::ZERO, reason.retry_after()),
            }
        }
    }

    async fn attempt(&mut self) -> Result<W::Stream, DisconnectReason> {
        let late = |_| DisconnectReason::ConnectionLost(io::ErrorKind::TimedOut);
        let connecting = timeout(self.limits.connect, self.way.back());
        let mut stream =
            connecting.await.map_err(late)?.map_err(|error| DisconnectReason::from_io(&error))?;
        self.state.reopen();
        let handshake = timeout(self.limits.handshake, open(&mut stream, &self.state));
        handshake.await.map_err(late)??;
        Ok(stream)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.give_up(DisconnectReason::ConnectionClosed);
        self.0.finish_task();
    }
}
