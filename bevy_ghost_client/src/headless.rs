//! A client program without a window: the plugins it needs, and how it ends.

use std::{io, time::Duration};

use bevy::{
    app::{AppExit, PanicHandlerPlugin, PluginGroupBuilder, ScheduleRunnerPlugin, TaskPoolPlugin},
    diagnostic::{DiagnosticsPlugin, FrameCountPlugin},
    log::LogPlugin,
    prelude::*,
    state::app::StatesPlugin,
    time::TimePlugin,
};
use crossbeam_channel::{Receiver, Sender};
use ghost_sync_core::embed::Network;

use crate::{ClientState, Disconnect, GhostClientSystems, GhostNetwork};

/// What a client without a window needs beside [`GhostClientPlugin`](crate::GhostClientPlugin),
/// instead of `MinimalPlugins`: for a bot, or a program on a terminal. Logging, time, states,
/// diagnostics, 60 frames a second, and the [`GoodbyePlugin`].
///
/// ```no_run
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// App::new().add_plugins((HeadlessClientPlugins, GhostClientPlugin::default())).run();
/// ```
#[derive(Debug, Default)]
pub struct HeadlessClientPlugins;

impl PluginGroup for HeadlessClientPlugins {
    fn build(self) -> PluginGroupBuilder {
        without_window::<Self>().add(ScheduleRunnerPlugin::run_loop(FRAME)).add(GoodbyePlugin)
    }
}

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

/// Says goodbye when the program is told to end: on Ctrl-C, SIGTERM and SIGHUP the client
/// disconnects, then the app exits; on a second signal it exits at once.
///
/// A program that ends without a word leaves its seats taken until the server has given it up.
/// Games with a window have `DefaultPlugins`, which end the app on Ctrl-C too.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoodbyePlugin;

#[derive(Resource)]
struct Signals {
    arrived: Receiver<()>,
    ending: bool,
}

impl Plugin for GoodbyePlugin {
    fn build(&self, app: &mut App) {
        let (sender, arrived) = crossbeam_channel::unbounded();
        let network = GhostNetwork::of(app.world_mut());
        if let Err(error) = network.and_then(|network| listen_for_signals(&network, sender)) {
            warn!("signals will end the program without goodbye: {error}");
        }
        app.insert_resource(Signals { arrived, ending: false })
            .add_systems(PreUpdate, end_on_signal.after(GhostClientSystems::Receive));
    }
}

fn end_on_signal(
    mut signals: ResMut<Signals>,
    state: Option<Res<State<ClientState>>>,
    mut commands: Commands,
    mut exit: MessageWriter<AppExit>,
) {
    while signals.arrived.try_recv().is_ok() {
        if signals.ending {
            exit.write(AppExit::from_code(130));
        }
        signals.ending = true;
        commands.trigger(Disconnect);
    }
    let over = state.is_none_or(|state| *state.get() == ClientState::Disconnected);
    if signals.ending && over {
        exit.write(AppExit::Success);
    }
}

const FRAME: Duration = Duration::from_nanos(16_666_667);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default, Resource)]
    struct Goodbyes(usize);

    /// How an app ends in whose state so many signals have come.
    fn end_after(signals: usize, state: ClientState) -> (usize, Option<AppExit>) {
        let (sender, arrived) = crossbeam_channel::unbounded();
        let mut app = App::new();
        app.add_plugins(StatesPlugin)
            .insert_state(state)
            .init_resource::<Goodbyes>()
            .insert_resource(Signals { arrived, ending: false })
            .add_observer(|_: On<Disconnect>, mut goodbyes: ResMut<Goodbyes>| goodbyes.0 += 1)
            .add_systems(Update, end_on_signal);
        for _ in 0..signals {
            sender.send(()).expect("it listens");
        }
        app.update();
        (app.world().resource::<Goodbyes>().0, app.should_exit())
    }

    #[test]
    fn a_client_that_is_connected_says_goodbye_first_and_ends_at_once_on_the_second_signal() {
        assert_eq!(end_after(0, ClientState::Connected), (0, None));
        assert_eq!(end_after(1, ClientState::Connected), (1, None));
        assert_eq!(end_after(2, ClientState::Connected).1, Some(AppExit::from_code(130)));
    }

    #[test]
    fn without_a_connection_the_first_signal_ends_the_app() {
        assert_eq!(end_after(0, ClientState::Disconnected), (0, None));
        assert_eq!(end_after(1, ClientState::Disconnected).1, Some(AppExit::Success));
    }
}
