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
//!
//! The files, as a connection meets them:
//!
//! - It comes and goes: `handshake`, `tokens` who it is, `bans` who is kept out, `closing`; without a link `away`, back `resume` or, as a
//!   program that was started again, `restart`.
//! - It speaks: `receive` cuts and counts frames, `requests` carries them out, `joins` and
//!   `membership` give and free seats, `questions` asks the host.
//! - It hears: `flush` says when a room's events go out, `transmit` what is written next,
//!   `catch_up` what is left out for a member that is behind, `overflow` what is too much.
//! - The host: `host` acts, `queries` looks up, `rooms` makes and deletes rooms.
//! - A room: `room` its members, `log` its events, `history` how long they are kept.

mod asides;
mod away;
mod bans;
mod budget;
mod catch_up;
mod chunks;
mod closing;
mod config;
mod congestion;
#[cfg(test)]
mod counters;
mod deadlines;
mod error;
mod event;
mod flush;
mod gate;
mod handshake;
mod history;
mod host;
mod joins;
mod kicks;
mod latest;
mod limits;
mod log;
mod membership;
mod metadata;
mod moderation;
mod outbox;
mod overflow;
mod pace;
mod plants;
mod prefix;
mod queries;
mod questions;
mod receive;
mod reliable;

mod requests;
mod restart;
mod resume;
mod room;
mod rooms;
mod roster;
mod session;
mod snapshot;
mod tokens;
mod transmit;
mod undecided;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use slotmap::SlotMap;

use crate::{
    identity::Revocations,
    wire::{ClientId, CloseReason, RoomId, RoomName, ServerMessage},
};
use away::{Away, EndedAway};
use bans::Bans;
use deadlines::Deadlines;
use gate::Gate;
use outbox::ItemKind;
use pace::Pace;
use questions::PendingAsk;
use room::Room;
use session::{Connection, SeatRef};
use users::Users;

pub use bans::{ActiveBan, Who};
pub use config::{
    AuthPolicy, CreateOnJoin, HostConfig, MIN_PROGRESS, ManyLinks, OverflowPolicy, RelayConfig,
    RelayMode, RoomConfig, RoomHistory, Spoken, Validator,
};
pub use error::{
    BanClientError, ClientNotFound, ConfigError, CreateRoomError, MetadataError, RoomNotFound,
    ServerSendError, TooManyBans,
};
pub use event::{
    Admission, AskId, ConnId, DisconnectReason, Input, LinkId, Output, Question, RelayEvent,
    Verdict,
};
pub use gate::GateConfig;
pub use host::Announcement;
pub use limits::Limits;
pub use outbox::QueueLen;
pub use prefix::{InvalidIpPrefix, IpPrefix};
pub use room::{HistoryPage, PastEvent, RoomInfo};
pub use snapshot::RoomSnapshot;
pub use transmit::Offer;

/// All connections and rooms of one shard.
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    conns: SlotMap<ConnId, Connection>,
    links: SlotMap<LinkId, ConnId>,
    clients: HashMap<ClientId, ConnId>,
    rooms: FxHashMap<RoomId, Room>,
    names: BTreeMap<RoomName, RoomId>,
    /// Those of them that clients are shown.
    listed: BTreeMap<RoomName, RoomId>,
    gate: Gate,
    bans: Bans,
    users: Users,
    revocations: Revocations,
    last_room: u32,
    /// New with each start of the server.
    epoch: u64,
    /// When the first connection came: pings go out at regular times from then on.
    first_connect: Option<Instant>,
    /// Connections that may not have said hello, the oldest first.
    greeters: VecDeque<ConnId>,
    /// Connections without a link.
    away: Away,
    /// Sessions that were ended while away, with what they are to be told.
    ended_away: VecDeque<EndedAway>,
    /// Deleted rooms that somebody may still have to be told about, the oldest first.
    deleted: VecDeque<RoomId>,
    /// When which room's history is looked at next.
    histories: BTreeSet<(Instant, RoomId)>,
    /// The last of them that could give up nothing when all took too much.
    passed: Option<(Instant, RoomId)>,
    history_bytes: u64,
    asks: BTreeMap<AskId, PendingAsk>,
    last_ask: u64,
    deadlines: Deadlines,
    /// Rooms with events that nobody was told to write yet.
    pace: Pace,
    /// Rooms whose logs may have become shorter.
    trim_rooms: Vec<RoomId>,
    ready: Vec<ConnId>,
    /// Connections whose sockets are full.
    blocked: BTreeSet<ConnId>,
    /// Members of rooms who read and may have much waiting for them.
    congested: BTreeMap<RoomId, BTreeSet<ConnId>>,
    pending_bytes: usize,
    refusing: Option<CloseReason>,
    random: u64,
    scratch_cursors: Vec<(SeatRef, u64)>,
}

impl Relay {
    /// A relay without rooms and connections.
    pub fn new(config: RelayConfig) -> Self {
        let config = config.bounded();
        let mut relay = Self {
            random: config.host.seed,
            gate: Gate::new(config.gate.clone()),
            config,
            bans: Bans::default(),
            users: Users::default(),
            revocations: Revocations::default(),
            conns: SlotMap::with_key(),
            links: SlotMap::with_key(),
            clients: HashMap::new(),
            rooms: FxHashMap::default(),
            names: BTreeMap::new(),
            listed: BTreeMap::new(),
            last_room: 0,
            epoch: 0,
            first_connect: None,
            greeters: VecDeque::new(),
            away: Away::default(),
            ended_away: VecDeque::new(),
            deleted: VecDeque::new(),
            histories: BTreeSet::new(),
            passed: None,
            history_bytes: 0,
            asks: BTreeMap::new(),
            last_ask: 0,
            deadlines: Deadlines::default(),
            pace: Pace::new(),
            trim_rooms: Vec::new(),
            ready: Vec::new(),
            blocked: BTreeSet::new(),
            congested: BTreeMap::new(),
            pending_bytes: 0,
            refusing: None,
            scratch_cursors: Vec::new(),
        };
        relay.epoch = relay.random();
        relay
    }

    /// The connection that a link belongs to.
    pub fn conn_on(&self, link: LinkId) -> Option<ConnId> {
        self.links.get(link).copied()
    }

    /// The link of a connection, if it has one.
    pub fn link_of(&self, conn: ConnId) -> Option<LinkId> {
        self.conns.get(conn)?.link
    }

    /// Takes what happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Bytes { link, mut bytes } => loop {
                let taken = self.feed(now, link, bytes, out);
                bytes = &bytes[taken..];
                if bytes.is_empty() {
                    break;
                }
            },
            Input::Disconnected { link, reason } => self.disconnected(now, link, reason, out),
            Input::Answer { ask, verdict } => self.answer(now, ask, verdict, out),
            Input::Identity { ask, identity } => {
                self.identity_found(now, ask, identity.map(|identity| *identity), out);
            }
            Input::Tick => self.tick(now, out),
        }
    }

    /// Takes some of the bytes that came over a link, and returns how many; call it again with
    /// the rest. It does as much at a time as others may have to wait for: some 128 messages.
    pub fn feed(
        &mut self,
        now: Instant,
        link: LinkId,
        bytes: &[u8],
        out: &mut Vec<Output>,
    ) -> usize {
        bytes.len() - self.bytes(now, link, bytes, out).len()
    }

    /// Queues a message for one connection.
    fn push(&mut self, conn: ConnId, kind: ItemKind, message: &ServerMessage<'_>) {
        self.push_frame(conn, kind, message.to_frame());
    }

    fn push_frame(&mut self, conn: ConnId, kind: ItemKind, frame: Bytes) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.is_away() && !kind.is_numbered() {
            return;
        }
        connection.outbox.push(kind, frame);
        self.make_ready(conn);
    }

    /// Lists a connection among those that have something to send.
    fn make_ready(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if !connection.ready {
            connection.ready = true;
            self.ready.push(conn);
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
