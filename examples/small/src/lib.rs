//! What the small examples share, so that each shows only what it is about.

use std::{env, path::Path, thread, time::Duration};

use bevy::{log::LogPlugin, prelude::*, time::common_conditions::once_after_real_delay};
use bevy_ghost_client::{ClientEnd, prelude::*};
use bevy_ghost_server::{GhostServer, ServerStarted, StopServer};

/// A small example of Ghost Sync: a server with some clients, or with --join one more client.
#[derive(Clone, Debug, clap::Parser)]
pub struct Options {
    /// Join this server (HOST:PORT) instead of starting one.
    #[arg(long)]
    pub join: Option<String>,
    /// Who you are.
    #[arg(long, default_value = "You")]
    pub name: String,
    /// Where the server listens; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:7777")]
    pub bind: String,
    /// End after so many seconds.
    #[arg(long)]
    pub seconds: Option<u64>,
}

impl Options {
    /// Runs what a server does, or with `--join` what a client does, until it ends by itself, its
    /// time is over, or somebody presses Ctrl-C.
    pub fn run(
        self,
        server: impl FnOnce(&Self) -> App,
        client: impl FnOnce(Connect, String) -> App,
    ) -> AppExit {
        let mut app = match &self.join {
            Some(addr) => client(Connect::to(addr), self.name.clone()),
            None => server(&self),
        };
        if let Some(seconds) = self.seconds {
            let over = once_after_real_delay(Duration::from_secs(seconds));
            app.add_systems(Update, end.run_if(over));
        }
        app.add_observer(|started: On<ServerStarted>| {
            let Some(addr) = started.addr else { return };
            println!("listening; in another terminal: {} --join {addr}", program());
        });
        app.run()
    }
}

/// How this program is started.
fn program() -> String {
    let path = env::args().next().unwrap_or_default();
    let name = Path::new(&path).file_stem().unwrap_or_default();
    format!("cargo run --bin {} --", name.display())
}

/// Whichever of the two this app is, it ends in good order.
fn end(mut commands: Commands) {
    commands.trigger(Disconnect);
    commands.trigger(StopServer::default());
}

/// A client without a window, which ends with its connection and says why.
pub fn client(connect: Connect, name: &str) -> App {
    let connect = connect.with_metadata("name", name).once();
    let name = printable(name);
    let mut app = App::new();
    // A process has one log, and these are for what `println` says.
    app.add_plugins(HeadlessClientPlugins.build().disable::<LogPlugin>())
        .add_plugins(GhostClientPlugin::default())
        .add_systems(PreStartup, move |mut commands: Commands| commands.trigger(connect.clone()))
        .add_observer(move |ended: On<Disconnected>, mut exit: MessageWriter<AppExit>| {
            println!("({name}: {})", ended.reason);
            let wrong = matches!(ended.reason, ClientEnd::Connect(_));
            exit.write(if wrong { AppExit::error() } else { AppExit::Success });
        });
    app
}

/// The log of a server that people look at: what is wrong.
pub fn quiet() -> LogPlugin {
    LogPlugin { filter: "error".to_owned(), ..LogPlugin::default() }
}

/// Lets clients play in the process of the server, each on a thread of its own.
pub fn bots<B: Send + 'static>(
    server: &GhostServer,
    bots: impl IntoIterator<Item = B>,
    app: fn(Connect, B) -> App,
) {
    for bot in bots {
        let connect = Connect::local(server.connector());
        thread::spawn(move || app(connect, bot).run());
    }
}

/// A text from elsewhere, without what a terminal would obey.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "")
}
