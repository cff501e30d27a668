//! Layer 3: a relay on Tokio. Knows sockets, timers and the program's rules;
//! what happens in rooms is decided by [`relay`](crate::relay).
//!
//! [`Server::builder`] sets it up, [`Server::run`] starts it, and the
//! [`ServerHandle`] that it gives is the way to everything else. A
//! [`ServerHandler`] answers questions and hears what happens.

mod accept;
mod alarm;
mod auth;
mod bans_file;
mod builder;
mod connection;
mod driver;
mod error;
mod extensions;
mod handle;
mod handler;
mod hooks;
mod senders;
mod service;
mod shard;
mod shares;
mod sink;
mod socket;
mod start;
mod trace_log;
mod validate;
mod writer;

pub use auth::{Auth, Authenticator};
pub use bans_file::BansFileError;
pub use builder::ServerBuilder;
pub use error::{AcceptError, BindError};
pub use handle::{MetadataSnapshot, ServerHandle};
pub use handler::{AsyncServerHandler, ConnectInfo, JoinInfo, NoopHandler, ServerHandler};
pub use start::Server;

#[cfg(feature = "client")]
pub(crate) use accept::accept_all;
pub(crate) use shares::{Part, Shares};
pub(crate) use sink::Sink;
