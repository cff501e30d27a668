//! What a frame-polled program is told by its server.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use crate::{
    identity::{RevocationsFull, Revoke},
    relay::{
        AskId, BanClientError, ConnId, CreateRoomError, MetadataError, Question, RelayEvent,
        ServerSendError, TooManyBans, Who,
    },
    server::BindError,
    wire::{ClientId, MessageType, RoomName},
};

/// Something that a server's program is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerUpdate {
    /// The server runs. Comes first, unless it failed.
    Started {
        /// Where it listens; `None`: nowhere.
        addr: Option<SocketAddr>,
    },
    /// The server could not be started, or the network ended before it was; nothing follows.
    Failed(BindError),
    /// Something happened.
    Event(RelayEvent),
    /// Something must be decided: [`Answer`](super::ServerCommand::Answer).
    Ask {
        /// The number for the answer.
        ask: AskId,
        /// About what.
        question: Question,
        /// After this time the answer is no.
        expires_in: Duration,
    },
    /// A room was not made.
    RoomRefused {
        /// The name that it was to have.
        name: RoomName,
        /// Why.
        error: CreateRoomError,
    },
    /// A message of the program was said to nobody. Comes after what had happened before.
    Unsent {
        /// For whom it was.
        to: Audience,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
        /// Why; says what to change. [`ServerSendError::RoomNotFound`] where the room is gone by now.
        error: ServerSendError,
    },
    /// Metadata was not set or removed. Comes after what had happened before.
    MetadataRefused {
        /// Whose.
        of: MetadataOwner,
        /// The key.
        key: String,
        /// The value that it was to have; `None`: it was to be removed.
        value: Option<String>,
        /// Why; says what to change. [`MetadataError::RoomNotFound`] and
        /// [`MetadataError::ClientNotFound`] where they are gone by now.
        error: MetadataError,
    },
    /// Nobody was banned.
    BanRefused {
        /// Whom it was to keep out.
        who: Who,
        /// Why.
        error: TooManyBans,
    },
    /// A client was not banned.
    BanClientRefused {
        /// As the command had it.
        tag: u64,
        /// Why. [`BanClientError::ClientNotFound`] where it is gone by now.
        error: BanClientError,
    },
    /// No ban was ended: there is none of exactly that.
    UnbanRefused {
        /// Whose it was to be.
        who: Who,
    },
    /// Tokens were not called back for later; sessions that were opened with them are ended.
    RevokeRefused {
        /// Which.
        revoke: Revoke,
        /// Why.
        error: RevocationsFull,
    },
    /// What a client said, or changed of its metadata, was left out here: it said more
    /// than its share of what may wait until the program takes its updates. What others
    /// said is there. Comes after what is there of that client, and before its end.
    Missed {
        /// The connection.
        conn: ConnId,
        /// Who.
        client_id: ClientId,
        /// How many messages and changes.
        messages: u64,
    },
    /// The server has stopped, by itself or with the network; nothing follows.
    Stopped,
}

/// For whom a message of a server's program was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Audience {
    /// Those in a room.
    Room(RoomName),
    /// Some clients.
    Clients {
        /// Which.
        conns: Vec<ConnId>,
        /// The room that it was about.
        room: Option<RoomName>,
    },
    /// Every client.
    Everybody,
}

/// Whose metadata a server's program wanted to change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MetadataOwner {
    /// A room.
    Room(RoomName),
    /// A client.
    Client(ConnId),
}
