//! Facts that wait for a handler, in order.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use crate::{relay::RelayEvent, server::values::Owner};

/// Bytes of payloads that may wait; past it, payloads are left out.
const LIMIT: usize = 4 << 20;

/// Something that a handler is told.
#[derive(Debug)]
pub(in crate::server) enum Fact {
    /// Something happened.
    Event(RelayEvent),
    /// The server has stopped.
    Shutdown,
}

impl Fact {
    /// Whose values may go once this has been told.
    pub(super) fn ended(&self) -> Option<Owner> {
        match self {
            Self::Event(event) => Owner::ended_by(event),
            Self::Shutdown => None,
        }
    }
}

/// A queue of facts. Payloads in it are bounded in bytes; lifecycle is kept
/// whatever it takes, since a handler that misses a leave is wrong forever.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: Mutex<Waiting>,
    filled: Notify,
    finished: AtomicBool,
    finish: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    facts: Vec<Fact>,
    bytes: usize,
    missed: u64,
}

impl Lane {
    pub(super) fn push(&self, fact: Fact) {
        let mut waiting = self.lock();
        if let Fact::Event(
            RelayEvent::Broadcast { payload, .. } | RelayEvent::Message { payload, .. },
        ) = &fact
        {
            let bytes = waiting.bytes + size_of::<RelayEvent>() + payload.len();
            if bytes > LIMIT {
                waiting.missed += 1;
                return;
            }
            waiting.bytes = bytes;
        }
        waiting.facts.push(fact);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits for facts and takes all of them.
    pub(super) async fn take(&self) -> Vec<Fact> {
        loop {
            let Waiting { facts, missed, .. } = std::mem::take(&mut *self.lock());
            if missed > 0 {
                tracing::warn!(missed, "a handler is too slow to see every message");
            }
            if !facts.is_empty() {
                return facts;
            }
            self.filled.notified().await;
        }
    }

    /// Nothing will be taken any more.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.finish.notify_waiters();
    }

    /// Waits until nothing will be taken any more.
    pub(super) async fn finished(&self) {
        let mut finish = std::pin::pin!(self.finish.notified());
        finish.as_mut().enable();
        if !self.finished.load(Ordering::Acquire) {
            finish.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
