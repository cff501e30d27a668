//! The order in which a frame's systems say and ask things.

use std::sync::atomic::{AtomicU64, Ordering};

/// When something was said or asked: what comes later has a greater one, in all of the
/// program.
///
/// Bevy keeps messages of different types apart, so that their common order is lost when
/// the frame ends. Each envelope therefore notes when it was made, and each clone when it
/// was cloned.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stamp(u64);

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Stamp {
    /// Before everything.
    pub const FIRST: Self = Self(0);

    /// Now; the next call returns a greater one.
    pub fn now() -> Self {
        // One order of all changes of a single number needs nothing stronger.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The same moment once more.
    #[must_use]
    pub fn same(&self) -> Self {
        Self(self.0)
    }

    /// Makes stamps of values that were written one after the other ascend: who made
    /// something long before writing it meant the moment of writing.
    pub(super) fn ascend(self, last: &mut Self) -> Self {
        if self.0 > last.0 {
            last.0 = self.0;
        }
        Self(last.0)
    }
}

impl Clone for Stamp {
    fn clone(&self) -> Self {
        Self::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_ascend_and_a_clone_is_made_when_it_is_cloned() {
        let first = Stamp::now();
        let second = Stamp::now();
        assert!(Stamp::FIRST < first && first < second);
        assert_eq!(first.same(), first);
        let copies = [&first; 2].map(Stamp::clone);
        assert!(copies.iter().all(|copy| *copy > second));
    }

    #[test]
    fn what_is_written_later_is_not_earlier_though_it_was_made_before() {
        let (early, late) = (Stamp::now(), Stamp::now());
        let mut last = Stamp::FIRST;
        let late = late.ascend(&mut last);
        assert_eq!(early.ascend(&mut last), late);
    }
}
