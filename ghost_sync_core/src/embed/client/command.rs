//! What a frame-polled program may tell its client to do.

use crate::client::Request;

/// Something that a client is to do.
///
/// What is said before the first connection is there waits for it, like joins; what is said
/// after a join waits for its answer. Of [`Latest`](crate::wire::Delivery::Latest) values the
/// newest waits, [`Volatile`](crate::wire::Delivery::Volatile) ones do not, and 1 MiB may wait
/// together. What cannot wait is told as
/// [`ServerEvent::Refused`](crate::client::ServerEvent::Refused). Seats and metadata are asked for
/// on later connections too.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientCommand {
    /// Asks the server for something.
    Request(Request),
    /// Says goodbye; nothing follows but
    /// [`Disconnected`](super::ClientUpdate::Disconnected).
    Disconnect,
}

impl ClientCommand {
    /// Whether it says something, to a room or to the server.
    pub(super) fn is_said(&self) -> bool {
        matches!(self, Self::Request(request) if request.is_message())
    }

    /// What keeping the command costs, in bytes.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Request(request) => request.cost(),
            Self::Disconnect => size_of::<Self>(),
        }
    }
}

impl From<Request> for ClientCommand {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

/// The background has not kept up with what was said; the message was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{queued} bytes are waiting to leave: at most {max} are allowed")]
pub struct OutboxFull {
    /// Bytes that wait.
    pub queued: usize,
    /// Bytes that may wait.
    pub max: usize,
}
