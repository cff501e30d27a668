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

    /// How long one counts as being on its way, if there are so many.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// The nonce for another ping, or `None` while enough are on their way.
    pub(crate) fn start(&mut self, now: Instant) -> Option<u64> {
        if self.waiting.len() >= Self::MAX {
            // A server leaves pings unanswered that come too often.
            let (_, oldest) = self.waiting.front()?;
            if now.saturating_duration_since(*oldest) < Self::PATIENCE {
                return None;
            }
            self.waiting.pop_front();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_that_are_never_answered_keep_no_later_ones_back_for_long() {
        let (mut pings, start) = (Pings::default(), Instant::now());
        assert_eq!((0..10).filter_map(|_| pings.start(start)).count(), Pings::MAX);
        let later = start + Pings::PATIENCE;
        let nonce = pings.start(later).expect("the first ones are given up");
        assert_eq!(pings.answered(later, 1), None);
        assert_eq!(pings.answered(later, nonce), Some(Duration::ZERO));
    }
}
