//! What happened, as the client's systems and observers learn it.
//!
//! Each fact is a Bevy message of its own type, an event for observers, and one
//! variant of [`GhostClientEvent`], which alone keeps the order across types.

mod connection;
mod messages;
mod players;
mod rooms;

use bevy::prelude::*;

use crate::kept;
pub use connection::{
    Authenticated, Connected, Disconnected, Pong, Reconnecting, Refused, ResumeFailed, Resumed,
    RoomList, TokenExpiring,
};
pub use messages::{Ack, Gap, PayloadReceived, Undecodable, Unsent, UnsentReason};
pub use players::{PlayerAway, PlayerBack, PlayerJoined, PlayerLeft};
pub use rooms::{JoinRefused, Joined, Left, MetadataChanged, RejoinRefused, Rejoined, RoomDeleted};

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
    GhostClientEvent {
        Connected, Reconnecting, Resumed, ResumeFailed, Disconnected, Joined, Rejoined,
        JoinRefused, RejoinRefused, Left, PlayerJoined, PlayerLeft, PlayerAway, PlayerBack, MetadataChanged,
        RoomDeleted, Gap, Ack, Refused, Unsent, Pong, RoomList, TokenExpiring, Authenticated, Undecodable,
    } + PayloadReceived
}

/// Tells a fact everywhere: as a message, in the ordered stream, to observers.
pub(crate) fn publish<'a, E>(world: &mut World, fact: E)
where
    E: Clone + Event<Trigger<'a>: Default> + Into<GhostClientEvent> + Message,
{
    world.write_message(fact.clone());
    world.write_message::<GhostClientEvent>(fact.clone().into());
    world.trigger(fact);
    // What observers do about it is done when the next fact comes.
    world.flush();
}
