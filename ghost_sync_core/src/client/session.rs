//! What the server said and what it may say next: bytes in, events out. Knows
//! neither socket nor task, and takes the time as an argument.
//!
//! ```text
//! Greeting --Welcome--> Open --Close, violation, close()--> Closed
//!     \------Close, anything else----------------------------^
//! ```

mod membership;
mod pings;
mod requests;
mod sent;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    relay::DisconnectReason,
    wire::{
        ClientId, ClientMessage, CloseReason, Decoder, LeaveReason, MAX_SERVER_FRAME, Refusal,
        RoomId, RoomName, ServerMessage, VERSION,
    },
};

use super::{Request, RequestError, ServerEvent};
use membership::Membership;
use pings::Pings;
use sent::{Kind, Sent};

/// Answers to pings that may wait to be written: more than an honest server can
/// ask for before it gives up.
const MAX_PONGS: usize = 4096;

/// One connection's protocol state on the client.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    decoder: Decoder,
    /// Frames to write, whole ones.
    outbox: BytesMut,
    /// Answers to pings among them.
    pongs: usize,
    rooms: BTreeMap<RoomId, Membership>,
    /// Rooms in the order in which they were joined.
    order: Vec<RoomId>,
    /// Joins without an answer yet.
    joins: VecDeque<(u32, RoomName)>,
    sent: Sent,
    pings: Pings,
    next_request: u32,
}

#[derive(Debug)]
enum Phase {
    Greeting,
    Open(Greeted),
    Closed,
}

/// What the server said about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Greeted {
    /// The own id.
    pub(crate) client_id: ClientId,
    /// The longest payload in bytes.
    pub(crate) max_payload: usize,
    /// How long a live server may be silent; `None` if it does not ping.
    pub(crate) silence: Option<Duration>,
}

/// The server broke the protocol; the connection must end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Violation(String);

impl<T: Into<String>> From<T> for Violation {
    fn from(what: T) -> Self {
        Self(what.into())
    }
}

impl Session {
    /// A session whose first bytes are `hello`, one whole frame.
    pub(crate) fn new(hello: BytesMut) -> Self {
        Self {
            phase: Phase::Greeting,
            decoder: Decoder::new(MAX_SERVER_FRAME),
            outbox: hello,
            pongs: 0,
            rooms: BTreeMap::new(),
            order: Vec::new(),
            joins: VecDeque::new(),
            sent: Sent::default(),
            pings: Pings::default(),
            next_request: 0,
        }
    }

    /// What the server said about itself, once it did.
    pub(crate) fn greeted(&self) -> Option<Greeted> {
        match self.phase {
            Phase::Open(greeted) => Some(greeted),
            Phase::Greeting | Phase::Closed => None,
        }
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.len()
    }

    /// Everything that waits to be written.
    pub(crate) fn take_outbox(&mut self) -> BytesMut {
        self.pongs = 0;
        std::mem::take(&mut self.outbox)
    }

    /// The rooms that this client is in, in the order in which it joined them.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.order.iter().filter_map(|id| self.rooms.get(id)).map(|room| &room.name)
    }

    /// Takes what arrived and appends what it means to `events`.
    ///
    /// # Errors
    /// Why the connection must end: the server closed it, or broke the protocol
    /// (a `Close` that says so then waits to be written). Events from before are
    /// good.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        mut bytes: Bytes,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), DisconnectReason> {
        loop {
            let body = match self.decoder.next_frame_shared(&mut bytes) {
                Ok(Some(body)) => body,
                Ok(None) => return Ok(()),
                Err(error) => {
                    let reason = CloseReason::PayloadTooLarge {
                        len: u32::try_from(error.len).unwrap_or(u32::MAX),
                        max: u32::try_from(error.max).unwrap_or(u32::MAX),
                    };
                    return Err(self.close(reason));
                }
            };
            let message = match ServerMessage::decode(&body) {
                Ok(ServerMessage::Close { reason }) => {
                    self.phase = Phase::Closed;
                    return Err(DisconnectReason::Closed(reason));
                }
                Ok(message) => message,
                Err(error) => {
                    return Err(self.close(CloseReason::Protocol { what: error.to_string() }));
                }
            };
            if let Err(Violation(what)) = self.on_message(now, message, &body, events) {
                return Err(self.close(CloseReason::Protocol { what }));
            }
        }
    }

    /// Says goodbye; nothing can be asked for afterwards.
    pub(crate) fn close(&mut self, reason: CloseReason) -> DisconnectReason {
        if !matches!(self.phase, Phase::Closed) {
            ClientMessage::Close { reason: reason.clone() }.encode(&mut self.outbox);
            self.phase = Phase::Closed;
        }
        DisconnectReason::Closed(reason)
    }

    fn on_message(
        &mut self,
        now: Instant,
        message: ServerMessage<'_>,
        body: &Bytes,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        let greeted = match (&self.phase, &message) {
            (Phase::Open(_), ServerMessage::Welcome { .. }) => {
                return Err("a second welcome".into());
            }
            (Phase::Open(greeted), _) => *greeted,
            (Phase::Greeting, ServerMessage::Welcome { .. }) => return self.on_welcome(&message),
            (Phase::Greeting, _) => return Err("the first message is not a welcome".into()),
            (Phase::Closed, _) => return Ok(()),
        };
        match message {
            ServerMessage::Welcome { .. } | ServerMessage::Close { .. } => {}
            ServerMessage::Joined {
                request,
                room,
                name,
                epoch,
                seq,
                seat,
                capacity,
                members,
                meta_version,
                meta,
                ..
            } => {
                let asked = self.answered(request)?;
                if asked != name {
                    return Err(format!("joined {name:?} instead of {asked:?}").into());
                }
                let event = ServerEvent::Joined {
                    client_id: greeted.client_id,
                    room: asked.clone(),
                    room_id: room,
                    epoch,
                    seq,
                    seat,
                    capacity: (capacity > 0).then_some(capacity),
                    members: Vec::new(),
                    meta_version,
                    meta,
                };
                let joined = Membership::new(asked, greeted.client_id, seat, seq, members, event)?;
                if self.rooms.insert(room, joined).is_some() {
                    return Err(format!("a second seat in {room:?}").into());
                }
                self.order.push(room);
            }
            ServerMessage::Roster { room, members } => {
                events.extend(self.seated(room)?.list(members)?);
            }
            ServerMessage::JoinRefused { request, reason } => {
                let request = Request::Join { room: self.answered(request)? };
                events.push(ServerEvent::Error(RequestError { request, reason }));
            }
            ServerMessage::Left { room, reason } => self.on_left(room, reason, events)?,
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload } => {
                let member = self.seated(room)?;
                member.advance(seq)?;
                events.push(ServerEvent::Broadcast {
                    sender_id: member.id_of(sender)?,
                    room: member.name.clone(),
                    seat: sender,
                    seq,
                    delivery,
                    message_type,
                    data: body.slice_ref(payload),
                });
            }
            ServerMessage::PlayerJoined { room, seq, member: new } => {
                let member = self.seated(room)?;
                member.advance(seq)?;
                member.add(new.seat, new.client_id)?;
                events.push(ServerEvent::PlayerJoined {
                    client_id: new.client_id,
                    room: member.name.clone(),
                    seat: new.seat,
                    seq,
                    meta_version: new.meta_version,
                    meta: new.meta,
                });
            }
            ServerMessage::PlayerLeft { room, seq, seat, reason } => {
                let member = self.seated(room)?;
                member.advance(seq)?;
                let client_id = member.remove(seat)?;
                let room = member.name.clone();
                events.push(ServerEvent::PlayerLeft { client_id, room, seat, seq, reason });
            }
            ServerMessage::RoomMeta { room, seq, version, key, value } => {
                let member = self.seated(room)?;
                member.advance(seq)?;
                events.push(ServerEvent::RoomMeta {
                    room: member.name.clone(),
                    seq,
                    version,
                    key: key.to_owned(),
                    value: value.map(str::to_owned),
                });
            }
            ServerMessage::PlayerMeta { room, seq, seat, version, key, value } => {
                let member = self.seated(room)?;
                member.advance(seq)?;
                events.push(ServerEvent::PlayerMeta {
                    client_id: member.id_of(seat)?,
                    room: member.name.clone(),
                    seat,
                    seq,
                    version,
                    key: key.to_owned(),
                    value: value.map(str::to_owned),
                });
            }
            ServerMessage::RoomDeleted { room, seq, message } => {
                let member = self.seated(room)?;
                member.advance(seq)?;
                let (room, message) = (member.name.clone(), message.to_owned());
                events.push(ServerEvent::RoomDeleted { room, seq, message });
            }
            ServerMessage::Gap { room, from, to, own, reason } => {
                let member = self.seated(room)?;
                let own = u64::from(own);
                member.skip(from, to, own)?;
                let room = member.name.clone();
                events.push(ServerEvent::Gap { room, from, to, own, reason });
            }
            ServerMessage::Direct { room, message_type, payload } => {
                let room = self.rooms.get(&room).map(|room| room.name.clone());
                let data = body.slice_ref(payload);
                events.push(ServerEvent::Direct { room, message_type, data });
            }
            ServerMessage::Ack { room, reference, seq } => {
                let room = self.seated(room)?.name.clone();
                events.push(ServerEvent::Ack { room, reference, seq });
            }
            ServerMessage::Refused { room, reference, reason } => {
                let event = self.on_refused(room, reference, reason)?;
                events.push(event);
            }
            ServerMessage::Ping { nonce, .. } => {
                self.pongs += 1;
                if self.pongs > MAX_PONGS {
                    return Err("more pings than answers can leave".into());
                }
                ClientMessage::Pong { nonce, received: 0 }.encode(&mut self.outbox);
            }
            ServerMessage::Pong { nonce } => {
                let answered = self.pings.answered(now, nonce);
                events.extend(answered.map(|rtt| ServerEvent::Pong { rtt }));
            }
            ServerMessage::PlayerAway { room, seq, .. }
            | ServerMessage::PlayerBack { room, seq, .. } => self.seated(room)?.advance(seq)?,
            ServerMessage::Received { .. } => {}
            ServerMessage::Retained { .. }
            | ServerMessage::Resumed { .. }
            | ServerMessage::ResumeFailed { .. } => {
                return Err("nothing of that was asked for".into());
            }
            ServerMessage::Rooms { request: _, count, rooms } => {
                events.push(ServerEvent::Rooms { count, rooms });
            }
        }
        Ok(())
    }

    fn on_welcome(&mut self, welcome: &ServerMessage<'_>) -> Result<(), Violation> {
        let ServerMessage::Welcome {
            version,
            client_id,
            max_payload,
            ping_interval_ms,
            idle_timeout_ms,
            ..
        } = *welcome
        else {
            return Err("the first message is not a welcome".into());
        };
        if version != VERSION {
            return Err(format!("welcome in protocol version {version}").into());
        }
        // A server that waits long for us may be silent for as long itself; one
        // that pings rarely is heard of rarely.
        let silence = Duration::from_millis(idle_timeout_ms.into())
            .max(Duration::from_millis(ping_interval_ms.into()) * 2);
        self.phase = Phase::Open(Greeted {
            client_id,
            max_payload: max_payload as usize,
            silence: (ping_interval_ms > 0).then_some(silence),
        });
        Ok(())
    }

    fn on_left(
        &mut self,
        id: RoomId,
        reason: LeaveReason,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        let Some(left) = self.rooms.remove(&id) else {
            return Err(format!("left {id:?} without a seat there").into());
        };
        self.order.retain(|other| *other != id);
        events.push(ServerEvent::Left { room: left.name, reason });
        Ok(())
    }

    fn on_refused(
        &mut self,
        id: RoomId,
        reference: u64,
        reason: Refusal,
    ) -> Result<ServerEvent, Violation> {
        let member = self.rooms.get_mut(&id);
        let room = member.as_ref().map(|member| member.name.clone());
        let request = if reference == 0 {
            if id == RoomId(0) { Request::SetMeta } else { Request::Leave { room } }
        } else {
            match self.sent.kind(reference)? {
                Some(Kind::Broadcast) => {
                    if let Some(member) = member {
                        member.refused()?;
                    }
                    Request::Broadcast { room, reference }
                }
                Some(Kind::Echo) | None => Request::Broadcast { room, reference },
                Some(Kind::Send) => Request::Send { room, reference },
            }
        };
        Ok(ServerEvent::Error(RequestError { request, reason }))
    }

    fn answered(&mut self, request: u32) -> Result<RoomName, Violation> {
        let at = self.joins.iter().position(|(number, _)| *number == request);
        match at.and_then(|at| self.joins.remove(at)) {
            Some((_, room)) => Ok(room),
            None => Err(format!("answer to join {request}, which was not asked for").into()),
        }
    }

    fn seated(&mut self, room: RoomId) -> Result<&mut Membership, Violation> {
        match self.rooms.get_mut(&room) {
            Some(member) => Ok(member),
            None => Err(format!("an event of {room:?}, where this client has no seat").into()),
        }
    }
}

#[cfg(test)]
mod tests;
