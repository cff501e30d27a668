//! What the messages of an open session mean.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::wire::{
    ClientMessage, Delivery, GapReason, LeaveReason, Refusal, RoomId, ServerMessage,
};

use super::{
    Asked, Kind, MAX_LATE, MAX_PONGS, Membership, Place, RequestError, RequestKind, ServerEvent,
    Session, Violation,
};

impl Session {
    pub(super) fn on_event(
        &mut self,
        now: Instant,
        message: ServerMessage<'_>,
        body: &Bytes,
        events: &mut Vec<ServerEvent>,
    ) -> Result<(), Violation> {
        match message {
            ServerMessage::Welcome(_) => return Err("a second welcome".into()),
            ServerMessage::Close { .. } => {}
            ServerMessage::Joined {
                request,
                room,
                name,
                epoch,
                seq,
                since,
                seat,
                capacity,
                members,
                meta_version,
                meta,
                former,
            } => {
                let asked = if request == 0 {
                    self.seat_from_before(name)?
                } else {
                    self.answered(request)?
                };
                if asked.room != *name {
                    return Err(format!("joined {name:?} instead of {:?}", asked.room).into());
                }
                let event = ServerEvent::Joined {
                    client_id: self.client_id(),
                    room: asked.room.clone(),
                    room_id: room,
                    epoch,
                    seq,
                    seat,
                    capacity: (capacity > 0).then_some(capacity),
                    members: Vec::new(),
                    meta_version,
                    meta,
                    rejoined: asked.rejoined,
                };
                let own = (seat, self.client_id());
                let given_up = self.unwanted.iter().position(|room| *room == asked.room);
                let mut joined = Membership::new(asked, seq, since, former)?;
                joined.announce(members, own, event)?;
                joined.inherit(self.late.remove(&room).unwrap_or_default());
                if self.rooms.insert(room, joined).is_some() {
                    return Err(format!("a second seat in {room:?}").into());
                }
                self.order.push(room);
                if let Some(at) = given_up {
                    // The server had not heard that this client leaves.
                    self.unwanted.remove(at);
                    if let Some(seat) = self.rooms.get_mut(&room) {
                        seat.leaving = true;
                    }
                    self.ask(&ClientMessage::Leave { room });
                }
            }
            ServerMessage::Roster { room, members } => {
                events.extend(self.seated(room)?.list(members)?);
            }
            ServerMessage::JoinRefused { request, reason } => {
                let kind = match () {
                    () if self.lists.remove(&request) => Some(RequestKind::ListRooms),
                    () if self.tokens.remove(&request) => Some(RequestKind::Authenticate),
                    () => None,
                };
                if let Some(request) = kind {
                    let error = RequestError { request, room: None, reference: None, reason };
                    events.push(ServerEvent::Refused(error));
                    return Ok(());
                }
                let asked = self.answered(request)?;
                // The client has what it asked for. Whether it had asked twice is for the
                // server to say: what it was asked before may change where the client is.
                events.push(if matches!(reason, Refusal::AlreadyJoined { .. }) {
                    ServerEvent::AlreadyJoined { room: asked.room }
                } else {
                    ServerEvent::Refused(asked.refused(reason))
                });
            }
            ServerMessage::TokenExpiring { in_ms } => {
                let left = Duration::from_millis(in_ms.into());
                events.push(ServerEvent::TokenExpiring { left });
            }
            ServerMessage::Authenticated { request, expires_ms } => {
                if !self.tokens.remove(&request) {
                    return Err(
                        format!("an answer to request {request}, which there is not").into()
                    );
                }
                let lasts = Duration::from_millis(expires_ms.into());
                let lasts = (!lasts.is_zero()).then_some(lasts);
                events.push(ServerEvent::Authenticated { lasts });
            }
            ServerMessage::Left { room, reason } => self.on_left(room, reason, events)?,
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload } => {
                let member = self.seated(room)?;
                let (sender, replay) = match member.advance(seq)? {
                    Place::History => (member.sender_then(sender), true),
                    Place::Live => {
                        if delivery != Delivery::Reliable && member.has_not_heard_of(sender) {
                            return Ok(());
                        }
                        (member.sender(sender)?, false)
                    }
                };
                events.push(ServerEvent::Broadcast {
                    sender,
                    room: member.name().clone(),
                    seq,
                    replay,
                    delivery,
                    message_type,
                    data: body.slice_ref(payload),
                });
            }
            ServerMessage::PlayerJoined { room, seq, member: new } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History {
                    member.remember(new.seat, new.client_id);
                    return Ok(());
                }
                member.add(new.seat, new.client_id)?;
                events.push(ServerEvent::PlayerJoined {
                    client_id: new.client_id,
                    room: member.name().clone(),
                    seat: new.seat,
                    seq,
                    meta_version: new.meta_version,
                    meta: new.meta,
                    user: new.user,
                });
            }
            ServerMessage::PlayerLeft { room, seq, seat, reason } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History || member.has_not_heard_of(seat) {
                    return Ok(());
                }
                let client_id = member.remove(seat)?;
                let room = member.name().clone();
                events.push(ServerEvent::PlayerLeft { client_id, room, seat, seq, reason });
            }
            ServerMessage::RoomMetadata { room, seq, version, key, value } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History {
                    return Ok(());
                }
                events.push(ServerEvent::RoomMetadata {
                    room: member.name().clone(),
                    seq,
                    version,
                    key: key.to_owned(),
                    value: value.map(str::to_owned),
                });
            }
            ServerMessage::PlayerMetadata { room, seq, seat, version, key, value } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History || member.has_not_heard_of(seat) {
                    return Ok(());
                }
                events.push(ServerEvent::PlayerMetadata {
                    client_id: member.id_of(seat)?,
                    room: member.name().clone(),
                    seat,
                    seq,
                    version,
                    key: key.to_owned(),
                    value: value.map(str::to_owned),
                });
            }
            ServerMessage::RoomDeleted { room, seq, message } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History {
                    return Ok(());
                }
                let (room, message) = (member.name().clone(), message.to_owned());
                events.push(ServerEvent::RoomDeleted { room, seq, message });
            }
            ServerMessage::Gap { room, from, to, own, reason } => {
                let member = self.seated(room)?;
                let own = u64::from(own);
                member.skip(from, to, own, reason == GapReason::Forgotten)?;
                if planted!("client-keeps-gaps-to-itself") {
                    return Ok(());
                }
                let room = member.name().clone();
                events.push(ServerEvent::Gap { room, from, to, own, reason });
            }
            ServerMessage::Direct { room, message_type, payload } => {
                let room = self.rooms.get(&room).map(|room| room.name().clone());
                let data = body.slice_ref(payload);
                events.push(ServerEvent::Direct { room, missed: None, message_type, data });
            }
            ServerMessage::Aside { room, missed, message_type, payload } => {
                let room = self.rooms.get(&room).map(|room| room.name().clone());
                let (missed, data) = (Some(missed), body.slice_ref(payload));
                events.push(ServerEvent::Direct { room, missed, message_type, data });
            }
            ServerMessage::Spared { room, count } => self.seated(room)?.spared(count),
            ServerMessage::Ack { room, reference, seq } => {
                let room = self.seated(room)?.name().clone();
                self.sent.answered(reference);
                let reference = self.sent.number(reference);
                events.push(ServerEvent::Ack { room, reference, seq });
            }
            ServerMessage::Refused { room, reference, reason } => {
                let event = self.on_refused(room, reference, reason)?;
                events.push(event);
            }
            ServerMessage::Ping { nonce, received } => {
                self.confirm(received)?;
                self.pongs += 1;
                if self.pongs > MAX_PONGS {
                    return Err("more pings than answers can leave".into());
                }
                let received = self.lane.confirm();
                ClientMessage::Pong { nonce, received }.encode(&mut self.outbox);
            }
            ServerMessage::Pong { nonce } => {
                let answered = self.pings.answered(now, nonce);
                events.extend(answered.map(|rtt| ServerEvent::Pong { rtt }));
            }
            ServerMessage::PlayerAway { room, seq, seat } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History || member.has_not_heard_of(seat) {
                    return Ok(());
                }
                let (client_id, room) = (member.id_of(seat)?, member.name().clone());
                events.push(ServerEvent::PlayerAway { client_id, room, seat, seq });
            }
            ServerMessage::PlayerBack { room, seq, seat } => {
                let member = self.seated(room)?;
                if member.advance(seq)? == Place::History || member.has_not_heard_of(seat) {
                    return Ok(());
                }
                let (client_id, room) = (member.id_of(seat)?, member.name().clone());
                events.push(ServerEvent::PlayerBack { client_id, room, seat, seq });
            }
            ServerMessage::Retained { room, seq, sender, key, message_type, payload } => {
                let member = self.seated(room)?;
                if member.is_listing() {
                    return Err("a value before the roster was complete".into());
                }
                events.push(ServerEvent::Broadcast {
                    sender: member.sender_then(sender),
                    room: member.name().clone(),
                    seq,
                    replay: true,
                    delivery: Delivery::Latest(key),
                    message_type,
                    data: body.slice_ref(payload),
                });
            }
            ServerMessage::Received { count } => self.confirm(count)?,
            ServerMessage::Resumed { .. } | ServerMessage::ResumeFailed { .. } => {
                return Err("an answer to a resume that was not asked for".into());
            }
            ServerMessage::RoomList { request, count, rooms } => {
                if !self.lists.remove(&request) {
                    return Err(format!("list {request}, which was not asked for").into());
                }
                events.push(ServerEvent::RoomList { count, rooms });
            }
        }
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
        // What is on its way there may yet be said in another stay in the room.
        if left.unseen() > 0 {
            self.late.insert(id, left.unseen());
            if self.late.len() > MAX_LATE {
                self.late.pop_first();
            }
        }
        events.push(ServerEvent::Left { room: left.asked.room, reason });
        Ok(())
    }

    fn on_refused(
        &mut self,
        id: RoomId,
        reference: u64,
        reason: Refusal,
    ) -> Result<ServerEvent, Violation> {
        let member = self.rooms.get_mut(&id);
        let room = member.as_ref().map(|member| member.name().clone());
        let (request, reference) = if reference == 0 {
            if let Some(member) = member {
                member.leaving = false;
            }
            let kind = if id == RoomId(0) { RequestKind::SetMetadata } else { RequestKind::Leave };
            (kind, None)
        } else {
            let kind = self.sent.kind(reference)?;
            self.sent.answered(reference);
            let reference = self.sent.number(reference);
            let kind = match kind {
                Some(Kind::Broadcast) => {
                    if let Some(member) = member {
                        member.refused()?;
                    } else if let Some(late) = self.late.get_mut(&id) {
                        *late = late.saturating_sub(1);
                    }
                    RequestKind::Broadcast
                }
                Some(Kind::Answered) => {
                    return Err(format!("two answers to message {reference}").into());
                }
                Some(Kind::Echo) | None => RequestKind::Broadcast,
                Some(Kind::ToServer) => RequestKind::ToServer,
            };
            (kind, Some(reference))
        };
        Ok(ServerEvent::Refused(RequestError { request, room, reference, reason }))
    }

    /// A seat that an earlier process asked for.
    fn seat_from_before(&mut self, name: &str) -> Result<Asked, Violation> {
        let at = self.awaited.iter().position(|room| *room == *name);
        let at = at.ok_or_else(|| format!("a seat in {name:?} that was not announced"))?;
        Ok(Asked::former(self.awaited.remove(at)))
    }

    fn answered(&mut self, request: u32) -> Result<Asked, Violation> {
        let at = self.joins.iter().position(|(number, _)| *number == request);
        match at.and_then(|at| self.joins.remove(at)) {
            Some((_, asked)) => Ok(asked),
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
