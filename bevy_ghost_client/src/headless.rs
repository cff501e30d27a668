//! A client program without a window: the plugins it needs, and how it ends.

use std::time::Duration;

use bevy::{
    app::{AppExit, PluginGroupBuilder, ScheduleRunnerPlugin},
    prelude::*,
};
use crossbeam_channel::Receiver;

use crate::{
    AtExit, ClientState, Disconnect, GhostClientSystems, GhostNetwork, listen_for_signals,
    without_window,
};

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

/// Says goodbye when the program is told to end: on Ctrl-C, SIGTERM and SIGHUP the client
/// disconnects, then the app exits; on a second signal, or to
/// [keep its seats](AtExit::KeepSeats), it exits at once.
///
/// Games with a window have `DefaultPlugins`, which end the app on Ctrl-C too. An app that
/// exits says goodbye in any case; this plugin lets systems see the end.
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
    at_exit: Option<Res<AtExit>>,
    mut commands: Commands,
    mut exit: MessageWriter<AppExit>,
) {
    let keeps_seats = at_exit.is_some_and(|at_exit| *at_exit == AtExit::KeepSeats);
    while signals.arrived.try_recv().is_ok() {
        if signals.ending {
            exit.write(AppExit::from_code(130));
        }
        signals.ending = true;
        if !keeps_seats {
            commands.trigger(Disconnect);
        }
    }
    let over = state.is_none_or(|state| *state.get() == ClientState::Disconnected);
    if signals.ending && (over || keeps_seats) {
        exit.write(AppExit::Success);
    }
}

const FRAME: Duration = Duration::from_nanos(16_666_667);

#[cfg(test)]
mod tests {
    use bevy::state::app::StatesPlugin;

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
    fn a_client_that_keeps_its_seats_ends_at_once_without_goodbye() {
        let (sender, arrived) = crossbeam_channel::unbounded();
        let mut app = App::new();
        app.add_plugins(StatesPlugin)
            .insert_state(ClientState::Connected)
            .insert_resource(AtExit::KeepSeats)
            .insert_resource(Signals { arrived, ending: false })
            .add_observer(|_: On<Disconnect>| panic!("that is a goodbye"))
            .add_systems(Update, end_on_signal);
        sender.send(()).expect("it listens");
        app.update();
        assert_eq!(app.should_exit(), Some(AppExit::Success));
    }

    #[test]
    fn without_a_connection_the_first_signal_ends_the_app() {
        assert_eq!(end_after(0, ClientState::Disconnected), (0, None));
        assert_eq!(end_after(1, ClientState::Disconnected).1, Some(AppExit::Success));
    }
}
