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

use crate::{
    relay::{ConnId, RelayEvent},
    server::{
        extensions::Owner,
        shares::{Part, Shares},
    },
    wire::ClientId,
};

/// Bytes of what clients say that may wait, beside what each may have waiting whatever
/// the others say; past it, who says too much is not heard.
const LIMIT: usize = 4 << 20;

/// Facts that wait before what leads to more of them is held back.
const LONG: usize = 1024;

/// Something that a handler is told.
#[derive(Debug)]
pub(super) enum Fact {
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

impl Fact {
    /// Whose share it takes, and how many bytes beside itself; `None` for what a handler has
    /// to hear.
    fn may_be_missed(&self) -> Option<(ConnId, ClientId, Part, usize)> {
        let Self::Event(event) = self else { return None };
        if let RelayEvent::Broadcast { conn, client_id, payload, .. }
        | RelayEvent::Message { conn, client_id, payload, .. } = event
        {
            return Some((*conn, *client_id, Part::Words, payload.len()));
        }
        let RelayEvent::Lagged { conn, client_id, .. } = event else { return None };
        Some((*conn, *client_id, Part::Changes, 0))
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

#[derive(Debug)]
struct Waiting {
    /// Those that are being told, all of one round.
    taken: VecDeque<Fact>,
    /// Those of the next.
    facts: VecDeque<Fact>,
    shares: Shares,
    /// Messages of clients that are gone by now.
    missed: u64,
}

impl Default for Waiting {
    fn default() -> Self {
        let (taken, facts) = (VecDeque::new(), VecDeque::new());
        Self { taken, facts, shares: Shares::new(LIMIT), missed: 0 }
    }
}

impl Lane {
    pub(super) fn push(&self, fact: Fact) {
        let mut waiting = self.lock();
        if let Fact::Event(RelayEvent::ConnectionClosed { conn, .. }) = &fact {
            waiting.missed += waiting.shares.forget(*conn).unwrap_or_default();
        } else if let Some((conn, client_id, part, len)) = fact.may_be_missed()
            && !waiting.shares.admit(conn, client_id, part, size_of::<Fact>() + len)
        {
            return;
        }
        if waiting.len() >= LONG && waiting.take_back(&fact) {
            return;
        }
        waiting.facts.push_back(fact);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits for facts.
    pub(super) async fn filled(&self) {
        while self.lock().len() == 0 {
            self.filled.notified().await;
        }
    }

    /// Takes the next fact.
    pub(super) fn next(&self) -> Option<Fact> {
        let mut waiting = self.lock();
        let missed = if waiting.taken.is_empty() { waiting.end_round() } else { 0 };
        let fact = waiting.taken.pop_front()?;
        let left = waiting.len();
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
            if self.lock().len() < LONG {
                return;
            }
            shorter.await;
        }
    }

    /// Takes everything that waits at once.
    pub(super) fn take_all(&self) -> VecDeque<Fact> {
        let mut waiting = std::mem::take(&mut *self.lock());
        self.shorter.notify_waiters();
        waiting.taken.append(&mut waiting.facts);
        waiting.taken
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
    fn len(&self) -> usize {
        self.taken.len() + self.facts.len()
    }

    /// Goes on with everything that waits; returns how many messages are missing in it.
    fn end_round(&mut self) -> u64 {
        let mut missed = std::mem::take(&mut self.missed);
        self.shares.settle(|_, _, messages| missed += messages);
        self.taken.append(&mut self.facts);
        missed
    }

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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use slotmap::SlotMap;

    use super::*;
    use crate::wire::MessageType;

    fn said(conn: ConnId) -> Fact {
        Fact::Event(RelayEvent::Message {
            conn,
            client_id: ClientId::nil(),
            room: None,
            message_type: MessageType::RAW,
            payload: Bytes::new(),
        })
    }

    #[test]
    fn a_slow_handler_hears_the_others_whatever_one_client_says() {
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let (loud, quiet) = (conns.insert(()), conns.insert(()));
        let lane = Lane::default();
        for _ in 0..100_000 {
            lane.push(said(loud));
        }
        lane.push(said(quiet));
        let missed = lane.lock().end_round();
        let facts = lane.take_all();
        assert_eq!(facts.len() as u64 + missed, 100_001);
        assert!(missed > 90_000, "{missed}");
        let last = facts.back();
        assert!(
            matches!(last, Some(Fact::Event(RelayEvent::Message { conn, .. })) if *conn == quiet)
        );
    }
}
