//! Runs an app without a window: asleep until something arrives or a tick is due.

use std::time::{Duration, Instant};

use bevy::{
    app::{AppExit, PluginsState},
    prelude::*,
};
use bevy_ghost_client::GhostClient;
use crossbeam_channel::{Receiver, Select};

use crate::bridge::{NetworkThread, Questions};

/// Updates the app whenever the network has something for it, and at each tick.
///
/// Unlike Bevy's `ScheduleRunnerPlugin` with a fixed rate, an answer need not
/// wait for the next frame; unlike the same without a rate, an idle server costs
/// next to nothing. Part of [`DedicatedServerPlugins`](crate::DedicatedServerPlugins);
/// serves a client without a window (a bot, say) as well.
#[derive(Clone, Copy, Debug)]
pub struct WakeRunnerPlugin {
    /// When the app is updated although nothing has arrived.
    pub tick: Tick,
    /// The shortest time from the beginning of one update that an arrival caused to that
    /// of the next: what arrives meanwhile is taken together. What comes after a longer
    /// silence is taken at once. 1 ms.
    pub min_interval: Duration,
}

/// When the app is updated although nothing has arrived.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tick {
    /// When the next `FixedUpdate` is due, or its step has passed in real time, while the
    /// virtual clock is paused or slow; each second in an app without `TimePlugin`.
    #[default]
    Fixed,
    /// After so long without an update.
    Every(Duration),
}

impl Default for WakeRunnerPlugin {
    fn default() -> Self {
        Self { tick: Tick::default(), min_interval: Duration::from_millis(1) }
    }
}

impl Plugin for WakeRunnerPlugin {
    fn build(&self, app: &mut App) {
        let runner = *self;
        app.init_resource::<WakeSources>().set_runner(move |app| runner.run(app));
    }
}

/// What else wakes the [`WakeRunnerPlugin`]: a message in one of these channels.
///
/// A system has to take the message out, or the app is updated on and on.
#[derive(Clone, Debug, Default, Resource)]
pub struct WakeSources(pub Vec<Receiver<()>>);

impl WakeRunnerPlugin {
    fn run(self, mut app: App) -> AppExit {
        while app.plugins_state() == PluginsState::Adding {
            bevy::tasks::tick_global_task_pools_on_main_thread();
        }
        app.finish();
        app.cleanup();
        let mut last_woken: Option<Instant> = None;
        loop {
            let started = Instant::now();
            app.update();
            if let Some(exit) = app.should_exit() {
                return exit;
            }
            if sleep(app.world(), started + self.pause(app.world())) {
                if let Some(last) = last_woken {
                    std::thread::sleep(self.min_interval.saturating_sub(last.elapsed()));
                }
                last_woken = Some(Instant::now());
            }
        }
    }

    /// The longest time from the beginning of the last update to the next.
    fn pause(self, world: &World) -> Duration {
        match (self.tick, world.get_resource::<Time<Fixed>>()) {
            (Tick::Every(interval), _) => interval,
            (Tick::Fixed, Some(fixed)) => {
                let step = fixed.timestep();
                let left = step.saturating_sub(fixed.overstep());
                let speed = world.get_resource::<Time<Virtual>>().map_or(1.0, speed);
                Duration::try_from_secs_f64(left.as_secs_f64() / speed)
                    .map_or(step, |it| it.min(step))
            }
            (Tick::Fixed, None) => Duration::from_secs(1),
        }
    }
}

/// How much of the time passes for the game.
fn speed(time: &Time<Virtual>) -> f64 {
    if time.is_paused() { 0.0 } else { time.relative_speed_f64() }
}

/// Sleeps until something arrives (`true`) or `deadline` has come (`false`).
fn sleep(world: &World, deadline: Instant) -> bool {
    let server = world.get_resource::<NetworkThread>();
    let client = world.get_resource::<GhostClient>();
    let wake = [server.and_then(NetworkThread::wake), client.and_then(GhostClient::wake)];
    let sources = world.get_resource::<WakeSources>();
    let mut select = Select::new();
    for wake in wake.iter().flatten() {
        select.recv(wake);
    }
    if let Some(questions) = world.get_resource::<Questions>() {
        select.recv(questions.replies());
    }
    for source in sources.iter().flat_map(|sources| &sources.0) {
        select.recv(source);
    }
    let woken = select.ready_deadline(deadline).is_ok();
    for wake in wake.iter().flatten() {
        wake.try_iter().for_each(drop);
    }
    woken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pause of an app of whose next step of 10 ms a nanosecond is missing.
    fn pause(clock: impl FnOnce(&mut Time<Virtual>)) -> Duration {
        let mut world = World::new();
        let mut fixed = Time::<Fixed>::from_duration(Duration::from_millis(10));
        fixed.accumulate_overstep(Duration::from_nanos(9_999_999));
        let mut virtual_time = Time::<Virtual>::default();
        clock(&mut virtual_time);
        world.insert_resource(fixed);
        world.insert_resource(virtual_time);
        WakeRunnerPlugin::default().pause(&world)
    }

    #[test]
    fn an_app_sleeps_until_its_next_step() {
        assert_eq!(pause(|_| {}), Duration::from_nanos(1));
    }

    #[test]
    fn an_app_whose_clock_is_slow_or_stands_still_sleeps_too() {
        let slow = pause(|clock| clock.set_relative_speed(0.001));
        assert_eq!(slow, Duration::from_nanos(1000));
        let very_slow = pause(|clock| clock.set_relative_speed(1e-9));
        let paused = pause(Time::<Virtual>::pause);
        assert_eq!([very_slow, paused], [Duration::from_millis(10); 2]);
    }
}
