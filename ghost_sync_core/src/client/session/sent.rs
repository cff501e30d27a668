//! What the client's last messages were, so that a refusal can be understood.

use std::collections::VecDeque;

use super::Violation;

/// The kinds of the last [`Sent::MAX`] numbered messages, and how the server counts them.
///
/// The program's numbers go on over all sessions. The server's references count what it
/// was sent in the present one, without what was left out.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The number of the last message; they count from 1.
    last: u64,
    /// What is added to references to make them numbers, each from a first reference on.
    /// Rising, never empty.
    steps: VecDeque<(u64, u64)>,
    recent: VecDeque<Kind>,
}

/// What a numbered message was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A broadcast that the sender will not get.
    Broadcast,
    /// A broadcast that the sender gets too.
    Echo,
    /// A message to the server.
    ToServer,
    /// Any of them, and what became of it is known.
    Answered,
}

impl Sent {
    /// How many messages are remembered; one byte each. A refusal of an older
    /// one is still told, only less is known about it.
    const MAX: usize = 4096;

    /// Counts a message and returns its number.
    pub(crate) fn add(&mut self, kind: Kind) -> u64 {
        if self.recent.len() == Self::MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(kind);
        self.last += 1;
        self.last
    }

    /// The reference of the last message.
    pub(crate) fn count(&self) -> u64 {
        self.last - self.steps.back().map_or(0, |(_, more)| *more)
    }

    /// Another session begins, in which the server counts from 1 again.
    pub(crate) fn start_anew(&mut self) {
        self.steps = VecDeque::from([(0, self.last)]);
        self.recent.clear();
    }

    /// What the program knows the server's `reference` as.
    pub(crate) fn number(&self, reference: u64) -> u64 {
        let after = self.steps.partition_point(|(first, _)| *first <= reference);
        let (_, more) = self.steps[after.saturating_sub(1)];
        reference.saturating_add(more)
    }

    /// These messages are never sent; `references` rise. Those after them move up.
    pub(crate) fn leave_out(&mut self, references: &[u64]) {
        let (len, count) = (self.recent.len() as u64, self.count());
        let mut reference = count - len;
        self.recent.retain(|_| {
            reference += 1;
            references.binary_search(&reference).is_err()
        });
        let next = |out: &u64| (*out + 1, self.number(*out + 1) - (*out + 1));
        let mut steps: Vec<_> = self.steps.iter().copied().collect();
        steps.extend(references.iter().map(next));
        steps.sort_unstable();
        self.steps.clear();
        for (first, more) in steps {
            let out = references.partition_point(|out| *out < first) as u64;
            // Nothing is left of a step that another one begins with.
            self.steps.pop_back_if(|(known, _)| *known == first - out);
            self.steps.push_back((first - out, more + out));
        }
        let count = self.count();
        // Nobody has to know the numbers of what is not remembered.
        while self.steps.len() > 1 && self.steps[1].0 + Self::MAX as u64 <= count {
            self.steps.pop_front();
        }
    }

    /// What became of the message with that reference is known.
    pub(crate) fn answered(&mut self, reference: u64) {
        let age = self.count().checked_sub(reference).and_then(|age| usize::try_from(age).ok());
        let at = age.and_then(|age| self.recent.len().checked_sub(age.saturating_add(1)));
        if let Some(kind) = at.and_then(|at| self.recent.get_mut(at)) {
            *kind = Kind::Answered;
        }
    }

    /// What the message with that reference was; `None` if that is forgotten.
    pub(crate) fn kind(&self, reference: u64) -> Result<Option<Kind>, Violation> {
        let Some(age) = self.count().checked_sub(reference) else {
            return Err(format!("message {reference} was refused before it was sent").into());
        };
        let age = usize::try_from(age).unwrap_or(usize::MAX);
        Ok(self.recent.len().checked_sub(age.saturating_add(1)).map(|at| self.recent[at]))
    }
}

impl Default for Sent {
    fn default() -> Self {
        Self { last: 0, steps: VecDeque::from([(0, 0)]), recent: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_messages_are_forgotten_and_future_ones_are_a_violation() {
        let mut sent = Sent::default();
        assert_eq!(sent.add(Kind::ToServer), 1);
        assert_eq!(sent.kind(1), Ok(Some(Kind::ToServer)));
        assert!(sent.kind(2).is_err());
        for _ in 0..Sent::MAX {
            sent.add(Kind::Echo);
        }
        assert_eq!(sent.kind(1), Ok(None));
        assert_eq!(sent.kind(2), Ok(Some(Kind::Echo)));
    }

    #[test]
    fn what_is_left_out_is_skipped_in_the_numbers_and_in_nothing_else() {
        // Against a list of what is sent: each reference has its number and its kind.
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut sent, mut list) = (Sent::default(), Vec::new());
            for _ in 0..random.usize(..6) {
                for _ in 0..random.usize(..8) {
                    let kind = [Kind::ToServer, Kind::Echo, Kind::Broadcast][random.usize(..3)];
                    list.push((sent.add(kind), kind));
                }
                let out: Vec<u64> =
                    (1..=list.len() as u64).filter(|_| random.u32(..3) == 0).collect();
                sent.leave_out(&out);
                let mut at = 0;
                list.retain(|_| {
                    at += 1;
                    !out.contains(&at)
                });
            }
            assert_eq!(sent.count(), list.len() as u64);
            for (reference, (number, kind)) in (1..).zip(&list) {
                assert_eq!(sent.number(reference), *number, "{list:?}");
                assert_eq!(sent.kind(reference), Ok(Some(*kind)));
            }
        }
    }

    #[test]
    fn a_long_silence_costs_no_memory() {
        let mut sent = Sent::default();
        for _ in 0..20_000 {
            sent.add(Kind::ToServer);
            sent.add(Kind::Broadcast);
            sent.leave_out(&[sent.count()]);
        }
        assert!(sent.steps.len() <= Sent::MAX + 2, "{}", sent.steps.len());
        assert_eq!((sent.count(), sent.number(20_000)), (20_000, 39_999));
    }
}
