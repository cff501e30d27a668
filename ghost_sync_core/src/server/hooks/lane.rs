//! Facts that wait for a handler, in order.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{relay::RelayEvent, server::values::Owner};

/// Bytes of payloads that may wait; past it, payloads are left out.
const LIMIT: usize = 4 << 20;

/// Facts that wait before what leads to more of them is held back.
const LONG: usize = 1024;

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

    /// Bytes of a fact that may be left out; `None` for lifecycle.
    fn cost(&self) -> Option<usize> {
        if let Self::Event(
            RelayEvent::Broadcast { payload, .. } | RelayEvent::Message { payload, .. },
        ) = self
        {
            Some(size_of::<RelayEvent>() + payload.len())
        } else {
            matches!(self, Self::Event(RelayEvent::Lagged { .. }))
                .then_some(size_of::<RelayEvent>())
        }
    }
}

/// A queue of facts. Payloads in it are bounded in bytes; lifecycle is kept
/// whatever it takes, since a handler that misses a leave is wrong forever. It is bounded
/// because nobody is let in who would have to leave again while the lane is
/// [long](Self::short).
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: Mutex<Waiting>,
    filled: Notify,
    shorter: Notify,
    /// Whether the end was taken.
    ended: AtomicBool,
    finished: AtomicBool,
    finish: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    facts: VecDeque<Fact>,
    bytes: usize,
    missed: u64,
}

impl Lane {
    pub(super) fn push(&self, fact: Fact) {
        let mut waiting = self.lock();
        if let Some(cost) = fact.cost() {
            let bytes = waiting.bytes + cost;
            if bytes > LIMIT {
                waiting.missed += 1;
                return;
            }
            waiting.bytes = bytes;
        }
        if waiting.facts.len() >= LONG && waiting.take_back(&fact) {
            return;
        }
        waiting.facts.push_back(fact);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits for facts.
    pub(super) async fn filled(&self) {
        while self.lock().facts.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes the next fact.
    pub(super) fn next(&self) -> Option<Fact> {
        let mut waiting = self.lock();
        let fact = waiting.facts.pop_front()?;
        waiting.bytes -= fact.cost().unwrap_or(0);
        let left = waiting.facts.len();
        let missed = if left == 0 { std::mem::take(&mut waiting.missed) } else { 0 };
        drop(waiting);
        if left + 1 == LONG {
            self.shorter.notify_waiters();
        }
        if missed > 0 {
            tracing::warn!(missed, "a handler is too slow to see every message");
        }
        if matches!(fact, Fact::Shutdown) {
            self.ended.store(true, Ordering::Release);
        }
        Some(fact)
    }

    /// Waits until the lane is not long.
    pub(super) async fn short(&self) {
        loop {
            let mut shorter = pin!(self.shorter.notified());
            shorter.as_mut().enable();
            if self.lock().facts.len() < LONG {
                return;
            }
            shorter.await;
        }
    }

    /// Takes everything that waits at once.
    pub(super) fn take_all(&self) -> VecDeque<Fact> {
        let waiting = std::mem::take(&mut *self.lock());
        self.shorter.notify_waiters();
        waiting.facts
    }

    /// Whether the end was taken.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Nothing will be taken any more.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.finish.notify_waiters();
    }

    /// Waits until nothing will be taken any more.
    pub(super) async fn finished(&self) {
        let mut finish = pin!(self.finish.notified());
        finish.as_mut().enable();
        if !self.finished.load(Ordering::Acquire) {
            finish.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes the news that somebody is away back, if this is that it is there again.
    fn take_back(&mut self, fact: &Fact) -> bool {
        let Fact::Event(RelayEvent::PlayerBack { room, conn, .. }) = fact else { return false };
        let away = self.facts.iter().rposition(|fact| {
            matches!(fact, Fact::Event(RelayEvent::PlayerAway { room: left, conn: gone, .. })
                if (left, gone) == (room, conn))
        });
        away.and_then(|at| self.facts.remove(at)).is_some()
    }
}
