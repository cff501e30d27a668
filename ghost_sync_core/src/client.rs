//! Layer 3: a client of a relay, on Tokio. Knows nothing of the server but the wire.
//!
//! [`Client`] is a pair of halves around one task that drives the stream: pings
//! are answered and events collected whether or not the program is looking.
//! What the bytes mean is decided by a state machine without I/O beside it, which is all
//! that is left here without the feature `client`.

#![cfg_attr(not(feature = "client"), allow(dead_code, reason = "a shell uses it"))]

// The pure half.
mod address;
mod error;
mod event;
mod hello;
mod inbox;
mod reconnect;
mod request;
mod session;

// The shell.
#[cfg(feature = "client")]
mod attempts;
#[cfg(feature = "client")]
mod builder;
#[cfg(feature = "client")]
mod connection;
#[cfg(feature = "client")]
mod dial;
#[cfg(feature = "client")]
mod drive;
#[cfg(feature = "client")]
mod handshake;
#[cfg(feature = "client")]
mod receiver;
#[cfg(feature = "client")]
mod sender;
#[cfg(feature = "client")]
mod state;
#[cfg(feature = "client")]
mod task;
#[cfg(feature = "client")]
mod way;

pub use address::{AddressFault, InvalidAddress, ServerAddr};
pub use error::{ConnectError, SendError, TryRecvError, Unconnected};
pub use event::{Sender, ServerEvent};
pub use reconnect::Reconnect;
pub use request::{Request, RequestError, RequestKind};

#[cfg(feature = "client")]
pub use {
    builder::ClientBuilder,
    connection::Client,
    receiver::ClientReceiver,
    sender::{ClientSender, SendOptions},
};

#[cfg(feature = "testing")]
pub(crate) use hello::OwnHello;
#[cfg(feature = "client")]
pub(crate) use {session::Session, state::End};
