#![cfg_attr(feature = "net", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "net"),
    doc = "Rooms for multiplayer games: a relay, its client, and the pure layers of both."
)]

/// Whether a bug that was planted on purpose is to show; never outside of simulations.
#[cfg(feature = "testing")]
macro_rules! planted {
    ($name:literal) => {
        $crate::testing::is_planted($name)
    };
}
#[cfg(not(feature = "testing"))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

#[cfg(feature = "auth")]
pub mod auth;
pub mod client;
#[cfg(any(feature = "client", feature = "server"))]
pub mod embed;
pub mod identity;
#[cfg(any(feature = "client", feature = "server"))]
pub mod link;
#[cfg(all(feature = "client", feature = "server"))]
pub mod recording;
pub mod relay;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wire;

#[cfg(feature = "client")]
pub use client::{
    Client, ClientBuilder, ClientReceiver, ClientSender, ConnectError, Request, RequestError,
    RequestKind, SendError, SendOptions, Sender, ServerEvent, Unconnected,
};
pub use identity::{
    Identity, InvalidLockedMeta, InvalidRoomPattern, LockedMeta, MaxRole, Revocations,
    RevocationsFull, Revoke, RoomPattern, RoomPatterns,
};
#[cfg(all(feature = "client", feature = "server"))]
pub use recording::{Playback, PlaybackOptions, Recorder, Recording, RecordingError};
pub use relay::{
    ActiveBan, Admission, Announcement, AskId, AuthPolicy, BanClientError, ClientNotFound,
    ConfigError, ConnId, CreateOnJoin, CreateRoomError, GateConfig, HistoryPage, HostConfig, Input,
    InvalidIpPrefix, IpPrefix, Limits, LinkId, MIN_PROGRESS, ManyLinks, MetadataError, Offer,
    Output, OverflowPolicy, PastEvent, Question, QueueLen, Relay, RelayConfig, RelayEvent,
    RelayMode, RoomConfig, RoomHistory, RoomInfo, RoomNotFound, RoomSnapshot, ServerSendError,
    Spoken, TooManyBans, Validator, Verdict, Who,
};
#[cfg(feature = "server")]
pub use server::{
    AcceptError, AsyncServerHandler, Auth, Authenticator, BindError, ConnectInfo, JoinInfo,
    MetadataSnapshot, NoopHandler, Server, ServerBuilder, ServerHandle, ServerHandler,
};
#[cfg(any(feature = "client", feature = "server"))]
pub use tracing::{debug, error, info, trace, warn};
pub use uuid::Uuid;
pub use wire::*;
