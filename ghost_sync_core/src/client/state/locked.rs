//! What happens to the connection, under its lock.

use bytes::Bytes;

use crate::{
    link,
    wire::{CloseReason, DisconnectReason},
};

use super::{End, Link, Locked};
use crate::client::{ServerEvent, inbox::InboxFull};

impl Locked {
    pub(super) fn receive(&mut self, bytes: Bytes) -> Result<(), DisconnectReason> {
        let result = self.session.receive(link::now(), bytes, &mut self.events);
        self.file_events();
        result
    }

    /// The link is over, and perhaps the session with it.
    pub(super) fn lose(&mut self, reason: DisconnectReason) {
        if !self.is_up() {
            return;
        }
        if self.session.link_lost(&reason) {
            self.writing = 0;
            self.events.push(ServerEvent::Reconnecting { reason: reason.clone() });
            self.link = Link::Lost(reason);
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
            self.end_session(reason);
        }
    }

    /// The session is over, and with it the client, unless another session is to follow.
    pub(super) fn end_session(&mut self, reason: DisconnectReason) {
        if !self.begins_anew || !reason.may_reconnect() {
            let _ = self.session.close(CloseReason::Requested);
            return self.finish(End::Lost(reason));
        }
        self.session.part(&mut self.events);
        self.link = Link::Over(reason);
        self.file_events();
        self.wake_task();
    }

    /// Bytes that wait to leave. None do without a session, which is asked for nothing.
    pub(super) fn queued(&self) -> usize {
        if let Link::Over(_) = self.link { 0 } else { self.session.queued() + self.writing }
    }

    /// Whether there is a link at work.
    pub(super) fn is_up(&self) -> bool {
        self.end.is_none() && matches!(self.link, Link::Up)
    }

    /// Moves what the session said into the inbox and wakes the reader.
    pub(super) fn file_events(&mut self) {
        if self.events.is_empty() {
            return;
        }
        if self.deaf {
            self.events.clear();
            return;
        }
        // Without a session these are few, and nobody is there to be called slow.
        let is_over = matches!(self.link, Link::Over(_));
        let mut full = None;
        for event in self.events.drain(..) {
            if full.is_none() {
                full = self.inbox.push(event).err().filter(|_| !is_over);
            }
        }
        if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
        if let Some(InboxFull { bytes, limit }) = full {
            let queued = u32::try_from(bytes).unwrap_or(u32::MAX);
            let max = u32::try_from(limit).unwrap_or(u32::MAX);
            let reason = self.session.close(CloseReason::SlowConsumer { queued, max });
            self.end_session(reason);
        }
    }

    /// Lets the task read on if the inbox is no longer pressed.
    pub(super) fn read_on_after(&mut self, pressed: bool) {
        if pressed && !self.inbox.is_pressed() {
            self.wake_task();
        }
    }

    pub(super) fn finish(&mut self, end: End) {
        self.end = Some(end);
        if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
        self.wake_task();
    }

    pub(super) fn wake_task(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}
