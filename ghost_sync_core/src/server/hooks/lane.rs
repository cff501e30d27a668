//! Facts that wait for a handler, in order.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use crate::{
    relay::RelayEvent,
    server::{Part, Shares, values::Owner},
};

/// Bytes of what clients say that may wait, beside what each may have waiting whatever
/// the others say; past it, who says too much is not heard.
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

#[derive(Debug)]
struct Waiting {
    facts: Vec<Fact>,
    shares: Shares,
    /// Messages of clients that are gone by now.
    missed: u64,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { facts: Vec::new(), shares: Shares::new(LIMIT), missed: 0 }
    }
}

impl Lane {
    pub(super) fn push(&self, fact: Fact) {
        let mut waiting = self.lock();
        if let Fact::Event(
            RelayEvent::Broadcast { conn, client_id, payload, .. }
            | RelayEvent::Message { conn, client_id, payload, .. },
        ) = &fact
        {
            let cost = size_of::<Fact>() + payload.len();
            if !waiting.shares.admit(*conn, *client_id, Part::Words, cost) {
                return;
            }
        } else if let Fact::Event(RelayEvent::ConnectionClosed { conn, .. }) = &fact {
            waiting.missed += waiting.shares.forget(*conn).unwrap_or_default();
        }
        waiting.facts.push(fact);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Waits for facts and takes all of them.
    pub(super) async fn take(&self) -> Vec<Fact> {
        loop {
            let (facts, missed) = self.lock().take();
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

impl Waiting {
    /// Everything that waits, and how many messages are missing in it.
    fn take(&mut self) -> (Vec<Fact>, u64) {
        let mut missed = std::mem::take(&mut self.missed);
        self.shares.settle(|_, _, messages| missed += messages);
        (std::mem::take(&mut self.facts), missed)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use slotmap::SlotMap;

    use super::*;
    use crate::{
        relay::ConnId,
        wire::{ClientId, MessageType},
    };

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
        let (facts, missed) = lane.lock().take();
        assert_eq!(facts.len() as u64 + missed, 100_001);
        assert!(missed > 90_000, "{missed}");
        let last = facts.last();
        assert!(
            matches!(last, Some(Fact::Event(RelayEvent::Message { conn, .. })) if *conn == quiet)
        );
    }
}
