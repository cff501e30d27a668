//! Ghosts in two haunted rooms, who catch lanterns.
//!
//! ```sh
//! cargo run --release -p ghost_examples                    # server, window and some bots
//! cargo run --release -p ghost_examples -- client HOST     # a friend joins
//! ```
//!
//! What to read first: [`protocol`], [`server`], [`client`]. The game itself is in [`rules`] and
//! [`haunts`], without network or pictures; [`bots`] are clients without Bevy. The rest is what
//! it looks like.
#![allow(clippy::print_stdout, reason = "a program that people read on a terminal")]

mod board;
mod bots;
mod client;
mod colors;
mod draw;
mod ghosts;
mod haunts;
mod headless;
mod hud;
mod invite;
mod labels;
mod lights;
mod notice;
mod panel;
mod protocol;
mod rules;
mod server;
mod stage;
mod toasts;
mod trails;
mod wander;

use std::{convert::Infallible, net::Ipv6Addr, thread, time::Duration};

use bevy::prelude::*;
use bevy_ghost_client::{Connect, Join};
use bevy_ghost_server::{GhostServer, ServerStarted};
use clap::{Args, Parser, Subcommand};

use bots::Until;
use notice::Line;
use stage::{End, Goodbye, View};

/// Ghosts in two haunted rooms, who catch lanterns. Without a sub-command: host.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    host: Host,
}

#[derive(Subcommand)]
enum Role {
    /// A server and a player in one process, with some bots for company.
    Host(Host),
    /// A server alone.
    Server {
        /// Where players can join.
        #[arg(default_value = BIND)]
        bind: String,
        #[command(flatten)]
        game: Game,
        #[command(flatten)]
        end: End,
    },
    /// A player who joins a server.
    Client {
        /// The server; port 7777 if none is given.
        #[arg(default_value = "127.0.0.1", value_parser = address)]
        server: String,
        #[command(flatten)]
        view: View,
    },
    /// Players by themselves, unseen by anybody here.
    Bots {
        /// How many.
        count: usize,
        /// The server; port 7777 if none is given.
        #[arg(default_value = "127.0.0.1", value_parser = address)]
        server: String,
        #[command(flatten)]
        end: End,
    },
}

#[derive(Args)]
struct Host {
    /// How many bots.
    #[arg(long, default_value_t = 9)]
    bots: usize,
    /// Where friends can join.
    #[arg(long, default_value = BIND)]
    bind: String,
    #[command(flatten)]
    game: Game,
    #[command(flatten)]
    view: View,
}

#[derive(Args)]
struct Game {
    /// How many seconds a round takes.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(5..))]
    round: u32,
}

impl Game {
    fn round(&self) -> Duration {
        Duration::from_secs(self.round.into())
    }
}

const BIND: &str = "0.0.0.0:7777";

fn main() -> AppExit {
    let Cli { role, host } = Cli::parse();
    let mut app = match role.unwrap_or(Role::Host(host)) {
        Role::Bots { count, server, end } => {
            let length = |seconds| Duration::try_from_secs_f32(seconds).unwrap_or(Duration::MAX);
            let after = end.seconds.map(length);
            return bots::bots(count, &server, Until::Told(after));
        }
        Role::Server { bind, game, end } => {
            let mut app = stage::dedicated(end);
            server::server(&mut app, bind, game.round());
            server::overhear(&mut app);
            app
        }
        Role::Client { server, view } => {
            let mut app = stage::seen(view, Goodbye::Client);
            client::client(&mut app);
            app.add_systems(Startup, client::dial(server));
            app
        }
        Role::Host(Host { bots, bind, game, view }) => {
            let mut app = stage::seen(view, Goodbye::Server);
            server::server(&mut app, bind, game.round());
            client::client(&mut app);
            app.add_observer(begin(bots));
            app
        }
    };
    app.run()
}

/// Once the server runs: a player without a socket, and bots with.
fn begin(
    count: usize,
) -> impl Fn(On<ServerStarted>, Commands, Res<View>, Res<GhostServer>, ResMut<Line>) {
    move |started, mut commands, view, server, mut line| {
        line.dial(None);
        commands.trigger(Connect::local(server.connector()).with_metadata("name", view.name()));
        commands.trigger(Join::new(haunts::HAUNTS[0].name));
        if let Some(addr) = started.addr {
            let ip = if addr.ip().is_unspecified() {
                "127.0.0.1".to_owned()
            } else {
                addr.ip().to_string()
            };
            let server = with_port(&ip, addr.port());
            thread::spawn(move || bots::bots(count, &server, Until::TheEnd));
        }
    }
}

/// A server as people write it; what cannot be one is told by whoever dials it.
fn address(server: &str) -> Result<String, Infallible> {
    let full =
        server.contains(':') && server.parse::<Ipv6Addr>().is_err() && !server.ends_with(']');
    Ok(if full || server.is_empty() { server.to_owned() } else { with_port(server, 7777) })
}

fn with_port(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_port_is_added_where_none_is_given() {
        let full = |server| address(server).unwrap_or_default();
        assert_eq!(full("192.168.1.5"), "192.168.1.5:7777");
        assert_eq!(full("example.org:80"), "example.org:80");
        assert_eq!(full("::1"), "[::1]:7777");
        assert_eq!(full("[::1]"), "[::1]:7777");
        assert_eq!(full("[::1]:80"), "[::1]:80");
        assert_eq!(full("1.2.3.4:99999"), "1.2.3.4:99999");
    }

    #[test]
    fn no_sub_command_offers_what_means_nothing_there() {
        Cli::command().debug_assert();
        let fails = |line: &str| Cli::try_parse_from(line.split(' ')).is_err();
        assert!(fails("arena server --name Ada"));
        assert!(fails("arena bots 3 --screenshot a.png"));
        assert!(fails("arena client --bots 3"));
        assert!(fails("arena --bots 3 client"));
        assert!(!fails("arena --headless --seconds 5"));
        assert!(!fails("arena host --bind 127.0.0.1:0 --headless --seconds 5"));
        assert!(!fails("arena server 127.0.0.1:0 --seconds 5"));
    }
}
