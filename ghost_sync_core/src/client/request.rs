//! What a client may ask its server for: the one list of it, and how a request is named that
//! was refused.
//!
//! Another kind of request is another [`ClientMessage`](crate::wire::ClientMessage), a variant
//! here, an arm in `session/requests.rs` that encodes it, and a method of
//! [`ClientSender`](super::ClientSender); `ARCHITECTURE.md` ("The shells") names the relay's side.

use std::fmt;

use bytes::Bytes;

use crate::wire::{Delivery, JoinOptions, MessageType, Refusal, RoomName, SendFlags, Token};

/// Something to ask the server for. The methods of a [`Client`](super::Client) make these; a
/// [`ClientBridge`](crate::embed::ClientBridge) is given them as they are.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// A seat.
    Join {
        /// The room.
        room: RoomName,
        /// What else is wanted; of that not the replay when the client joins again by
        /// itself.
        options: JoinOptions,
        /// Whether to ask only where the client is in no room then and has asked for
        /// none. If it is somewhere, nothing is told about this join.
        if_nowhere: bool,
    },
    /// To give a seat up.
    Leave {
        /// The room.
        room: RoomName,
    },
    /// A message to a room.
    Broadcast {
        /// The room; `None` for the one that was joined last.
        room: Option<RoomName>,
        /// How hard to try.
        delivery: Delivery,
        /// Whether to echo, whether to acknowledge.
        flags: SendFlags,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// A message to the server program.
    ToServer {
        /// The room that it is about; `None` for the one that was joined last, or none at all.
        room: Option<RoomName>,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: Bytes,
    },
    /// A change of the own metadata.
    SetMetadata {
        /// The key: 1 to 64 bytes, without control characters.
        key: String,
        /// The new value; `None` removes the key.
        value: Option<String>,
    },
    /// The list of rooms.
    ListRooms,
    /// A look at a fresh token of the same user.
    Authenticate {
        /// The token.
        token: Token,
    },
    /// How long an answer takes.
    Ping,
}

impl Request {
    /// What kind of request it is.
    pub fn kind(&self) -> RequestKind {
        match self {
            Self::Join { .. } => RequestKind::Join,
            Self::Leave { .. } => RequestKind::Leave,
            Self::Broadcast { .. } => RequestKind::Broadcast,
            Self::ToServer { .. } => RequestKind::ToServer,
            Self::SetMetadata { .. } => RequestKind::SetMetadata,
            Self::ListRooms => RequestKind::ListRooms,
            Self::Authenticate { .. } => RequestKind::Authenticate,
            Self::Ping => RequestKind::Ping,
        }
    }

    /// The room that it names, if it names one.
    pub fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Join { room, .. } | Self::Leave { room } => Some(room),
            Self::Broadcast { room, .. } | Self::ToServer { room, .. } => room.as_ref(),
            Self::SetMetadata { .. } | Self::ListRooms | Self::Authenticate { .. } | Self::Ping => {
                None
            }
        }
    }

    /// Whether it is a message, to a room or to the server.
    pub(crate) fn is_message(&self) -> bool {
        self.payload().is_some()
    }

    /// Whether it takes effect in later sessions too, so that it needs none at once.
    pub(crate) fn outlives_sessions(&self) -> bool {
        matches!(
            self,
            Self::Join { .. }
                | Self::Leave { .. }
                | Self::SetMetadata { .. }
                | Self::Authenticate { .. }
        )
    }

    /// What keeping the request costs, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let more = match self {
            Self::Join { options, .. } => options.len(),
            Self::Authenticate { token } => token.0.len(),
            Self::Leave { .. }
            | Self::Broadcast { .. }
            | Self::ToServer { .. }
            | Self::SetMetadata { .. }
            | Self::ListRooms
            | Self::Ping => 0,
        };
        size_of::<Self>() + more + self.payload().map_or(0, Bytes::len)
    }

    /// That it was not even sent, and why.
    pub(crate) fn unsent(&self, reason: Refusal) -> RequestError {
        let (request, room) = (self.kind(), self.room().cloned());
        RequestError { request, room, reference: None, reason }
    }

    fn payload(&self) -> Option<&Bytes> {
        if let Self::Broadcast { payload, .. } | Self::ToServer { payload, .. } = self {
            Some(payload)
        } else {
            None
        }
    }
}

/// The kinds of [`Request`]s, and what a client asks for by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RequestKind {
    /// [`Request::Join`].
    Join,
    /// A seat that the client asked for by itself, in place of one that it had before the
    /// server forgot it: its program asked for nothing, and is in that room no more.
    Rejoin,
    /// [`Request::Leave`].
    Leave,
    /// [`Request::Broadcast`].
    Broadcast,
    /// [`Request::ToServer`].
    ToServer,
    /// [`Request::SetMetadata`].
    SetMetadata,
    /// [`Request::ListRooms`].
    ListRooms,
    /// [`Request::Authenticate`].
    Authenticate,
    /// [`Request::Ping`].
    Ping,
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Join => "join",
            Self::Rejoin => "join again",
            Self::Leave => "leave",
            Self::Broadcast => "broadcast",
            Self::ToServer => "send to server",
            Self::SetMetadata => "set metadata",
            Self::ListRooms => "list rooms",
            Self::Authenticate => "authenticate",
            Self::Ping => "ping",
        })
    }
}

/// Why something that a client asked for was not done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {reason}", self.in_words())]
pub struct RequestError {
    /// What was asked for.
    pub request: RequestKind,
    /// The room that it was about, if it was about one: of a seat given up and of messages
    /// only while the client is in it.
    pub room: Option<RoomName>,
    /// Which message: what [`broadcast`](super::Client::broadcast) or
    /// [`send_to_server`](super::Client::send_to_server) returned. `None` for everything else, and for a message
    /// that a [`ClientBridge`](crate::embed::ClientBridge) could not even send.
    pub reference: Option<u64>,
    /// Why it was not done; says what to change. The server's reason, or
    /// [`NotConnected`](Refusal::NotConnected) or [`Unconfirmed`](Refusal::Unconfirmed),
    /// which only a client itself finds.
    pub reason: Refusal,
}

impl RequestError {
    /// What was asked for, in words for people.
    pub fn in_words(&self) -> String {
        match (self.request, &self.room, self.reference) {
            (RequestKind::Join, Some(room), _) => format!("join {room:?}"),
            (RequestKind::Rejoin, Some(room), _) => format!("join {room:?} again"),
            (kind, _, Some(reference)) => format!("{kind} {reference}"),
            (kind, ..) => kind.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_said_in_words() {
        let room = RoomName::new("lobby").ok();
        for (request, room, reference, words) in [
            (RequestKind::Join, room.clone(), None, "join \"lobby\": not connected"),
            (RequestKind::Rejoin, room.clone(), None, "join \"lobby\" again: not connected"),
            (RequestKind::Leave, room.clone(), None, "leave: not connected"),
            (RequestKind::Broadcast, room, Some(3), "broadcast 3: not connected"),
            (RequestKind::ToServer, None, None, "send to server: not connected"),
            (RequestKind::SetMetadata, None, None, "set metadata: not connected"),
            (RequestKind::ListRooms, None, None, "list rooms: not connected"),
            (RequestKind::Authenticate, None, None, "authenticate: not connected"),
            (RequestKind::Ping, None, None, "ping: not connected"),
        ] {
            let reason = Refusal::NotConnected;
            let error = RequestError { request, room, reference, reason };
            assert_eq!(error.to_string(), words);
        }
    }
}
