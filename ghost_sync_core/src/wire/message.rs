//! What the two sides say to each other. The direction is in the type.

use bytes::BytesMut;
use wincode::{
    SchemaRead, SchemaWrite,
    config::{self, Configuration},
    len::FixIntLen,
};

use super::{
    ClientId, CloseReason, JoinOptions, LeaveReason, MessageType, Meta, Refusal, ResumeFailure,
    RoomId, Seat, frame::encode_frame, meta::is_sorted,
};

/// wincode as the wire uses it: `u8` enum tags, `u32` lengths, little endian,
/// and no allocation above 256 KiB on the word of a length.
type WireConfig = Configuration<
    true,
    { 256 * 1024 },
    FixIntLen<u32>,
    wincode::int_encoding::LittleEndian,
    wincode::int_encoding::FixInt,
    u8,
>;

/// How hard the relay tries to deliver a message.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, SchemaRead, SchemaWrite)]
pub enum Delivery {
    /// Never dropped while the receiver is connected; a receiver that falls too
    /// far behind is disconnected instead. For chat and commands.
    #[default]
    Reliable,
    /// May be dropped when the receiver lags, which it is told. For effects.
    Volatile,
    /// A newer message of the same sender and key replaces an older one that
    /// has not left yet, which the receiver is told. For state.
    Latest(u32),
}

/// What a sender asks for beside delivery, as bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct SendFlags(pub u8);

impl SendFlags {
    /// Nothing beside delivery.
    pub const NONE: Self = Self(0);
    /// Deliver to the sender too.
    pub const ECHO: Self = Self(1);
    /// Answer with [`ServerMessage::Ack`].
    pub const ACK: Self = Self(2);
    /// With [`Delivery::Latest`] only: the message is the last of its key. It is delivered
    /// like others, and then there is no value of that key for newcomers.
    pub const FORGET: Self = Self(4);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all bits are known, and may come with that delivery.
    fn is_valid(self, delivery: Delivery) -> bool {
        let known = Self::ECHO.with(Self::ACK).with(Self::FORGET);
        let forgettable = matches!(delivery, Delivery::Latest(_)) || !self.contains(Self::FORGET);
        known.contains(self) && forgettable
    }
}

/// Why a range of a room's events was not delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
#[non_exhaustive]
pub enum GapReason {
    /// The receiver read too slowly.
    Lagged,
    /// The receiving program did not take its events in time.
    InboxFull,
    /// The room has forgotten what might be dropped. What it still has of the range
    /// follows.
    #[wincode(tag = 3)]
    Forgotten,
}

/// How much of a room's history a join asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub enum Replay {
    /// None of it.
    #[default]
    Nothing,
    /// The last so many events.
    Last(u32),
    /// From this event on, as far as it is kept; nothing if the room was made
    /// anew meanwhile.
    Since {
        /// The room's epoch.
        epoch: u64,
        /// The first event wanted.
        seq: u64,
    },
}

/// What a client shows to take its session up again. Never logged.
#[derive(
    Clone,
    Copy,
    Default,
    Eq,
    PartialEq,
    SchemaRead,
    SchemaWrite,
    serde::Deserialize,
    serde::Serialize,
)]
pub struct Secret(pub [u8; 16]);

impl Secret {
    /// Whether both are the same; takes as long whichever bytes differ.
    pub fn is_same(&self, other: &Self) -> bool {
        u128::from_le_bytes(self.0) ^ u128::from_le_bytes(other.0) == 0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What another process needs to go on with a session, if this one dies: whoever
/// has it is that player. Keep it like a password.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite, serde::Deserialize, serde::Serialize,
)]
pub struct SessionTicket {
    /// Whose session.
    pub client_id: ClientId,
    /// Its newest secret.
    pub secret: Secret,
}

/// How far a client is in a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Progress {
    /// The room.
    pub room: RoomId,
    /// The last event that it was given or told a gap about; one less than the first if
    /// there was none yet.
    pub last: u64,
    /// Numbers up to that event which it found to be own broadcasts, in this stay.
    pub own: u64,
}

/// A member of a room, as rosters show it.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct MemberInfo {
    /// Its number in the room.
    pub seat: Seat,
    /// Its public id.
    pub client_id: ClientId,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<Meta>,
    /// Whether its connection is lost and its seat is held for it.
    pub away: bool,
}

/// A room, as lists show it.
#[derive(Clone, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct RoomSummary {
    /// The name.
    pub name: String,
    /// Players in it now.
    pub players: u32,
    /// Seats; 0 where only the server's own limit holds.
    pub capacity: u32,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<Meta>,
}

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

/// From the server to a client.
///
/// `Broadcast` to `RoomDeleted` are the events of a room: each has the next
/// sequence number of its room, and every member gets the same bytes. What is
/// for one client alone is counted per session ([`is_numbered`](Self::is_numbered)).
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum ServerMessage<'a> {
    /// Answers `Hello`.
    Welcome {
        /// [`VERSION`](super::VERSION) of the server.
        version: u16,
        /// The client's public id.
        client_id: ClientId,
        /// The longest payload that the server takes, in bytes.
        max_payload: u32,
        /// How often the server pings, in milliseconds.
        ping_interval_ms: u32,
        /// How long the server waits for a silent client, in milliseconds.
        idle_timeout_ms: u32,
        /// How long seats are held for a client that lost its connection, in
        /// milliseconds; 0: not at all, and nothing can be resumed.
        resume_grace_ms: u32,
        /// Random, new each time the server starts.
        epoch: u64,
        /// For [`ClientMessage::Resume`].
        secret: Secret,
        /// The rooms in which the client has seats, because the session of an earlier
        /// process goes on. A `Joined` with request 0 follows for each, in this order.
        rooms: Vec<String>,
    },
    /// The last message.
    Close {
        /// Why.
        reason: CloseReason,
    },
    /// A seat in a room. `Roster` messages follow until `members` were listed,
    /// then what the server's rules say to the newcomer (`Direct`), then
    /// `Retained` messages; then the room's events from `since` on.
    Joined {
        /// The request's number.
        request: u32,
        /// The room's number from here on.
        room: RoomId,
        /// The room's name.
        name: &'a str,
        /// Random, new for each incarnation of the room.
        epoch: u64,
        /// The last event that the roster includes (the own join).
        seq: u64,
        /// The first event that follows. Those up to `seq` are history: the
        /// roster and the metadata include them already.
        since: u64,
        /// The own seat.
        seat: Seat,
        /// Seats; 0 where only the server's own limit holds.
        capacity: u32,
        /// How many members the rosters will list, the own seat included.
        members: u32,
        /// Version of the room's metadata.
        meta_version: u64,
        /// The room's metadata, sorted by key.
        meta: Vec<Meta>,
        /// Who had the seats of history that are free now.
        former: Vec<(Seat, ClientId)>,
    },
    /// Members of a room just joined, in the order of their seats.
    Roster {
        /// The room.
        room: RoomId,
        /// Some of the members.
        members: Vec<MemberInfo>,
    },
    /// No seat, or no list of rooms: answers the request of that number.
    JoinRefused {
        /// The request's number.
        request: u32,
        /// Why.
        reason: Refusal,
    },
    /// The receiver is no longer in a room; nothing of that room follows.
    Left {
        /// The room.
        room: RoomId,
        /// Why.
        reason: LeaveReason,
    },
    /// A member, or the server, said something to the room.
    Broadcast {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// Who; stamped by the server.
        sender: Seat,
        /// How hard the relay tries.
        delivery: Delivery,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// Somebody took a seat.
    PlayerJoined {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        member: MemberInfo,
    },
    /// Somebody's seat is free.
    PlayerLeft {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        seat: Seat,
        /// Why.
        reason: LeaveReason,
    },
    /// The room's metadata changed.
    RoomMeta {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// The version after the change.
        version: u64,
        /// The key.
        key: &'a str,
        /// The new value; `None`: removed.
        value: Option<&'a str>,
    },
    /// A member's metadata changed.
    PlayerMeta {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// Whose.
        seat: Seat,
        /// The version after the change.
        version: u64,
        /// The key.
        key: &'a str,
        /// The new value; `None`: removed.
        value: Option<&'a str>,
    },
    /// A member lost its connection; its seat is held for it.
    PlayerAway {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        seat: Seat,
    },
    /// A member that was away is back, and is given what it missed that counts.
    PlayerBack {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// Who.
        seat: Seat,
    },
    /// The room's last event. After a soft delete members keep their seats, but
    /// nothing more can be said; after a hard delete `Left` follows.
    RoomDeleted {
        /// The room.
        room: RoomId,
        /// Its place in the room's order.
        seq: u64,
        /// The reason given.
        message: &'a str,
    },
    /// Events of a room that the receiver will not get.
    Gap {
        /// The room.
        room: RoomId,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
        /// How many of them are the receiver's own broadcasts, or such that it was left out of:
        /// it would not have got them anyway.
        own: u32,
        /// Why.
        reason: GapReason,
    },
    /// From the server program to this client alone (or to some).
    Direct {
        /// The room it is about; `RoomId(0)` for none.
        room: RoomId,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// A broadcast got its place in the order.
    Ack {
        /// The room.
        room: RoomId,
        /// Which of the client's messages.
        reference: u64,
        /// Its place in the room's order.
        seq: u64,
    },
    /// A broadcast or message to the server was not accepted.
    Refused {
        /// The room it was for.
        room: RoomId,
        /// Which of the client's messages; 0 for a request that has no number.
        reference: u64,
        /// Why.
        reason: Refusal,
    },
    /// Asks for a [`ClientMessage::Pong`].
    Ping {
        /// Comes back.
        nonce: u64,
        /// As in [`Received`](Self::Received).
        received: u64,
    },
    /// Answers a [`ClientMessage::Ping`].
    Pong {
        /// The ping's.
        nonce: u64,
    },
    /// The rooms that the server lists, sorted by name; at most 256.
    Rooms {
        /// The request's number.
        request: u32,
        /// How many rooms there are.
        count: u32,
        /// The first of them.
        rooms: Vec<RoomSummary>,
    },
    /// A value of `Latest` that was said before the receiver joined and is still
    /// the newest of its sender and key.
    Retained {
        /// The room.
        room: RoomId,
        /// The place that it had in the room's order.
        seq: u64,
        /// Who; a member, or the server.
        sender: Seat,
        /// The key.
        key: u32,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// How many of the client's [requests](ClientMessage::is_request) the server
    /// has in this session; the client need not keep them any more.
    Received {
        /// How many.
        count: u64,
    },
    /// Answers `Resume`: the session goes on. Numbered messages from the first
    /// that the client has not got follow, and the rooms' events likewise.
    Resumed {
        /// For the next time; the old one is used up.
        secret: Secret,
        /// As in [`Received`](Self::Received); requests after it are to be sent again.
        received: u64,
    },
    /// Answers `Resume`: the session is over. The client may say `Hello`.
    ResumeFailed {
        /// Why.
        reason: ResumeFailure,
    },
    /// As `Direct`, but not numbered: the server gives it up when the client reads too
    /// slowly or a newer one replaces it, and it has no place among other messages.
    #[wincode(tag = 29)]
    Aside {
        /// The room it is about; `RoomId(0)` for none.
        room: RoomId,
        /// How many of these were given up since the last one that was sent; at most so
        /// many are counted as there are numbers.
        missed: u32,
        /// What the payload is.
        message_type: MessageType,
        /// The bytes.
        payload: &'a [u8],
    },
    /// The receiver is left out of so many of the server's broadcasts in the room: their
    /// numbers, which it has not met yet, are to it like those of its own broadcasts.
    #[wincode(tag = 32)]
    Spared {
        /// The room.
        room: RoomId,
        /// How many more than was said before.
        count: u32,
    },
}

/// A frame body that is no message of this direction and version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No message has that tag in this direction.
    #[error("unknown message kind {0}")]
    UnknownKind(u8),
    /// The body has no bytes.
    #[error("empty frame")]
    Empty,
    /// The body goes on after the message.
    #[error("bytes after the end of a message of kind {0}")]
    TrailingBytes(u8),
    /// The body ends too early, or a value in it is not allowed.
    #[error("malformed message of kind {0}")]
    Malformed(u8),
    /// Metadata in it is not sorted by key, or has a key twice.
    #[error("metadata that is not sorted by key, each key once, in a message of kind {0}")]
    UnsortedMeta(u8),
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

impl<'a> ServerMessage<'a> {
    /// Whether there is a message with that tag.
    fn is_kind(kind: u8) -> bool {
        kind < 25 || matches!(kind, 29 | 32)
    }

    /// Whether a server's first message may be of that kind: `Welcome`, `Close`, `Resumed` or
    /// `ResumeFailed`.
    #[cfg(feature = "client")]
    pub(crate) fn may_be_first(kind: u8) -> bool {
        matches!(kind, 0 | 1 | 23 | 24)
    }

    /// Whether it is counted in its session: what is for one client alone and
    /// must arrive, once.
    pub fn is_numbered(&self) -> bool {
        match self {
            Self::Joined { .. }
            | Self::Roster { .. }
            | Self::Retained { .. }
            | Self::JoinRefused { .. }
            | Self::Left { .. }
            | Self::Direct { .. }
            | Self::Ack { .. }
            | Self::Refused { .. }
            | Self::Spared { .. }
            | Self::Rooms { .. } => true,
            Self::Welcome { .. }
            | Self::Close { .. }
            | Self::Broadcast { .. }
            | Self::PlayerJoined { .. }
            | Self::PlayerLeft { .. }
            | Self::PlayerAway { .. }
            | Self::PlayerBack { .. }
            | Self::RoomMeta { .. }
            | Self::PlayerMeta { .. }
            | Self::RoomDeleted { .. }
            | Self::Gap { .. }
            | Self::Aside { .. }
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Received { .. }
            | Self::Resumed { .. }
            | Self::ResumeFailed { .. } => false,
        }
    }

    /// Appends the message as one frame.
    pub fn encode(&self, buf: &mut BytesMut) {
        encode_frame(buf, |buf| write(buf, self));
    }

    /// The message as one frame of its own.
    pub fn to_frame(&self) -> bytes::Bytes {
        let mut buf = BytesMut::new();
        self.encode(&mut buf);
        buf.freeze()
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// [`DecodeError`]; the stream cannot be trusted any more.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let message: Self = read(body, Self::is_kind)?;
        if let Self::JoinRefused { reason, .. } | Self::Refused { reason, .. } = &message
            && reason.is_local()
        {
            return Err(DecodeError::Malformed(body[0]));
        }
        if message.has_sorted_meta() {
            Ok(message)
        } else {
            Err(DecodeError::UnsortedMeta(body[0]))
        }
    }

    fn has_sorted_meta(&self) -> bool {
        if let Self::Joined { meta, .. } = self {
            is_sorted(meta)
        } else if let Self::PlayerJoined { member, .. } = self {
            is_sorted(&member.meta)
        } else if let Self::Roster { members, .. } = self {
            members.iter().all(|member| is_sorted(&member.meta))
        } else if let Self::Rooms { rooms, .. } = self {
            rooms.iter().all(|room| is_sorted(&room.meta))
        } else {
            true
        }
    }
}

fn write<T: SchemaWrite<WireConfig, Src = T>>(buf: &mut BytesMut, message: &T) {
    let size = config::serialized_size(message, WireConfig::new())
        .expect("lengths were checked against limits far below u32");
    let start = buf.len();
    let end = start + usize::try_from(size).expect("messages are far smaller than memory");
    buf.resize(end, 0);
    config::serialize_into(&mut buf[start..end], message, WireConfig::new())
        .expect("the buffer has the size that was computed");
}

fn read<'a, T: SchemaRead<'a, WireConfig, Dst = T>>(
    body: &'a [u8],
    is_kind: fn(u8) -> bool,
) -> Result<T, DecodeError> {
    let kind = *body.first().ok_or(DecodeError::Empty)?;
    if !is_kind(kind) {
        return Err(DecodeError::UnknownKind(kind));
    }
    config::deserialize_exact(body, WireConfig::new()).map_err(|error| {
        if matches!(error, wincode::error::ReadError::TrailingBytes) {
            DecodeError::TrailingBytes(kind)
        } else {
            DecodeError::Malformed(kind)
        }
    })
}
