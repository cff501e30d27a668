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

mod app_ext;
mod check;
mod codec;
mod directions;
mod enable;
mod envelopes;
mod greeting;
mod heard;
mod message;
mod order;
mod payload;
mod registered;
mod registry;
mod type_fns;

pub use app_ext::GhostAppExt;
pub use codec::Raw;
pub use directions::Side;
pub use envelopes::{
    Broadcast, FromConnection, FromPlayer, FromRoom, FromServer, Sender, ToConnection, ToEveryone,
    ToPlayer, ToRoom, ToServer,
};
pub use greeting::Greeting;
pub use heard::{GhostReader, Heard};
pub use message::GhostMessage;
pub use order::Stamp;
pub use payload::{
    Arrival, ClientOrigin, ClientPayload, ClientRecipient, ServerOrigin, ServerPayload,
    ServerRecipient, Unencodable, Unreadable,
};
pub use registered::Registered;
pub use registry::MessageRegistry;
