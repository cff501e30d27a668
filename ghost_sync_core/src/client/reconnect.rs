//! What becomes of a client whose connection is lost.

use std::time::Duration;

/// What a client does when it has no connection.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// Whether it connects again by itself, where that makes sense: to resume its session, and to
    /// begin another one if it [begins anew](super::ClientBuilder::begin_anew). `true` by default.
    pub enabled: bool,
    /// The longest wait before the first further attempt; doubles with each
    /// attempt that fails. The wait is random up to that, so that a thousand
    /// clients of a server that restarts do not come all at once. 100 ms by default.
    pub base: Duration,
    /// The longest wait of all, beside what the server asks for; 5 s by default.
    pub max: Duration,
    /// Whether it joins the rooms again that it was in, where its seats were not
    /// held for it; `true` by default.
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
