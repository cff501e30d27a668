#![cfg_attr(feature = "net", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "net"), doc = "Rooms for multiplayer games: the pure layers.")]

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

#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod embed;
#[cfg(feature = "net")]
pub mod link;
#[cfg(feature = "net")]
pub mod recording;
pub mod relay;
#[cfg(feature = "net")]
pub mod server;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wire;

#[cfg(feature = "net")]
pub use client::{
    Client, ClientBuilder, ClientReceiver, ClientSender, ConnectError, Request, RequestError,
    SendOptions, Sender, ServerEvent,
};
#[cfg(feature = "net")]
pub use recording::{Playback, PlaybackOptions, Recorder, Recording, RecordingError};
pub use relay::*;
#[cfg(feature = "net")]
pub use server::{
    AsyncServerHandler, BindError, ConnectInfo, JoinInfo, MetaSnapshot, NoopHandler, Server,
    ServerBuilder, ServerHandle, ServerHandler,
};
#[cfg(feature = "net")]
pub use tracing::{debug, error, info, trace, warn};
pub use uuid::Uuid;
pub use wire::*;
