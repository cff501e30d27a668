//! A room with a password and two seats, and what those are told who are not let in.
//!
//! ```sh
//! cargo run --bin password                                          # a server, and four guests
//! cargo run --bin password -- --join 127.0.0.1:7777 --password tea  # one more
//! ```
//!
//! What to look at: `ask_for_password` hangs on the one room that has a password; any observer may
//! refuse, with words of its own. Seats are counted by the network, which has words too.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::once_after_delay};
use bevy_ghost_client::prelude::*;
use bevy_ghost_server::prelude::*;
use clap::Parser;
use ghost_sync_small::{Options, bots, client, quiet};

const PASSWORD: &[u8] = b"sesame";

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// What you say at the door.
    #[arg(long, default_value = "please")]
    password: String,
}

fn main() -> AppExit {
    let Args { options, password } = Args::parse();
    options.run(server, |connect, name| guest(connect, (name, password, 0)))
}

fn server(Options { bind, .. }: &Options) -> App {
    let mut app = App::new();
    app.add_plugins((DedicatedServerPlugins.set(quiet()), GhostServerPlugin::bind(bind)));
    app.world_mut()
        .spawn((Room::new("vault"), RoomConfig::with_capacity(2)))
        .observe(ask_for_password);
    app.add_observer(|_: On<ServerStarted>, server: Res<GhostServer>| {
        let guests = [
            ("Ada".into(), "sesame".into(), 0),
            ("Bob".into(), "open up".into(), 300),
            ("Cy".into(), "sesame".into(), 600),
            ("Dee".into(), "sesame".into(), 900),
        ];
        bots(&server, guests, guest);
    });
    app
}

fn ask_for_password(mut request: On<JoinRequest>) {
    if request.data != PASSWORD {
        request.reject("that is not the password");
    }
}

/// Somebody who comes after so many milliseconds, and says a password.
fn guest(connect: Connect, (name, password, after): (String, String, u64)) -> App {
    let mut app = client(connect, &name);
    let knock = move |mut commands: Commands| {
        commands.trigger(Join::new("vault").with_data(password.clone()));
    };
    app.add_systems(Update, knock.run_if(once_after_delay(Duration::from_millis(after))));
    let (who, whom) = (name.clone(), name);
    app.add_observer(move |joined: On<Joined>, rooms: Query<(&JoinedRoom, &Members)>| {
        let Ok((room, members)) = rooms.get(joined.room) else { return };
        let seats = room.capacity.unwrap_or(0);
        println!("{who} is in: {} of {seats} seats are taken", members.len());
    });
    app.add_observer(move |refused: On<JoinRefused>| {
        println!("{whom} is not let in: {}", refused.reason);
    });
    app
}
