//! What a frame-polled program is told by its client.

use std::{io, sync::Arc, time::Duration};

use crate::{
    client::{ConnectError, ServerEvent, Unconnected},
    wire::{ClientId, DisconnectReason, RoomName, SessionTicket, UserId},
};

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
        /// The user that the server takes it for, as its token says; `None`: nobody in particular.
        user: Option<UserId>,
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
    /// The runtime that did its work has ended: that of the [`Network`](crate::embed::Network), which
    /// belongs to somebody else. Connect over a network that is there.
    #[error("the network has ended")]
    NetworkEnded,
    /// The operating system gave no thread for a [`Network`](crate::embed::Network), so nothing was
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
}

impl From<Unconnected> for ClientEnd {
    fn from(reason: Unconnected) -> Self {
        match reason {
            Unconnected::Connect(error) => error.into(),
            Unconnected::Disconnect(reason) => reason.into(),
        }
    }
}
