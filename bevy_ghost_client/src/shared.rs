//! What the plugins of the client and of the server both use.
//!
//! It knows neither of them, so that either may use all of it.

mod away;
mod ended;
pub mod kept;
mod metadata;
mod names;
mod network;
mod program;
pub mod schema;
pub mod states;
mod traffic;
pub mod typed;
mod user;

pub use away::Away;
pub use ended::Ended;
pub use metadata::Metadata;
pub use names::{NamedAs, Names};
pub use network::{GhostNetwork, HostFence};
pub use program::{listen_for_signals, say_without_log, without_window};
pub use traffic::Traffic;
pub use user::User;
