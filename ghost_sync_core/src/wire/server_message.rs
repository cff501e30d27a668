//! What servers say.

use bytes::BytesMut;
use wincode::{SchemaRead, SchemaWrite};

use super::{
    ClientId, CloseReason, DecodeError, Delivery, Extension, GapReason, LeaveReason, MemberInfo,
    MessageType, MetadataEntry, Refusal, ResumeFailure, RoomId, RoomSummary, Seat, Secret, Welcome,
    codec::{read, write},
    frame::encode_frame,
    metadata::is_sorted,
};

/// From the server to a client.
///
/// `Broadcast` to `RoomDeleted` are the events of a room: each has the next
/// sequence number of its room, and every member gets the same bytes. What is
/// for one client alone is counted per session ([`is_numbered`](Self::is_numbered)).
#[derive(Clone, Debug, PartialEq, SchemaRead, SchemaWrite)]
pub enum ServerMessage<'a> {
    /// Answers `Hello`.
    Welcome(Welcome<'a>),
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
        meta: Vec<MetadataEntry>,
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
    /// No seat, no list of rooms, or no look at a token: answers the request of that number.
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
    RoomMetadata {
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
    PlayerMetadata {
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
    /// Asks for a [`ClientMessage::Pong`](super::ClientMessage::Pong).
    Ping {
        /// Comes back.
        nonce: u64,
        /// As in [`Received`](Self::Received).
        received: u64,
    },
    /// Answers a [`ClientMessage::Ping`](super::ClientMessage::Ping).
    Pong {
        /// The ping's.
        nonce: u64,
    },
    /// The rooms that the server lists, sorted by name; at most 256.
    RoomList {
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
    /// How many of the client's [requests](super::ClientMessage::is_request) the server
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
    /// The receiver's token expires soon: a fresh one is wanted.
    TokenExpiring {
        /// In so many milliseconds.
        in_ms: u32,
    },
    /// The receiver's fresh token is good, and replaces what the last one allowed.
    Authenticated {
        /// The request's number.
        request: u32,
        /// As in [`Welcome::expires_ms`].
        expires_ms: u32,
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

impl<'a> ServerMessage<'a> {
    /// Whether there is a message with that tag.
    fn is_kind(kind: u8) -> bool {
        kind < 27 || matches!(kind, 29 | 32)
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
            | Self::Authenticated { .. }
            | Self::Spared { .. }
            | Self::RoomList { .. } => true,
            Self::Welcome(_)
            | Self::Close { .. }
            | Self::Broadcast { .. }
            | Self::PlayerJoined { .. }
            | Self::PlayerLeft { .. }
            | Self::PlayerAway { .. }
            | Self::PlayerBack { .. }
            | Self::RoomMetadata { .. }
            | Self::PlayerMetadata { .. }
            | Self::RoomDeleted { .. }
            | Self::Gap { .. }
            | Self::Aside { .. }
            | Self::TokenExpiring { .. }
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
        if let Self::Welcome(welcome) = &message
            && !Extension::are_sorted(&welcome.extensions)
        {
            return Err(DecodeError::UnsortedExtensions(body[0]));
        }
        if message.has_sorted_metadata() {
            Ok(message)
        } else {
            Err(DecodeError::UnsortedMetadata(body[0]))
        }
    }

    fn has_sorted_metadata(&self) -> bool {
        if let Self::Joined { meta, .. } = self {
            is_sorted(meta)
        } else if let Self::PlayerJoined { member, .. } = self {
            is_sorted(&member.meta)
        } else if let Self::Roster { members, .. } = self {
            members.iter().all(|member| is_sorted(&member.meta))
        } else if let Self::RoomList { rooms, .. } = self {
            rooms.iter().all(|room| is_sorted(&room.meta))
        } else {
            true
        }
    }
}
