//! One player is the server too: it hosts in its own process, and plays without a socket.
//!
//! ```sh
//! cargo run --bin listen_server                                         # a host, and a friend
//! cargo run --bin listen_server -- --join 127.0.0.1:7777 --name Eve     # one more
//! ```
//!
//! What to look at: `host` has both plugins in one app; the rest of the game (`play`) does not know
//! whether it runs at the host's or at a friend's. Stop the host: the friends are told.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::{PlayerJoined, prelude::*};
use bevy_ghost_server::prelude::*;
use clap::Parser;
use ghost_sync_small::{Options, bots, client, printable, quiet};

/// How often the ball was hit.
#[derive(SchemaRead, SchemaWrite)]
struct Hit(u32);

fn main() -> AppExit {
    Options::parse().run(host, friend)
}

fn host(Options { bind, name, .. }: &Options) -> App {
    let (mut app, name) = (App::new(), name.clone());
    app.add_plugins((DedicatedServerPlugins.set(quiet()), GhostServerPlugin::bind(bind)))
        .add_plugins((GhostClientPlugin::default(), play));
    app.world_mut().spawn(Room::new("court"));
    app.add_systems(Startup, move |server: Res<GhostServer>, mut commands: Commands| {
        commands.trigger(Connect::local(server.connector()).with_metadata("name", &name));
    });
    let begin = |_: On<ServerStarted>, it: Res<GhostServer>| bots(&it, ["Ada".to_owned()], friend);
    app.add_observer(begin);
    app
}

fn friend(connect: Connect, name: String) -> App {
    let mut app = client(connect, &name);
    app.add_plugins(play);
    app
}

/// The next hit, and the last own.
#[derive(Default, Resource)]
struct Rally(u32, u32);

fn play(app: &mut App) {
    app.add_ghost_message::<Hit>().from_clients();
    app.add_systems(Startup, |mut to: Commands| to.trigger(Join::new("court")));
    let pace = on_timer(Duration::from_millis(400));
    app.init_resource::<Rally>().add_observer(serve);
    app.add_systems(Update, (hear, answer.run_if(pace)).chain());
}

/// Whoever is there when somebody comes in.
fn serve(_: On<PlayerJoined>, mut rally: ResMut<Rally>) {
    rally.0 = rally.0.max(rally.1.saturating_add(1));
}

fn hear(mut hits: MessageReader<FromRoom<Hit>>, mut rally: ResMut<Rally>, names: Names) {
    for FromRoom { sender, message: Hit(count), .. } in hits.read() {
        println!(
            "{}: {} {count}",
            printable(names.of(sender.player())),
            ["pong", "ping"][*count as usize % 2]
        );
        rally.0 = rally.0.max(count.saturating_add(1));
    }
}

fn answer(mut rally: ResMut<Rally>, mut out: MessageWriter<Broadcast<Hit>>) {
    if rally.0 > rally.1 {
        rally.1 = rally.0;
        out.write(Broadcast::new(Hit(rally.1)));
    }
}
