//! What the client's handles and its task have in common.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::{
    link,
    wire::{CloseReason, DisconnectReason},
};

use super::{
    SendError, ServerEvent,
    inbox::{Inbox, InboxFull},
    session::Session,
};

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
    /// Why there is no link, while another one is looked for.
    lost: Option<DisconnectReason>,
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
pub(super) enum End {
    /// This side closed it.
    Clean,
    /// It ended otherwise.
    Lost(DisconnectReason),
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

impl State {
    pub(super) fn new(session: Session, inbox: Inbox, outbox_limit: usize) -> Arc<Self> {
        let locked = Locked {
            session,
            inbox,
            events: Vec::new(),
            end: None,
            lost: None,
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
        match &state.end {
            Some(End::Clean) => return Err(SendError::Closed),
            Some(End::Lost(reason)) => return Err(SendError::Disconnected(reason.clone())),
            None => {}
        }
        let max = self.outbox_limit;
        if state.session.queued() + state.writing >= max {
            state.session.make_room();
        }
        let queued = state.session.queued() + state.writing;
        if queued >= max {
            return Err(SendError::OutboxFull { queued, max });
        }
        let result = ask(&mut state.session);
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
        if state.end.is_some() || state.lost.is_some() {
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
            state.lost = None;
        }
        Ok(open)
    }

    /// Task: the stream is over.
    pub(super) fn lost(&self, reason: DisconnectReason) {
        self.lock().lose(reason);
    }

    /// Task: nothing came for too long.
    pub(super) fn timed_out(&self, after: std::time::Duration) {
        let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        let reason = CloseReason::IdleTimeout { after_ms };
        let mut state = self.lock();
        state.lose(DisconnectReason::Closed(reason));
    }

    /// Task: why there is no link, if another one should be looked for.
    pub(super) fn lost_link(&self) -> Option<DisconnectReason> {
        let state = self.lock();
        if state.end.is_none() { state.lost.clone() } else { None }
    }

    /// Task: there will be no other link.
    pub(super) fn give_up(&self, reason: DisconnectReason) {
        let mut state = self.lock();
        if state.end.is_none() {
            let _ = state.session.close(CloseReason::Requested);
            state.finish(End::Lost(reason));
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
        match (&state.end, &state.lost) {
            (Some(_), _) => Course::End,
            (None, Some(_)) => Course::Away,
            (None, None) => Course::On,
        }
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

impl Locked {
    fn receive(&mut self, bytes: Bytes) -> Result<(), DisconnectReason> {
        let result = self.session.receive(link::now(), bytes, &mut self.events);
        self.file_events();
        result
    }

    /// The link is over, and perhaps the session with it.
    fn lose(&mut self, reason: DisconnectReason) {
        if self.end.is_some() || self.lost.is_some() {
            return;
        }
        if self.session.link_lost(&reason) {
            self.writing = 0;
            self.events.push(ServerEvent::Reconnecting { reason: reason.clone() });
            self.lost = Some(reason);
            self.file_events();
            self.wake_task();
        } else {
            let goodbye = match &reason {
                DisconnectReason::Closed(reason) => reason.clone(),
                DisconnectReason::ConnectionClosed
                | DisconnectReason::ConnectionReset
                | DisconnectReason::ConnectionLost(_) => CloseReason::Requested,
            };
            let _ = self.session.close(goodbye);
            self.finish(End::Lost(reason));
        }
    }

    /// Moves what the session said into the inbox and wakes the reader.
    fn file_events(&mut self) {
        if self.events.is_empty() {
            return;
        }
        if self.deaf {
            self.events.clear();
            return;
        }
        let mut full = None;
        for event in self.events.drain(..) {
            if full.is_none() {
                full = self.inbox.push(event).err();
            }
        }
        if let Some(InboxFull { bytes, limit }) = full {
            let queued = u32::try_from(bytes).unwrap_or(u32::MAX);
            let max = u32::try_from(limit).unwrap_or(u32::MAX);
            let reason = self.session.close(CloseReason::SlowConsumer { queued, max });
            self.finish(End::Lost(reason));
        } else if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
    }

    /// Lets the task read on if the inbox is no longer pressed.
    fn read_on_after(&mut self, pressed: bool) {
        if pressed && !self.inbox.is_pressed() {
            self.wake_task();
        }
    }

    fn finish(&mut self, end: End) {
        self.end = Some(end);
        if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
        self.wake_task();
    }

    fn wake_task(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

fn register(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(old) if old.will_wake(waker) => {}
        _ => *slot = Some(waker.clone()),
    }
}
