//! When to try again.

use std::time::Duration;

use crate::relay::DisconnectReason;

/// What a client does when it has no connection.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// Whether it connects again by itself, where that makes sense.
    pub enabled: bool,
    /// The longest wait before the first further attempt; doubles with each
    /// attempt that fails. The wait is random up to that, so that a thousand
    /// clients of a server that restarts do not come all at once. 100 ms by default.
    pub base: Duration,
    /// The longest wait of all, beside what the server asks for; 5 s by default.
    pub max: Duration,
    /// Whether it joins the rooms again that it was in, where its seats were not
    /// held for it.
    pub rejoin: bool,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            enabled: true,
            base: Duration::from_millis(100),
            max: Duration::from_secs(5),
            rejoin: true,
        }
    }
}

impl Reconnect {
    /// How long to wait after `failed` attempts in a row, the lost connection
    /// included; at least as long as the server asked for.
    pub(crate) fn wait(&self, failed: u32, retry_after: Option<Duration>) -> Duration {
        let jitter = self.longest_wait(failed).mul_f64(fastrand::f64());
        retry_after.unwrap_or_default().saturating_add(jitter)
    }

    /// The longest wait after `failed` attempts in a row.
    fn longest_wait(&self, failed: u32) -> Duration {
        let factor = 2_u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

/// How long the server asks to wait before coming back, if it does.
pub(crate) fn retry_after(reason: &DisconnectReason) -> Option<Duration> {
    match reason {
        DisconnectReason::Closed(reason) => reason.retry_after(),
        DisconnectReason::ConnectionClosed
        | DisconnectReason::ConnectionReset
        | DisconnectReason::ConnectionLost(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let reconnect = Reconnect::default();
        let waits: Vec<_> = (1..=8).map(|failed| reconnect.longest_wait(failed)).collect();
        let millis = [100, 200, 400, 800, 1600, 3200, 5000, 5000];
        assert_eq!(waits, millis.map(Duration::from_millis));
        assert_eq!(reconnect.longest_wait(u32::MAX), reconnect.max);
        assert!((0..100).all(|_| reconnect.wait(3, None) <= Duration::from_millis(400)));
    }

    #[test]
    fn nobody_comes_back_before_the_server_asked_for_it() {
        let (reconnect, asked) = (Reconnect::default(), Duration::from_secs(7));
        let mut waits = (0..100).map(|_| reconnect.wait(1, Some(asked)));
        assert!(waits.all(|wait| wait >= asked && wait <= asked + reconnect.base));
    }
}
