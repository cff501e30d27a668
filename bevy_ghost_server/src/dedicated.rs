//! A server program of its own: the plugins it needs, and how it ends.

use bevy::{
    app::{AppExit, PluginGroupBuilder},
    prelude::*,
};
use bevy_ghost_client::{GhostNetwork, kept, listen_for_signals, say_without_log, without_window};
use crossbeam_channel::Receiver;

use crate::{
    GhostServer, GhostServerSystems, ServerFailed, ServerState, ServerStopped, StopServer,
    WakeRunnerPlugin, bridge::StopAtExit, runner::WakeSources,
};

/// What a dedicated server needs beside [`GhostServerPlugin`](crate::GhostServerPlugin),
/// instead of `MinimalPlugins`: logging, time, states, diagnostics, the
/// [`WakeRunnerPlugin`], the [`ShutdownPlugin`] and the [`ExitWhenStoppedPlugin`].
#[derive(Debug, Default)]
pub struct DedicatedServerPlugins;

impl PluginGroup for DedicatedServerPlugins {
    fn build(self) -> PluginGroupBuilder {
        without_window::<Self>()
            .add(WakeRunnerPlugin::default())
            .add(ShutdownPlugin::default())
            .add(ExitWhenStoppedPlugin)
    }
}

/// Ends the program when its server has stopped, whoever [asked for that](StopServer), unless
/// it is started again by then: with [`StartServer`](crate::StartServer) in the same frame, or
/// in an observer of [`ServerStopped`].
///
/// Part of [`DedicatedServerPlugins`]. A program that goes on without its server disables it:
///
/// ```no_run
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::{ExitWhenStoppedPlugin, prelude::*};
/// let plugins = DedicatedServerPlugins.build().disable::<ExitWhenStoppedPlugin>();
/// App::new().add_plugins((plugins, GhostServerPlugin::default())).run();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitWhenStoppedPlugin;

impl Plugin for ExitWhenStoppedPlugin {
    fn build(&self, app: &mut App) {
        kept::add_message::<ServerStopped>(app);
        app.add_systems(PreUpdate, exit_with_server.after(GhostServerSystems::Receive));
    }
}

fn exit_with_server(
    mut stopped: MessageReader<ServerStopped>,
    server: Option<Res<GhostServer>>,
    mut exit: MessageWriter<AppExit>,
) {
    let starts_again = server.is_some_and(|server| server.handle().is_some());
    if stopped.read().count() > 0 && !starts_again {
        exit.write(AppExit::Success);
    }
}

/// Ends the program in good order: on Ctrl-C, SIGTERM and SIGHUP the server stops as
/// [`StopServer`] says, then the app exits; on a second signal it exits at once.
///
/// A server that cannot start ends the app with an error, which the log says, or the standard
/// error stream where there is no log.
#[derive(Clone, Debug, Default)]
pub struct ShutdownPlugin {
    /// How the server stops.
    pub stop: StopServer,
}

/// Where signals arrive.
#[derive(Resource)]
struct Signals {
    arrived: Receiver<()>,
    stop: StopServer,
    stopping: bool,
}

impl Plugin for ShutdownPlugin {
    fn build(&self, app: &mut App) {
        let (sender, arrived) = crossbeam_channel::unbounded();
        let network = GhostNetwork::of(app.world_mut());
        if let Err(error) = network.and_then(|network| listen_for_signals(&network, sender)) {
            warn!("signals will end the program without notice: {error}");
        }
        app.init_resource::<WakeSources>();
        app.world_mut().resource_mut::<WakeSources>().0.push(arrived.clone());
        // Without the server plugin there is nothing to stop, but signals still end the app.
        kept::add_message::<ServerStopped>(app);
        kept::add_message::<ServerFailed>(app);
        app.insert_resource(StopAtExit(self.stop.clone()));
        app.insert_resource(Signals { arrived, stop: self.stop.clone(), stopping: false })
            .add_systems(
                PreUpdate,
                (on_signal, exit_when_stopped).chain().after(GhostServerSystems::Receive),
            );
    }
}

fn on_signal(
    mut signals: ResMut<Signals>,
    state: Option<Res<State<ServerState>>>,
    mut commands: Commands,
    mut exit: MessageWriter<AppExit>,
) {
    while signals.arrived.try_recv().is_ok() {
        let running = state.as_ref().is_some_and(|state| *state.get() != ServerState::Stopped);
        if signals.stopping {
            exit.write(AppExit::from_code(130));
        } else if running {
            info!("stopping; once more to stop at once");
            commands.trigger(signals.stop.clone());
        } else {
            exit.write(AppExit::Success);
        }
        signals.stopping = true;
    }
}

fn exit_when_stopped(
    signals: Res<Signals>,
    mut stopped: MessageReader<ServerStopped>,
    mut failed: MessageReader<ServerFailed>,
    mut exit: MessageWriter<AppExit>,
) {
    if stopped.read().count() > 0 && signals.stopping {
        exit.write(AppExit::Success);
    }
    for failure in failed.read() {
        let why = format!("the server cannot start: {}", failure.reason);
        say_without_log(&why);
        error!("{why}");
        exit.write(AppExit::error());
    }
}

#[cfg(test)]
mod tests {
    use bevy::state::app::StatesPlugin;

    use super::*;

    fn exit_after(signals: usize, state: ServerState) -> Option<AppExit> {
        let (sender, arrived) = crossbeam_channel::unbounded();
        let mut app = App::new();
        app.add_plugins(StatesPlugin)
            .insert_state(state)
            .insert_resource(Signals { arrived, stop: StopServer::default(), stopping: false })
            .add_systems(Update, on_signal);
        for _ in 0..signals {
            sender.send(()).unwrap();
        }
        app.update();
        app.should_exit()
    }

    #[test]
    fn a_running_server_is_stopped_first_and_left_at_once_on_the_second_signal() {
        assert_eq!(exit_after(1, ServerState::Running), None);
        assert_eq!(exit_after(2, ServerState::Running), Some(AppExit::from_code(130)));
    }

    #[test]
    fn without_a_running_server_the_first_signal_ends_the_app() {
        assert_eq!(exit_after(0, ServerState::Stopped), None);
        assert_eq!(exit_after(1, ServerState::Stopped), Some(AppExit::Success));
    }
}
