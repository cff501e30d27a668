//! A chat on the terminal: everybody reads the same lines in the same order.
//!
//! ```sh
//! cargo run --bin chat                                         # a server, a bot and you: type
//! cargo run --bin chat -- --join 127.0.0.1:7777 --name Eve     # one more, in another terminal
//! ```
//!
//! What to look at: the server has not a line about chat. The room relays what is broadcast, and
//! keeps the last lines for those who ask for them when they come (`Replay`).

use std::{io, thread, time::Duration};

use bevy::{prelude::*, time::common_conditions::on_timer};
use bevy_ghost_client::{PlayerJoined, PlayerLeft, prelude::*};
use bevy_ghost_server::prelude::*;
use clap::Parser;
use ghost_sync_small::{Options, bots, client, printable, quiet};

#[derive(SchemaRead, SchemaWrite)]
struct Line(String);

fn main() -> AppExit {
    Options::parse().run(server, reader)
}

fn server(Options { bind, name, .. }: &Options) -> App {
    let (mut app, you) = (App::new(), name.clone());
    app.add_plugins((DedicatedServerPlugins.set(quiet()), GhostServerPlugin::bind(bind), protocol));
    app.world_mut().spawn((Room::new("kitchen"), RoomConfig { replay: 50, ..default() }));
    app.add_observer(move |_: On<ServerStarted>, server: Res<GhostServer>| {
        bots(&server, [you.clone()], reader);
        let (ada, bob) = (["Is there tea?", "Thanks!"], ["Yes.", "Cake?"]);
        bots(&server, [("Ada", 700, ada), ("Bob", 1100, bob)], talker);
    });
    app
}

fn protocol(app: &mut App) {
    app.add_ghost_message::<Line>().from_clients();
}

fn member(connect: Connect, name: &str) -> App {
    let mut app = client(connect, name);
    app.add_plugins(protocol).add_systems(Startup, |mut to: Commands| {
        to.trigger(Join::new("kitchen").replay(Replay::Last(20)));
    });
    app
}

fn talker(connect: Connect, (name, pause, lines): (&str, u64, [&str; 2])) -> App {
    let (mut app, mut lines) = (member(connect, name), lines.map(str::to_owned).into_iter());
    let say = move |mut out: MessageWriter<Broadcast<Line>>| {
        out.write_batch(lines.next().map(|line| Broadcast::new(Line(line))));
    };
    app.add_systems(Update, say.run_if(on_timer(Duration::from_millis(pause))));
    app
}

fn reader(connect: Connect, you: String) -> App {
    let (sender, typed) = crossbeam_channel::unbounded();
    thread::spawn(move || io::stdin().lines().try_for_each(|line| sender.send(line.ok()?).ok()));
    let mut app = member(connect, &you);
    app.add_systems(Update, listen).add_systems(Update, move |mut out: MessageWriter<_>| {
        out.write_batch(typed.try_iter().map(|line| Broadcast::new(Line(line))));
    });
    app.add_observer(|it: On<PlayerJoined>, names: Names| {
        println!("* {} is here", printable(names.of(it.player)));
    });
    app.add_observer(|it: On<PlayerLeft>, names: Names| {
        println!("* {} {}", printable(names.of(it.player)), it.reason);
    });
    app
}

fn listen(mut said: MessageReader<FromRoom<Line>>, names: Names) {
    for FromRoom { sender, message: Line(line), .. } in said.read() {
        println!("{}: {}", printable(names.of(sender.player())), printable(line));
    }
}
