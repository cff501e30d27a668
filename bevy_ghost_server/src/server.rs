//! The server as a whole: its settings, and what is known about it right now.

use std::{net::SocketAddr, num::NonZeroUsize};

use bevy::prelude::*;
use bevy_ghost_client::{LocalConnector, Traffic};

use crate::{Auth, RelayConfig, ServerHandle};

/// The settings of the server, read when it starts.
///
/// ```
/// # use bevy_ghost_server::prelude::*;
/// # use std::time::Duration;
/// let config = ServerConfig {
///     bind: Some("0.0.0.0:7000".to_owned()),
///     relay: RelayConfig { resume_grace: Duration::from_secs(60), ..RelayConfig::for_games() },
///     ..ServerConfig::default()
/// };
/// ```
#[derive(Clone, Debug, Reflect, Resource)]
#[reflect(Resource, Debug, Default)]
pub struct ServerConfig {
    /// Where to listen, as `host:port`; `0.0.0.0:7777` by default. Port 0 takes any free one.
    /// `None`: only connections of this process.
    pub bind: Option<String>,
    /// Whether clients show tokens, and how it is found out whose they are. By default
    /// [nobody is asked](Auth::anonymous). It runs on the network's threads and holds up no
    /// frame; who is not known within [`ask_timeout`](RelayConfig::ask_timeout) is asked to come
    /// back later.
    ///
    /// Tokens travel as they are: nothing is encrypted.
    #[reflect(ignore)]
    pub auth: Auth,
    /// Threads that write to clients where many wait; `None` (the default): one a core, at most 4.
    #[reflect(ignore)]
    pub senders: Option<NonZeroUsize>,
    /// Everything else. By default [with the times of games](RelayConfig::for_games).
    ///
    /// What rooms are like is said by the components of their entities, not by
    /// [`room_defaults`](RelayConfig::room_defaults); what the plugin knows about itself is not
    /// taken from [`host`](RelayConfig::host).
    #[reflect(ignore, default = "RelayConfig::for_games")]
    pub relay: RelayConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind: Some("0.0.0.0:7777".to_owned()),
            auth: Auth::anonymous(),
            senders: None,
            relay: RelayConfig::for_games(),
        }
    }
}

impl From<RelayConfig> for ServerConfig {
    /// On `0.0.0.0:7777`.
    fn from(relay: RelayConfig) -> Self {
        Self { relay, ..Self::default() }
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
    pub(crate) connector: LocalConnector,
    #[reflect(ignore)]
    pub(crate) handle: Option<ServerHandle>,
}

impl GhostServer {
    /// The way in without a socket, for a client in the same process:
    /// `Connect::local(connector)`. Who connects before the server has started waits for it.
    pub fn connector(&self) -> LocalConnector {
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
