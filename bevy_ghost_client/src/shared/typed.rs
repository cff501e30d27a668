//! Typed messages: what a program says over the wire, as Rust types.
//!
//! Register each type once, in a function that the server and the client share:
//!
//! ```
//! use bevy::prelude::*;
//! use bevy_ghost_client::prelude::*;
//!
//! #[derive(SchemaRead, SchemaWrite)]
//! struct Chat(String);
//!
//! fn protocol(app: &mut App) {
//!     app.add_ghost_message::<Chat>();
//! }
//! # protocol(&mut App::new());
//! ```
//!
//! (What the derives write needs `wincode` among the dependencies.)
//!
//! A type that one side alone says is registered so, and taken from nobody else:
//! `app.add_ghost_message::<Score>().from_server()`, or `.from_clients()`; see [`Registered`].
//!
//! On connecting, both sides compare the **names** and directions of their types, and the sizes of
//! those whose encoding has a fixed size: a type that one side lacks is named, unless the app
//! [allows that](GhostAppExt::allow_other_ghost_messages). `Chat(String)` and `Chat(String, u32)` pass
//! for the same: what cannot be read is left out and told as `Undecodable`, what can be
//! read by chance is not told at all. When such a type changes, change its name:
//!
//! ```
//! # use bevy::prelude::*;
//! # use bevy_ghost_client::prelude::*;
//! # #[derive(SchemaRead, SchemaWrite)]
//! # struct Chat(String);
//! fn protocol(app: &mut App) {
//!     app.add_ghost_message_as::<Chat>("Chat 2");
//! }
//! # protocol(&mut App::new());
//! ```
//!
//! A client then writes [`Broadcast<Chat>`] or [`ToServer<Chat>`] and reads
//! [`FromRoom<Chat>`] or [`FromServer<Chat>`]; a server reads [`FromPlayer<Chat>`]
//! and writes [`ToRoom<Chat>`], [`ToPlayer<Chat>`] and the like. All of them are
//! ordinary Bevy messages, made with `new` and what follows it: each notes when it was made, so
//! that messages of different types leave in the order in which a frame wrote them.
//!
//! Bevy's own types (`Vec3`, `Transform`, ...) are fields of messages as [`schema`](crate::schema) says.

mod check;
mod codec;
mod directions;
mod ends;
mod envelopes;
mod heard;
mod order;
mod parcels;
mod registered;
mod registry;
mod words;

use bevy::{app::App, utils::prelude::ShortName};
use wincode::{SchemaRead, SchemaWrite, config::DefaultConfig};

pub use codec::Raw;
pub use directions::Side;
pub use envelopes::{
    Broadcast, FromConnection, FromPlayer, FromRoom, FromServer, Sender, ToConnection, ToEveryone,
    ToPlayer, ToRoom, ToServer,
};
pub use heard::{GhostReader, Heard};
pub use order::Stamp;
pub use parcels::{
    Arrival, ClientOrigin, ClientParcel, ClientReceiver, ServerOrigin, ServerParcel,
    ServerReceiver, Unencodable, Unreadable,
};
pub use registered::Registered;
pub use registry::MessageRegistry;
pub use words::Words;

/// A type that can be sent: anything owned that wincode reads and writes.
///
/// Implemented by itself for what derives `SchemaRead` and `SchemaWrite`.
pub trait GhostMessage:
    SchemaWrite<DefaultConfig, Src = Self>
    + for<'de> SchemaRead<'de, DefaultConfig, Dst = Self>
    + Send
    + Sync
    + 'static
{
}

impl<T> GhostMessage for T where
    T: SchemaWrite<DefaultConfig, Src = T>
        + for<'de> SchemaRead<'de, DefaultConfig, Dst = T>
        + Send
        + Sync
        + 'static
{
}

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
