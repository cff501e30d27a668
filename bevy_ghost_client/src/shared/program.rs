//! A program without a window, whether it is a server or a client: the plugins it needs, and
//! what tells it to end.

use std::io;

use bevy::{
    app::{PanicHandlerPlugin, PluginGroupBuilder, TaskPoolPlugin},
    diagnostic::{DiagnosticsPlugin, FrameCountPlugin},
    log::{LogPlugin, tracing},
    prelude::*,
    state::app::StatesPlugin,
    time::TimePlugin,
};
use crossbeam_channel::Sender;
use ghost_sync_core::embed::Network;

/// What any program without a window needs, but for what runs and ends it.
#[doc(hidden)]
pub fn without_window<G: PluginGroup>() -> PluginGroupBuilder {
    PluginGroupBuilder::start::<G>()
        .add(PanicHandlerPlugin)
        .add(LogPlugin::default())
        .add(TaskPoolPlugin::default())
        .add(FrameCountPlugin)
        .add(TimePlugin)
        .add(StatesPlugin)
        .add(DiagnosticsPlugin)
}

/// Says on the standard error stream why the program ends, if nobody keeps a log that says it.
pub fn say_without_log(why: &str) {
    if !tracing::enabled!(tracing::Level::ERROR) {
        eprintln!("{why}");
    }
}

/// Passes on what tells the program to end: Ctrl-C, SIGTERM, and that its terminal is gone.
///
/// # Errors
/// When the operating system does not let the program listen.
#[cfg(unix)]
pub fn listen_for_signals(network: &Network, arrived: Sender<()>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _context = network.handle().enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    network.spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            if arrived.send(()).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Passes on what tells the program to end: Ctrl-C, and that its console or session is gone.
///
/// # Errors
/// When the operating system does not let the program listen.
#[cfg(windows)]
pub fn listen_for_signals(network: &Network, arrived: Sender<()>) -> io::Result<()> {
    use tokio::signal::windows;
    let _context = network.handle().enter();
    let mut interrupt = windows::ctrl_c()?;
    let mut closed = windows::ctrl_close()?;
    let mut shutdown = windows::ctrl_shutdown()?;
    network.spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = closed.recv() => {}
                _ = shutdown.recv() => {}
            }
            if arrived.send(()).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Passes on nothing: this system has no signals.
///
/// # Errors
/// None.
#[cfg(not(any(unix, windows)))]
pub fn listen_for_signals(_network: &Network, _arrived: Sender<()>) -> io::Result<()> {
    Ok(())
}
