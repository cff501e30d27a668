//! Rooms that players make by joining them, and that go when nobody is there any more.
//!
//! ```sh
//! cargo run --bin rooms_on_demand                                          # a server, four guests
//! cargo run --bin rooms_on_demand -- --join 127.0.0.1:7777 --room CAVE     # make one
//! ```
//!
//! What to look at: `Join::or_create` carries wishes, `allow` decides about them and about the
//! rules of the room. `Join::existing` is for a code that somebody typed: it makes nothing.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::once_after_delay};
use bevy_ghost_client::prelude::*;
use bevy_ghost_server::prelude::*;
use clap::Parser;
use ghost_sync_small::{Options, bots, client, quiet};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// The room that you make, or join if it is there.
    #[arg(long, default_value = "CAVE")]
    room: String,
}

fn main() -> AppExit {
    let Args { options, room } = Args::parse();
    options.run(server, |connect, name| guest(connect, (name, 0, u64::MAX, make(&room, 4))))
}

fn server(Options { bind, .. }: &Options) -> App {
    let bind = Some(bind.clone());
    let config = ServerConfig {
        bind,
        relay: RelayConfig { create_on_join: CreateOnJoin::Ask, ..RelayConfig::for_games() },
        ..default()
    };
    let mut app = App::new();
    app.add_plugins((DedicatedServerPlugins.set(quiet()), GhostServerPlugin::with(config)));
    app.add_observer(allow);
    app.add_observer(|room: On<RoomOpened>| println!("+ room {}", room.room_name));
    app.add_observer(|room: On<RoomClosed>| println!("- room {}", room.room_name));
    app.add_observer(|_: On<ServerStarted>, server: Res<GhostServer>| {
        let ada = ("Ada".to_owned(), 0, 1500, make("KQZP", 2));
        let bob = ("Bob".to_owned(), 300, 1500, Join::existing("KQZP"));
        let cy = ("Cy".to_owned(), 600, 1500, Join::existing("KQPZ"));
        let dee = ("Dee".to_owned(), 900, 1500, make("HALL", 1000));
        bots(&server, [ada, bob, cy, dee], guest);
    });
    app
}

/// A join that makes the room if it is not there, with so many seats.
fn make(room: &str, seats: u32) -> Join {
    Join::new(room).or_create(seats.to_le_bytes().to_vec())
}

fn allow(mut request: On<CreateRoomRequest>) {
    let wish = request.options.as_deref().and_then(|bytes| bytes.try_into().ok());
    match wish.map(u32::from_le_bytes) {
        Some(seats @ 2..=8) => request.config = RoomConfig::with_capacity(seats),
        _ => request.reject("rooms have 2 to 8 seats"),
    }
    request.config.remove_when_empty = Some(Duration::from_millis(500));
}

/// Somebody who comes after so many milliseconds, and goes after so many.
fn guest(connect: Connect, (name, come, go, join): (String, u64, u64, Join)) -> App {
    let mut app = client(connect, &name);
    let at = |millis| once_after_delay(Duration::from_millis(millis));
    let knock = move |mut to: Commands| to.trigger(join.clone());
    app.add_systems(Update, knock.run_if(at(come)));
    app.add_systems(Update, (|mut to: Commands| to.trigger(Disconnect)).run_if(at(go)));
    let (who, whom) = (name.clone(), name);
    app.add_observer(move |joined: On<Joined>| println!("{who} is in {}", joined.room_name));
    app.add_observer(move |refused: On<JoinRefused>| println!("{whom}: {}", refused.reason));
    app
}
