//! How types are registered.

use bevy::{app::App, utils::prelude::ShortName};

use super::{message::GhostMessage, registered::Registered, registry::MessageRegistry};

/// Registers typed messages with the plugins of this app, on whichever side they are.
pub trait GhostAppExt {
    /// Registers `T` under its short type name (`Chat`, without its modules).
    ///
    /// The other side must have the same: see the [module](crate::typed) for what is
    /// compared, and what is not. What comes back says who may send it; nothing said, both
    /// sides may.
    ///
    /// May be called before or after the plugins are added, and again for the
    /// same type; the order of registrations does not matter.
    ///
    /// # Panics
    /// When another type has that name, or a name with the same number: the
    /// other side could not tell the two apart. Give one of them a name of its
    /// own with [`add_ghost_message_as`](Self::add_ghost_message_as).
    fn add_ghost_message<T: GhostMessage>(&mut self) -> Registered<'_> {
        self.add_ghost_message_as::<T>(&ShortName::of::<T>().to_string())
    }

    /// Registers `T` under `name`, which both sides must use. A version in the name keeps
    /// programs apart that would misunderstand each other.
    ///
    /// # Panics
    /// As [`add_ghost_message`](Self::add_ghost_message).
    fn add_ghost_message_as<T: GhostMessage>(&mut self, name: &str) -> Registered<'_>;

    /// Lets this app speak with programs that register other types: a server that carries
    /// what its clients alone understand, or a tool. Without it a type that one side lacks ends
    /// the connection, and the reason names it.
    ///
    /// Call it before the server starts, or the client connects.
    fn allow_other_ghost_messages(&mut self) -> &mut Self;
}

impl GhostAppExt for App {
    fn add_ghost_message_as<T: GhostMessage>(&mut self, name: &str) -> Registered<'_> {
        let message_type = MessageRegistry::add::<T>(self, name);
        Registered { app: self, message_type }
    }

    fn allow_other_ghost_messages(&mut self) -> &mut Self {
        MessageRegistry::allow_others(self);
        self
    }
}
