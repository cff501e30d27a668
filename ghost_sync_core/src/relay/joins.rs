//! Joins until they are decided: the room is found or made, the host is asked, then there is a
//! seat or a refusal.

use std::time::Instant;

use super::{
    Relay,
    config::{CreateOnJoin, RoomConfig},
    event::{AskId, ConnId, Output, Question, RelayEvent},
    membership::FirstWords,
    metadata::clamp_u32,
    outbox::ItemKind,
    plants,
    questions::AskTarget,
    session::{Connection, JoinStage, PendingJoin},
};
use crate::wire::{IfMissing, JoinOptions, LeaveReason, Refusal, RoomId, RoomName, ServerMessage};

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
            // Whether or not there is such a room.
            (Ok(name), Ok(())) if !self.conns[conn].may_enter(&name) => not_covered(&name),
            (Ok(name), Ok(())) => {
                let (options, stage) = (options.copied(), JoinStage::New);
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
            && pending.stage == JoinStage::New
        {
            let name = pending.name.clone();
            if let Some(room) = self.names.get(name.as_str()) {
                self.ask_join(now, conn, *room, out);
                continue;
            }
            let creation = self.creation(&pending.options);
            if let Err(reason) = self.may_create(conn, &name, creation) {
                self.finish_join(conn, Err(reason));
                continue;
            }
            match creation {
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
            IfMissing::Refuse if plants::refuse_makes_no_room() => CreateOnJoin::Never,
            IfMissing::Default | IfMissing::Refuse | IfMissing::Create { .. } => {
                self.config.create_on_join
            }
        }
    }

    /// Whether the join of a client may make a room of that name where it is missing, as far as
    /// its token says now.
    fn may_create(
        &self,
        conn: ConnId,
        name: &RoomName,
        creation: CreateOnJoin,
    ) -> Result<(), Refusal> {
        let connection = &self.conns[conn];
        if !connection.may_enter(name) {
            return Err(not_covered(name));
        }
        let may = connection.identity().is_none_or(|identity| identity.create);
        if creation == CreateOnJoin::Never || may || plants::anybody_makes_rooms() {
            return Ok(());
        }
        Err(Refusal::Forbidden { what: "this token lets nobody make rooms".to_owned() })
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
            role: pending.options.role,
            identity: connection.identity().cloned(),
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
        let epoch = plants::epoch(self.random());
        match self.create_room(now, name, epoch, config, out) {
            Ok(room) => self.ask_join(now, conn, room, out),
            Err(_) => {
                let max = clamp_u32(self.config.max_rooms);
                self.finish_join(conn, Err(Refusal::ServerOutOfRooms { max }));
            }
        }
    }

    pub(super) fn ask_join(
        &mut self,
        now: Instant,
        conn: ConnId,
        room: RoomId,
        out: &mut Vec<Output>,
    ) {
        if let Err(reason) = self.may_join(now, conn, room) {
            return self.finish_join(conn, Err(reason));
        }
        if !self.config.host.ask_join {
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
            role: pending.options.role,
            identity: connection.identity().cloned(),
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
            // There may be another token meanwhile.
            (Ok(config), None) => match self.may_create(conn, &name, CreateOnJoin::Ask) {
                Ok(()) => self.create_for_join(now, conn, name, config, out),
                Err(reason) => self.finish_join(conn, Err(reason)),
            },
        }
        self.next_join(now, conn, out);
    }

    /// Takes a verdict about a join. What changed since the question counts too.
    pub(super) fn join_decided(
        &mut self,
        now: Instant,
        conn: ConnId,
        ask: AskId,
        verdict: Result<FirstWords, Refusal>,
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
            Ok(words) => match self.may_join(now, conn, room) {
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
    fn abandon_join(&self, conn: ConnId, reason: LeaveReason, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn) else { return };
        let Some(pending) = connection.joins.front() else { return };
        out.push(Output::Event(RelayEvent::JoinAbandoned {
            name: pending.name.clone(),
            conn,
            client_id: connection.client_id,
            reason,
        }));
    }

    fn may_join(&self, now: Instant, conn: ConnId, room: RoomId) -> Result<(), Refusal> {
        let connection = &self.conns[conn];
        let name = connection.joins.front().map_or_else(String::new, |join| join.name.to_string());
        let Some(found) = self.rooms.get(&room).filter(|found| !found.deleted) else {
            return Err(Refusal::RoomNotFound { room: name });
        };
        if !connection.may_enter(&found.name) && plants::grants_hold() {
            return Err(not_covered(&found.name));
        }
        if connection.seat_in(room).is_some() {
            return Err(Refusal::AlreadyJoined { room: name });
        }
        self.check_kicked(now, connection, found)?;
        if found.is_full() {
            return Err(Refusal::RoomFull { room: name, capacity: found.seats() });
        }
        let max = self.config.rooms_per_client;
        if max > 1 && connection.seats.len() >= max {
            return Err(Refusal::TooManyRooms { max: clamp_u32(max) });
        }
        Ok(())
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

fn not_covered(room: &RoomName) -> Refusal {
    Refusal::Forbidden { what: format!("this token is not for room {:?}", room.as_str()) }
}

/// What a client says about the seat that it wants.
#[derive(Clone, Copy)]
pub(super) struct JoinWish<'a> {
    pub(super) request: u32,
    pub(super) room: &'a str,
    pub(super) options: JoinOptions<&'a [u8]>,
}

/// Joins of one client that may be undecided at once.
const MAX_PENDING_JOINS: usize = 8;
