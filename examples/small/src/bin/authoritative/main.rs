//! A race in which the server moves everybody: clients say what they want, and nothing else.
//!
//! ```sh
//! cargo run --bin authoritative                                         # a race of four
//! cargo run --bin authoritative -- --join 127.0.0.1:7777 --name Eve     # one more
//! ```
//!
//! What to look at: in `race.rs`, Mallory pushes a thousand times as hard as one can, and is no
//! faster. Nobody else says where anybody is, since `Track` is `from_server`.

mod race;

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;
use bevy_ghost_server::prelude::*;
use clap::Parser;
use ghost_sync_small::{Options, bots, client, quiet};
use race::{LENGTH, Push, Track, protocol, rules};

fn main() -> AppExit {
    Options::parse().run(server, watcher)
}

fn server(Options { bind, name, .. }: &Options) -> App {
    let (mut app, you) = (App::new(), name.clone());
    app.add_plugins((DedicatedServerPlugins.set(quiet()), GhostServerPlugin::bind(bind), rules));
    app.add_observer(move |_: On<ServerStarted>, server: Res<GhostServer>| {
        bots(&server, [("Ada", 0.9), ("Bob", 0.6), ("Mallory", 1000.0)], runner);
        bots(&server, [you.clone()], watcher);
    });
    app
}

/// Somebody who pushes, and sees nothing.
fn runner(connect: Connect, (name, push): (&str, f32)) -> App {
    let mut app = client(connect, name);
    app.add_plugins(protocol);
    app.add_systems(Startup, |mut commands: Commands| commands.trigger(Join::new("track")));
    app.add_observer(move |_: On<Joined>, mut out: MessageWriter<ToServer<Push>>| {
        out.write(ToServer::new(Push(push)));
    });
    app
}

/// Somebody who sees the track, too.
fn watcher(connect: Connect, name: String) -> App {
    let mut app = runner(connect, (&name, 0.8));
    app.add_systems(Update, watch);
    app
}

fn watch(mut tracks: MessageReader<FromRoom<Track>>, seats: Roster, names: Names) {
    for FromRoom { room, message: Track(runners), .. } in tracks.read() {
        let mut line = vec!['.'; LENGTH as usize];
        for (seat, at) in runners {
            let Some(runner) = seats.by_seat(*room, *seat) else { continue };
            if let Some(place) = line.get_mut(*at as usize) {
                *place = names.of(runner).chars().find(|c| !c.is_control()).unwrap_or('?');
            }
        }
        println!("{}", line.into_iter().collect::<String>());
    }
}
