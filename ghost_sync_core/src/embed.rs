//! Layer 4: server and client for programs that run in frames, such as games.
//!
//! A [`Network`] does the work in the background. Each frame the program takes
//! what happened with `poll` and gives what it wants with `send` and `flush`;
//! none of these ever waits. Updates that a program does not take are bounded
//! in bytes: lifecycle and questions are always kept; what a client says beyond its
//! share is left out, which the program is told.
//!
//! ```
//! use ghost_sync_core::{Client, Server, embed::*};
//! # fn frame() -> bool { false }
//!
//! let network = Network::new()?;
//! let server = Server::builder().local_only().room("lobby");
//! let mut server = ServerBridge::start(&network, server);
//! let target = Target::Local(server.local());
//! let mut client =
//!     ClientBridge::connect(&network, Client::builder(), target, Reconnect::default());
//! let (mut server_updates, mut client_updates) = (Vec::new(), Vec::new());
//! while frame() {
//!     server.poll(&mut server_updates);
//!     client.poll(&mut client_updates);
//!     // look at the updates, send commands
//!     server.flush();
//!     client.flush();
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(feature = "client")]
mod client;
#[cfg(all(feature = "client", feature = "server"))]
mod local;
#[cfg_attr(
    not(all(feature = "client", feature = "server")),
    allow(dead_code, reason = "the other side uses it")
)]
mod mailbox;
mod network;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "client")]
pub use client::{
    ClientBridge, ClientCommand, ClientEnd, ClientUpdate, Connector, LocalConnector, OutboxFull,
    Reconnect, Target,
};
pub use mailbox::Fence;
pub use network::Network;
#[cfg(feature = "server")]
pub use server::{Audience, MetadataOwner, ServerBridge, ServerCommand, ServerUpdate};
