//! Clients that say who they are with tokens: a good one, a bad one, and one whose user is banned.
//!
//! ```sh
//! cargo run --bin tokens                                         # a server, and three guests
//! cargo run --bin tokens -- --join 127.0.0.1:7777 --token 4f1c   # one more
//! ```
//!
//! What to look at: `whose` finds out who a client is before any rule is asked, on a thread of the
//! network; rules and systems find the user on the entities. No client can say that it is another.

use std::net::SocketAddr;

use bevy::prelude::*;
use bevy_ghost_client::prelude::*;
use bevy_ghost_server::{AuthError, Identity, PlayerJoined, Token, prelude::*};
use clap::Parser;
use ghost_sync_small::{Options, bots, client, quiet};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// What you show.
    #[arg(long, default_value = "guess")]
    token: String,
}

fn main() -> AppExit {
    let Args { options, token } = Args::parse();
    options.run(server, |connect, name| guest(connect, (name, token)))
}

fn server(Options { bind, .. }: &Options) -> App {
    let mut app = App::new();
    let server = GhostServerPlugin::bind(bind).auth(Auth::required(whose));
    app.add_plugins((DedicatedServerPlugins.set(quiet()), server)).add_systems(Startup, set_up);
    app.add_observer(|joined: On<PlayerJoined>, users: Query<&User>| {
        let Ok(User(user)) = users.get(joined.player) else { return };
        println!("{user} is in the {}", joined.room_name);
    });
    app.add_observer(|_: On<ServerStarted>, server: Res<GhostServer>| {
        let guests = [("Ada", "4f1c"), ("Bob", "0000"), ("Eve", "93d8")];
        bots(&server, guests.map(|(name, token)| (name.into(), token.into())), guest);
    });
    app
}

/// A real one asks the database in which logins are kept, or verifies a signature.
async fn whose(token: Token, _from: SocketAddr) -> std::result::Result<Identity, AuthError> {
    let user = match &token.0[..] {
        b"4f1c" => "ada",
        b"93d8" => "eve",
        _ => return Err(AuthError::BadSignature),
    };
    Ok(Identity::new(UserId::new(user).map_err(|_| AuthError::Malformed)?))
}

fn set_up(mut commands: Commands) {
    commands.spawn(Room::new("lobby"));
    if let Ok(cheat) = UserId::new("eve") {
        commands.trigger(Ban::user(cheat).because("she saw through walls"));
    }
}

fn guest(connect: Connect, (name, token): (String, String)) -> App {
    let mut app = client(connect.with_token(token), &name);
    app.add_systems(Startup, |mut commands: Commands| commands.trigger(Join::new("lobby")));
    app
}
