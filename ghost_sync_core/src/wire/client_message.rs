//! What clients say.

use bytes::BytesMut;
use wincode::{SchemaRead, SchemaWrite};

use super::{
    CloseReason, DecodeError, Delivery, Extension, Hello, JoinOptions, MessageType, Resume, RoomId,
    SendFlags, Token,
    codec::{read, write},
    frame::encode_frame,
    metadata::is_sorted,
};

/// From a client to the server.
///
/// `Broadcast` and `ToServer` are counted from 1 in each session; that count is their *reference* in
/// [`Ack`](super::ServerMessage::Ack) and [`Refused`](super::ServerMessage::Refused).
/// All requests ([`is_request`](Self::is_request)) are counted too: a session that
/// is taken up again goes on after the last one that the server has.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum ClientMessage<'a> {
    /// The first message.
    Hello(Hello<'a>),
    /// Asks for a seat.
    Join {
        /// Comes back in the answer.
        request: u32,
        /// The room's name.
        room: &'a str,
        /// What else is wanted.
        options: JoinOptions<&'a [u8]>,
    },
    /// Gives a seat up.
    Leave {
        /// The room.
        room: RoomId,
    },
    /// To everybody else in a room.
    Broadcast {
        /// The room.
        room: RoomId,
        /// How hard to try.
        delivery: Delivery,
        /// What else is asked for.
        flags: SendFlags,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// To the server program.
    ToServer {
        /// The room it is about; `RoomId(0)` for none.
        room: RoomId,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// Asks for a [`ServerMessage::Pong`](super::ServerMessage::Pong).
    Ping {
        /// Comes back.
        nonce: u64,
    },
    /// Answers a [`ServerMessage::Ping`](super::ServerMessage::Ping).
    Pong {
        /// The ping's.
        nonce: u64,
        /// As in [`Received`](Self::Received).
        received: u64,
    },
    /// Changes the client's own metadata.
    SetMetadata {
        /// The key.
        key: &'a str,
        /// The new value; `None` removes the key.
        value: Option<&'a str>,
        /// Only if the metadata is at this version.
        if_version: Option<u64>,
    },
    /// Asks for the list of rooms.
    ListRooms {
        /// Comes back in the answer.
        request: u32,
    },
    /// The last message.
    Close {
        /// Why.
        reason: CloseReason,
    },
    /// In place of `Hello`: takes a session up again.
    Resume(Resume<'a>),
    /// How many of the server's [numbered](super::ServerMessage::is_numbered) messages
    /// arrived in this session; the server need not keep them any more.
    Received {
        /// How many.
        count: u64,
    },
    /// Shows a fresh token, of the same user, before the last one expires. Answered by
    /// [`Authenticated`](super::ServerMessage::Authenticated).
    Authenticate {
        /// Comes back in the answer.
        request: u32,
        /// As in [`Hello::token`].
        token: Token<&'a [u8]>,
    },
}

impl<'a> ClientMessage<'a> {
    /// Whether there is a message with that tag.
    fn is_kind(kind: u8) -> bool {
        kind < 13
    }

    /// Whether a message of that kind, which is not known here, is a request: it counts like
    /// others, and is answered that it is not supported.
    pub(crate) fn is_unknown_request(kind: u8) -> bool {
        !Self::is_kind(kind) && kind < 128
    }

    /// Whether it counts as a request: all but pings, their answers, and what
    /// opens, confirms or ends.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::Broadcast { .. }
            | Self::ToServer { .. }
            | Self::SetMetadata { .. }
            | Self::ListRooms { .. }
            | Self::Authenticate { .. } => true,
            Self::Hello(_)
            | Self::Resume(_)
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Received { .. }
            | Self::Close { .. } => false,
        }
    }

    /// Appends the message as one frame.
    pub fn encode(&self, buf: &mut BytesMut) {
        encode_frame(buf, |buf| write(buf, self));
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// [`DecodeError`]; the stream cannot be trusted any more.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let message: Self = read(body, Self::is_kind)?;
        if let Self::Broadcast { flags, delivery, .. } = &message
            && !flags.is_valid(*delivery)
        {
            return Err(DecodeError::Malformed(body[0]));
        }
        if let Self::Hello(hello) = &message {
            if !is_sorted(&hello.meta) && !planted!("unsorted-metadata-taken") {
                return Err(DecodeError::UnsortedMetadata(body[0]));
            }
            if !Extension::are_sorted(&hello.extensions) {
                return Err(DecodeError::UnsortedExtensions(body[0]));
            }
        }
        Ok(message)
    }
}
