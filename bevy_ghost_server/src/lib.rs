#![doc = include_str!("../README.md")]

#[cfg(doctest)]
mod book;
mod bridge;
mod dedicated;
pub mod diagnostics;
mod entities;
mod events;
pub mod hooks;
mod plugin;
mod requests;
mod rooms;
mod runner;
mod server;
#[cfg(feature = "testing")]
pub mod testing;

pub use bevy_ghost_client::{
    Away, ClientId, CloseReason, Delivery, Ended, GhostAppExt, GhostMessage, GhostNetwork,
    InvalidRoomName, LeaveReason, LocalConnector, MessageType, Metadata, Names, Network, Raw,
    RoomName, Seat, Traffic, typed,
};
pub use dedicated::{DedicatedServerPlugins, ExitWhenStoppedPlugin, ShutdownPlugin};
pub use entities::{
    Connection, ConnectionStats, InRoom, Observe, Player, Players, Room, RoomConfig, RoomStats,
    SeatOf, Seats,
};
pub use events::{
    ConnectionClosed, ConnectionOpened, GhostServerEvent, Lagged, MetadataChanged, MetadataRefused,
    Missed, PayloadReceived, PlayerAway, PlayerBack, PlayerJoined, PlayerLeft, RoomClosed,
    RoomEmptied, RoomOpened, RoomRefused, ServerFailed, ServerStarted, ServerStopped, StartError,
    Undecodable, Unsent, UnsentReason,
};
pub use ghost_sync_core::{
    ServerHandle,
    relay::{
        CreateOnJoin, CreateRoomError, DisconnectReason, GateConfig, IpPrefix, Limits,
        MetadataError, OverflowPolicy, RelayConfig, RelayMode, RoomHistory,
    },
    server::BindError,
    wire::Rate,
};
// A plain value of the core that games do not see.
pub(crate) use ghost_sync_core::relay::AskId;
pub use hooks::{
    ConnectRequest, CreateRoomRequest, GreetRequest, JoinRequest, RelayRequest, SetMetadataRequest,
    Ticket,
};
pub use plugin::{GhostServerPlugin, GhostServerSystems};
pub use requests::{CloseRoom, DisconnectClient, Kick, SetMetadata, StartServer, StopServer};
pub use rooms::Rooms;
pub use runner::{Tick, WakeRunnerPlugin, WakeSources};
pub use server::{GhostServer, ServerConfig, ServerState, room_exists, server_running};
pub use typed::{FromConnection, FromPlayer, ToConnection, ToEveryone, ToPlayer, ToRoom};

/// What most servers import.
pub mod prelude {
    pub use crate::{
        Away, ClientId, CloseRoom, ConnectRequest, Connection, ConnectionClosed, ConnectionOpened,
        CreateOnJoin, CreateRoomRequest, DedicatedServerPlugins, DisconnectClient, Ended,
        FromConnection, FromPlayer, GhostAppExt, GhostServer, GhostServerPlugin,
        GhostServerSystems, GreetRequest, InRoom, JoinRequest, Kick, LeaveReason, Limits, Metadata,
        Names, Observe, Player, PlayerAway, PlayerBack, PlayerJoined, PlayerLeft, Players, Raw,
        RelayConfig, RelayMode, RelayRequest, Room, RoomClosed, RoomConfig, RoomEmptied,
        RoomHistory, RoomOpened, RoomRefused, RoomStats, Rooms, Seat, SeatOf, Seats, ServerConfig,
        ServerFailed, ServerStarted, ServerState, ServerStopped, SetMetadataRequest, StartServer,
        StopServer, Ticket, ToConnection, ToEveryone, ToPlayer, ToRoom, Unsent, room_exists,
        server_running,
    };
    pub use wincode::{SchemaRead, SchemaWrite};
}

/// Compiles the examples of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ProjectReadme;
