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

use std::{env, thread, time::Duration};

use bevy::{log::LogPlugin, prelude::*};
use bevy_ghost_client::{Connect, HeadlessClientPlugins, Join};
use bevy_ghost_server::{ShutdownPlugin, prelude::*};
use {client::client, protocol::protocol, server::server, view::view};

fn main() -> AppExit {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut app = App::new();
    match args[..] {
        [] => host(&mut app, "127.0.0.1:7777"),
        ["host", bind] => host(&mut app, bind),
        ["server", bind] => app.add_plugins((DedicatedServerPlugins, at(bind), server)),
        ["client", addr] => {
            app.add_plugins((view, client)).add_systems(Startup, dial(addr, &you()))
        }
        _ => {
            println!("usage: starter [host HOST:PORT | server HOST:PORT | client HOST:PORT]");
            return AppExit::error();
        }
    };
    app.add_plugins(protocol).run()
}

/// A server and a player in one app, and bots beside it.
fn host<'a>(app: &'a mut App, bind: &str) -> &'a mut App {
    app.add_plugins((at(bind), ShutdownPlugin::default(), server, view, client));
    app.add_observer(|started: On<ServerStarted>, commands: Commands| {
        let addr = started.addr.map(|addr| addr.to_string()).unwrap_or_default();
        dial(&addr, &you())(commands);
        for name in ["Ada", "Bob"] {
            let dial = dial(&addr, name);
            thread::spawn(|| bot(dial));
        }
    })
}

fn bot(dial: impl FnMut(Commands) + Send + Sync + 'static) -> AppExit {
    let plugins = HeadlessClientPlugins.build().disable::<LogPlugin>();
    App::new().add_plugins((plugins, protocol, client)).add_systems(Startup, dial).run()
}

/// Who closes the window is gone five seconds later; who says goodbye, at once.
fn at(bind: &str) -> GhostServerPlugin {
    let (bind, resume_grace) = (Some(bind.to_owned()), Duration::from_secs(5));
    GhostServerPlugin::with(ServerConfig {
        bind,
        relay: RelayConfig { resume_grace, ..RelayConfig::for_games() },
        ..default()
    })
}

fn dial(addr: &str, name: &str) -> impl FnMut(Commands) + use<> {
    let connect = Connect::to(addr).with_meta("name", name);
    move |mut commands| {
        commands.trigger(connect.clone());
        commands.trigger(Join::new("yard"));
    }
}

fn you() -> String {
    env::var("USER").or_else(|_| env::var("USERNAME")).unwrap_or_else(|_| "You".to_owned())
}
