//! The task's side: what came over its link, what is to be written there, and how it ends.

use std::{task::Waker, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{End, State, register};
use crate::wire::{CloseReason, DisconnectReason};

/// How a link goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::client) enum Course {
    /// As before.
    On,
    /// Not at all; the session may, on another one.
    Away,
    /// To its end, and the session with it.
    End,
}

impl State {
    /// The stream gave `bytes`.
    pub(in crate::client) fn received(&self, bytes: Bytes) {
        let mut state = self.lock();
        if state.end.is_some() || state.lost.is_some() {
            return;
        }
        if let Err(reason) = state.receive(bytes) {
            state.lose(reason);
        }
    }

    /// There is a stream; the session says its first words there.
    pub(in crate::client) fn reopen(&self) {
        self.lock().session.reopen();
    }

    /// The stream that is being opened gave `bytes`. Whether it is open.
    pub(in crate::client) fn opened(&self, bytes: Bytes) -> Result<bool, DisconnectReason> {
        let mut state = self.lock();
        state.receive(bytes)?;
        let open = state.session.is_open();
        if open {
            state.lost = None;
        }
        Ok(open)
    }

    /// The stream is over.
    pub(in crate::client) fn lost(&self, reason: DisconnectReason) {
        self.lock().lose(reason);
    }

    /// Nothing came for too long.
    pub(in crate::client) fn timed_out(&self, after: Duration) {
        let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        let reason = CloseReason::IdleTimeout { after_ms };
        let mut state = self.lock();
        state.lose(DisconnectReason::Closed(reason));
    }

    /// Why there is no link, if another one should be looked for.
    pub(in crate::client) fn lost_link(&self) -> Option<DisconnectReason> {
        let state = self.lock();
        if state.end.is_none() { state.lost.clone() } else { None }
    }

    /// There will be no other link.
    pub(in crate::client) fn give_up(&self, reason: DisconnectReason) {
        let mut state = self.lock();
        if state.end.is_none() {
            let _ = state.session.close(CloseReason::Requested);
            state.finish(End::Lost(reason));
        }
    }

    /// What to write next, after all of the last part left.
    pub(in crate::client) fn take_outbox(&self) -> BytesMut {
        let mut state = self.lock();
        let bytes = state.session.take_outbox();
        state.writing = bytes.len();
        drop(state);
        self.progress.notify_waiters();
        bytes
    }

    /// How the link goes on; wakes `waker` when that or the outbox changes.
    pub(in crate::client) fn course(&self, waker: &Waker) -> Course {
        let mut state = self.lock();
        register(&mut state.task, waker);
        match (&state.end, &state.lost) {
            (Some(_), _) => Course::End,
            (None, Some(_)) => Course::Away,
            (None, None) => Course::On,
        }
    }

    /// Whether to leave what comes unread until the program has taken some
    /// of what waits; `waker` is woken then.
    pub(in crate::client) fn is_pressed(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let pressed = state.inbox.is_pressed() && state.end.is_none();
        if pressed {
            register(&mut state.task, waker);
        }
        pressed
    }

    /// Over.
    pub(in crate::client) fn finish_task(&self) {
        self.lock().finished = true;
        self.progress.notify_waiters();
    }
}
