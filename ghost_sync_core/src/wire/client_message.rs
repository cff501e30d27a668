//! What clients say.

use bytes::BytesMut;
use wincode::{SchemaRead, SchemaWrite};

use super::{
    ClientId, CloseReason, DecodeError, Delivery, JoinOptions, MessageType, Meta, Progress, RoomId,
    Secret, SendFlags, SessionTicket,
    codec::{read, write},
    frame::encode_frame,
    meta::is_sorted,
};

/// From a client to the server.
///
/// `Broadcast` and `Send` are counted from 1 in each session; that count is
/// their *reference* in [`ServerMessage::Ack`] and [`ServerMessage::Refused`].
/// All requests ([`is_request`](Self::is_request)) are counted too: a session that
/// is taken up again goes on after the last one that the server has.
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum ClientMessage<'a> {
    /// The first message.
    Hello {
        /// [`MAGIC`](super::MAGIC).
        magic: [u8; 4],
        /// [`VERSION`](super::VERSION) of the client.
        version: u16,
        /// [`Protocol::hash`](super::Protocol::hash) of the client;
        /// [`Protocol::UNCHECKED`](super::Protocol::UNCHECKED) if it fits every server.
        protocol: u64,
        /// For the server's rules: a ticket, a token.
        data: &'a [u8],
        /// The client's own metadata, such as a display name: sorted by key, each
        /// [key](super::check_meta_key) once.
        meta: Vec<Meta>,
        /// The session of an earlier process that this one goes on with, if the
        /// server still holds it: `Welcome` has its id then, and a `Joined` with
        /// request 0 follows for each of its rooms. Else a new session begins.
        session: Option<SessionTicket>,
    },
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
    Send {
        /// The room it is about; `RoomId(0)` for none.
        room: RoomId,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// Asks for a [`ServerMessage::Pong`].
    Ping {
        /// Comes back.
        nonce: u64,
    },
    /// Answers a [`ServerMessage::Ping`].
    Pong {
        /// The ping's.
        nonce: u64,
        /// As in [`Received`](Self::Received).
        received: u64,
    },
    /// Changes the client's own metadata.
    SetMeta {
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
    Resume {
        /// [`MAGIC`](super::MAGIC).
        magic: [u8; 4],
        /// [`VERSION`](super::VERSION) of the client.
        version: u16,
        /// The server's epoch, from [`ServerMessage::Welcome`].
        epoch: u64,
        /// Whose session.
        client_id: ClientId,
        /// The newest secret of that session.
        secret: Secret,
        /// Rises with each resume that the client sends, so that one which was
        /// long under way does not take the session from a later one.
        attempt: u32,
        /// As in [`Received`](Self::Received).
        received: u64,
        /// The rooms that the client is in, each once, and how far it is there.
        rooms: Vec<Progress>,
    },
    /// How many of the server's [numbered](ServerMessage::is_numbered) messages
    /// arrived in this session; the server need not keep them any more.
    Received {
        /// How many.
        count: u64,
    },
}

impl<'a> ClientMessage<'a> {
    /// Whether there is a message with that tag.
    fn is_kind(kind: u8) -> bool {
        kind < 12
    }

    /// Whether it counts as a request: all but pings, their answers, and what
    /// opens, confirms or ends.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Join { .. }
            | Self::Leave { .. }
            | Self::Broadcast { .. }
            | Self::Send { .. }
            | Self::SetMeta { .. }
            | Self::ListRooms { .. } => true,
            Self::Hello { .. }
            | Self::Resume { .. }
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
        if let Self::Hello { meta, .. } = &message
            && !is_sorted(meta)
            && !planted!("unsorted-metadata-taken")
        {
            return Err(DecodeError::UnsortedMeta(body[0]));
        }
        Ok(message)
    }
}
