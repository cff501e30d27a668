//! Pings on their way, to know how long they take.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Own pings without an answer.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    last: u64,
    waiting: VecDeque<(u64, Instant)>,
}

impl Pings {
    /// How many may be on their way; a server owes a client only so many answers.
    const MAX: usize = 4;

    /// The nonce for another ping, or `None` while enough are on their way.
    pub(crate) fn start(&mut self, now: Instant) -> Option<u64> {
        if self.waiting.len() >= Self::MAX {
            return None;
        }
        self.last += 1;
        self.waiting.push_back((self.last, now));
        Some(self.last)
    }

    /// Those on their way will not be answered.
    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// How long ping `nonce` took; `None` if nobody waits for it.
    pub(crate) fn answered(&mut self, now: Instant, nonce: u64) -> Option<Duration> {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == nonce)?;
        let (_, asked) = self.waiting.remove(at)?;
        Some(now.saturating_duration_since(asked))
    }
}
