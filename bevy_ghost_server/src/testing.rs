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

use std::time::Duration;

use bevy::{prelude::*, time::TimeUpdateStrategy};
use bevy_ghost_client::{
    ClientState, Connect, GhostClientPlugin, GhostNetwork, Join, JoinedRooms, Network,
};
use tokio::{runtime::Runtime, task::yield_now};

use crate::{GhostServer, GhostServerPlugin, ServerConfig, ServerState};

/// A server app, its client apps, and the network between them.
pub struct TestNet {
    /// The server.
    pub server: App,
    /// The clients, numbered as [`connect`](Self::connect) returned.
    pub clients: Vec<App>,
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
        let mut net = Self { server, clients: Vec::new(), runtime };
        net.run_until("the server runs", |net| {
            *net.server.world().resource::<State<ServerState>>().get() == ServerState::Running
        });
        net
    }

    /// Adds a client app, made from `build` and `MinimalPlugins`, and connects
    /// it. Returns its place in [`clients`](Self::clients).
    ///
    /// # Panics
    /// When it gets no connection.
    pub fn connect(&mut self, build: impl FnOnce(&mut App)) -> usize {
        let connector = self.connector();
        let client = self.client(build);
        self.clients[client].world_mut().trigger(Connect::local(connector));
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

    /// The way to the server, for [`Connect::local`].
    ///
    /// # Panics
    /// When the server was stopped.
    pub fn connector(&self) -> bevy_ghost_client::LocalConnector {
        let server = self.server.world().resource::<GhostServer>();
        server.connector().expect("the server has not been stopped")
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
    pub fn advance(&mut self, by: Duration) {
        self.runtime.block_on(tokio::time::advance(by));
        self.drive();
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
