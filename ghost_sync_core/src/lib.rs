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

pub mod client;
#[cfg(any(feature = "client", feature = "server"))]
pub mod embed;
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
#[cfg(all(feature = "client", feature = "server"))]
pub use recording::{Playback, PlaybackOptions, Recorder, Recording, RecordingError};
// By name, since the relay's `SendError` would hide that of the client.
pub use relay::{
    Admission, Announcement, AskId, ClientNotFound, ConfigError, ConnId, CreateOnJoin,
    CreateRoomError, GateConfig, History, HostConfig, Input, InvalidIpPrefix, IpPrefix, Limits,
    LinkId, MIN_PROGRESS, MetaError, Offer, Output, OverflowPolicy, PastEvent, Question, QueueLen,
    Rate, Relay, RelayConfig, RelayEvent, RelayMode, RoomConfig, RoomHistory, RoomInfo,
    RoomNotFound, RoomSnapshot, SendError as ServerSendError, Verdict,
};
#[cfg(feature = "server")]
pub use server::{
    AcceptError, AsyncServerHandler, BindError, ConnectInfo, JoinInfo, MetaSnapshot, NoopHandler,
    Server, ServerBuilder, ServerHandle, ServerHandler,
};
#[cfg(any(feature = "client", feature = "server"))]
pub use tracing::{debug, error, info, trace, warn};
pub use uuid::Uuid;
pub use wire::*;
