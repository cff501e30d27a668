//! The server as a whole: its settings, and what is known about it right now.

use std::{net::SocketAddr, time::Duration};

use bevy::prelude::*;
use bevy_ghost_client::{LocalConnector, Traffic};

use crate::{CreateOnJoin, GateConfig, Limits, OverflowPolicy, ServerHandle};

/// The settings of the server, read when it starts. All have sensible defaults.
#[derive(Clone, Debug, Reflect, Resource)]
#[reflect(Resource, Debug, Default)]
pub struct ServerConfig {
    /// Where to listen, as `host:port`; port 0 for any free one. `None`: only
    /// connections of this process.
    pub bind: Option<String>,
    /// Clients at once. 1,024.
    pub max_clients: usize,
    /// Bytes of one payload. 65,536.
    pub max_payload: usize,
    /// Rooms at once. 4,096.
    pub max_rooms: usize,
    /// Rooms that one client may be in. With 1 (the default) joining another leaves the first.
    pub rooms_per_client: usize,
    /// A client that says nothing for so long has lost its connection: it is
    /// [`Away`](crate::Away) then. 10 s, as a game needs it: others see within that time that
    /// a player is not there. Clients take it for the server's silence, too.
    pub idle_timeout: Duration,
    /// How often clients are pinged, which measures their distance too. 3 s.
    pub ping_interval: Duration,
    /// How long a new connection may take to say who it is. 5 s.
    pub handshake_timeout: Duration,
    /// How long the rules may take to decide a request, all frames and tickets
    /// included; after that the answer is no. 2 s.
    pub ask_timeout: Duration,
    /// How long a client that lost its connection keeps its seats, to come back and miss
    /// nothing. 30 s. Zero: it leaves at once.
    pub resume_grace: Duration,
    /// Bytes of history that all rooms together keep; the oldest goes first. 64 MiB.
    pub history_limit: usize,
    /// When clients that find the server full, or are told that it stops, are asked to come
    /// back at the earliest. 1 s.
    pub retry_after: Duration,
    /// Messages that wait for a slow client. 1,024.
    pub channel_capacity: usize,
    /// Bytes that wait for a slow client. 1 MiB.
    pub outbox_limit: usize,
    /// What gives way when more would have to wait.
    #[reflect(ignore)]
    pub overflow: OverflowPolicy,
    /// How much clients may ask for in how much time. The defaults are for games of any kind.
    #[reflect(ignore)]
    pub limits: Limits,
    /// How many connections may come from one address. 64, and none are counted that come
    /// from this machine.
    #[reflect(ignore)]
    pub gate: GateConfig,
    /// Keys of metadata that clients may set, when they connect and later; `None` (the
    /// default): all. Those that the server has set are never theirs.
    pub client_meta_keys: Option<Vec<String>>,
    /// What happens when a client joins a room that is not there. Default: it is refused.
    #[reflect(ignore)]
    pub create_on_join: CreateOnJoin,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind: Some("0.0.0.0:7777".to_owned()),
            max_clients: 1024,
            max_payload: 65_536,
            max_rooms: 4096,
            rooms_per_client: 1,
            idle_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            ask_timeout: Duration::from_secs(2),
            resume_grace: Duration::from_secs(30),
            history_limit: 64 << 20,
            retry_after: Duration::from_secs(1),
            channel_capacity: 1024,
            outbox_limit: 1 << 20,
            overflow: OverflowPolicy::default(),
            limits: Limits::default(),
            gate: GateConfig::default(),
            client_meta_keys: None,
            create_on_join: CreateOnJoin::default(),
        }
    }
}

/// Whether the server runs; details are in [`GhostServer`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Reflect, States)]
pub enum ServerState {
    /// It does not.
    #[default]
    Stopped,
    /// It is about to listen.
    Starting,
    /// Clients can connect.
    Running,
    /// Clients are being told; nobody new comes in.
    Stopping,
}

/// The server: where it listens, and how much went through its systems.
#[derive(Clone, Debug, Default, Reflect, Resource)]
#[reflect(Resource, Debug, Default)]
pub struct GhostServer {
    /// Where it listens, while it runs; `None` for connections of this process only.
    pub addr: Option<SocketAddr>,
    /// Clients connected, or away.
    pub connections: usize,
    /// Seats taken, in all rooms.
    pub players: usize,
    /// Those of them whose players are [`Away`](crate::Away).
    pub away: usize,
    /// Payloads that systems sent, since the app began.
    pub sent: Traffic,
    /// Payloads that systems saw, since the app began.
    pub received: Traffic,
    /// Payloads that systems did not see because frames were too slow, since the app began.
    pub missed: u64,
    /// Payloads that systems sent to players, rooms or connections that were not there
    /// (any more), or while no server ran, since the app began.
    pub undelivered: u64,
    /// Messages that slow players did not get and were told about, since the app began.
    pub dropped: u64,
    #[reflect(ignore)]
    pub(crate) connector: Option<LocalConnector>,
    #[reflect(ignore)]
    pub(crate) handle: Option<ServerHandle>,
}

impl GhostServer {
    /// The way in without a socket, for a client in the same process:
    /// `Connect::local(connector)`. There as soon as the server is starting.
    pub fn connector(&self) -> Option<LocalConnector> {
        self.connector.clone()
    }

    /// The running server itself, for what the plugin does not offer. The
    /// entities follow what is done with it.
    pub fn handle(&self) -> Option<ServerHandle> {
        self.handle.clone()
    }
}

/// Run condition: clients can connect.
pub fn server_running(state: Option<Res<State<ServerState>>>) -> bool {
    state.is_some_and(|state| *state.get() == ServerState::Running)
}

/// Run condition: there is a room of that name.
pub fn room_exists(
    name: impl Into<String>,
) -> impl FnMut(Option<Res<crate::Rooms>>) -> bool + Clone {
    let name = name.into();
    move |rooms: Option<Res<crate::Rooms>>| rooms.is_some_and(|rooms| rooms.get(&name).is_some())
}
