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
    AuthError, Away, ClientId, CloseReason, Delivery, Ended, GhostAppExt, GhostMessage,
    GhostNetwork, InvalidRoomName, InvalidUserId, LeaveReason, LocalConnector, MessageType,
    Metadata, Names, Network, Raw, RoomName, Seat, Token, Traffic, User, UserId, typed,
};
pub use dedicated::{DedicatedServerPlugins, ExitWhenStoppedPlugin, ShutdownPlugin};
pub use entities::{
    Connection, ConnectionStats, InRoom, Observe, Player, Players, Room, RoomConfig, RoomStats,
    SeatOf, Seats, SignedIn,
};
pub use events::{
    BanRefusal, BanRefused, ConnectionClosed, ConnectionOpened, GhostServerEvent, Lagged,
    MetadataChanged, MetadataRefused, Missed, PayloadReceived, PlayerAway, PlayerBack,
    PlayerJoined, PlayerLeft, RevokeRefusal, RevokeRefused, RoomClosed, RoomEmptied, RoomFilled,
    RoomHasSpace, RoomOpened, RoomRefused, ServerFailed, ServerStarted, ServerStopped, StartError,
    Undecodable, Unsent, UnsentReason,
};
#[cfg(feature = "auth")]
pub use ghost_sync_core::auth::{Keys, KeysError, TokenVerifier};
pub use ghost_sync_core::{
    ServerHandle,
    identity::{
        Identity, InvalidLockedMeta, InvalidRoomPattern, LockedMeta, MaxRole, RoomPattern,
        RoomPatterns,
    },
    relay::{
        ActiveBan, AuthPolicy, CreateOnJoin, CreateRoomError, DisconnectReason, GateConfig,
        InvalidIpPrefix, IpPrefix, Limits, ManyLinks, MetadataError, OverflowPolicy, RelayConfig,
        RelayMode, RoomHistory, Spoken, Validator, Verdict, Who,
    },
    server::{Auth, Authenticator, BindError},
    wire::Rate,
};
// A plain value of the core that games do not see.
pub(crate) use ghost_sync_core::relay::AskId;
pub use hooks::{
    ConnectRequest, CreateRoomRequest, GreetRequest, JoinRequest, RelayRequest, SetMetadataRequest,
    Ticket,
};
pub use plugin::{GhostServerPlugin, GhostServerSystems};
pub use requests::{
    Ban, BanTarget, CloseRoom, DisconnectClient, Kick, Revoke, SetMetadata, StartServer,
    StopServer, Unban,
};
pub use rooms::Rooms;
pub use runner::{Tick, WakeRunnerPlugin, WakeSources};
pub use server::{GhostServer, ServerConfig, ServerState, room_exists, server_running};
pub use typed::{FromConnection, FromPlayer, ToConnection, ToEveryone, ToPlayer, ToRoom};

/// What most servers import.
pub mod prelude {
    pub use crate::{
        Auth, Away, Ban, BanRefused, ClientId, CloseRoom, ConnectRequest, Connection,
        ConnectionClosed, ConnectionOpened, CreateOnJoin, CreateRoomRequest,
        DedicatedServerPlugins, DisconnectClient, Ended, FromConnection, FromPlayer, GhostAppExt,
        GhostServer, GhostServerPlugin, GhostServerSystems, GreetRequest, InRoom, JoinRequest,
        Kick, LeaveReason, Limits, Metadata, Names, Observe, Player, PlayerAway, PlayerBack,
        PlayerJoined, PlayerLeft, Players, Raw, RelayConfig, RelayMode, RelayRequest, Revoke,
        RevokeRefused, Room, RoomClosed, RoomConfig, RoomEmptied, RoomFilled, RoomHasSpace,
        RoomHistory, RoomOpened, RoomRefused, RoomStats, Rooms, Seat, SeatOf, Seats, ServerConfig,
        ServerFailed, ServerStarted, ServerState, ServerStopped, SetMetadataRequest, SignedIn,
        StartServer, StopServer, Ticket, ToConnection, ToEveryone, ToPlayer, ToRoom, Unban, Unsent,
        User, UserId, room_exists, server_running,
    };
    pub use wincode::{SchemaRead, SchemaWrite};
}

/// Compiles the examples of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ProjectReadme;
