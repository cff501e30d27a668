//! Layer 2: the room service as a deterministic state machine.
//!
//! Bytes, time, decisions of the host and random seeds come in; bytes to write,
//! events and questions come out. Knows no socket, no clock and no task.
//!
//! Use: [`Relay::connect`] for each connection, [`Relay::handle`] for whatever
//! happens; then [`Relay::take_ready`] names the connections to write to, and
//! for each of them [`Relay::transmit`] and [`Relay::sent`] until nothing is
//! left or the socket is full ([`Relay::blocked`]). [`Relay::next_deadline`] says
//! when to come back at the latest.

mod config;
mod deadlines;
mod error;
mod event;
mod host;
mod log;
mod membership;
mod meta;
mod moderation;
mod outbox;
mod relief;
mod requests;
mod room;
mod session;
mod transmit;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use slotmap::SlotMap;

pub use config::{CreateOnJoin, MIN_PROGRESS, OverflowPolicy, RelayConfig, RelayMode, RoomConfig};
pub use error::{ClientNotFound, CreateRoomError, MetaError, RoomNotFound, SendError};
pub use event::{AskId, ConnId, DisconnectReason, Input, Output, Question, RelayEvent, Verdict};
pub use outbox::QueueLen;
pub use room::RoomInfo;

use deadlines::{Deadlines, Due, millis};
use log::Class;
use meta::clamp_u32;
use outbox::ItemKind;
use room::Room;
use session::{Connection, JoinStage, SeatRef, Session};

use crate::wire::{ClientId, CloseReason, Refusal, RoomId, RoomName, Seat, ServerMessage, VERSION};

/// All connections and rooms of one shard.
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    conns: SlotMap<ConnId, Connection>,
    clients: HashMap<ClientId, ConnId>,
    rooms: HashMap<RoomId, Room>,
    names: BTreeMap<RoomName, RoomId>,
    last_room: u32,
    asks: BTreeMap<AskId, PendingAsk>,
    last_ask: u64,
    deadlines: Deadlines,
    /// Rooms with events that nobody was told to write yet.
    dirty_rooms: Vec<RoomId>,
    /// Rooms whose logs may have become shorter.
    trim_rooms: Vec<RoomId>,
    ready: Vec<ConnId>,
    pending_bytes: usize,
    refusing: Option<CloseReason>,
    random: u64,
    scratch_cursors: Vec<(SeatRef, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum AskTarget {
    Connect(ConnId),
    CreateRoom(ConnId),
    Join(ConnId),
    Relay(ConnId),
}

#[derive(Debug)]
struct PendingAsk {
    target: AskTarget,
    deadline: Instant,
}

impl Relay {
    /// A relay without rooms and connections.
    pub fn new(config: RelayConfig) -> Self {
        Self {
            random: config.seed,
            config: config.bounded(),
            conns: SlotMap::with_key(),
            clients: HashMap::new(),
            rooms: HashMap::new(),
            names: BTreeMap::new(),
            last_room: 0,
            asks: BTreeMap::new(),
            last_ask: 0,
            deadlines: Deadlines::default(),
            dirty_rooms: Vec::new(),
            trim_rooms: Vec::new(),
            ready: Vec::new(),
            pending_bytes: 0,
            refusing: None,
            scratch_cursors: Vec::new(),
        }
    }

    /// Adds a connection from `addr`; `client_id` must be random.
    ///
    /// One that cannot be taken is told why and closed like any other.
    pub fn connect(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        client_id: ClientId,
        out: &mut Vec<Output>,
    ) -> ConnId {
        let connection = Connection::new(now, addr, client_id, &self.config);
        let taken = self.conns.len();
        let conn = self.conns.insert(connection);
        let due = self.conns[conn].deadline(&self.config);
        self.conns[conn].due = due;
        self.deadlines.add(due, Due::Connection(conn));
        let max = self.config.max_clients;
        let reason = match &self.refusing {
            Some(reason) => Some(reason.clone()),
            None if taken >= max => Some(CloseReason::MaxClientsReached {
                max: clamp_u32(max),
                retry_after_ms: millis(self.config.retry_after),
            }),
            None => None,
        };
        if let Some(reason) = reason {
            self.close(now, conn, reason, out);
            if taken >= max.saturating_mul(2).max(MAX_REFUSED) {
                // A flood gets no farewell: those who wait for theirs are memory too.
                self.forget(conn);
                out.push(Output::Disconnect { conn });
            }
        }
        conn
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Bytes { conn, bytes } => self.bytes(now, conn, bytes, out),
            Input::Disconnected { conn, reason } => self.disconnected(now, conn, reason, out),
            Input::Answer { ask, verdict } => self.answer(now, ask, verdict, out),
            Input::Tick => self.tick(now, out),
        }
    }

    /// Appends the connections that have something to send and whose sockets are
    /// not known to be full to `ready`, each once.
    ///
    /// Call it again after writing to them: it also frees what was sent.
    pub fn take_ready(&mut self, now: Instant, ready: &mut Vec<ConnId>, out: &mut Vec<Output>) {
        self.pending_bytes = 0;
        for room in std::mem::take(&mut self.trim_rooms) {
            if let Some(found) = self.rooms.get_mut(&room) {
                found.trim();
            }
        }
        let mut blocked = Vec::new();
        let mut rooms = std::mem::take(&mut self.dirty_rooms);
        for room in rooms.drain(..) {
            let Some(found) = self.rooms.get_mut(&room) else { continue };
            found.dirty = false;
            found.advance_cursors(|member| {
                let Some(connection) = self.conns.get_mut(member.conn) else { return };
                if connection.blocked.is_some() {
                    blocked.push(member.conn);
                } else if !connection.ready {
                    connection.ready = true;
                    self.ready.push(member.conn);
                }
            });
            self.trim_rooms.push(room);
        }
        self.dirty_rooms = rooms;
        for conn in blocked {
            self.relieve_if_behind(now, conn, out);
        }
        let mut listed = std::mem::take(&mut self.ready);
        for conn in listed.drain(..) {
            let Some(connection) = self.conns.get_mut(conn) else { continue };
            connection.ready = false;
            if connection.blocked.is_some() {
                self.relieve_if_behind(now, conn, out);
            } else {
                ready.push(conn);
            }
        }
        // Closing a slow connection may have made others ready; they stay for the next call.
        listed.append(&mut self.ready);
        self.ready = listed;
    }

    /// Whether [`take_ready`](Self::take_ready) has something to do.
    pub fn is_dirty(&self) -> bool {
        !(self.dirty_rooms.is_empty() && self.ready.is_empty() && self.trim_rooms.is_empty())
    }

    /// Whether the answer to a question still matters: nobody left, nothing timed out.
    pub fn is_asked(&self, ask: AskId) -> bool {
        self.asks.contains_key(&ask)
    }

    /// Bytes of events appended since the last [`take_ready`](Self::take_ready).
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Appends an event to a room's log.
    fn append(
        &mut self,
        room: RoomId,
        sender: Seat,
        class: Class,
        skip_sender: bool,
        size: usize,
        encode: impl FnOnce(&mut BytesMut, u64),
    ) -> u64 {
        let Some(found) = self.rooms.get_mut(&room) else { return 0 };
        self.pending_bytes += size;
        if !found.dirty {
            found.dirty = true;
            self.dirty_rooms.push(room);
        }
        found.log.append(sender, class, skip_sender, size, encode)
    }

    fn trim_later(&mut self, room: RoomId) {
        if self.trim_rooms.last() != Some(&room) {
            self.trim_rooms.push(room);
        }
    }

    /// Queues a message for one connection.
    fn push(&mut self, conn: ConnId, kind: ItemKind, message: &ServerMessage<'_>) {
        self.push_frame(conn, kind, message.to_frame());
    }

    fn push_frame(&mut self, conn: ConnId, kind: ItemKind, frame: Bytes) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.outbox.push(kind, frame);
        if !connection.ready {
            connection.ready = true;
            self.ready.push(conn);
        }
    }

    /// Completes a handshake.
    fn open(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.session = Session::Open;
        connection.liveness.heard = now;
        connection.liveness.next_ping = now + self.config.ping_interval;
        let (client_id, addr) = (connection.client_id, connection.addr);
        let meta = connection.meta.to_vec();
        self.clients.insert(client_id, conn);
        let welcome = ServerMessage::Welcome {
            version: VERSION,
            client_id,
            max_payload: clamp_u32(self.config.max_payload),
            ping_interval_ms: millis(self.config.ping_interval),
            idle_timeout_ms: millis(self.config.idle_timeout),
            resume_grace_ms: 0,
            epoch: 0,
            secret: crate::wire::Secret::default(),
        };
        self.push(conn, ItemKind::Control, &welcome);
        self.schedule(conn);
        let opened = RelayEvent::ConnectionOpened { conn, client_id, addr, meta };
        out.push(Output::Event(opened));
    }

    /// Ends a connection with a reason that it is told.
    fn close(&mut self, now: Instant, conn: ConnId, reason: CloseReason, out: &mut Vec<Output>) {
        if self.conns.get(conn).is_none_or(Connection::is_closing) {
            return;
        }
        if matches!(reason, CloseReason::SlowConsumer { .. } | CloseReason::TooManyRequests { .. })
            && let Some(connection) = self.conns.get_mut(conn)
        {
            connection.outbox.take();
        } else if self.refusing.is_none() {
            self.take_out(conn);
        }
        let frame = ServerMessage::Close { reason: reason.clone() }.to_frame();
        self.part(now, conn, DisconnectReason::Closed(reason), out);
        self.push_frame(conn, ItemKind::Control, frame);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.session = Session::Closing { until: now + self.config.linger };
        self.schedule(conn);
    }

    /// Takes the end of a connection whose socket is gone.
    fn disconnected(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        if self.conns.get(conn).is_some_and(|connection| !connection.is_closing()) {
            self.part(now, conn, reason, out);
        }
        self.forget(conn);
    }

    /// Frees everything that a connection holds in rooms, and tells the host.
    fn part(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let (client_id, addr) = (connection.client_id, connection.addr);
        let was_open = connection.is_open();
        let asked = match connection.session {
            Session::Asking { ask } => Some(ask),
            Session::Greeting { .. } | Session::Open | Session::Closing { .. } => None,
        };
        let joins = connection.joins.iter().filter_map(|join| match join.stage {
            JoinStage::CreatingRoom(ask) | JoinStage::Asking { ask, .. } => Some(ask),
            JoinStage::Waiting => None,
        });
        let moderated = connection.moderated.iter().map(|pending| pending.ask);
        let asks: Vec<_> = asked.into_iter().chain(joins).chain(moderated).collect();
        connection.moderated.clear();
        connection.session = Session::Closing { until: now + self.config.linger };
        for ask in asks {
            self.withdraw(ask);
        }
        while let Some(held) = self.conns.get(conn).and_then(|found| found.seats.first()) {
            self.leave(now, conn, held.room, reason.as_leave(), out);
        }
        self.clients.remove(&client_id);
        out.push(Output::Event(if was_open {
            RelayEvent::ConnectionClosed { conn, client_id, reason }
        } else {
            RelayEvent::HandshakeFailed { addr, reason }
        }));
    }

    /// Removes a connection that holds nothing in rooms any more.
    fn forget(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.remove(conn) {
            self.deadlines.remove(connection.due, Due::Connection(conn));
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        target: AskTarget,
        question: Question,
        out: &mut Vec<Output>,
    ) -> AskId {
        self.last_ask += 1;
        let ask = AskId(self.last_ask);
        let deadline = now + self.config.ask_timeout;
        self.asks.insert(ask, PendingAsk { target, deadline });
        self.deadlines.add(deadline, Due::Ask(ask));
        out.push(Output::Ask { ask, question, deadline });
        ask
    }

    /// Forgets a question whose answer no longer matters.
    fn withdraw(&mut self, ask: AskId) {
        if let Some(pending) = self.asks.remove(&ask) {
            self.deadlines.remove(pending.deadline, Due::Ask(ask));
        }
    }

    fn answer(&mut self, now: Instant, ask: AskId, verdict: Verdict, out: &mut Vec<Output>) {
        if let Some(pending) = self.asks.remove(&ask) {
            self.deadlines.remove(pending.deadline, Due::Ask(ask));
            self.decided(now, ask, pending.target, verdict.into(), out);
        }
    }

    fn ask_expired(&mut self, now: Instant, ask: AskId, out: &mut Vec<Output>) {
        if let Some(pending) = self.asks.remove(&ask) {
            let after_ms = millis(self.config.ask_timeout);
            self.decided(now, ask, pending.target, Err(Refusal::TimedOut { after_ms }), out);
        }
    }

    fn decided(
        &mut self,
        now: Instant,
        ask: AskId,
        target: AskTarget,
        verdict: Result<(), Refusal>,
        out: &mut Vec<Output>,
    ) {
        match target {
            AskTarget::Connect(conn) => match verdict {
                Ok(()) => self.open(now, conn, out),
                Err(reason) => {
                    let message = reason.to_string();
                    self.close(now, conn, CloseReason::ConnectionRefused { message }, out);
                }
            },
            AskTarget::CreateRoom(conn) => self.room_decided(now, conn, ask, verdict, out),
            AskTarget::Join(conn) => self.join_decided(now, conn, ask, verdict, out),
            AskTarget::Relay(conn) => self.moderated(conn, ask, verdict, out),
        }
    }

    /// The next number of a splitmix64 sequence (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Connections that may wait for their refusal on a server that takes no more, at least.
const MAX_REFUSED: usize = 64;
