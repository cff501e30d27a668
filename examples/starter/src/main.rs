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
mod view;

use std::{env, thread};

use bevy::{log::LogPlugin, prelude::*};
use bevy_ghost_client::{Connect, HeadlessClientPlugins, Join};
use bevy_ghost_server::{ShutdownPlugin, prelude::*};
use {client::client, protocol::protocol, server::server, view::view};

fn main() -> AppExit {
    let args: Vec<String> = env::args().skip(1).collect();
    let you = env::var("USER").unwrap_or_else(|_| "You".to_owned());
    let mut app = App::new();
    app.add_plugins(protocol);
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => host(&mut app, "127.0.0.1:7777", you),
        ["host", bind] => host(&mut app, bind, you),
        ["server", bind] => {
            app.add_plugins((DedicatedServerPlugins, GhostServerPlugin::bind(bind), server))
        }
        ["client", addr] => app.add_plugins((view, client)).add_systems(Startup, dial(addr, &you)),
        _ => {
            eprintln!("usage: starter [host HOST:PORT | server HOST:PORT | client HOST:PORT]");
            return AppExit::error();
        }
    };
    app.run()
}

/// A server and a player in one app, and bots beside it.
fn host<'a>(app: &'a mut App, bind: &str, you: String) -> &'a mut App {
    app.add_plugins((GhostServerPlugin::bind(bind), ShutdownPlugin::default(), server));
    app.add_plugins((view, client)).add_observer(move |on: On<ServerStarted>, to: Commands| {
        let addr = on.addr.map(|addr| addr.to_string()).unwrap_or_default();
        dial(&addr, &you)(to);
        for dial in ["Ada", "Bob"].map(|name| dial(&addr, name)) {
            thread::spawn(|| bot(dial));
        }
    })
}

fn bot(dial: impl FnMut(Commands) + Send + Sync + 'static) -> AppExit {
    let plugins = HeadlessClientPlugins.build().disable::<LogPlugin>();
    App::new().add_plugins((plugins, protocol, client)).add_systems(Startup, dial).run()
}

fn dial(addr: &str, name: &str) -> impl FnMut(Commands) + use<> {
    let connect = Connect::to(addr).with_metadata("name", name);
    move |mut commands| {
        commands.trigger(connect.clone());
        commands.trigger(Join::new("yard"));
    }
}
