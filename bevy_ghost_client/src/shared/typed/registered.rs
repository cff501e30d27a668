//! What may be said about a type when it is registered.

use std::ops::{Deref, DerefMut};

use bevy::app::App;
use ghost_sync_core::wire::{Direction, MessageType};

use super::registry::MessageRegistry;

/// A type that was just registered: says who may say it, and else is the app.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// # #[derive(SchemaRead, SchemaWrite)]
/// # struct Chat(String);
/// # #[derive(SchemaRead, SchemaWrite)]
/// # struct Score(u32);
/// # #[derive(SchemaRead, SchemaWrite)]
/// # struct Move(f32);
/// fn protocol(app: &mut App) {
///     app.add_ghost_message::<Chat>(); // from players and from the server
///     app.add_ghost_message::<Score>().from_server();
///     app.add_ghost_message::<Move>().from_clients();
/// }
/// # protocol(&mut App::new());
/// ```
#[derive(Debug)]
pub struct Registered<'a> {
    pub(super) app: &'a mut App,
    pub(super) message_type: MessageType,
}

impl<'a> Registered<'a> {
    /// The server alone says it. The server refuses a client that does, and no system of
    /// this app is shown what a client said of it.
    ///
    /// # Panics
    /// When it was registered as one that clients alone say.
    pub fn from_server(self) -> &'a mut App {
        self.only(Direction::FromServer)
    }

    /// Clients alone say it: to each other, or to the server.
    ///
    /// # Panics
    /// When it was registered as one that the server alone says.
    pub fn from_clients(self) -> &'a mut App {
        self.only(Direction::FromClients)
    }

    fn only(self, direction: Direction) -> &'a mut App {
        let mut registry = self.app.world_mut().resource_mut::<MessageRegistry>();
        registry.direct(self.message_type, direction);
        self.app
    }
}

impl Deref for Registered<'_> {
    type Target = App;

    fn deref(&self) -> &App {
        self.app
    }
}

impl DerefMut for Registered<'_> {
    fn deref_mut(&mut self) -> &mut App {
        self.app
    }
}
