//! Taking and giving up seats.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    config::{CreateOnJoin, RoomConfig},
    event::{AskId, ConnId, Output, Question, RelayEvent},
    log::Origin,
    meta::clamp_u32,
    outbox::ItemKind,
    questions::AskTarget,
    room::Member,
    session::{Connection, JoinStage, PendingJoin, SeatRef},
};
use crate::wire::{
    IfMissing, JoinOptions, LeaveReason, MemberInfo, MessageType, Refusal, RoomId, RoomName, Seat,
    ServerMessage,
};

impl Relay {
    pub(super) fn join(
        &mut self,
        now: Instant,
        conn: ConnId,
        wish: JoinWish<'_>,
        out: &mut Vec<Output>,
    ) {
        let JoinWish { request, room, options } = wish;
        let refusal = match (RoomName::new(room), self.check_len(options.len())) {
            (Err(error), _) => {
                let room = room.chars().take(RoomName::MAX_LEN / 4).collect();
                Refusal::InvalidRoomName { room, why: error.to_string() }
            }
            (Ok(_), Err(too_large)) => too_large,
            (Ok(_), Ok(())) if self.joins_too_much(conn) => Refusal::Busy,
            (Ok(name), Ok(())) => {
                let (options, stage) = (options.copied(), JoinStage::Waiting);
                let pending = PendingJoin { request, name, options, stage };
                self.conns[conn].joins.push_back(pending);
                return self.next_join(now, conn, out);
            }
        };
        self.refuse_join(conn, request, refusal);
    }

    /// Whether too many joins are undecided, or what they brought was not read.
    fn joins_too_much(&self, conn: ConnId) -> bool {
        let connection = &self.conns[conn];
        connection.joins.len() >= MAX_PENDING_JOINS
            || connection.outbox.roster_cost() > self.config.outbox_limit
    }

    /// Goes on with the oldest undecided join until it has to wait.
    fn next_join(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        while let Some(pending) = self.conns.get(conn).and_then(|found| found.joins.front())
            && pending.stage == JoinStage::Waiting
        {
            let name = pending.name.clone();
            if let Some(room) = self.names.get(name.as_str()) {
                self.ask_join(now, conn, *room, out);
                continue;
            }
            match self.creation(&pending.options) {
                CreateOnJoin::Never => {
                    self.finish_join(conn, Err(Refusal::RoomNotFound { room: name.to_string() }));
                }
                CreateOnJoin::Always => {
                    let config = self.config.room_defaults.clone();
                    self.create_for_join(now, conn, name, config, out);
                }
                CreateOnJoin::Ask => self.ask_for_room(now, conn, out),
            }
        }
    }

    /// What a join does where its room is missing.
    fn creation(&self, options: &JoinOptions) -> CreateOnJoin {
        match options.if_missing {
            IfMissing::Refuse if !planted!("refuse-makes-a-room") => CreateOnJoin::Never,
            IfMissing::Default | IfMissing::Refuse | IfMissing::Create { .. } => {
                self.config.create_on_join
            }
        }
    }

    fn ask_for_room(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let connection = &self.conns[conn];
        let Some(pending) = connection.joins.front() else { return };
        let question = Question::CreateRoom {
            conn,
            client_id: connection.client_id,
            addr: connection.addr,
            name: pending.name.clone(),
            data: pending.options.data.clone(),
            options: match &pending.options.if_missing {
                IfMissing::Default | IfMissing::Refuse => None,
                IfMissing::Create { options } => Some(options.clone()),
            },
        };
        let ask = self.ask(now, AskTarget::CreateRoom(conn), question, out);
        self.set_stage(conn, JoinStage::CreatingRoom(ask));
    }

    fn create_for_join(
        &mut self,
        now: Instant,
        conn: ConnId,
        name: RoomName,
        config: RoomConfig,
        out: &mut Vec<Output>,
    ) {
        if let Err(reason) = self.may_make_room(now, conn) {
            return self.finish_join(conn, Err(reason));
        }
        let mut epoch = self.random();
        if planted!("epoch-used-again") {
            epoch = 7;
        }
        match self.create_room(now, name, epoch, config, out) {
            Ok(room) => self.ask_join(now, conn, room, out),
            Err(_) => {
                let max = clamp_u32(self.config.max_rooms);
                self.finish_join(conn, Err(Refusal::ServerOutOfRooms { max }));
            }
        }
    }

    fn ask_join(&mut self, now: Instant, conn: ConnId, room: RoomId, out: &mut Vec<Output>) {
        if let Err(reason) = self.may_join(conn, room) {
            return self.finish_join(conn, Err(reason));
        }
        if !self.config.ask_join {
            return self.take_seat(now, conn, room, Vec::new(), out);
        }
        let connection = &self.conns[conn];
        let Some(pending) = connection.joins.front() else { return };
        let question = Question::Join {
            conn,
            client_id: connection.client_id,
            addr: connection.addr,
            room,
            name: pending.name.clone(),
            data: pending.options.data.clone(),
        };
        let ask = self.ask(now, AskTarget::Join(conn), question, out);
        self.set_stage(conn, JoinStage::Asking { ask, room });
    }

    /// Takes a verdict about making a room for a join: its settings, if there is to be one.
    pub(super) fn room_decided(
        &mut self,
        now: Instant,
        conn: ConnId,
        ask: AskId,
        verdict: Result<RoomConfig, Refusal>,
        out: &mut Vec<Output>,
    ) {
        let Some(pending) = self.conns.get(conn).and_then(|found| found.joins.front()) else {
            return;
        };
        if pending.stage != JoinStage::CreatingRoom(ask) {
            return;
        }
        let name = pending.name.clone();
        match (verdict, self.names.get(name.as_str())) {
            (Err(reason), _) => self.finish_join(conn, Err(reason)),
            // Somebody else made it meanwhile.
            (Ok(_), Some(room)) => self.ask_join(now, conn, *room, out),
            (Ok(config), None) => self.create_for_join(now, conn, name, config, out),
        }
        self.next_join(now, conn, out);
    }

    /// Takes a verdict about a join. What changed since the question counts too.
    pub(super) fn join_decided(
        &mut self,
        now: Instant,
        conn: ConnId,
        ask: AskId,
        verdict: Result<Words, Refusal>,
        out: &mut Vec<Output>,
    ) {
        let Some(pending) = self.conns.get(conn).and_then(|found| found.joins.front()) else {
            return;
        };
        let JoinStage::Asking { ask: asked, room } = pending.stage else { return };
        if asked != ask {
            return;
        }
        match verdict {
            Err(reason) => self.finish_join(conn, Err(reason)),
            Ok(words) => match self.may_join(conn, room) {
                Ok(()) => self.take_seat(now, conn, room, words, out),
                Err(reason) => {
                    self.abandon_join(conn, LeaveReason::Left, out);
                    self.finish_join(conn, Err(reason));
                }
            },
        }
        self.next_join(now, conn, out);
    }

    /// Tells the host that the join it accepted does not happen.
    pub(super) fn abandon_join(&self, conn: ConnId, reason: LeaveReason, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn) else { return };
        let Some(pending) = connection.joins.front() else { return };
        out.push(Output::Event(RelayEvent::JoinAbandoned {
            name: pending.name.clone(),
            conn,
            client_id: connection.client_id,
            reason,
        }));
    }

    fn may_join(&self, conn: ConnId, room: RoomId) -> Result<(), Refusal> {
        let connection = &self.conns[conn];
        let name = connection.joins.front().map_or_else(String::new, |join| join.name.to_string());
        let Some(found) = self.rooms.get(&room).filter(|found| !found.deleted) else {
            return Err(Refusal::RoomNotFound { room: name });
        };
        if connection.seat_in(room).is_some() {
            return Err(Refusal::AlreadyJoined { room: name });
        }
        if found.is_full() {
            return Err(Refusal::RoomFull { room: name, capacity: found.seats() });
        }
        let max = self.config.rooms_per_client;
        if max > 1 && connection.seats.len() >= max {
            return Err(Refusal::TooManyRooms { max: clamp_u32(max) });
        }
        Ok(())
    }

    /// Seats the client of the oldest undecided join, and tells it `words` first.
    fn take_seat(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        words: Words,
        out: &mut Vec<Output>,
    ) {
        if self.config.rooms_per_client == 1 {
            while let Some(held) = self.conns[conn].seats.first() {
                self.leave(now, conn, held.room, LeaveReason::Moved, out);
            }
        }
        let Some(pending) = self.conns[conn].take_join() else { return };
        let connection = &self.conns[conn];
        let client_id = connection.client_id;
        let Some(found) = self.rooms.get_mut(&room) else { return };
        let seat = found.next_seat();
        let meta = connection.meta.to_vec();
        let meta_version = connection.meta.version();
        let away = connection.is_away();
        let member = MemberInfo { seat, client_id, meta_version, meta, away };
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
        }));
        if away {
            let name = self.rooms[&room].name.clone();
            out.push(Output::Event(RelayEvent::PlayerAway { room, name, seat, conn, client_id }));
        }
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
            self.push(conn, ItemKind::Lane, &ServerMessage::Direct { room, message_type, payload });
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
            former: if planted!("former-forgotten") || since > seq {
                Vec::new()
            } else {
                found.former(since)
            },
        };
        let joined = joined.to_frame();
        let mut kind = ItemKind::Joined { room };
        if planted!("event-overtakes-join") {
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
        found.retire(held.seat, client_id, before, silent.then_some(joined));
        if planted!("left-twice") && !goes_on && !deleted {
            self.append(now, room, Origin::unheard(held.seat), 128, |buf, seq| {
                let (seat, reason) = (held.seat, LeaveReason::Left);
                ServerMessage::PlayerLeft { room, seq, seat, reason }.encode(buf);
            });
        }
        if !deleted && (goes_on || !planted!("left-not-told-after-grace")) {
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
        self.emptied(now, room, out);
    }

    fn emptied(&mut self, now: Instant, room: RoomId, out: &mut Vec<Output>) {
        let Some(found) = self.rooms.get_mut(&room) else { return };
        if !found.members().is_empty() {
            return;
        }
        if found.deleted {
            return self.bury(now, room);
        }
        out.push(Output::Event(RelayEvent::RoomEmptied { room, name: found.name.clone() }));
        self.expire_when_empty(now, room);
    }

    fn finish_join(&mut self, conn: ConnId, result: Result<(), Refusal>) {
        let Some(pending) = self.conns.get_mut(conn).and_then(Connection::take_join) else {
            return;
        };
        if let Err(reason) = result {
            self.refuse_join(conn, pending.request, reason);
        }
    }

    pub(super) fn refuse_join(&mut self, conn: ConnId, request: u32, reason: Refusal) {
        self.push(conn, ItemKind::Reply, &ServerMessage::JoinRefused { request, reason });
    }

    fn set_stage(&mut self, conn: ConnId, stage: JoinStage) {
        if let Some(pending) = self.conns.get_mut(conn).and_then(|found| found.joins.front_mut()) {
            pending.stage = stage;
        }
    }
}

/// What a client says about the seat that it wants.
#[derive(Clone, Copy)]
pub(super) struct JoinWish<'a> {
    pub(super) request: u32,
    pub(super) room: &'a str,
    pub(super) options: JoinOptions<&'a [u8]>,
}

/// What a newcomer is told first.
pub(super) type Words = Vec<(MessageType, Bytes)>;

/// Joins of one client that may be undecided at once.
const MAX_PENDING_JOINS: usize = 8;
