//! The task behind a client: one link after the other, until the session is over, and one
//! session after the other, if the client begins anew.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use crate::wire::DisconnectReason;

use super::{
    Client, ConnectError, Reconnect, ServerEvent, Unconnected,
    attempts::Attempts,
    drive::Drive,
    handshake::{Unopened, open},
    session::Session,
    state::{Course, End, State},
    way::Way,
};

/// Keeps a client connected.
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
    /// Whether another session follows one that is over.
    pub(super) begins_anew: bool,
}

/// Ends the connection with the task, however that ends.
struct Guard(Arc<State>);

impl<W: Way> Task<W> {
    /// A link on which a session has begun.
    pub(super) async fn begin(&mut self) -> Result<W::Stream, Unopened> {
        let link = self.way.forth(self.limits.connect).await;
        let mut stream = link.map_err(Unopened::Unreached)?;
        self.state.reopen();
        let after = self.limits.handshake;
        timeout(after, open(&mut stream, &self.state))
            .await
            .map_err(|_| Unopened::Unreached(ConnectError::HandshakeTimedOut { after }))??;
        Ok(stream)
    }

    /// Why there is no such link, for the program.
    pub(super) fn explain(&self, why: Unopened) -> ConnectError {
        self.state.look(|session| why.into_error(session.protocol()))
    }

    /// Goes on in the background, from a session that has begun on a link, or from none.
    pub(super) fn go_on(self, link: Option<W::Stream>) -> Client {
        let client = Client::new(self.state.clone());
        tokio::spawn(self.run(link));
        client
    }

    /// Goes from session to session, as far as that is wanted.
    async fn run(mut self, mut link: Option<W::Stream>) {
        let _guard = Guard(self.state.clone());
        let mut attempts = Attempts::new(self.limits.reconnect.clone());
        loop {
            let (lasted, reason, end) = if let Some(stream) = link.take() {
                let start = Instant::now();
                self.serve(stream).await;
                let Some(reason) = self.state.lost_session() else { return };
                (start.elapsed(), reason.clone().into(), reason)
            } else {
                self.state.tell(ServerEvent::Connecting { attempt: attempts.failed() });
                match unless_closed(&self.state.clone(), self.begin()).await {
                    None => return,
                    Some(Ok(stream)) => {
                        link = Some(stream);
                        continue;
                    }
                    Some(Err(why)) => {
                        let reason: Unconnected = self.explain(why.clone()).into();
                        (Duration::ZERO, reason, why.into())
                    }
                }
            };
            let wait = attempts.wait(lasted, reason.retry_after());
            let again = self.limits.begins_anew && self.may_retry(&reason);
            let retry_in = again.then_some(wait);
            self.state.tell(ServerEvent::Disconnected { reason, retry_in });
            if !again {
                return self.state.give_up(End::Lost(end));
            }
            if unless_closed(&self.state, rest(&self.state, wait)).await.is_none() {
                return;
            }
        }
    }

    /// Whether another attempt may succeed. Where a server of ours was, another service
    /// answers for a while only: a proxy, say, whose server is started again.
    fn may_retry(&self, reason: &Unconnected) -> bool {
        let stranger = matches!(reason, Unconnected::Connect(ConnectError::NotGhostSync { .. }));
        reason.may_retry() || stranger && self.state.look(Session::has_met)
    }

    /// Goes from link to link with one session, until it is over.
    async fn serve(&mut self, mut stream: W::Stream) {
        let mut attempts = Attempts::new(self.limits.reconnect.clone());
        loop {
            let start = Instant::now();
            Drive::new(&self.state, stream).await;
            let Some(lost) = self.state.lost_link() else { return };
            tracing::debug!(%lost, "reconnecting");
            let wait = attempts.wait(start.elapsed(), lost.retry_after());
            stream = match self.reconnect(&lost, wait, &mut attempts).await {
                Ok(stream) => stream,
                Err(reason) => return self.state.end_session(reason),
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

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.give_up(End::Abandoned);
        self.0.finish_task();
    }
}

/// Waits for that time, and until the program has taken some of what it is told.
async fn rest(state: &State, wait: Duration) {
    sleep(wait).await;
    let pressed = |cx: &mut Context<'_>| {
        if state.is_pressed(cx.waker()) { Poll::Pending } else { Poll::Ready(()) }
    };
    poll_fn(pressed).await;
}

/// What comes of `future`, unless the program closes the connection first.
async fn unless_closed<T>(state: &State, future: impl Future<Output = T>) -> Option<T> {
    let closed = |cx: &mut Context<'_>| {
        if state.is_closed(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    };
    tokio::select! {
        biased;
        () = poll_fn(closed) => None,
        done = future => Some(done),
    }
}
