//! What the log says of clients, so that no crowd of them floods it.

use std::time::{Duration, Instant};

/// Lines in [`SPAN`].
const LINES: u32 = 16;

/// How long they are counted.
const SPAN: Duration = Duration::from_secs(1);

/// Counts lines of the log.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// When the span began that is counted.
    since: Option<Instant>,
    said: u32,
    left_out: u64,
}

impl Lines {
    /// Whether there is room for a line; with how many were left out since the last.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SPAN) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == LINES {
            self.left_out += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_gets_some_lines_a_second_and_is_told_how_many_are_missing() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let said = (0..100).filter_map(|_| lines.take(start)).collect::<Vec<_>>();
        assert_eq!(said, [0; LINES as usize]);
        assert_eq!(lines.take(start + SPAN), Some(100 - u64::from(LINES)));
        assert_eq!(lines.take(start + SPAN), Some(0));
    }
}
