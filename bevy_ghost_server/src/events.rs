//! What happened, as the server's systems and observers learn it.
//!
//! Each fact is a Bevy message of its own type, an event for observers (of all
//! rooms, or of the one they are attached to), and one variant of
//! [`GhostServerEvent`], which alone keeps the order across types.

mod access;
mod connections;
mod messages;
mod players;
mod rooms;

use bevy::prelude::*;
use bevy_ghost_client::kept;

pub use access::{BanRefusal, BanRefused, RevokeRefusal, RevokeRefused};
pub use connections::{
    ConnectionClosed, ConnectionOpened, ServerFailed, ServerStarted, ServerStopped, StartError,
};
pub use messages::{Missed, PayloadReceived, Undecodable, Unsent, UnsentReason};
pub use players::{Lagged, PlayerAway, PlayerBack, PlayerJoined, PlayerLeft};
pub use rooms::{
    MetadataChanged, MetadataRefused, RoomClosed, RoomEmptied, RoomFilled, RoomHasSpace,
    RoomOpened, RoomRefused,
};

macro_rules! stream {
    ($(#[$doc:meta])* $stream:ident { $($fact:ident,)* } + $payload:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Message, Reflect)]
        #[reflect(opaque)]
        #[non_exhaustive]
        pub enum $stream {
            $(#[doc = concat!("See [`", stringify!($fact), "`].")] $fact($fact),)*
            #[doc = concat!("See [`", stringify!($payload), "`].")]
            $payload($payload),
        }

        $(impl From<$fact> for $stream {
            fn from(fact: $fact) -> Self {
                Self::$fact(fact)
            }
        })*

        pub(crate) fn register(app: &mut App) {
            kept::add_message::<$stream>(app);
            app.register_type::<$stream>();
            $(kept::add_message::<$fact>(app);
            app.register_type::<$fact>();)*
        }
    };
}

stream! {
    /// Everything that happened, in the order in which it did.
    ///
    /// For code that must not mix up the order of facts of different types, such
    /// as a recorder. Whoever cares for one type reads that type.
    GhostServerEvent {
        ServerStarted, ServerFailed, ServerStopped, ConnectionOpened, ConnectionClosed, RoomOpened,
        RoomRefused, RoomFilled, RoomHasSpace, RoomEmptied, RoomClosed, PlayerJoined, PlayerLeft, PlayerAway, PlayerBack, Lagged, MetadataChanged, MetadataRefused, BanRefused, RevokeRefused, Missed,
        Unsent, Undecodable,
    } + PayloadReceived
}

/// Tells a fact everywhere: as a message, in the ordered stream, to observers.
pub(crate) fn publish<'a, E>(world: &mut World, fact: E)
where
    E: Clone + Event<Trigger<'a>: Default> + Into<GhostServerEvent> + Message,
{
    world.write_message(fact.clone());
    world.write_message::<GhostServerEvent>(fact.clone().into());
    world.trigger(fact);
    // What observers do about it is done when the next fact, or question, comes.
    world.flush();
}
