//! What the host is told: the order of each room, and who is there.

mod rooms;
mod sessions;

use super::{
    Cause, Fate, Mark, Oracle,
    room::{Said, What},
};
use crate::{
    relay::{ConnId, RelayEvent, RelayMode},
    testing::stamp::Stamp,
    wire::{ClientId, LeaveReason, MessageType, RoomId, Seat},
};

impl Oracle {
    /// Takes what the relay tells its host, and what it was given just before.
    pub(in crate::testing) fn on_event(&mut self, cause: &Cause, event: RelayEvent) {
        match event {
            RelayEvent::ConnectionOpened { conn, client_id, meta, addr, identity } => {
                let link = self.opened(cause, conn, client_id, meta, addr);
                self.introduced(conn, link, identity.as_ref());
                self.came_in(conn);
            }
            RelayEvent::TokenReplaced { conn, identity, .. } => {
                self.token_replaced(conn, &identity);
            }
            RelayEvent::ConnectionClosed { conn, client_id, reason } => {
                self.closed(cause, conn, client_id, &reason);
            }
            RelayEvent::ConnectionLost { conn, reason, .. } => self.lost(cause, conn, &reason),
            RelayEvent::ConnectionResumed { conn, client_id, addr, restarted } => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.addr = addr;
                }
                if restarted {
                    self.begun_anew(conn, client_id);
                } else {
                    self.resumed(cause, conn, client_id);
                }
                self.came_in(conn);
            }
            RelayEvent::HandshakeFailed { addr, reason } => self.turned_away(cause, addr, &reason),
            RelayEvent::RoomCreated { room, name } => self.created(cause, room, name),
            RelayEvent::RoomDeleted { room, message, .. } => self.deleted(room, &message),
            RelayEvent::RoomFilled { room, .. } => self.told_full(room, true),
            RelayEvent::RoomHasSpace { room, .. } => self.told_full(room, false),
            RelayEvent::RoomEmptied { room, .. } => self.room_emptied(room),
            RelayEvent::PlayerJoined { room, seat, conn, client_id, identity, .. } => {
                self.joined(cause, room, seat, conn, client_id);
                self.let_in(conn, room, identity.as_ref());
            }
            RelayEvent::PlayerLeft { room, seat, conn, client_id, reason, .. } => {
                if matches!((cause, &reason), (Cause::Host, LeaveReason::Kicked { .. })) {
                    self.kicked(conn, room);
                }
                self.left(room, seat, conn, client_id, reason);
            }
            RelayEvent::PlayerAway { room, seat, conn, .. } => self.went_away(room, seat, conn),
            RelayEvent::PlayerBack { room, seat, conn, restarted, .. } => {
                self.came_back(room, seat, conn);
                if restarted {
                    self.arrived_anew(room, seat);
                }
            }
            RelayEvent::JoinAbandoned { conn, .. } => self.abandoned(cause, conn),
            RelayEvent::Lagged { .. } | RelayEvent::Rtt { .. } => {}
            RelayEvent::Broadcast {
                room,
                seat,
                conn,
                client_id,
                seq,
                message_type,
                payload,
                ..
            } => {
                self.relayed(cause, room, seat, conn, client_id, seq, message_type, &payload);
            }
            RelayEvent::Message { conn, client_id, room, message_type, payload } => {
                let room = room.map(|(room, ..)| room);
                self.reported(cause, conn, client_id, room, message_type, &payload);
            }
            RelayEvent::RoomMetadataChanged { room, version, key, value, .. } => {
                self.described(room, version, key, value);
            }
            RelayEvent::ClientMetadataChanged { conn, version, key, value, .. } => {
                self.renamed(cause, conn, version, key, value);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn relayed(
        &mut self,
        cause: &Cause,
        room: RoomId,
        seat: Seat,
        conn: ConnId,
        client_id: ClientId,
        seq: u64,
        message_type: MessageType,
        payload: &[u8],
    ) {
        let key = (self.era, room);
        self.check_direction(message_type);
        let Some(stamp) = Stamp::read(payload) else {
            return self.fail("I2", format!("event {seq} of {room:?} was sent by nobody"));
        };
        self.check_sender(cause, conn, client_id, stamp);
        self.spends(cause, conn, payload.len());
        let head = self.head(key);
        let (stopping, era) = (self.stopping, self.era);
        let Some(found) = self.rooms.get_mut(&key) else {
            return self.fail("I17", format!("{stamp:?} goes to a room that is not there"));
        };
        let member = found.members.get(&seat).map(|member| member.client_id);
        let gone = found.deleted.is_some();
        let last = found.last_said.insert(stamp.author, stamp.counter);
        let moderated = found.mode == RelayMode::Moderated;
        let Some(message) = self
            .authors
            .get_mut(stamp.author as usize)
            .and_then(|author| author.messages.get_mut(stamp.counter as usize))
        else {
            return self.fail("I2", format!("{stamp:?} was never sent"));
        };
        let before = std::mem::replace(&mut message.fate, Fate::Accepted(seq));
        let said = Said {
            sender: seat,
            author: stamp.author,
            counter: stamp.counter,
            delivery: message.delivery.unwrap_or_default(),
            last: message.last,
            echo: message.echo,
            message_type: message.message_type,
            except: Default::default(),
        };
        found.say(said, payload.len(), self.now);
        let message = message.clone();
        if seq != head + 1 {
            self.fail("I1", format!("{stamp:?} is event {seq} after {head}"));
        }
        if before != Fate::Open {
            self.fail("I5", format!("{stamp:?} is event {seq}, and was {before:?} before"));
        }
        if message.room != Some((era, room)) || stamp.room != room {
            self.fail("I10", format!("{stamp:?} was sent to {:?}", message.room));
        }
        if message.message_type != message_type || message.len != payload.len() {
            self.fail("I2", format!("{stamp:?} was changed on its way"));
        }
        if member != Some(client_id) {
            self.fail("I8", format!("{stamp:?} comes from {seat:?} of {client_id}"));
        }
        if last.is_some_and(|last| last >= stamp.counter) {
            self.fail("I3", format!("{stamp:?} comes after {last:?} of its sender"));
        }
        if seq <= message.floor {
            self.fail("I25", format!("{stamp:?} is event {seq} and was said after it"));
        }
        if gone || stopping {
            self.fail("I17", format!("{stamp:?} is said after the end of {room:?}"));
        }
        if moderated && message.verdict != Some(true) {
            self.fail("I19", format!("{stamp:?} is relayed after {:?}", message.verdict));
        }
    }

    fn reported(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        client_id: ClientId,
        room: Option<RoomId>,
        message_type: MessageType,
        payload: &[u8],
    ) {
        self.check_direction(message_type);
        let Some(stamp) = Stamp::read(payload) else {
            return self.fail("I2", "the host gets a message that nobody sent");
        };
        self.check_sender(cause, conn, client_id, stamp);
        self.spends(cause, conn, payload.len());
        let key = room.map(|room| (self.era, room));
        let Some(message) = self
            .authors
            .get_mut(stamp.author as usize)
            .and_then(|author| author.messages.get_mut(stamp.counter as usize))
        else {
            return self.fail("I2", format!("{stamp:?} was never sent"));
        };
        let before = std::mem::replace(&mut message.fate, Fate::Reported);
        let (right, to_all) = (message.room == key, message.delivery.is_some());
        let same = message.message_type == message_type && message.len == payload.len();
        if before != Fate::Open {
            self.fail("I5", format!("{stamp:?} comes to the host, and was {before:?} before"));
        }
        if !right || !same {
            self.fail("I2", format!("{stamp:?} comes to the host for {room:?}"));
        }
        if to_all {
            self.mark(Mark::ServerMode);
            let mode = key.and_then(|key| self.rooms.get(&key)).map(|room| room.mode);
            if mode != Some(RelayMode::ServerOnly) {
                self.fail("I10", format!("{stamp:?} went to the host alone"));
            }
        }
    }

    fn check_sender(&mut self, cause: &Cause, conn: ConnId, client_id: ClientId, stamp: Stamp) {
        let Some(session) = self.sessions.get(&conn) else {
            return self.fail("I16", format!("{stamp:?} is accepted after its client's end"));
        };
        let (link, known) = (session.link, session.client_id == client_id);
        if self.owners.get(&client_id).is_none_or(|owner| *owner != stamp.author as usize) {
            self.fail("I2", format!("{stamp:?} is said to be of {client_id}"));
        }
        if !known {
            self.fail("I2", format!("{conn:?} is not {client_id}"));
        }
        if let Cause::Bytes(from) = cause
            && link != Some(*from)
            && link.is_some()
        {
            self.fail("I15", format!("{stamp:?} is accepted from a fenced link"));
        }
    }

    fn renamed(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        version: u64,
        key: String,
        value: Option<String>,
    ) {
        let (now, era) = (self.now, self.era);
        self.check_owner(cause, conn, &key, value.as_deref());
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I16", format!("{conn:?} changes its metadata after its end"));
        };
        let right = version == session.meta_version + 1;
        session.meta_version = version;
        match &value {
            Some(value) => session.meta.insert(key.clone(), value.clone()),
            None => session.meta.remove(&key),
        };
        let fenced =
            matches!(cause, Cause::Bytes(from) if session.link.is_some_and(|link| link != *from));
        let seats: Vec<_> = session.seats.iter().map(|(room, seat)| (*room, *seat)).collect();
        for (room, seat) in seats {
            let Some(found) = self.rooms.get_mut(&(era, room)) else { continue };
            if found.deleted.is_none() {
                let size = key.len() + value.as_ref().map_or(0, String::len) + 64;
                let (key, value) = (key.clone(), value.clone());
                found.append(What::PlayerMetadata { seat, version, key, value }, size, now);
            }
        }
        if !right {
            self.fail("I5", format!("metadata of {conn:?} jumps to version {version}"));
        }
        if fenced {
            self.fail("I15", format!("metadata of {conn:?} is changed over a fenced link"));
        }
    }
}
