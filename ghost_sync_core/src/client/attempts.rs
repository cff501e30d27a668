//! When to try again.

use std::time::Duration;

use super::Reconnect;

/// Connections that failed in a row.
#[derive(Clone, Debug)]
pub(super) struct Attempts {
    reconnect: Reconnect,
    failed: u32,
}

impl Attempts {
    /// A connection that lasted this long makes earlier failures forgotten: a
    /// server that throws everybody out at once must not be stormed, but who
    /// plays over a bad line must not wait longer with each cut.
    const STABLE: Duration = Duration::from_millis(500);

    pub(super) fn new(reconnect: Reconnect) -> Self {
        Self { reconnect, failed: 0 }
    }

    /// How many failed.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// Another one failed, after it `lasted` for some time. How long to wait
    /// before the next; at least as long as the server asked for.
    pub(super) fn wait(&mut self, lasted: Duration, retry_after: Option<Duration>) -> Duration {
        self.failed = if lasted >= Self::STABLE { 1 } else { self.failed.saturating_add(1) };
        let jitter = self.longest_wait().mul_f64(fastrand::f64());
        retry_after.unwrap_or_default().saturating_add(jitter)
    }

    fn longest_wait(&self) -> Duration {
        let factor = 2_u32.checked_pow(self.failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.reconnect.base.saturating_mul(factor).min(self.reconnect.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_until_a_connection_lasts() {
        let mut attempts = Attempts::new(Reconnect::default());
        for millis in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let wait = attempts.wait(Duration::ZERO, None);
            assert_eq!(attempts.longest_wait(), Duration::from_millis(millis));
            assert!(wait <= attempts.longest_wait());
        }
        attempts.wait(Duration::from_millis(600), None);
        assert_eq!(attempts.longest_wait(), Duration::from_millis(100));
        attempts.failed = u32::MAX;
        assert_eq!(attempts.longest_wait(), Duration::from_secs(5));
    }

    #[test]
    fn nobody_comes_back_before_the_server_asked_for_it() {
        let asked = Duration::from_secs(7);
        for _ in 0..100 {
            let wait = Attempts::new(Reconnect::default()).wait(Duration::ZERO, Some(asked));
            assert!(wait >= asked && wait <= asked + Duration::from_millis(100));
        }
    }
}
