//! What a client is told, in the words of its program: names and ids instead
//! of the wire's room numbers.

mod look;
mod sender;

use std::time::Duration;

use bytes::Bytes;

use crate::wire::{
    ClientId, Delivery, DisconnectReason, GapReason, LeaveReason, MemberInfo, MessageType,
    MetadataEntry, ResumeFailure, RoomId, RoomName, RoomSummary, Seat,
};

use super::{RequestError, Unconnected};
pub(super) use look::member_cost;
pub use sender::Sender;

/// Something that happened, as [`Client::recv`](super::Client::recv) returns it.
///
/// Events of one room come in the room's one order; an event that this client
/// does not get is covered by a [`Gap`](Self::Gap).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// This client has a seat. Answers [`join`](super::Client::join).
    Joined {
        /// The own id.
        client_id: ClientId,
        /// The room.
        room: RoomName,
        /// The room's number on this connection.
        room_id: RoomId,
        /// Random, new for each incarnation of the room.
        epoch: u64,
        /// The room's event that `members` and `meta` are up to (the own join).
        seq: u64,
        /// The own seat.
        seat: Seat,
        /// Seats; `None` where only the server's own limit holds.
        capacity: Option<u32>,
        /// Everybody in the room, this client included, in the order of their seats.
        members: Vec<MemberInfo>,
        /// Version of the room's metadata.
        meta_version: u64,
        /// The room's metadata, sorted by key.
        meta: Vec<MetadataEntry>,
        /// Whether the client asked by itself, after [`ResumeFailed`](Self::ResumeFailed):
        /// what was said meanwhile is lost.
        rejoined: bool,
    },
    /// This client asked for a seat in a room where it has one: it keeps that, and nothing
    /// else happens. Answers [`join`](super::Client::join) in place of
    /// [`Joined`](Self::Joined), which was told before: where the client was just joining
    /// again by itself, that is how its program learns that both have become one.
    AlreadyJoined {
        /// The room.
        room: RoomName,
    },
    /// The own token expires soon: show a fresh one with
    /// [`authenticate`](super::Client::authenticate).
    TokenExpiring {
        /// In so much time.
        left: Duration,
    },
    /// The fresh token is good. Answers [`authenticate`](super::Client::authenticate).
    Authenticated {
        /// For how long; `None`: for ever.
        lasts: Option<Duration>,
    },
    /// What was asked for was not done; the connection goes on.
    Refused(RequestError),
    /// This client has no seat in that room any more.
    Left {
        /// The room.
        room: RoomName,
        /// Why.
        reason: LeaveReason,
    },
    /// Somebody else took a seat.
    PlayerJoined {
        /// Who.
        client_id: ClientId,
        /// The room.
        room: RoomName,
        /// Its seat.
        seat: Seat,
        /// Place in the room's order.
        seq: u64,
        /// Version of its metadata.
        meta_version: u64,
        /// Its metadata, sorted by key.
        meta: Vec<MetadataEntry>,
        /// The user that it is, as its token says; empty: nobody in particular, or the server
        /// does not show it.
        user: String,
    },
    /// Somebody else's seat is free.
    PlayerLeft {
        /// Who.
        client_id: ClientId,
        /// The room.
        room: RoomName,
        /// The seat that it had.
        seat: Seat,
        /// Place in the room's order.
        seq: u64,
        /// Why.
        reason: LeaveReason,
    },
    /// A member, or the server, said something to the room.
    Broadcast {
        /// Who.
        sender: Sender,
        /// The room.
        room: RoomName,
        /// Place in the room's order.
        seq: u64,
        /// Whether it was said before this client joined: history, or a value
        /// that is still the newest of its sender and key. Nothing else of that
        /// time is told.
        replay: bool,
        /// How hard the relay tries to deliver it.
        delivery: Delivery,
        /// What `data` is.
        message_type: MessageType,
        /// The bytes.
        data: Bytes,
    },
    /// The server program said something to this client (and perhaps to some others).
    Direct {
        /// The room that it is about, if it is about one.
        room: Option<RoomName>,
        /// `None`: it was said reliably, and nothing of that kind is ever missed. Else it
        /// might have been lost, has no place among other messages, and so many of its kind
        /// were given up since the last one, by the server or here, because this client was
        /// too slow or a newer one replaced them. What was on its way when a connection was
        /// lost is not counted.
        missed: Option<u32>,
        /// What `data` is.
        message_type: MessageType,
        /// The bytes.
        data: Bytes,
    },
    /// The room's metadata changed.
    RoomMetadata {
        /// The room.
        room: RoomName,
        /// Place in the room's order.
        seq: u64,
        /// The version after the change.
        version: u64,
        /// The key.
        key: String,
        /// The new value; `None`: removed.
        value: Option<String>,
    },
    /// A member's metadata changed; the own too.
    PlayerMetadata {
        /// Whose.
        client_id: ClientId,
        /// The room.
        room: RoomName,
        /// Its seat.
        seat: Seat,
        /// Place in the room's order.
        seq: u64,
        /// The version after the change.
        version: u64,
        /// The key.
        key: String,
        /// The new value; `None`: removed.
        value: Option<String>,
    },
    /// A member lost its connection; its seat is held for it. This client too:
    /// it is told once it is back.
    PlayerAway {
        /// Who.
        client_id: ClientId,
        /// The room.
        room: RoomName,
        /// Its seat.
        seat: Seat,
        /// Place in the room's order.
        seq: u64,
    },
    /// A member that was away is back, and has missed nothing; this client too.
    PlayerBack {
        /// Who.
        client_id: ClientId,
        /// The room.
        room: RoomName,
        /// Its seat.
        seat: Seat,
        /// Place in the room's order.
        seq: u64,
    },
    /// The room is gone. Whoever was in it keeps the seat until
    /// [`Left`](Self::Left), but nothing more can be said there.
    RoomDeleted {
        /// The room.
        room: RoomName,
        /// Place in the room's order; its last event.
        seq: u64,
        /// The reason given.
        message: String,
    },
    /// Events of a room that this client will not get.
    Gap {
        /// The room.
        room: RoomName,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// How many of them are own broadcasts, or such that the server left this client out
        /// of: it would not have got them anyway.
        own: u64,
        /// Why.
        reason: GapReason,
    },
    /// An own broadcast got its place in the room's order: everybody who stays
    /// in the room will get it, or be told a gap.
    Ack {
        /// The room.
        room: RoomName,
        /// What [`broadcast`](super::Client::broadcast) returned.
        reference: u64,
        /// Place in the room's order.
        seq: u64,
    },
    /// Answers [`ping`](super::Client::ping).
    Pong {
        /// From asking to the answer, the way through this process included.
        rtt: Duration,
    },
    /// Answers [`list_rooms`](super::Client::list_rooms).
    RoomList {
        /// How many rooms there are, including those not listed here.
        count: u32,
        /// The first of them, sorted by name.
        rooms: Vec<RoomSummary>,
    },
    /// The connection is lost, and the client tries to get another one. Requests
    /// wait meanwhile, within [`outbox_limit`](super::ClientBuilder::outbox_limit). Of
    /// `Latest` broadcasts the newest of each room and key waits, and `Volatile` ones are
    /// not said at all, nor are those that had not arrived; what is to be acknowledged
    /// always waits.
    Reconnecting {
        /// Why it was lost.
        reason: DisconnectReason,
    },
    /// There is a connection again, and nothing was missed: what happened
    /// meanwhile follows, and what was asked for is done once.
    Resumed,
    /// There is a connection again, but the server has forgotten this client: it
    /// gets another id. The rooms that it was in are joined again if
    /// [`Reconnect::rejoin`](super::Reconnect::rejoin) says so; those where
    /// [`Left`](Self::Left) follows are not. [`Refused`](Self::Refused) follows for
    /// messages that may or may not have arrived: reliable ones, those to the server, and
    /// those to be acknowledged. Other requests are forgotten,
    /// but for joins, which are asked for again, and metadata, which is kept.
    ResumeFailed {
        /// Why.
        reason: ResumeFailure,
    },
    /// The session is over. Of a client that
    /// [begins anew](super::ClientBuilder::begin_anew), which tries to begin another one, or has
    /// tried in vain once more. It is in no room, and its messages and questions are not sent;
    /// joins, leaves and metadata are noted for the next session. What had not been confirmed
    /// may or may not have arrived.
    Disconnected {
        /// Why.
        reason: Unconnected,
        /// When the next attempt begins, from now on; `None`: never, because the server will not
        /// take this client, and [`recv`](super::Client::recv) ends.
        retry_in: Option<Duration>,
    },
    /// An attempt to begin a session begins.
    Connecting {
        /// How many failed before it in a row.
        attempt: u32,
    },
    /// Another session has begun, after [`Disconnected`](Self::Disconnected). The metadata that
    /// the program has set is asked for again, and so are the rooms that it wants.
    Connected {
        /// The id that it has from here on.
        client_id: ClientId,
        /// The rooms in which the session of an earlier process has seats, if that goes on
        /// ([`ClientBuilder::session`](super::ClientBuilder::session)): for each,
        /// [`Joined`](Self::Joined) follows. `None`: a new session.
        resumed: Option<Vec<RoomName>>,
        /// The rooms that are asked for now: those that the client was in, if
        /// [`Reconnect::rejoin`](super::Reconnect::rejoin) says so, and those that its program
        /// has asked for since. A [`Joined`](Self::Joined) or an [`Refused`](Self::Refused)
        /// follows for each.
        joining: Vec<RoomName>,
    },
    /// The server greeted this client anew after [`ResumeFailed`](Self::ResumeFailed).
    /// A [`Joined`](Self::Joined) or an [`Refused`](Self::Refused) follows for each of its rooms.
    Renewed {
        /// The id that it has from here on.
        client_id: ClientId,
    },
}
