//! What a frame-polled program is told.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    client::{ConnectError, ServerEvent, retry_after},
    relay::{AskId, ConnId, CreateRoomError, MetaError, Question, RelayEvent, SendError},
    server::BindError,
    wire::{ClientId, DisconnectReason, MessageType, RoomName, SessionTicket},
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
        /// Why; says what to change. [`SendError::RoomNotFound`] where the room is gone by now.
        error: SendError,
    },
    /// Metadata was not set or removed. Comes after what had happened before.
    MetaRefused {
        /// Whose.
        of: MetaOwner,
        /// The key.
        key: String,
        /// The value that it was to have; `None`: it was to be removed.
        value: Option<String>,
        /// Why; says what to change. [`MetaError::RoomNotFound`] and
        /// [`MetaError::ClientNotFound`] where they are gone by now.
        error: MetaError,
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
pub enum MetaOwner {
    /// A room.
    Room(RoomName),
    /// A client.
    Client(ConnId),
}

/// Something that a client's program is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientUpdate {
    /// An attempt to connect begins.
    Connecting {
        /// How many failed before it in a row.
        attempt: u32,
    },
    /// There is a connection, or the server has greeted this client anew after
    /// [`ServerEvent::ResumeFailed`]. Rooms from before are joined again by themselves,
    /// which [`ServerEvent::Joined`] says with `rejoined`.
    Connected {
        /// The own id; another one each time, unless the session of an earlier process
        /// goes on.
        client_id: ClientId,
        /// The rooms in which that has seats, if it goes on: for each,
        /// [`ServerEvent::Joined`] follows. `None`: a new session.
        resumed: Option<Vec<RoomName>>,
    },
    /// What another process needs to go on as this client, should this one die;
    /// `None` where the server holds no sessions. Told when it changes.
    Ticket {
        /// For [`ClientBuilder::session`](crate::client::ClientBuilder::session).
        ticket: Option<SessionTicket>,
    },
    /// Something happened.
    Event(ServerEvent),
    /// There is no connection (any more). One that is only
    /// [replaced](ServerEvent::Reconnecting) counts as being there.
    Disconnected {
        /// Why.
        reason: ClientEnd,
        /// When the next attempt begins; `None`: never, and nothing follows.
        retry_in: Option<Duration>,
    },
}

/// Why a client has no connection.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientEnd {
    /// It could not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection ended.
    #[error(transparent)]
    Disconnect(#[from] DisconnectReason),
    /// The program asked for it.
    #[error("disconnected on request")]
    Requested,
    /// The runtime that did its work has ended: that of the [`Network`](super::Network), which
    /// belongs to somebody else. Connect over a network that is there.
    #[error("the network has ended")]
    NetworkEnded,
    /// The operating system gave no thread for a [`Network`](super::Network), so nothing was
    /// dialled. Too many are running; end some and connect again.
    #[error("no network thread could be started: {0}")]
    NoThread(Arc<io::Error>),
}

impl ClientEnd {
    /// Whether another attempt may succeed without anybody changing anything.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Connect(error) => error.may_retry(),
            Self::Disconnect(reason) => reason.may_reconnect(),
            Self::Requested | Self::NetworkEnded | Self::NoThread(_) => false,
        }
    }

    /// How long the server asks to wait before that, if it does.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => error.retry_after(),
            Self::Disconnect(reason) => retry_after(reason),
            Self::Requested | Self::NetworkEnded | Self::NoThread(_) => None,
        }
    }
}
