//! What a server's systems ask the plugin for: `commands.trigger(Kick::new(player, "cheating"))`.
//!
//! Ends without words need none of these: despawn the entity.

mod access;

use std::time::Duration;

use bevy::prelude::*;

pub use access::{Ban, BanTarget, Revoke, Unban};

/// Asks to put a player out of its room, with words for it; it stays connected. It cannot join that
/// room again for [`kick_bar`](crate::RelayConfig::kick_bar), 10 s by default; a [`Ban`] keeps it
/// out for longer.
#[derive(Clone, Debug, EntityEvent, Reflect)]
pub struct Kick {
    /// The entity with [`Player`](crate::Player).
    #[event_target]
    pub player: Entity,
    /// Why, for the people there.
    pub message: String,
}

impl Kick {
    /// Puts that player out.
    pub fn new(player: Entity, message: impl Into<String>) -> Self {
        Self { player, message: message.into() }
    }
}

/// Asks to cut a connection, with words for the client, which will not come back by itself. It
/// cannot connect again for [`kick_bar`](crate::RelayConfig::kick_bar), 10 s by default; a [`Ban`]
/// keeps it out for longer.
#[derive(Clone, Debug, EntityEvent, Reflect)]
pub struct DisconnectClient {
    /// The entity with [`Connection`](crate::Connection).
    #[event_target]
    pub connection: Entity,
    /// Why, for the people there.
    pub message: String,
}

impl DisconnectClient {
    /// Cuts that connection.
    pub fn new(connection: Entity, message: impl Into<String>) -> Self {
        Self { connection, message: message.into() }
    }
}

/// Asks to close a room, with words for its players, who stay connected.
#[derive(Clone, Debug, EntityEvent, Reflect)]
pub struct CloseRoom {
    /// The entity with [`Room`](crate::Room).
    #[event_target]
    pub room: Entity,
    /// Why, for the people there.
    pub message: String,
}

impl CloseRoom {
    /// Closes that room.
    pub fn new(room: Entity, message: impl Into<String>) -> Self {
        Self { room, message: message.into() }
    }
}

/// Asks to change what everybody in a room may know about the room, or about a connection's client.
///
/// A key of a client that was set or removed like this is the server's from then on: the
/// client cannot change it.
#[derive(Clone, Debug, EntityEvent, Reflect)]
pub struct SetMetadata {
    /// The entity with [`Room`](crate::Room) or [`Connection`](crate::Connection).
    pub entity: Entity,
    /// 1 to 64 bytes, without control characters.
    pub key: String,
    /// The new value; `None` removes the key.
    pub value: Option<String>,
}

impl SetMetadata {
    /// Sets a value.
    pub fn new(entity: Entity, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { entity, key: key.into(), value: Some(value.into()) }
    }
}

/// Asks to start the server as [`ServerConfig`](crate::ServerConfig) says. Does
/// nothing unless it is [`Stopped`](crate::ServerState::Stopped).
#[derive(Clone, Copy, Debug, Event, Reflect)]
pub struct StartServer;

/// Asks to stop the server: clients are told, and get what is under way to them.
///
/// Room entities stay, and open again when the server starts again. The app goes on, but for
/// one with the [`ExitWhenStoppedPlugin`](crate::ExitWhenStoppedPlugin), such as those with
/// [`DedicatedServerPlugins`](crate::DedicatedServerPlugins).
#[derive(Clone, Debug, Event, Reflect)]
pub struct StopServer {
    /// Why, for the people there; empty by default: that it stops they are told anyway.
    pub message: String,
    /// How long clients may take to get what is under way to them; 5 s by default.
    pub deadline: Duration,
}

impl Default for StopServer {
    fn default() -> Self {
        Self { message: String::new(), deadline: Duration::from_secs(5) }
    }
}
