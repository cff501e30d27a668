//! What the client's last messages were, so that a refusal can be understood.

use std::collections::VecDeque;

use super::Violation;

/// The kinds of the last [`Sent::MAX`] numbered messages.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The number of the last message; they count from 1.
    last: u64,
    /// The last number of sessions before, of which the server knows nothing.
    before: u64,
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
    Send,
    /// Any of them, and what became of it is known.
    Answered,
}

impl Sent {
    /// How many messages are remembered; one byte each. A refusal of an older
    /// one is still told, only less is known about it.
    const MAX: usize = 4096;

    /// Counts a message and returns its reference.
    pub(crate) fn add(&mut self, kind: Kind) -> u64 {
        if self.recent.len() == Self::MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(kind);
        self.last += 1;
        self.last
    }

    /// The number of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Another session begins, in which the server counts from 1 again.
    pub(crate) fn start_anew(&mut self) {
        self.before = self.last;
        self.recent.clear();
    }

    /// What the program knows the server's `reference` as.
    pub(crate) fn number(&self, reference: u64) -> u64 {
        self.before.saturating_add(reference)
    }

    /// What became of message `reference` is known.
    pub(crate) fn answered(&mut self, reference: u64) {
        let age = self.last.checked_sub(reference).and_then(|age| usize::try_from(age).ok());
        let at = age.and_then(|age| self.recent.len().checked_sub(age.saturating_add(1)));
        if let Some(kind) = at.and_then(|at| self.recent.get_mut(at)) {
            *kind = Kind::Answered;
        }
    }

    /// What message `reference` was; `None` if that is forgotten.
    pub(crate) fn kind(&self, reference: u64) -> Result<Option<Kind>, Violation> {
        let Some(age) = self.last.checked_sub(reference) else {
            return Err(format!("message {reference} was refused before it was sent").into());
        };
        let age = usize::try_from(age).unwrap_or(usize::MAX);
        Ok(self.recent.len().checked_sub(age.saturating_add(1)).map(|at| self.recent[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_messages_are_forgotten_and_future_ones_are_a_violation() {
        let mut sent = Sent::default();
        assert_eq!(sent.add(Kind::Send), 1);
        assert_eq!(sent.kind(1), Ok(Some(Kind::Send)));
        assert!(sent.kind(2).is_err());
        for _ in 0..Sent::MAX {
            sent.add(Kind::Echo);
        }
        assert_eq!(sent.kind(1), Ok(None));
        assert_eq!(sent.kind(2), Ok(Some(Kind::Echo)));
    }
}
