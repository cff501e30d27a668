//! What the client's handles and its task have in common.

mod locked;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{sync::Notify, time::sleep};

use crate::{
    link,
    wire::{CloseReason, DisconnectReason},
};

use super::{SendError, ServerEvent, inbox::Inbox, session::Session};

/// The connection as its handles see it. The lock is held for the length of a
/// function here, never across an await.
#[derive(Debug)]
pub(super) struct State {
    locked: Mutex<Locked>,
    /// Told whenever the task asks for more to write, and when it is over.
    progress: Notify,
    outbox_limit: usize,
}

#[derive(Debug)]
struct Locked {
    session: Session,
    inbox: Inbox,
    /// Scratch for events on their way into the inbox.
    events: Vec<ServerEvent>,
    end: Option<End>,
    link: Link,
    /// Whether another session follows one that is over.
    begins_anew: bool,
    /// Bytes that the task took out of the session's outbox and still writes.
    writing: usize,
    handles: usize,
    /// Nobody will ever ask for events.
    deaf: bool,
    finished: bool,
    task: Option<Waker>,
    receiver: Option<Waker>,
}

/// How it ended, from this side.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// This side closed it.
    Clean,
    /// It ended otherwise.
    Lost(DisconnectReason),
    /// The runtime that did its work has ended.
    Abandoned,
}

/// What the session has to be carried on.
#[derive(Clone, Debug)]
enum Link {
    /// A link, or one on its way that is the first.
    Up,
    /// None, for that reason; another one is looked for.
    Lost(DisconnectReason),
    /// It is over, for that reason; another session is to begin.
    Over(DisconnectReason),
}

/// How a link goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Course {
    /// As before.
    On,
    /// Not at all; the session may, on another one.
    Away,
    /// To its end, and the session with it.
    End,
}

impl End {
    /// As [`recv`](super::Client::recv) says it; `None` if this side closed.
    pub(crate) fn reason(self) -> Option<DisconnectReason> {
        match self {
            Self::Clean => None,
            Self::Lost(reason) => Some(reason),
            Self::Abandoned => Some(DisconnectReason::ConnectionClosed),
        }
    }
}

impl State {
    /// The state of a client that is `begins_anew`: whether another session follows one
    /// that is over.
    pub(super) fn new(
        session: Session,
        inbox: Inbox,
        outbox_limit: usize,
        begins_anew: bool,
    ) -> Arc<Self> {
        let locked = Locked {
            session,
            inbox,
            events: Vec::new(),
            end: None,
            link: Link::Up,
            begins_anew,
            writing: 0,
            handles: 0,
            deaf: false,
            finished: false,
            task: None,
            receiver: None,
        };
        Arc::new(Self { locked: Mutex::new(locked), progress: Notify::new(), outbox_limit })
    }

    /// Makes a request once the outbox has room for it.
    pub(super) async fn request<T>(
        &self,
        mut ask: impl FnMut(&mut Session) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            match self.try_request(&mut ask) {
                Err(SendError::OutboxFull { .. }) => progress.await,
                Err(SendError::Paced { retry_after }) => sleep(retry_after.min(LOOK_AGAIN)).await,
                result => return result,
            }
        }
    }

    /// Waits until the outbox has room, or the connection has ended.
    pub(super) async fn room(&self) {
        let _ = self.request(|_| Ok(())).await;
    }

    /// Makes a request now, or not.
    pub(super) fn try_request<T>(
        &self,
        ask: impl FnOnce(&mut Session) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let mut state = self.lock();
        if let Some(end) = state.end.clone() {
            return Err(end.reason().map_or(SendError::Closed, SendError::Disconnected));
        }
        let max = self.outbox_limit;
        if state.queued() >= max {
            state.session.make_room();
        }
        let queued = state.queued();
        if queued >= max {
            return Err(SendError::OutboxFull { queued, max });
        }
        state.session.paced_at(link::now());
        let mut result = ask(&mut state.session);
        if let (Err(SendError::Disconnected(why)), Link::Over(reason)) = (&mut result, &state.link)
        {
            why.clone_from(reason);
        }
        state.wake_task();
        result
    }

    /// The next event, or how it ended; registers `waker` if there is neither.
    pub(super) fn poll_event(&self, waker: &Waker) -> Poll<Result<ServerEvent, End>> {
        let mut state = self.lock();
        let pressed = state.inbox.is_pressed();
        if let Some(event) = state.inbox.pop() {
            state.read_on_after(pressed);
            return Poll::Ready(Ok(event));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        register(&mut state.receiver, waker);
        Poll::Pending
    }

    /// Takes about `at_most` bytes of events at once, or how it ended if there are none.
    pub(super) fn poll_events(
        &self,
        waker: &Waker,
        into: &mut Vec<ServerEvent>,
        at_most: usize,
    ) -> Poll<Result<(), End>> {
        let mut state = self.lock();
        let pressed = state.inbox.is_pressed();
        if !state.inbox.is_empty() {
            state.inbox.drain(into, at_most);
            state.read_on_after(pressed);
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        register(&mut state.receiver, waker);
        Poll::Pending
    }

    /// Changes something in the session, whether or not the connection has ended.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        change(&mut self.lock().session)
    }

    /// Looks something up in the session.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Session) -> T) -> T {
        at(&self.lock().session)
    }

    /// Ends, with a goodbye or as if the link were lost; what was asked for before still leaves.
    pub(super) fn end(&self, goodbye: bool) {
        let mut state = self.lock();
        if state.end.is_none() {
            if goodbye {
                let _ = state.session.close(CloseReason::Requested);
            }
            state.finish(End::Clean);
        }
    }

    /// Waits until the task has written the last bytes, or gave up.
    pub(super) async fn finished(&self) {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            if self.lock().finished {
                return;
            }
            progress.await;
        }
    }

    pub(super) fn add_handle(&self) {
        self.lock().handles += 1;
    }

    /// With the last handle the connection goes.
    pub(super) fn remove_handle(&self) {
        let mut state = self.lock();
        state.handles -= 1;
        let last = state.handles == 0;
        drop(state);
        if last {
            self.end(true);
        }
    }

    /// Events are thrown away from here on.
    pub(super) fn stop_listening(&self) {
        let mut state = self.lock();
        state.deaf = true;
        state.inbox = Inbox::new(0);
        state.wake_task();
    }

    /// Task: the stream gave `bytes`.
    pub(super) fn received(&self, bytes: Bytes) {
        let mut state = self.lock();
        if !state.is_up() {
            return;
        }
        if let Err(reason) = state.receive(bytes) {
            state.lose(reason);
        }
    }

    /// Task: there is a stream; the session says its first words there.
    pub(super) fn reopen(&self) {
        self.lock().session.reopen();
    }

    /// Task: the stream that is being opened gave `bytes`. Whether it is open.
    pub(super) fn opened(&self, bytes: Bytes) -> Result<bool, DisconnectReason> {
        let mut state = self.lock();
        state.receive(bytes)?;
        let open = state.session.is_open();
        if open {
            state.link = Link::Up;
        }
        Ok(open)
    }

    /// Task: the stream is over.
    pub(super) fn lost(&self, reason: DisconnectReason) {
        self.lock().lose(reason);
    }

    /// Task: nothing came for too long.
    pub(super) fn timed_out(&self, after: Duration) {
        let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        let reason = CloseReason::IdleTimeout { after_ms };
        let mut state = self.lock();
        state.lose(DisconnectReason::Closed(reason));
    }

    /// Task: why there is no link, if another one should be looked for.
    pub(super) fn lost_link(&self) -> Option<DisconnectReason> {
        let state = self.lock();
        match (&state.end, &state.link) {
            (None, Link::Lost(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Task: why there is no session, if another one should be begun.
    pub(super) fn lost_session(&self) -> Option<DisconnectReason> {
        let state = self.lock();
        match (&state.end, &state.link) {
            (None, Link::Over(reason)) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Task: there will be no other link for the session.
    pub(super) fn end_session(&self, reason: DisconnectReason) {
        let mut state = self.lock();
        if let (None, Link::Lost(_)) = (&state.end, &state.link) {
            state.end_session(reason);
        }
    }

    /// Task: the program is to be told, and whoever waits to ask is to ask again.
    pub(super) fn tell(&self, event: ServerEvent) {
        let mut state = self.lock();
        state.events.push(event);
        state.file_events();
        drop(state);
        self.progress.notify_waiters();
    }

    /// Task: there will be no other link.
    pub(super) fn give_up(&self, end: End) {
        let mut state = self.lock();
        if state.end.is_none() {
            let _ = state.session.close(CloseReason::Requested);
            state.finish(end);
        }
    }

    /// Task: what to write next, after all of the last part left.
    pub(super) fn take_outbox(&self) -> BytesMut {
        let mut state = self.lock();
        let bytes = state.session.take_outbox();
        state.writing = bytes.len();
        drop(state);
        self.progress.notify_waiters();
        bytes
    }

    /// Task: how the link goes on; wakes `waker` when that or the outbox changes.
    pub(super) fn course(&self, waker: &Waker) -> Course {
        let mut state = self.lock();
        register(&mut state.task, waker);
        match (&state.end, &state.link) {
            (Some(_), _) | (None, Link::Over(_)) => Course::End,
            (None, Link::Lost(_)) => Course::Away,
            (None, Link::Up) => Course::On,
        }
    }

    /// Task: whether the program wants no connection any more; wakes `waker` when it does not.
    pub(super) fn is_closed(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        register(&mut state.task, waker);
        state.end.is_some()
    }

    /// Task: whether to leave what comes unread until the program has taken some
    /// of what waits; `waker` is woken then.
    pub(super) fn is_pressed(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let pressed = state.inbox.is_pressed() && state.end.is_none();
        if pressed {
            register(&mut state.task, waker);
        }
        pressed
    }

    /// Task: over.
    pub(super) fn finish_task(&self) {
        self.lock().finished = true;
        self.progress.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Locked> {
        // A panic of ours elsewhere must not become one here.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn register(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) if old.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}

/// Whoever waits for the server's limits looks this often whether there is a connection still.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
