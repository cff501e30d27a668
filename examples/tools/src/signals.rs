//! Ctrl-C or SIGTERM ends a test early, with what it has; a second one quits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

/// Exit code of a program that a signal ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Becomes true at the first signal. Without a way to hear signals, they end
/// the process as always.
pub fn watch() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            while next().await {
                if told.swap(true, Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
    });
    stop
}

/// Waits for a signal; `false` if none can be heard.
#[cfg(unix)]
async fn next() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        told = tokio::signal::ctrl_c() => told.is_ok(),
        told = terminate.recv() => told.is_some(),
    }
}

/// Waits for a signal; `false` if none can be heard.
#[cfg(not(unix))]
async fn next() -> bool {
    tokio::signal::ctrl_c().await.is_ok()
}
