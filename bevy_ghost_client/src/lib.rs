//! Rooms of a Ghost Sync server in a Bevy app: the client.

pub mod typed;

pub use typed::{
    Broadcast, FromRoom, FromServer, GhostAppExt, GhostMessage, MessageRegistry, Raw, ToServer,
};

/// What most clients import.
pub mod prelude {
    pub use crate::{Broadcast, FromRoom, FromServer, GhostAppExt, Raw, ToServer};
    pub use wincode::{SchemaRead, SchemaWrite};
}
