//! Ctrl-C, SIGTERM, and the end of the terminal.

use std::io;

/// Exit code of a program that a signal ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// The signals that ask the relay to stop.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens from now on; nothing that comes later is missed.
    #[cfg(unix)]
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Listens when it is waited for.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the first signal and gives its name; another one after that
    /// ends the process.
    pub(crate) async fn wait_and_quit_on_second(mut self) -> &'static str {
        let first = self.next().await;
        tokio::spawn(async move {
            let second = self.next().await;
            tracing::warn!(signal = second, "quitting at once");
            std::process::exit(INTERRUPTED);
        });
        first
    }

    #[cfg(unix)]
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing will ever come.
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
