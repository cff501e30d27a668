//! What happened, as the client's systems and observers learn it.
//!
//! Each fact is a Bevy message of its own type, an event for observers, and one
//! variant of [`GhostClientEvent`], which alone keeps the order across types.

use std::time::Duration;

use bevy::prelude::*;
use bytes::Bytes;
use ghost_sync_core::{
    relay::DisconnectReason,
    wire::{
        ClientId, GapReason, LeaveReason, MessageType, Refusal, ResumeFailure, RoomName,
        RoomSummary, Seat,
    },
};

use crate::{ClientEnd, kept, typed::Sender};

/// The server has greeted this client; rooms can be joined. Told again, without a
/// [`Disconnected`] in between, when it greets it anew after [`ResumeFailed`].
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Connected {
    /// The id that others will see; a new one each time, unless the session of an earlier
    /// process goes on.
    pub client_id: ClientId,
    /// The rooms in which that has seats, if it goes on ([`Connect::session`](crate::Connect::session)):
    /// for each, [`Joined`] and [`Rejoined`] follow. `None`: this client is somebody new.
    pub resumed: Option<Vec<RoomName>>,
}

/// The link is lost, and another one is looked for. The server holds the seats for a
/// while: this client stays in its rooms and [`Connected`](crate::ClientState::Connected),
/// and what is written leaves later. [`Resumed`], [`ResumeFailed`] or [`Disconnected`]
/// says how it ends.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Reconnecting {
    /// Why; its `Display` is for people.
    pub reason: DisconnectReason,
}

/// There is a link again and nothing was missed: what happened meanwhile follows, and
/// what was written is carried out once.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Resumed;

/// There is a link again, but the server has forgotten this client. It gets another id
/// ([`Connected`]) and asks for its rooms again: [`Rejoined`] follows where it is let in,
/// [`Left`] elsewhere. [`Refused`] tells of messages that may or may not have arrived, but
/// not of positions and effects ([`latest`](crate::Broadcast::latest) and
/// [`volatile`](crate::Broadcast::volatile)), unless they were to be acknowledged.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct ResumeFailed {
    /// Why; its `Display` is for people.
    pub reason: ResumeFailure,
}

/// There is no connection any more, or the attempt to get one failed. This
/// client is in no room any more when observers hear this. Not told while the link is
/// lost but the seats are held: that is [`Reconnecting`]. Nor of a connection that the game
/// itself replaces with another [`Connect`](crate::Connect).
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Disconnected {
    /// Why; its `Display` is for people.
    pub reason: ClientEnd,
    /// When the next attempt follows by itself; `None` if none does.
    pub retry_in: Option<Duration>,
}

/// This client has a seat in a room; the room's entity and all its members are there.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Joined {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The own member entity.
    pub player: Entity,
    /// The own seat.
    pub seat: Seat,
}

/// This client asked for a seat by itself, in place of one that it has lost, and got it.
/// What was said meanwhile is lost. [`Left`] (of the old entity) and [`Joined`] were told
/// before: a game that heeds those may ignore this.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Rejoined {
    /// The room's entity, which is new.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The own member entity.
    pub player: Entity,
    /// The own seat.
    pub seat: Seat,
    /// The entity that the room was until now: there with its members to the end of the
    /// frame, as [`Ended`](crate::Ended). `None` when it went earlier, with
    /// [`Disconnected`].
    pub former: Option<Entity>,
}

/// This client asked for a seat by itself, in place of one that it has lost, and did not get
/// it: after a restart the server may not have that room. It is there no more, and in no room
/// at all where it may be in one only: back to the lobby.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// fn back_to_the_lobby(_: On<RejoinRefused>, mut commands: Commands) {
///     commands.trigger(Join::new("lobby"));
/// }
/// # App::new().add_observer(back_to_the_lobby);
/// ```
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct RejoinRefused {
    /// The room.
    pub room_name: RoomName,
    /// Why; its `Display` is for people.
    pub reason: Refusal,
}

/// The server gave no seat, or could not even be asked: the text is no room name, or there is
/// no connection any more.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct JoinRefused {
    /// The room asked for, as it was asked for.
    pub room_name: String,
    /// Why; its `Display` is for people.
    pub reason: Refusal,
}

/// This client's seat in a room is gone. The entity still is there to the end of the
/// frame, as [`Ended`](crate::Ended), unless it was despawned to leave.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Left {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// Why.
    pub reason: LeaveReason,
}

/// Somebody else took a seat in a room that this client is in. The member's entity is
/// there to the end of the frame, even if it has left again.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerJoined {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The new member's entity.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// Somebody else's seat is free. The member's entity still is there to the end of the
/// frame, as [`Ended`](crate::Ended).
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerLeft {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The entity that the member was.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat that it had.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
    /// Why.
    pub reason: LeaveReason,
}

/// Somebody else has lost the connection; the seat is held, and the member's entity is
/// [`Away`](crate::Away). [`PlayerBack`] or [`PlayerLeft`] follows.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerAway {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The member's entity.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// Somebody else who was away is back, and has missed nothing.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct PlayerBack {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The member's entity.
    pub player: Entity,
    /// Who.
    pub client_id: ClientId,
    /// The seat.
    pub seat: Seat,
    /// Place in the room's order.
    pub seq: u64,
}

/// [`Metadata`](crate::Metadata) of a room or a member has changed.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct MetadataChanged {
    /// The room's or the member's entity.
    pub entity: Entity,
    /// The key.
    pub key: String,
    /// The new value; `None`: removed.
    pub value: Option<String>,
    /// The version after the change.
    pub version: u64,
}

/// A room was deleted; nothing more can be said there. [`Left`] follows, unless
/// members keep their seats for now.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomDeleted {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The reason given.
    pub message: String,
}

/// Events of a room that this client will not get: it was too slow for them.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Gap {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// The room's name.
    pub room_name: RoomName,
    /// The first missing place in the room's order.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// How many of them are own broadcasts, which would not have come anyway.
    pub own: u64,
    /// Why.
    pub reason: GapReason,
}

/// An [`acknowledged`](crate::Broadcast::acknowledged) broadcast got its place.
#[derive(Clone, Debug, EntityEvent, Message, Reflect)]
#[reflect(opaque)]
pub struct Acked {
    /// The room's entity.
    #[event_target]
    pub room: Entity,
    /// Which: broadcasts and messages to the server are counted from 1 on each connection.
    pub reference: u64,
    /// Place in the room's order.
    pub seq: u64,
}

/// The server did not do what was asked for (other than to join, which is [`JoinRefused`]).
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Refused {
    /// What, in words for people.
    pub request: String,
    /// The room's entity, if it was about one that this client is in.
    pub room: Option<Entity>,
    /// Which broadcast or message to the server, counted as in [`Acked`].
    pub reference: Option<u64>,
    /// Why.
    pub reason: Refusal,
}

/// A message that a system wrote did not leave.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Unsent {
    /// What it was: its type and its bytes; `None` if only the network thread could tell
    /// that it would not go.
    pub message: Option<(MessageType, Bytes)>,
    /// Why.
    pub reason: UnsentReason,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Reflect, thiserror::Error)]
#[non_exhaustive]
pub enum UnsentReason {
    /// Wait for [`Connected`].
    #[error("not connected")]
    NotConnected,
    /// Join a room first, or the room is gone.
    #[error("not in that room")]
    NotInRoom,
    /// More waits to leave than the outbox may hold; send again later.
    #[error("the outbox is full")]
    OutboxFull,
    /// The type is [registered](crate::GhostAppExt::add_ghost_message) as one that the
    /// server alone says; the log names it.
    #[error("it is said by the server alone")]
    SaidByServer,
    /// It cannot be written as bytes: a list in it is too long, say. The log has why.
    #[error("it cannot be encoded")]
    Unencodable,
    /// Split it, or raise `max_payload` of the server.
    #[error("a payload of {len} bytes is too large: at most {max} are allowed")]
    TooLarge {
        /// Its length in bytes.
        len: u32,
        /// The limit in bytes.
        max: u32,
    },
}

/// Answers [`Ping`](crate::Ping), and tells what the plugin measures by itself
/// ([`GhostClientPlugin::ping_every`](crate::GhostClientPlugin::ping_every)).
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Pinged {
    /// From the network thread to the server and back.
    pub rtt: Duration,
}

/// Answers [`ListRooms`](crate::ListRooms).
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct RoomList {
    /// How many rooms there are, including those not listed here.
    pub count: u32,
    /// The first of them, sorted by name.
    pub rooms: Vec<RoomSummary>,
}

/// A payload came, whether its type is registered or not.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct PayloadReceived {
    /// The room's entity, if it came from or about one.
    pub room: Option<Entity>,
    /// Who said it.
    pub sender: Sender,
    /// Place in the room's order, if it has one.
    pub seq: Option<u64>,
    /// Whether it was said before this client joined.
    pub replay: bool,
    /// What it is.
    pub message_type: MessageType,
    /// The bytes.
    pub payload: Bytes,
}

/// A payload came whose bytes are no value of the type that it claims to be. It is left out.
/// Told after everything that came in one go with it.
///
/// Programs of different versions, usually: on connecting, only the names and fixed
/// sizes of types are compared.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Undecodable {
    /// The name under which the type is registered.
    pub type_name: String,
    /// The room's entity, if it came from or about one.
    pub room: Option<Entity>,
    /// Who said it.
    pub sender: Sender,
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
    GhostClientEvent {
        Connected, Reconnecting, Resumed, ResumeFailed, Disconnected, Joined, Rejoined,
        JoinRefused, RejoinRefused, Left, PlayerJoined, PlayerLeft, PlayerAway, PlayerBack, MetadataChanged,
        RoomDeleted, Gap, Acked, Refused, Unsent, Pinged, RoomList, Undecodable,
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
