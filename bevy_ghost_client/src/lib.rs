#![doc = include_str!("../README.md")]

mod bridge;
mod client;
pub mod diagnostics;
mod entities;
mod events;
mod exit;
mod headless;
mod plugin;
mod requests;
mod roster;
mod shared;

pub use client::{ClientState, GhostClient, JoinedRooms, connected, in_room};
pub use entities::{JoinedRoom, LocalPlayer, Member, MemberOf, Members};
pub use events::{
    Ack, Authenticated, Connected, Disconnected, Gap, GhostClientEvent, JoinRefused, Joined, Left,
    MetadataChanged, PayloadReceived, PlayerAway, PlayerBack, PlayerJoined, PlayerLeft, Pong,
    Reconnecting, Refused, RejoinRefused, Rejoined, ResumeFailed, Resumed, RoomDeleted, RoomList,
    TokenExpiring, Undecodable, Unsent, UnsentReason,
};
pub use exit::AtExit;
pub use ghost_sync_core::wire::{
    AuthError, ClientId, CloseReason, Delivery, GapReason, InvalidRoomName, InvalidUserId,
    LeaveReason, MessageType, Protocol, Refusal, Replay, ResumeFailure, RoomName, RoomSummary,
    Seat, SendFlags, SessionTicket, Token, UserId,
};
pub use ghost_sync_core::{
    client::ConnectError,
    embed::{ClientEnd, Connector, LocalConnector, Network, Reconnect, Target},
    relay::DisconnectReason,
};
pub use headless::{GoodbyePlugin, HeadlessClientPlugins};
pub use plugin::{GhostClientPlugin, GhostClientSystems};
pub use requests::{Authenticate, Connect, Disconnect, Join, Leave, ListRooms, Ping, SetMetadata};
pub use roster::Roster;
pub use shared::{
    Away, Ended, GhostNetwork, HostFence, Metadata, Names, Traffic, User, kept, listen_for_signals,
    schema, typed, without_window,
};
#[doc(hidden)]
pub use shared::{NamedAs, say_without_log, states};
pub use typed::{
    Broadcast, FromRoom, FromServer, GhostAppExt, GhostMessage, GhostReader, Heard, Raw, Sender,
    ToServer,
};

/// What most clients import.
pub mod prelude {
    pub use crate::{
        Ack, AtExit, Authenticate, Authenticated, Away, Broadcast, ClientId, ClientState, Connect,
        Connected, Disconnect, Disconnected, Ended, FromRoom, FromServer, Gap, GhostAppExt,
        GhostClient, GhostClientPlugin, GhostClientSystems, GhostReader, HeadlessClientPlugins,
        Heard, Join, JoinRefused, Joined, JoinedRoom, JoinedRooms, Leave, LeaveReason, Left,
        ListRooms, LocalPlayer, Member, MemberOf, Members, Metadata, MetadataChanged, Names, Ping,
        PlayerAway, PlayerBack, PlayerJoined, PlayerLeft, Pong, Raw, Reconnecting, Refused,
        RejoinRefused, Rejoined, Replay, ResumeFailed, Resumed, RoomDeleted, RoomList, Roster,
        Seat, Sender, SessionTicket, SetMetadata, ToServer, TokenExpiring, Unsent, User, UserId,
        connected, in_room,
    };
    pub use wincode::{SchemaRead, SchemaWrite};
}
