//! What happened, as the server's systems and observers learn it.
//!
//! Each fact is a Bevy message of its own type, an event for observers (of all
//! rooms, or of the one they are attached to), and one variant of
//! [`GhostServerEvent`], which alone keeps the order across types.

use std::{net::SocketAddr, sync::Arc};

use bevy::prelude::*;
use bevy_ghost_client::{kept, typed::ServerReceiver};
use bytes::Bytes;
use ghost_sync_core::wire::{ClientId, LeaveReason, MessageType, RoomName, Seat};

use crate::{BindError, CreateRoomError, DisconnectReason, MetaError};

/// The server takes connections.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ServerStarted {
    /// Where it listens; `None` for connections of this process only.
    pub addr: Option<SocketAddr>,
}

/// The server could not start.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ServerFailed {
    /// Why; its `Display` is for people.
    pub reason: StartError,
}

/// Why a server could not start.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen where it should, or its settings make no sense.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operating system gives no thread for the network.
    #[error("no network thread: {0}")]
    NoThread(Arc<std::io::Error>),
}

/// The server takes no connections any more, and all are closed.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ServerStopped;

/// A client is connected; its entity is there.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct ConnectionOpened {
    /// The connection's entity.
    #[event_target]
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// Where it dialled from.
    pub addr: SocketAddr,
}

/// A client is gone: it said goodbye, was cut, or lost its connection and had no seat that
/// is held for it (any more, see [`PlayerAway`]). The entity still is there to the end of the frame, as
/// [`Ended`](crate::Ended), unless it was despawned to cut it.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct ConnectionClosed {
    /// The entity that the connection was.
    #[event_target]
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// Why.
    pub reason: DisconnectReason,
}

/// Clients can join a room.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomOpened {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
}

/// A room could not be opened; its entity goes at the end of the frame, unless it is open
/// under another name: then it stays as it is.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomRefused {
    /// The entity.
    #[event_target]
    pub room: Entity,
    /// The name.
    pub room_name: RoomName,
    /// Why; its `Display` is for people.
    pub reason: CreateRoomError,
}

/// The last player has left a room, which stays.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomEmptied {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
}

/// A room is gone. The entity still is there to the end of the frame, as
/// [`Ended`](crate::Ended), unless it was despawned to close it.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomClosed {
    /// The entity that the room was.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The reason given.
    pub message: String,
}

/// A client has a seat in a room. The player's entity and its components are there to
/// the end of the frame, even if the client is gone already.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerJoined {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The player's entity.
    pub player: Entity,
    /// The entity of its connection.
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// What the client said with its request.
    pub data: Bytes,
}

/// A seat is free. Told once for each [`PlayerJoined`], whatever the end was.
///
/// Who loses the connection does not leave yet: that is [`PlayerAway`] first, and this
/// only when [`resume_grace`](crate::ServerConfig::resume_grace) is over, with the reason
/// for the loss.
///
/// The player's entity still is there to the end of the frame, as
/// [`Ended`](crate::Ended), unless the server's own systems despawned it (or its
/// room, or its connection).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerLeft {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The entity that the player was.
    pub player: Entity,
    /// The entity of its connection.
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// The seat that it had.
    pub seat: Seat,
    /// Why.
    pub reason: LeaveReason,
}

/// A player has lost its connection; its seat is held. Its entity and that of its
/// connection are [`Away`](crate::Away). [`PlayerBack`] follows, or, after
/// [`resume_grace`](crate::ServerConfig::resume_grace), [`PlayerLeft`].
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerAway {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The player's entity.
    pub player: Entity,
    /// The entity of its connection.
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
}

/// A player that was away is back, on the same entities.
///
/// Its program is the one it was, and is given what it missed, unless it is
/// [`restarted`](Self::restarted).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerBack {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The player's entity.
    pub player: Entity,
    /// The entity of its connection.
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Whether its program was started anew, so that it knows nothing of the room but who
    /// is there, the newest values, and what [`GreetRequest`](crate::GreetRequest) told it.
    pub restarted: bool,
}

/// A player was too slow for some of its room's messages and was told that they are missing.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Lagged {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The player's entity.
    pub player: Entity,
    /// Messages that it does not get.
    pub dropped: u64,
}

/// [`Metadata`](crate::Metadata) of a room or a connection has changed.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataChanged {
    /// The room's or the connection's entity.
    pub entity: Entity,
    /// The key.
    pub key: String,
    /// The new value; `None`: removed.
    pub value: Option<String>,
    /// The version after the change.
    pub version: u64,
}

/// A client said more, while a frame lasted, than its share of what may wait: its latest
/// payloads (or changes of its metadata), which systems will not see. Players got what
/// was theirs, and what other clients said is there. Comes after everything that is there
/// of that client.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Missed {
    /// The connection's entity.
    #[event_target]
    pub connection: Entity,
    /// The client's public id.
    pub client_id: ClientId,
    /// How many.
    pub messages: u64,
}

/// A message that a system wrote is not sent: to anybody.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Unsent {
    /// For whom it was.
    pub to: ServerReceiver,
    /// What it is.
    pub message_type: MessageType,
    /// The bytes; none where it could not be written as bytes.
    pub payload: Bytes,
    /// Why.
    pub reason: UnsentReason,
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Reflect, thiserror::Error)]
#[non_exhaustive]
pub enum UnsentReason {
    /// Start the server first, and say nothing after [`StopServer`](crate::StopServer).
    #[error("the server does not run")]
    NotRunning,
    /// The room, the player or the connection is not there (any more).
    #[error("it is for nobody")]
    Gone,
    /// The type is [registered](crate::GhostAppExt::add_ghost_message) as one that clients
    /// alone say; the log names it.
    #[error("it is said by clients alone")]
    SaidByClients,
    /// Split it, or raise [`max_payload`](crate::ServerConfig::max_payload).
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Leave fewer out, or say it to those alone who are to hear it.
    #[error("a message to a room can leave {max} players out, not more")]
    TooManyLeftOut {
        /// The limit.
        max: usize,
    },
    /// It cannot be written as bytes: a list in it is too long, say. The log has why.
    #[error("it cannot be encoded")]
    Unencodable,
}

/// Metadata of a room or a connection that a system has set is not what clients are told:
/// the component is what it was before.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataRefused {
    /// The room's or the connection's entity.
    pub entity: Entity,
    /// The key.
    pub key: String,
    /// The value that it was to have; `None`: none.
    pub value: Option<String>,
    /// Why; its `Display` is for people.
    pub reason: MetaError,
}

/// A payload came, whether its type is registered or not.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct PayloadReceived {
    /// The connection's entity.
    pub connection: Entity,
    /// Player and room, if it came from or about a room.
    pub seat: Option<(Entity, Entity)>,
    /// Place in the room's order, if the room has heard it.
    pub seq: Option<u64>,
    /// What it is.
    pub message_type: MessageType,
    /// The bytes.
    pub payload: Bytes,
}

/// A payload came whose bytes are no value of the type that it claims to be. It is left out.
/// Told after everything that came in one go with it.
///
/// Programs of different versions, usually: on connecting, only the names and fixed
/// sizes of types are compared. Or somebody tries what happens.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Undecodable {
    /// The connection's entity.
    #[event_target]
    pub connection: Entity,
    /// Player and room, if it came from or about a room.
    pub seat: Option<(Entity, Entity)>,
    /// The name under which the type is registered.
    pub type_name: String,
    /// The bytes.
    pub payload: Bytes,
}

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
        RoomRefused, RoomEmptied, RoomClosed, PlayerJoined, PlayerLeft, PlayerAway, PlayerBack, Lagged, MetadataChanged, MetadataRefused, Missed,
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
