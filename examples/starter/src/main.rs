//! Squares that play tag: whom it touches is it. A whole game, to copy as a folder.
//!
//! ```sh
//! cargo run -p starter                              # a server, two bots and you
//! cargo run -p starter -- server 0.0.0.0:7777       # a server alone
//! cargo run -p starter -- client 192.168.1.5:7777   # a player
//! ```

mod client;
mod protocol;
mod server;
#[cfg(test)]
mod tests;

use std::{env, thread};

use bevy::{log::LogPlugin, prelude::*};
use bevy_ghost_client::{Connect, HeadlessClientPlugins};
use bevy_ghost_server::{ShutdownPlugin, prelude::*};
use {client::client, client::view, protocol::protocol, server::server};

fn main() -> AppExit {
    let mut args = env::args().skip(1);
    let role = args.next().unwrap_or_else(|| "host".to_owned());
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:7777".to_owned());
    let you = env::var("USER").unwrap_or_else(|_| "You".to_owned());
    let mut app = App::new();
    app.add_plugins(protocol);
    match (role.as_str(), args.next()) {
        ("host", None) => {
            app.add_plugins((GhostServerPlugin::bind(addr), ShutdownPlugin::default(), server));
            let connect = Connect::local(app.world().resource::<GhostServer>().connector());
            app.add_plugins((view, client(connect, &you))).add_observer(company)
        }
        ("server", None) => {
            app.add_plugins((DedicatedServerPlugins, GhostServerPlugin::bind(addr), server))
        }
        ("client", None) => app.add_plugins((view, client(Connect::to(addr), &you))),
        _ => {
            eprintln!("usage: starter [host HOST:PORT | server HOST:PORT | client HOST:PORT]");
            return AppExit::error();
        }
    };
    app.run()
}

/// Bots, each on a thread of its own, once the server runs.
fn company(_: On<ServerStarted>, server: Res<GhostServer>) {
    for name in ["Ada", "Bob"] {
        let bot = client(Connect::local(server.connector()), name);
        let plugins = HeadlessClientPlugins.build().disable::<LogPlugin>();
        thread::spawn(|| App::new().add_plugins((plugins, protocol, bot)).run());
    }
}
