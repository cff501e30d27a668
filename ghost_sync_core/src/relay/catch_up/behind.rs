//! What a member that is behind has been told of what it is not given.

use crate::{
    relay::{
        log::{Class, Entry},
        plants,
    },
    wire::{Delivery, Seat},
};

/// What a member that is behind has been told of what it is not given.
#[derive(Clone, Debug, Default)]
pub(in crate::relay) struct Behind {
    /// Events before this one that the log has forgotten are announced: what is kept of
    /// them follows.
    pub(super) announced: u64,
    /// Whether it was told of these that not all follow.
    pub(super) told: bool,
    /// Own messages, and such that it is left out of, among those that the log has forgotten and
    /// that are not announced.
    pub(super) own: u64,
    /// Ranges, in rising order, whose `Volatile` messages it is not given.
    pub(super) skip: Vec<(u64, u64)>,
    /// Members that came and went meanwhile, of whom it has not heard.
    pub(super) gone: Vec<Seat>,
}

impl Behind {
    /// Of a member that was away from event `next` to before `end`; the log has forgotten
    /// `own` messages of its own among these.
    pub(in crate::relay) fn since(next: u64, end: u64, own: u64) -> Self {
        Self { own, skip: vec![(next, end)], ..Self::default() }
    }

    /// The log forgets one of its own messages.
    pub(in crate::relay) fn forgot_own(&mut self, seq: u64) {
        self.own += u64::from(seq >= self.announced);
    }

    /// It is not given the `Volatile` messages from `from` to before `to`; it is at `cursor`.
    pub(in crate::relay) fn skip(&mut self, cursor: u64, from: u64, to: u64) {
        self.skip.retain(|(_, end)| *end > cursor);
        // More ranges than these are not worth their memory.
        let is_full = self.skip.len() >= MAX_RANGES;
        match self.skip.last_mut() {
            Some(last) if from <= last.1 || is_full => last.1 = last.1.max(to),
            _ => self.skip.push((from, to)),
        }
    }

    /// Ranges whose `Volatile` messages it is not given.
    pub(in crate::relay) fn skipped(&self) -> &[(u64, u64)] {
        &self.skip
    }

    /// Whether it is not given an event of the log.
    pub(in crate::relay) fn leaves_out(&self, seq: u64, entry: &Entry) -> bool {
        let class = entry.origin.class;
        plants::is_superseded(entry.superseded)
            || class == Class::Message(Delivery::Volatile) && self.skips(seq)
            || plants::drops(class)
    }

    pub(super) fn skips(&self, seq: u64) -> bool {
        self.skip.iter().any(|(from, to)| (*from..*to).contains(&seq))
    }

    /// Whether it may be given the log's bytes as they are from `cursor` on.
    pub(super) fn is_over(&self, cursor: u64) -> bool {
        self.gone.is_empty() && self.skip.last().is_none_or(|(_, to)| *to <= cursor)
    }
}

/// Ranges of messages that a member is not given, and members of whom it does not hear, at most.
const MAX_RANGES: usize = 16;
