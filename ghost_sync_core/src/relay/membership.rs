//! Taking and giving up seats.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    event::{ConnId, Output, RelayEvent},
    log::Origin,
    metadata::clamp_u32,
    outbox::ItemKind,
    plants,
    room::Member,
    session::SeatRef,
};
use crate::wire::{LeaveReason, MemberInfo, MessageType, RoomId, Seat, ServerMessage};

impl Relay {
    /// Seats the client of the oldest undecided join, and tells it `words` first.
    pub(super) fn take_seat(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        words: FirstWords,
        out: &mut Vec<Output>,
    ) {
        if self.config.rooms_per_client == 1 {
            while let Some(held) = self.conns[conn].seats.first() {
                self.leave(now, conn, held.room, LeaveReason::Moved, out);
            }
        }
        let Some(pending) = self.conns[conn].take_join() else { return };
        let connection = &self.conns[conn];
        let (client_id, user) = (connection.client_id, self.shown_user(connection));
        let Some(found) = self.rooms.get_mut(&room) else { return };
        let seat = found.next_seat();
        let meta = connection.meta.to_vec();
        let meta_version = connection.meta.version();
        let away = connection.is_away();
        let member = MemberInfo { seat, client_id, meta_version, meta, away, user };
        let seq = self.append(now, room, Origin::unheard(seat), 256, |buf, seq| {
            ServerMessage::PlayerJoined { room, seq, member }.encode(buf);
        });
        let Some(found) = self.rooms.get_mut(&room) else { return };
        let since = found.replay_from(seq, pending.options.replay);
        found.seat(Member::new(seat, conn, client_id, (seq, since), away));
        if self.conns[conn].behind {
            found.set_behind(seat, Some(Box::default()));
        }
        self.expire_when_empty(now, room);
        self.conns[conn].seats.push(SeatRef { room, seat });
        self.greet(conn, room, seat, seq, since, pending.request);
        self.tell_first(conn, room, &words);
        out.push(Output::Event(RelayEvent::PlayerJoined {
            room,
            name: pending.name,
            seat,
            conn,
            client_id,
            data: pending.options.data,
            identity: self.conns[conn].identity().cloned(),
        }));
        if away {
            let name = self.rooms[&room].name.clone();
            out.push(Output::Event(RelayEvent::PlayerAway { room, name, seat, conn, client_id }));
        }
        self.tell_fullness(room, out);
    }

    /// Queues the host's words and the newest values of a room for who knows nothing yet.
    pub(super) fn tell_first(
        &mut self,
        conn: ConnId,
        room: RoomId,
        words: &[(MessageType, Bytes)],
    ) {
        for (message_type, payload) in words {
            let message_type = *message_type;
            self.push(
                conn,
                ItemKind::Message,
                &ServerMessage::Direct { room, message_type, payload },
            );
        }
        let Some(seat) = self.conns.get(conn).and_then(|found| found.seat_in(room)) else { return };
        for frame in self.rooms[&room].retained(seat) {
            self.push_frame(conn, ItemKind::Roster, frame);
        }
    }

    /// Queues the answer to a join: who is there, as of event `seq`.
    pub(super) fn greet(
        &mut self,
        conn: ConnId,
        room: RoomId,
        seat: Seat,
        seq: u64,
        since: u64,
        request: u32,
    ) {
        let found = &self.rooms[&room];
        let joined = ServerMessage::Joined {
            request,
            room,
            name: found.name.as_str(),
            epoch: found.epoch,
            seq,
            since,
            seat,
            capacity: found.capacity(),
            members: clamp_u32(found.members().len()),
            meta_version: found.meta.version(),
            meta: found.meta.to_vec(),
            former: if plants::no_former(since > seq) { Vec::new() } else { found.former(since) },
        };
        let joined = joined.to_frame();
        let mut kind = ItemKind::Joined { room };
        if plants::event_overtakes_join() {
            kind = ItemKind::After { room, seat, before: u64::MAX };
        }
        self.push_frame(conn, kind, joined);
        for frame in self.roster(room) {
            self.push_frame(conn, ItemKind::Roster, frame);
        }
    }

    /// Frees the seat of a connection in a room, if it has one.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        reason: LeaveReason,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get(conn) else { return };
        let Some(at) = connection.seats.iter().position(|held| held.room == room) else { return };
        let held = connection.seats[at];
        let goes_on = connection.is_present();
        if goes_on {
            // What was said before still arrives, in its order; nothing after.
            if connection.is_open() {
                self.take_out(conn, out);
            }
            self.refuse_moderated(now, conn, held, out);
        }
        self.conns[conn].seats.remove(at);
        self.forget_congestion(room, conn);
        let client_id = self.conns[conn].client_id;
        let Some(found) = self.rooms.get_mut(&room) else { return };
        let Some(Member { since, joined, own, spoke, .. }) = found.unseat(held.seat) else {
            return;
        };
        let (name, deleted, before) = (found.name.clone(), found.deleted, found.log.next());
        let silent = !spoke && !deleted;
        found.forget_seat(held.seat, client_id, before, silent.then_some(joined));
        if plants::left_twice() && !goes_on && !deleted {
            self.append(now, room, Origin::unheard(held.seat), 128, |buf, seq| {
                let (seat, reason) = (held.seat, LeaveReason::Left);
                ServerMessage::PlayerLeft { room, seq, seat, reason }.encode(buf);
            });
        }
        if !deleted && plants::leave_is_told(goes_on) {
            let reason = reason.clone();
            let seat = held.seat;
            self.append(now, room, Origin::unheard(seat), 128, |buf, seq| {
                ServerMessage::PlayerLeft { room, seq, seat, reason }.encode(buf);
            });
        }
        if goes_on {
            let left = ServerMessage::Left { room, reason: reason.clone() };
            let kind = ItemKind::Left { room, seat: held.seat, joined, since, before, own };
            self.push(conn, kind, &left);
        }
        let seat = held.seat;
        out.push(Output::Event(RelayEvent::PlayerLeft {
            room,
            name,
            seat,
            conn,
            client_id,
            reason,
        }));
        self.tell_fullness(room, out);
        self.emptied(now, room, out);
    }

    /// Tells the host when a room has become full, or is full no longer.
    pub(super) fn tell_fullness(&mut self, room: RoomId, out: &mut Vec<Output>) {
        let Some(found) = self.rooms.get_mut(&room).filter(|found| !found.deleted) else { return };
        let is_full = found.is_full();
        if std::mem::replace(&mut found.told_full, is_full) != is_full {
            let name = found.name.clone();
            out.push(Output::Event(if is_full {
                RelayEvent::RoomFilled { room, name }
            } else {
                RelayEvent::RoomHasSpace { room, name }
            }));
        }
    }

    fn emptied(&mut self, now: Instant, room: RoomId, out: &mut Vec<Output>) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        if !found.members().is_empty() {
            return;
        }
        if found.deleted {
            return self.expire_deleted(now, room);
        }
        out.push(Output::Event(RelayEvent::RoomEmptied { room, name: found.name.clone() }));
        self.expire_when_empty(now, room);
    }
}

/// What a newcomer is told first.
pub(super) type FirstWords = Vec<(MessageType, Bytes)>;
