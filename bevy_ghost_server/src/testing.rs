//! Tests of games without sockets, sleeping or luck: a server app and any number
//! of client apps in one thread.
//!
//! The apps are joined by in-memory links; the network's tasks run when the test
//! says so, on a clock that stands still unless the test moves it.
//!
//! ```
//! use bevy::prelude::*;
//! use bevy_ghost_server::{Room, RoomStats, testing::TestNet};
//!
//! let mut net = TestNet::new(|server| {
//!     server.world_mut().spawn(Room::new("lobby"));
//! });
//! let alice = net.connect(|_client| {});
//! net.join(alice, "lobby");
//! let mut rooms = net.server.world_mut().query::<&RoomStats>();
//! assert_eq!(rooms.single(net.server.world()).unwrap().players, 1);
//! ```

mod line;

use std::{collections::BTreeMap, time::Duration};

use bevy::{prelude::*, time::TimeUpdateStrategy};
use bevy_ghost_client::{
    ClientState, Connect, GhostClientPlugin, GhostNetwork, Join, JoinedRooms, Network,
};
use tokio::{runtime::Runtime, task::yield_now};

use crate::{
    GhostServer, GhostServerPlugin, ServerConfig, ServerHandle, ServerState, StartServer,
    StopServer,
};
use line::Line;

/// A server app, its client apps, and the network between them.
pub struct TestNet {
    /// With `MinimalPlugins`, and [`GhostServerPlugin`] without a socket.
    pub server: App,
    /// The clients, numbered as [`connect`](Self::connect) returned.
    pub clients: Vec<App>,
    /// The ways of clients to the server.
    lines: BTreeMap<usize, Line>,
    /// After the apps, so that it outlives them.
    runtime: Runtime,
}

impl TestNet {
    /// A server that runs, made from `build` and `MinimalPlugins`.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn new(build: impl FnOnce(&mut App)) -> Self {
        Self::with_config(ServerConfig::default(), build)
    }

    /// As [`new`](Self::new), with other settings; it listens at no socket nevertheless.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn with_config(config: ServerConfig, build: impl FnOnce(&mut App)) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime without threads needs nothing that can be missing");
        let mut server = app(&runtime);
        server.add_plugins(GhostServerPlugin::with(ServerConfig { bind: None, ..config }));
        build(&mut server);
        ready(&mut server);
        let (clients, lines) = (Vec::new(), BTreeMap::new());
        let mut net = Self { server, clients, lines, runtime };
        net.run_until_server_is(ServerState::Running);
        net
    }

    /// Adds a client app, made from `build` and `MinimalPlugins`, and connects
    /// it. Returns its place in [`clients`](Self::clients).
    ///
    /// # Panics
    /// When it gets no connection.
    pub fn connect(&mut self, build: impl FnOnce(&mut App)) -> usize {
        let client = self.client(build);
        let connect = self.dial(client);
        self.clients[client].world_mut().trigger(connect);
        self.run_until("the client is connected", |net| {
            let state = net.clients[client].world().resource::<State<ClientState>>();
            *state.get() == ClientState::Connected
        });
        self.exchange();
        client
    }

    /// Adds a client app that does not connect by itself.
    pub fn client(&mut self, build: impl FnOnce(&mut App)) -> usize {
        let mut client = app(&self.runtime);
        client.add_plugins(GhostClientPlugin { ping_every: None });
        build(&mut client);
        ready(&mut client);
        self.clients.push(client);
        self.clients.len() - 1
    }

    /// What [`connect`](Self::connect) triggers: a way to the server that is the client's
    /// own, for [`cut`](Self::cut) and [`stall`](Self::stall). Add to it what the client
    /// needs: `net.dial(client).with_metadata("name", "Ada")`.
    ///
    /// # Panics
    /// When the server was stopped.
    pub fn dial(&mut self, client: usize) -> Connect {
        let server = self.handle();
        let line = self.lines.entry(client).or_insert_with(|| Line::new(server));
        Connect::through(line.connector())
    }

    /// The way to the server, for [`Connect::local`].
    pub fn connector(&self) -> bevy_ghost_client::LocalConnector {
        self.server.world().resource::<GhostServer>().connector()
    }

    /// Lets a client join a room, until both sides know. Returns the client's entity of it.
    ///
    /// # Panics
    /// When the client is not let in.
    pub fn join(&mut self, client: usize, room: &str) -> Entity {
        self.clients[client].world_mut().trigger(Join::new(room));
        self.run_until("the client is in the room", |net| net.room(client, room).is_some());
        self.exchange();
        self.room(client, room).expect("it is there, as was just seen")
    }

    /// A client's entity of a room that it is in.
    pub fn room(&self, client: usize, room: &str) -> Option<Entity> {
        self.clients[client].world().resource::<JoinedRooms>().get(room)
    }

    /// Cuts a client's link: what is on it is lost, both sides notice at once, and there is
    /// no other way until [`mend`](Self::mend).
    ///
    /// The server holds the client's seats while the clock stands still; let it go on with
    /// [`advance`](Self::advance).
    ///
    /// ```
    /// use std::time::Duration;
    /// use bevy_ghost_server::{GhostServer, Room, testing::TestNet};
    ///
    /// let mut net = TestNet::new(|server| {
    ///     server.world_mut().spawn(Room::new("lobby"));
    /// });
    /// let alice = net.connect(|_client| {});
    /// net.join(alice, "lobby");
    /// net.cut(alice);
    /// net.settle();
    /// assert_eq!(net.server.world().resource::<GhostServer>().away, 1);
    /// net.mend(alice);
    /// net.advance(Duration::from_secs(5)); // the longest wait between attempts
    /// net.settle();
    /// assert_eq!(net.server.world().resource::<GhostServer>().away, 0);
    /// ```
    ///
    /// # Panics
    /// When the client did not come with [`connect`](Self::connect) or [`dial`](Self::dial).
    pub fn cut(&mut self, client: usize) {
        self.line(client).cut();
        self.drive();
    }

    /// Lets nothing through to a client and from it until [`mend`](Self::mend): what is
    /// said waits on the link. Neither side notices before its time is up, when the clock
    /// goes on.
    ///
    /// # Panics
    /// As [`cut`](Self::cut).
    pub fn stall(&mut self, client: usize) {
        self.line(client).stall();
        self.drive();
    }

    /// Undoes [`cut`](Self::cut) and [`stall`](Self::stall). A client whose link was cut
    /// comes back with its next attempt, within 5 s of [`advance`](Self::advance).
    ///
    /// # Panics
    /// As [`cut`](Self::cut).
    pub fn mend(&mut self, client: usize) {
        self.line(client).mend();
        self.drive();
    }

    /// Starts the server anew as if its program had crashed: it has forgotten all
    /// connections, and its room entities open again. Clients find it with their next
    /// attempt, also those that had been [cut](Self::cut).
    ///
    /// # Panics
    /// When the server does not stop or start.
    pub fn restart_server(&mut self) {
        self.lines.values().for_each(Line::cut);
        self.drive();
        self.server.world_mut().trigger(StopServer::default());
        self.run_until_server_is(ServerState::Stopped);
        self.server.world_mut().trigger(StartServer);
        self.run_until_server_is(ServerState::Running);
        let server = self.handle();
        for line in self.lines.values() {
            line.lead_to(server.clone());
            line.mend();
        }
    }

    /// One frame of the server and of each client, with everything that they
    /// have said carried to the others.
    pub fn exchange(&mut self) {
        self.server.update();
        self.drive();
        for client in &mut self.clients {
            client.update();
        }
        self.drive();
    }

    /// As many [exchanges](Self::exchange) as any request and its answers need.
    pub fn settle(&mut self) {
        for _ in 0..8 {
            self.exchange();
        }
    }

    /// Exchanges until `condition` holds.
    ///
    /// # Panics
    /// When it does not within 64 exchanges; says `what` did not come.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..64 {
            if condition(self) {
                return;
            }
            self.exchange();
        }
        assert!(condition(self), "never: {what}");
    }

    /// Moves the network's clock, for what depends on time: timeouts, pings,
    /// reconnecting. The apps' own time goes on by 1/64 s a frame.
    ///
    /// It goes a second at a time (or a thousandth of `by`, if that is longer), so that
    /// nobody seems to have been silent.
    pub fn advance(&mut self, by: Duration) {
        let step = (by / 1000).max(Duration::from_secs(1));
        let mut left = by;
        loop {
            let step = left.min(step);
            self.runtime.block_on(tokio::time::advance(step));
            self.drive();
            left -= step;
            if left.is_zero() {
                return;
            }
        }
    }

    #[track_caller]
    fn run_until_server_is(&mut self, state: ServerState) {
        self.run_until(&format!("the server is {state:?}"), |net| {
            *net.server.world().resource::<State<ServerState>>().get() == state
        });
    }

    fn handle(&self) -> ServerHandle {
        let server = self.server.world().resource::<GhostServer>();
        server.handle().expect("the server has not been stopped")
    }

    #[track_caller]
    fn line(&self, client: usize) -> &Line {
        self.lines.get(&client).unwrap_or_else(|| panic!("client {client} has no line of its own"))
    }

    /// Gives the network's tasks 64 turns, several times what a frame's requests need.
    fn drive(&self) {
        self.runtime.block_on(async {
            for _ in 0..64 {
                yield_now().await;
            }
        });
    }
}

/// All messages of a type that an app has had, once [`record`] was called.
#[derive(Debug, Resource)]
pub struct Recorded<M: Message>(pub Vec<M>);

/// Keeps all messages of a type, which else are gone after two frames.
pub fn record<M: Clone + Message>(app: &mut App) {
    app.insert_resource(Recorded::<M>(Vec::new())).add_systems(
        Last,
        |mut messages: MessageReader<M>, mut recorded: ResMut<Recorded<M>>| {
            recorded.0.extend(messages.read().cloned());
        },
    );
}

/// The messages that [`record`] has kept so far.
///
/// # Panics
/// When they were not recorded.
pub fn recorded<M: Message>(app: &App) -> &[M] {
    &app.world().resource::<Recorded<M>>().0
}

impl std::fmt::Debug for TestNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestNet").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

fn app(runtime: &Runtime) -> App {
    let mut app = App::new();
    app.add_plugins(MinimalPlugins)
        .insert_resource(TimeUpdateStrategy::ManualDuration(Duration::from_secs(1) / 64))
        .insert_resource(GhostNetwork(Network::from_handle(runtime.handle().clone())));
    app
}

fn ready(app: &mut App) {
    app.finish();
    app.cleanup();
}
