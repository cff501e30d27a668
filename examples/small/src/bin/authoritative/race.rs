//! What travels, and the server's rules.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::GhostAppExt;
use bevy_ghost_server::prelude::*;

pub const LENGTH: f32 = 70.0;
const SPEED: f32 = 20.0;

/// How hard a client pushes: 1 is as hard as one can.
#[derive(SchemaRead, SchemaWrite)]
pub struct Push(pub f32);

/// Where everybody is.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Track(pub Vec<(Seat, f32)>);

pub fn protocol(app: &mut App) {
    app.add_ghost_message::<Push>().from_clients();
    app.add_ghost_message::<Track>().from_server();
}

#[derive(Component, Default)]
struct Runner {
    push: f32,
    at: f32,
}

pub fn rules(app: &mut App) {
    app.add_plugins(protocol).add_observer(start);
    app.add_systems(Update, (hear, tell.run_if(on_timer(Duration::from_millis(250)))).chain());
    app.add_systems(FixedUpdate, run);
    app.world_mut().spawn(Room::new("track"));
}

fn start(joined: On<PlayerJoined>, mut commands: Commands) {
    commands.entity(joined.player).insert(Runner::default());
}

/// A client may say whatever it likes.
fn hear(mut pushes: MessageReader<FromPlayer<Push>>, mut runners: Query<&mut Runner>) {
    for FromPlayer { player, message: Push(push), .. } in pushes.read() {
        let Ok(mut runner) = runners.get_mut(*player) else { continue };
        runner.push = if push.is_nan() { 0.0 } else { push.clamp(0.0, 1.0) };
    }
}

/// Round and round.
fn run(time: Res<Time>, mut runners: Query<&mut Runner>) {
    for mut runner in &mut runners {
        runner.at = (runner.at + runner.push * SPEED * time.delta_secs()) % LENGTH;
    }
}

/// `latest`: who is slow gets the newest, and so does who comes late.
fn tell(
    room: Single<Entity, With<Room>>,
    runners: Query<(&Player, &Runner)>,
    mut out: MessageWriter<ToRoom<Track>>,
) {
    let places = runners.iter().map(|(player, runner)| (player.seat, runner.at));
    out.write(ToRoom::new(*room, Track(places.collect())).latest(0));
}

#[cfg(test)]
mod tests;
