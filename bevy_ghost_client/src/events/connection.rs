//! The connection, and answers to what was asked of it.

use std::time::Duration;

use bevy::prelude::*;
use ghost_sync_core::wire::{ClientId, Refusal, ResumeFailure, RoomName, RoomSummary};

use crate::{ClientEnd, CloseReason, ConnectError, DisconnectReason};

/// The server has greeted this client; rooms can be joined. Told again, without a
/// [`Disconnected`] in between, when it greets it anew after [`ResumeFailed`].
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Connected {
    /// The id that others will see; a new one each time, unless the session of an earlier
    /// process goes on.
    pub client_id: ClientId,
    /// The rooms in which that has seats, if it goes on
    /// ([`Connect::session`](crate::Connect::session)): for each, [`Joined`](crate::Joined) and
    /// [`Rejoined`](crate::Rejoined) follow. `None`: this client is somebody new.
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
/// ([`Connected`]) and asks for its rooms again: [`Rejoined`](crate::Rejoined) follows where it
/// is let in, [`Left`](crate::Left) elsewhere. [`Refused`] tells of messages that may or may not
/// have arrived, but not of positions and effects ([`latest`](crate::Broadcast::latest) and
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
///
/// What the server has said is a [`CloseReason`](crate::CloseReason), in
/// [`close_reason`](Self::close_reason). After
/// [`TokenExpired`](crate::CloseReason::TokenExpired) the seats are held: connect with a fresh token
/// and [`GhostClient::ticket`](crate::GhostClient::ticket) to go on.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::{CloseReason, prelude::*};
/// fn say_why(ended: On<Disconnected>) {
///     match ended.close_reason() {
///         Some(CloseReason::Unauthenticated { why }) => println!("log in again: {why}"),
///         Some(CloseReason::TokenExpired) => println!("log in again"),
///         Some(CloseReason::Banned { message, .. }) => println!("you are banned: {message}"),
///         Some(CloseReason::TooManyLinks { .. }) => println!("you play elsewhere"),
///         _ => println!("{}", ended.reason),
///     }
/// }
/// # App::new().add_observer(say_why);
/// ```
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Disconnected {
    /// Why; its `Display` is for people.
    pub reason: ClientEnd,
    /// When the next attempt follows by itself; `None` if none does.
    pub retry_in: Option<Duration>,
}

impl Disconnected {
    /// What the server said of this client as it closed the connection, or let none come about.
    /// `None` where it said nothing, and for what is about the server: it is full, its rules said
    /// no, it has another version ([`ConnectError`]).
    pub fn close_reason(&self) -> Option<CloseReason> {
        match &self.reason {
            ClientEnd::Connect(ConnectError::Unauthenticated { why }) => {
                Some(CloseReason::Unauthenticated { why: *why })
            }
            ClientEnd::Connect(ConnectError::Banned { message, left }) => {
                let for_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
                Some(CloseReason::Banned { message: message.clone(), for_ms })
            }
            ClientEnd::Connect(ConnectError::TooManyLinks { max }) => {
                Some(CloseReason::TooManyLinks { max: *max })
            }
            ClientEnd::Connect(ConnectError::Disconnected(DisconnectReason::Closed(reason)))
            | ClientEnd::Disconnect(DisconnectReason::Closed(reason)) => Some(reason.clone()),
            ClientEnd::Connect(_)
            | ClientEnd::Disconnect(_)
            | ClientEnd::Requested
            | ClientEnd::NetworkEnded
            | ClientEnd::NoThread(_)
            | _ => None,
        }
    }
}

/// The own token ends soon, and with it the connection: show a fresh one with
/// [`Authenticate`](crate::Authenticate). Told once for each token, 30 s before its end, or when a
/// fifth of its time is left, if that is less.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct TokenExpiring {
    /// How long it is good from now on.
    pub left: Duration,
}

/// Answers [`Authenticate`](crate::Authenticate): the fresh token is good.
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Authenticated {
    /// For how long from now on; `None`: for ever.
    pub lasts: Option<Duration>,
}

/// The server did not do what was asked for (other than to join, which is
/// [`JoinRefused`](crate::JoinRefused)).
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Refused {
    /// What, in words for people.
    pub request: String,
    /// The room's entity, if it was about one that this client is in.
    pub room: Option<Entity>,
    /// Which broadcast or message to the server, counted as in [`Ack`](crate::Ack).
    pub reference: Option<u64>,
    /// Why; its `Display` is for people.
    pub reason: Refusal,
}

/// Answers [`Ping`](crate::Ping), and tells what the plugin measures by itself
/// ([`GhostClientPlugin::ping_every`](crate::GhostClientPlugin::ping_every)).
#[derive(Clone, Debug, Event, Message, Reflect)]
#[reflect(opaque)]
pub struct Pong {
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
