//! What clients ask for.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    config::RelayMode,
    event::{ConnId, Output, RelayEvent},
    joins::JoinWish,
    log::{Class, Origin, Spared},
    metadata::{MetadataChange, clamp_u32},
    outbox::ItemKind,
    plants,
    room::Room,
};
use crate::wire::{
    BROADCAST_HEADER, ClientMessage, CloseReason, Cost, Delivery, LeaveReason, MessageType,
    Refusal, RoomId, RoomSummary, Seat, SendFlags, ServerMessage,
};

/// A broadcast, of a client or of the server.
#[derive(Clone, Copy)]
pub(super) struct Broadcast<'a> {
    pub(super) room: RoomId,
    pub(super) delivery: Delivery,
    pub(super) flags: SendFlags,
    pub(super) message_type: MessageType,
    pub(super) payload: &'a [u8],
}

impl Relay {
    pub(super) fn request(
        &mut self,
        now: Instant,
        conn: ConnId,
        message: ClientMessage<'_>,
        out: &mut Vec<Output>,
    ) {
        match message {
            ClientMessage::Join { request, room, options } => {
                match self.may_ask(now, conn, Cost::JOIN.requests) {
                    Ok(()) => self.join(now, conn, JoinWish { request, room, options }, out),
                    Err(reason) => self.refuse_join(conn, request, reason),
                }
            }
            // Each leave was paid for by the join before it.
            ClientMessage::Leave { room } => match self.conns[conn].seat_in(room) {
                Some(_) => self.leave(now, conn, room, LeaveReason::Left, out),
                None => {
                    let reason = self.may_ask(now, conn, Cost::JOIN.requests).err();
                    self.refuse(conn, room, 0, reason.unwrap_or(Refusal::NotInRoom));
                }
            },
            ClientMessage::Broadcast { room, delivery, flags, message_type, payload } => {
                let broadcast = Broadcast { room, delivery, flags, message_type, payload };
                self.client_broadcast(now, conn, broadcast, out);
            }
            ClientMessage::ToServer { room, message_type, payload } => {
                self.client_send(now, conn, room, message_type, payload, out);
            }
            ClientMessage::Ping { nonce } => {
                if self.may_ping(now, conn) {
                    self.push(conn, ItemKind::Pong, &ServerMessage::Pong { nonce });
                }
            }
            ClientMessage::Pong { nonce, received } => {
                self.pong(now, conn, nonce, out);
                self.confirmed(now, conn, received, out);
            }
            ClientMessage::SetMetadata { key, value, if_version } => {
                let size = key.len() + value.map_or(0, str::len);
                match self.may_ask(now, conn, Cost::metadata(size).requests) {
                    Ok(()) => {
                        let change = MetadataChange { key, value, if_version };
                        self.client_sets_metadata(now, conn, change, out);
                    }
                    Err(reason) => self.refuse(conn, RoomId(0), 0, reason),
                }
            }
            ClientMessage::ListRooms { request } => {
                match self.may_ask(now, conn, Cost::LIST.requests) {
                    Ok(()) => self.list_rooms(conn, request),
                    Err(reason) => self.refuse_join(conn, request, reason),
                }
            }
            ClientMessage::Authenticate { request, token } => {
                match self.may_ask(now, conn, Cost::TOKEN.requests) {
                    Ok(()) => self.authenticate(now, conn, request, token, out),
                    Err(reason) => self.refuse_join(conn, request, reason),
                }
            }
            ClientMessage::Received { count } => self.confirmed(now, conn, count, out),
            ClientMessage::Hello(_) | ClientMessage::Resume(_) | ClientMessage::Close { .. } => {
                let what = "a second hello".to_owned();
                self.close(now, conn, CloseReason::Protocol { what }, out);
            }
        }
    }

    fn client_broadcast(
        &mut self,
        now: Instant,
        conn: ConnId,
        broadcast: Broadcast<'_>,
        out: &mut Vec<Output>,
    ) {
        let reference = self.next_reference(conn);
        let (room, payload) = (broadcast.room, broadcast.payload);
        if let Err(reason) = self.may_say(now, conn, Some(room), payload.len()) {
            self.refuse(conn, room, reference, reason);
            if plants::refusals_count() {
                return;
            }
        }
        let seat = match self.may_speak(conn, room, payload) {
            Ok(seat) => seat,
            Err(reason) => return self.refuse(conn, room, reference, reason),
        };
        if let Err(reason) = self.may_say_type(broadcast.message_type) {
            return self.refuse(conn, room, reference, reason);
        }
        let config = &self.rooms[&room].config;
        match config.mode {
            _ if config.validator.is_some() => {
                self.moderate(now, conn, reference, seat, broadcast, out);
            }
            RelayMode::AtOnce => self.relay(now, conn, reference, seat, broadcast, out),
            RelayMode::ServerOnly => self.report(conn, room, broadcast.message_type, payload, out),
            RelayMode::Moderated => self.moderate(now, conn, reference, seat, broadcast, out),
        }
    }

    fn client_send(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        message_type: MessageType,
        payload: &[u8],
        out: &mut Vec<Output>,
    ) {
        let reference = self.next_reference(conn);
        if let Err(reason) = self.may_say(now, conn, None, payload.len()) {
            return self.refuse(conn, room, reference, reason);
        }
        let allowed = if room == RoomId(0) {
            self.check_payload(payload).map(|()| Seat::SERVER)
        } else {
            self.may_speak(conn, room, payload)
        };
        match allowed.and_then(|_| self.may_say_type(message_type)) {
            Ok(()) => self.report(conn, room, message_type, payload, out),
            Err(reason) => self.refuse(conn, room, reference, reason),
        }
    }

    fn next_reference(&mut self, conn: ConnId) -> u64 {
        self.conns.get_mut(conn).map_or(0, |connection| {
            connection.reference += 1;
            connection.reference
        })
    }

    pub(super) fn may_speak(
        &self,
        conn: ConnId,
        room: RoomId,
        payload: &[u8],
    ) -> Result<Seat, Refusal> {
        let seat = self.conns.get(conn).and_then(|connection| connection.seat_in(room));
        let seat = seat.ok_or(Refusal::NotInRoom)?;
        match self.rooms.get(&room) {
            Some(found) if !found.deleted => self.check_payload(payload).map(|()| seat),
            Some(found) => Err(Refusal::RoomNotFound { room: found.name.to_string() }),
            None => Err(Refusal::NotInRoom),
        }
    }

    /// Whether clients may say that type at all.
    fn may_say_type(&self, message_type: MessageType) -> Result<(), Refusal> {
        let known = self.config.host.protocol.as_ref();
        match plants::denied(known.and_then(|it| it.denied_to_clients(message_type))) {
            Some(name) => {
                Err(Refusal::Forbidden { what: format!("{name} is said by the server alone") })
            }
            None => Ok(()),
        }
    }

    fn check_payload(&self, payload: &[u8]) -> Result<(), Refusal> {
        self.check_len(payload.len())
    }

    pub(super) fn check_len(&self, len: usize) -> Result<(), Refusal> {
        let max = self.config.max_payload;
        if len > max {
            return Err(Refusal::PayloadTooLarge { len: clamp_u32(len), max: clamp_u32(max) });
        }
        Ok(())
    }

    pub(super) fn relay(
        &mut self,
        now: Instant,
        conn: ConnId,
        reference: u64,
        seat: Seat,
        broadcast: Broadcast<'_>,
        out: &mut Vec<Output>,
    ) {
        let Broadcast { room, flags, message_type, payload, .. } = broadcast;
        let echo = plants::echo(flags.contains(SendFlags::ECHO));
        let spared = if echo { Spared::NOBODY } else { Spared::one(seat) };
        let seq = self.append_broadcast(now, seat, spared, broadcast);
        if flags.contains(SendFlags::ACK) {
            let reference = plants::acknowledged(reference);
            self.push(conn, ItemKind::Message, &ServerMessage::Ack { room, reference, seq });
        }
        let (Some(found), Some(connection)) = (self.rooms.get(&room), self.conns.get(conn)) else {
            return;
        };
        if found.config.observed {
            out.push(Output::Event(RelayEvent::Broadcast {
                room,
                name: found.name.clone(),
                seat,
                conn,
                client_id: connection.client_id,
                seq,
                message_type,
                payload: Bytes::copy_from_slice(payload),
            }));
        }
    }

    /// Gives a broadcast its place in the room's order.
    pub(super) fn append_broadcast(
        &mut self,
        now: Instant,
        sender: Seat,
        spared: Spared,
        broadcast: Broadcast<'_>,
    ) -> u64 {
        let Broadcast { room, delivery, flags, message_type, payload } = broadcast;
        let sender = plants::sender(sender);
        let size = payload.len() + BROADCAST_HEADER;
        let origin = Origin { sender, class: Class::Message(delivery), spared };
        let seq = self.append(now, room, origin, size, |buf, seq| {
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload }
                .encode(buf);
        });
        if let (Delivery::Latest(key), Some(found)) = (delivery, self.rooms.get_mut(&room)) {
            let is_last = plants::is_last(flags.contains(SendFlags::FORGET));
            found.remember(sender, key, seq, is_last);
        }
        seq
    }

    /// Shows the host what a client said to it.
    pub(super) fn report(
        &self,
        conn: ConnId,
        room: RoomId,
        message_type: MessageType,
        payload: &[u8],
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get(conn) else { return };
        let room = connection
            .seat_in(room)
            .and_then(|seat| self.rooms.get(&room).map(|found| (room, found.name.clone(), seat)));
        out.push(Output::Event(RelayEvent::Message {
            conn,
            client_id: connection.client_id,
            room,
            message_type,
            payload: Bytes::copy_from_slice(payload),
        }));
    }

    fn list_rooms(&mut self, conn: ConnId, request: u32) {
        let mut bytes = 0;
        let shown = |room: &&Room| self.conns[conn].may_enter(&room.name);
        let listed = self.listed.values().filter_map(|room| self.rooms.get(room)).filter(shown);
        let count = clamp_u32(listed.clone().count());
        let rooms = listed.take(MAX_LISTED);
        let rooms = rooms.map_while(|room| {
            let meta = room.meta.to_vec();
            bytes += meta.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            (bytes <= MAX_LISTED_META).then(|| RoomSummary {
                name: room.name.to_string(),
                players: clamp_u32(room.members().len()),
                capacity: room.capacity(),
                meta_version: room.meta.version(),
                meta,
            })
        });
        let rooms = rooms.collect();
        self.push(conn, ItemKind::Reply, &ServerMessage::RoomList { request, count, rooms });
    }

    pub(super) fn refuse(&mut self, conn: ConnId, room: RoomId, reference: u64, reason: Refusal) {
        let message = ServerMessage::Refused { room, reference, reason };
        self.push(conn, ItemKind::Reply, &message);
    }
}

/// Rooms in one list.
const MAX_LISTED: usize = 256;

/// Bytes of metadata in one list; it ends before the room that goes past.
const MAX_LISTED_META: usize = 128 * 1024;
