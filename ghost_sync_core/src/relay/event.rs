//! What goes into the relay and what comes out of it.

mod question;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use question::{Admission, AskId, Question, Verdict};

use crate::{
    identity::Identity,
    wire::{
        AuthError, ClientId, CloseReason, LeaveReason, MessageType, MetadataEntry, RoomId,
        RoomName, Seat, Token,
    },
};

pub use crate::wire::DisconnectReason;

slotmap::new_key_type! {
    /// A connection's key in one relay; never reused. A connection outlives its
    /// link when its session is held.
    pub struct ConnId;

    /// A link's key in one relay: one socket, say. Never reused.
    pub struct LinkId;
}

/// What happens to a relay.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came over a link.
    Bytes {
        /// Which.
        link: LinkId,
        /// What.
        bytes: &'a [u8],
    },
    /// A link is gone; its socket is closed already.
    Disconnected {
        /// Which.
        link: LinkId,
        /// Why.
        reason: DisconnectReason,
    },
    /// The host decided.
    Answer {
        /// About what.
        ask: AskId,
        /// How.
        verdict: Verdict,
    },
    /// A token was verified.
    Identity {
        /// As in [`Output::Verify`].
        ask: AskId,
        /// Whose it is, or what is wrong with it.
        identity: Result<Box<Identity>, AuthError>,
    },
    /// Time passed.
    Tick,
}

/// What a relay wants done, beside writing bytes.
#[derive(Debug)]
pub enum Output {
    /// The host should know.
    Event(RelayEvent),
    /// The host should decide, and answer with [`Input::Answer`].
    Ask {
        /// The number for the answer.
        ask: AskId,
        /// About what.
        question: Question,
        /// An answer at or after this time is too late.
        deadline: Instant,
    },
    /// Whose token is this? Answer with [`Input::Identity`]; no answer within
    /// [`ask_timeout`](super::RelayConfig::ask_timeout) keeps the client out for now. Asked only
    /// as [`HostConfig::auth`](super::HostConfig::auth) says.
    Verify {
        /// The number for the answer.
        ask: AskId,
        /// The id that the client has, or will have.
        client_id: ClientId,
        /// Where it comes from.
        addr: SocketAddr,
        /// The token: bytes that nobody has looked at.
        token: Token,
    },
    /// The link is over: close its socket and forget it.
    Disconnect {
        /// Which.
        link: LinkId,
    },
}

impl DisconnectReason {
    /// Whether a session that loses its link for this reason may be held.
    pub(super) fn may_resume(&self) -> bool {
        match self {
            Self::Closed(reason) => matches!(
                reason,
                CloseReason::IdleTimeout { .. }
                    | CloseReason::PingTimeout { .. }
                    | CloseReason::SlowConsumer { .. }
                    | CloseReason::RateLimited { .. }
                    | CloseReason::TokenExpired
            ),
            Self::ConnectionClosed | Self::ConnectionReset | Self::ConnectionLost(_) => true,
        }
    }

    pub(super) fn as_leave(&self) -> LeaveReason {
        match self {
            Self::Closed(CloseReason::Kicked { message }) => {
                LeaveReason::Kicked { message: message.clone() }
            }
            Self::Closed(CloseReason::Banned { message, .. }) => {
                LeaveReason::Banned { message: message.clone() }
            }
            Self::Closed(CloseReason::SlowConsumer { .. }) => LeaveReason::TooSlow,
            Self::Closed(CloseReason::IdleTimeout { .. } | CloseReason::PingTimeout { .. }) => {
                LeaveReason::TimedOut
            }
            Self::Closed(CloseReason::Requested) => LeaveReason::Left,
            Self::Closed(_)
            | Self::ConnectionClosed
            | Self::ConnectionReset
            | Self::ConnectionLost(_) => LeaveReason::Disconnected,
        }
    }
}

/// What happened in a relay, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RelayEvent {
    /// A handshake is complete.
    ConnectionOpened {
        /// The connection.
        conn: ConnId,
        /// Its public id.
        client_id: ClientId,
        /// Where it comes from.
        addr: SocketAddr,
        /// Its own metadata.
        meta: Vec<MetadataEntry>,
        /// Who it is, if its token said so.
        identity: Option<Arc<Identity>>,
    },
    /// A client has shown another token, which says from here on what it may.
    TokenReplaced {
        /// The connection.
        conn: ConnId,
        /// Its public id.
        client_id: ClientId,
        /// Who it is; the user is as before.
        identity: Arc<Identity>,
    },
    /// A connection that had been opened is over.
    ConnectionClosed {
        /// The connection.
        conn: ConnId,
        /// Its public id.
        client_id: ClientId,
        /// Why.
        reason: DisconnectReason,
    },
    /// A connection lost its link; its seats are held for it.
    ConnectionLost {
        /// The connection.
        conn: ConnId,
        /// Its public id.
        client_id: ClientId,
        /// Why.
        reason: DisconnectReason,
    },
    /// A connection has a link again.
    ConnectionResumed {
        /// The connection.
        conn: ConnId,
        /// Its public id.
        client_id: ClientId,
        /// Where it comes from now.
        addr: SocketAddr,
        /// Whether the program there is another one, which was told its rooms as they are
        /// now. Else it is the same, and is given what it missed.
        restarted: bool,
    },
    /// A connection ended before its handshake was complete.
    HandshakeFailed {
        /// Where it came from.
        addr: SocketAddr,
        /// Why.
        reason: DisconnectReason,
    },
    /// There is a new room.
    RoomCreated {
        /// Its number.
        room: RoomId,
        /// Its name.
        name: RoomName,
    },
    /// A room takes no more joins and messages; its name is free.
    RoomDeleted {
        /// Its number.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// Why.
        message: String,
    },
    /// A room has as many players as it has seats.
    RoomFilled {
        /// Its number.
        room: RoomId,
        /// Its name.
        name: RoomName,
    },
    /// A room that was full has a seat again.
    RoomHasSpace {
        /// Its number.
        room: RoomId,
        /// Its name.
        name: RoomName,
    },
    /// The last player left a room.
    RoomEmptied {
        /// Its number.
        room: RoomId,
        /// Its name.
        name: RoomName,
    },
    /// A client has a seat.
    PlayerJoined {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The seat.
        seat: Seat,
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// What it brought for the rules.
        data: Bytes,
        /// Who it is, if its token said so.
        identity: Option<Arc<Identity>>,
    },
    /// A seat is free again.
    PlayerLeft {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The seat.
        seat: Seat,
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Why.
        reason: LeaveReason,
    },
    /// A player's connection is lost; the seat is held.
    PlayerAway {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The seat.
        seat: Seat,
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
    },
    /// A player that was away is back.
    PlayerBack {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The seat.
        seat: Seat,
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Whether its program is another one than before, which knows nothing but what
        /// [`Question::Greet`] told it. Else it is the same, and is given what it missed.
        restarted: bool,
    },
    /// The host accepted a join that then could not happen.
    JoinAbandoned {
        /// The room's name.
        name: RoomName,
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Why.
        reason: LeaveReason,
    },
    /// Messages for a slow client were dropped; it is told.
    Lagged {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The seat.
        seat: Seat,
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// How many messages.
        dropped: u64,
    },
    /// A broadcast was relayed in an observed room.
    Broadcast {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The sender's seat.
        seat: Seat,
        /// The sender's connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Its place in the room's order.
        seq: u64,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// A client said something to the host.
    Message {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// The room it is about, and the sender's seat there.
        room: Option<(RoomId, RoomName, Seat)>,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// A room's metadata changed.
    RoomMetadataChanged {
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The version after the change.
        version: u64,
        /// The key.
        key: String,
        /// The new value; `None`: removed.
        value: Option<String>,
    },
    /// A client's metadata changed.
    ClientMetadataChanged {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// The version after the change.
        version: u64,
        /// The key.
        key: String,
        /// The new value; `None`: removed.
        value: Option<String>,
    },
    /// A ping was answered.
    Rtt {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// There and back.
        rtt: Duration,
    },
}
