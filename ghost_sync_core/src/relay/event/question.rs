//! What the host is asked, and what it may answer.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;

use super::ConnId;
use crate::{
    identity::Identity,
    relay::config::{RoomConfig, Validator},
    wire::{ClientId, MessageType, MetadataEntry, Role, RoomId, RoomName, Seat},
};

/// A question's number; never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AskId(pub u64);

/// A decision of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// Yes, in this way. For other questions than [`Join`](Question::Join) and
    /// [`Greet`](Question::Greet) the same as [`Accept`](Self::Accept).
    Admit(Admission),
    /// Yes, and the room is made with these settings, in place of the
    /// [default ones](crate::relay::RelayConfig::room_defaults). For other questions than
    /// [`CreateRoom`](Question::CreateRoom) the same as [`Accept`](Self::Accept).
    CreateRoom {
        /// The room's settings.
        config: RoomConfig,
    },
    /// Yes, with this payload in place of what the client said: censored, clamped, stamped. For
    /// other questions than [`Relay`](Question::Relay) the same as [`Accept`](Self::Accept).
    AcceptAs {
        /// What is relayed. The sender hears it only if it asked for an echo.
        payload: Bytes,
    },
    /// No; the client is told why.
    Reject {
        /// The reason, for people.
        message: String,
    },
}

/// How somebody is let into a room.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Admission {
    /// What the newcomer is told first, before anything that happens after its join: the
    /// state of the game, say. What each payload is, and its bytes. It waits to be sent like
    /// anything else: all of it should be well below half of
    /// [`outbox_limit`](crate::relay::RelayConfig::outbox_limit).
    pub greeting: Vec<(MessageType, Bytes)>,
    /// As what; by default as a player.
    pub role: Role,
}

impl Verdict {
    /// Yes, and the newcomer is told this first: see [`Admission::greeting`].
    pub fn greet(greeting: Vec<(MessageType, Bytes)>) -> Self {
        Self::Admit(Admission { greeting, ..Admission::default() })
    }

    /// No, because of `message`.
    pub fn reject(message: impl Into<String>) -> Self {
        Self::Reject { message: message.into() }
    }
}

impl From<bool> for Verdict {
    /// `true` accepts; `false` rejects without a reason of its own.
    fn from(accept: bool) -> Self {
        if accept { Self::Accept } else { Self::reject("rejected by the server") }
    }
}

/// What the host is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// May this client connect? Asked after a valid hello.
    Connect {
        /// The connection.
        conn: ConnId,
        /// The id it will have.
        client_id: ClientId,
        /// Where it comes from.
        addr: SocketAddr,
        /// What it brought for the rules.
        data: Bytes,
        /// Its own metadata.
        meta: Vec<MetadataEntry>,
        /// The program that it says it is, for logs; empty if it says nothing.
        user_agent: String,
        /// Who it is, if its token said so.
        identity: Option<Arc<Identity>>,
    },
    /// May this client join?
    Join {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Where it comes from.
        addr: SocketAddr,
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// What it brought for the rules.
        data: Bytes,
        /// As what it would be there.
        role: Role,
        /// Who it is, if its token said so.
        identity: Option<Arc<Identity>>,
    },
    /// May this client's join make the room? The join itself is asked about afterwards.
    CreateRoom {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Where it comes from.
        addr: SocketAddr,
        /// The room's name.
        name: RoomName,
        /// What its join brought for the rules.
        data: Bytes,
        /// As what it would be there.
        role: Role,
        /// Who it is, if its token said so.
        identity: Option<Arc<Identity>>,
        /// How it wants the room to be; `None`: it only joins, and does not know that the
        /// room is missing.
        options: Option<Bytes>,
    },
    /// What is this client told first in a room where it has its seat already? Its program
    /// was started anew and knows nothing. [`Verdict::Admit`] tells it, at the same
    /// place as after a join; any other answer tells nothing and takes nothing away.
    /// Asked where joins are.
    Greet {
        /// The connection; it has no new link yet.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// Where it comes from now.
        addr: SocketAddr,
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// Its seat.
        seat: Seat,
    },
    /// May this be broadcast? Of a room with a validator that is asked, and nobody else; a server
    /// does so by itself.
    Relay {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// The room.
        room: RoomId,
        /// Its name.
        name: RoomName,
        /// The sender's seat.
        seat: Seat,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
        /// Who it is, if its token said so.
        identity: Option<Arc<Identity>>,
        /// What is to check it, in place of the host.
        validator: Option<Validator>,
    },
    /// May this client change its metadata like this? Not asked about what it brings
    /// with its hello: that is in [`Connect`](Self::Connect).
    SetMetadata {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// The key; the server has not set it.
        key: String,
        /// The new value; `None`: the key is to be removed.
        value: Option<String>,
    },
}
