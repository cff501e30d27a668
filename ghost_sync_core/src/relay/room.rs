//! A room: its members, its log, its settings. Knows no connection's state.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{
    config::{History, MAX_TICK, RelayMode, RoomConfig},
    deadlines::{FOR_EVER, millis},
    event::ConnId,
    log::{Class, Log, Origin},
    meta::{MetaLimit, MetaMap},
    pace::{Company, Pending},
    roster::Roster,
};
use crate::wire::{
    ClientId, Delivery, HEADER_LEN, Meta, Replay, RoomId, RoomName, Seat, ServerMessage,
};

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    pub(super) epoch: u64,
    pub(super) config: RoomConfig,
    pub(super) log: Log,
    pub(super) meta: MetaMap,
    /// Sorted by seat.
    members: Vec<Member>,
    pub(super) roster: Roster,
    next_seat: u32,
    /// Deleted softly: members keep their seats, nothing more is said.
    pub(super) deleted: bool,
    /// As what it is listed among the rooms with something new.
    pub(super) pending: Pending,
    pub(super) company: Company,
    /// When its events were last sent, and up to which byte.
    pub(super) last_flush: Option<Instant>,
    flushed_to: u64,
    /// When it goes if nobody joins, or, once it is deleted, for good.
    pub(super) expires: Option<Instant>,
    /// When its history is looked at next.
    pub(super) history_due: Option<Instant>,
    born: Instant,
    grace: Duration,
    /// The newest value of each sender and key.
    latest: BTreeMap<(Seat, u32), Latest>,
    /// Bytes of those values.
    latest_bytes: usize,
    /// Seats that are free, with the event that freed them; as long as that is kept.
    former: VecDeque<(u64, Seat, ClientId)>,
}

/// The newest value of a sender and key.
#[derive(Debug)]
struct Latest {
    seq: u64,
    len: usize,
    /// Its frame, once the log has forgotten it.
    frame: Option<Bytes>,
}

/// A seat and where its member is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) seat: Seat,
    pub(super) conn: ConnId,
    pub(super) client_id: ClientId,
    pub(super) cursor: u64,
    /// The first event of its stay.
    pub(super) since: u64,
    /// Whether its connection has no link: it is given nothing then.
    pub(super) away: bool,
}

impl Room {
    /// `grace` is how long its members may be away.
    pub(super) fn new(
        now: Instant,
        name: RoomName,
        epoch: u64,
        config: RoomConfig,
        grace: Duration,
    ) -> Self {
        Self {
            name,
            epoch,
            config,
            log: Log::new(),
            meta: MetaMap::new(MetaLimit::ROOM),
            members: Vec::new(),
            roster: Roster::default(),
            next_seat: 1,
            deleted: false,
            pending: Pending::Nothing,
            company: Company::default(),
            last_flush: None,
            flushed_to: 0,
            expires: None,
            history_due: None,
            born: now,
            grace,
            latest: BTreeMap::new(),
            latest_bytes: 0,
            former: VecDeque::new(),
        }
    }

    /// Appends an event that happens now; see [`Log::append`].
    pub(super) fn append(
        &mut self,
        now: Instant,
        origin: Origin,
        size: usize,
        encode: impl FnOnce(&mut BytesMut, u64),
    ) -> u64 {
        let at = self.clock(now);
        let before = self.log.end();
        let seq = self.log.append(origin, at, size, encode);
        if let Class::Message(Delivery::Latest(key)) = origin.class {
            let len = usize::try_from(self.log.end() - before).unwrap_or(usize::MAX);
            self.remember(origin.sender, key, Latest { seq, len, frame: None });
        }
        seq
    }

    /// Time between two flushes, if it is set.
    pub(super) fn tick(&self) -> Option<Duration> {
        self.config.tick.map(|tick| tick.min(MAX_TICK))
    }

    /// What is new is on its way.
    pub(super) fn flushed(&mut self, now: Instant) {
        // Late once is no reason to be late ever after.
        let due = self.tick().zip(self.last_flush).map(|(tick, last)| last + tick);
        let on_time = due.filter(|due| *due <= now && now < *due + MAX_LATE);
        self.last_flush = Some(on_time.unwrap_or(now));
        self.flushed_to = self.log.end();
        self.pending = Pending::Nothing;
    }

    /// Bytes of events that nobody was told to write yet.
    pub(super) fn unflushed(&self) -> u64 {
        self.log.end() - self.flushed_to
    }

    /// Milliseconds since the room was made; they wrap after 49 days, which
    /// does no harm to differences.
    pub(super) fn clock(&self, now: Instant) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "wrapping is meant")]
        let clock = now.saturating_duration_since(self.born).as_millis() as u32;
        clock
    }

    /// Makes everything `by` younger, because the relay itself slept.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.born += by;
    }

    /// The newest values, as frames for a newcomer, in the order they were said.
    pub(super) fn retained(&self, room: RoomId) -> Vec<Bytes> {
        let mut values: Vec<_> = self.latest.values().collect();
        values.sort_unstable_by_key(|value| value.seq);
        let frames = values.into_iter().filter_map(|value| {
            let frame = value.frame.as_deref().unwrap_or_else(|| self.log.bytes(value.seq));
            let Ok(ServerMessage::Broadcast {
                seq,
                sender,
                delivery: Delivery::Latest(key),
                message_type,
                payload,
                ..
            }) = ServerMessage::decode(frame.get(HEADER_LEN..)?)
            else {
                return None;
            };
            let value = ServerMessage::Retained { room, seq, sender, key, message_type, payload };
            Some(value.to_frame())
        });
        frames.collect()
    }

    /// The first event for a newcomer whose join is event `joined`.
    pub(super) fn replay_from(&self, joined: u64, replay: Replay) -> u64 {
        let most = joined.saturating_sub(self.config.replay.into());
        let wanted = match replay {
            Replay::Last(events) => joined.saturating_sub(events.into()),
            Replay::Since { epoch, seq } if epoch == self.epoch => seq,
            Replay::Nothing | Replay::Since { .. } => joined,
        };
        let from = wanted.max(most).max(self.log.first());
        // Its own join is no history to it.
        if planted!("history-without-end") && from < joined && from > self.log.first() {
            return from - 1;
        }
        if from >= joined { joined + 1 } else { from }
    }

    fn remember(&mut self, sender: Seat, key: u32, value: Latest) {
        let retain = self.config.retain;
        if let Some(old) = self.latest.remove(&(sender, key)) {
            self.latest_bytes -= old.len;
        }
        if self.latest.len() < retain && self.latest_bytes + value.len <= MAX_LATEST {
            self.latest_bytes += value.len;
            self.latest.insert((sender, key), value);
        }
    }

    /// Forgets the newest values of a seat that is given up, and who had it
    /// once the log has forgotten event `seq`.
    pub(super) fn retire(&mut self, seat: Seat, client_id: ClientId, seq: u64) {
        let seat_of = if planted!("values-of-leavers-stay") { Seat(u32::MAX) } else { seat };
        while let Some((key, _)) = self.latest.range((seat_of, 0)..=(seat_of, u32::MAX)).next()
            && let key = *key
            && let Some(value) = self.latest.remove(&key)
        {
            self.latest_bytes -= value.len;
        }
        self.former.push_back((seq, seat, client_id));
    }

    /// Who had the seats that were given up at event `since` or later.
    pub(super) fn former(&self, since: u64) -> Vec<(Seat, ClientId)> {
        let after = self.former.partition_point(|(seq, ..)| *seq < since);
        self.former.range(after..).map(|(_, seat, client_id)| (*seat, *client_id)).collect()
    }

    /// A seat number nobody had before; give it back with [`seat`](Self::seat).
    pub(super) fn next_seat(&mut self) -> Seat {
        let seat = Seat(self.next_seat);
        self.next_seat += 1;
        seat
    }

    /// Seats a member; seats must come in rising order.
    pub(super) fn seat(&mut self, member: Member) {
        self.roster.changed(member.seat);
        self.members.push(member);
    }

    pub(super) fn unseat(&mut self, seat: Seat) -> Option<Member> {
        self.roster.changed(seat);
        self.index(seat).map(|at| self.members.remove(at))
    }

    /// Notes whether a member's connection has a link.
    pub(super) fn set_away(&mut self, seat: Seat, away: bool) {
        let Some(member) = self.member_mut(seat) else { return };
        if std::mem::replace(&mut member.away, away) != away {
            self.roster.changed(seat);
        }
    }

    pub(super) fn member(&self, seat: Seat) -> Option<&Member> {
        self.index(seat).map(|at| &self.members[at])
    }

    pub(super) fn member_mut(&mut self, seat: Seat) -> Option<&mut Member> {
        self.index(seat).map(|at| &mut self.members[at])
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Moves each cursor past the member's own events; calls `behind` for each
    /// member that has events to get.
    pub(super) fn advance_cursors(&mut self, mut behind: impl FnMut(&Member)) {
        let head = self.log.next();
        for member in self.members.iter_mut().filter(|member| !member.away) {
            if member.cursor < head {
                member.cursor = self.log.skip_own(member.cursor, member.seat);
            }
            if member.cursor < head {
                behind(member);
            }
        }
    }

    /// Forgets what every member has been given and history does not keep;
    /// returns how many bytes that was.
    pub(super) fn trim(&mut self, now: Instant) -> u64 {
        let History { events, bytes, .. } = self.config.history;
        let (head, clock, age) = (self.log.next(), self.clock(now), millis(self.age()));
        let is_history = |log: &Log, seq: u64| {
            let count = usize::try_from(head - seq).unwrap_or(usize::MAX);
            let size = usize::try_from(log.end() - log.start_of(seq)).unwrap_or(usize::MAX);
            let at = log.entry(seq).map_or(clock, |entry| entry.at);
            count <= events && size <= bytes && clock.wrapping_sub(at) < age
        };
        let needed = self.needed();
        let mut keep = self.log.first();
        while keep < needed && !is_history(&self.log, keep) {
            keep += 1;
        }
        self.forget(keep)
    }

    /// Forgets the older half of its history, for want of room; returns how many
    /// bytes that was.
    pub(super) fn trim_half(&mut self) -> u64 {
        let first = self.log.first();
        let half = first + (self.log.next() - first).div_ceil(2);
        self.forget(half.min(self.needed()))
    }

    /// When its oldest event becomes too old.
    pub(super) fn history_ends(&self, now: Instant) -> Option<Instant> {
        let oldest = self.log.entry(self.log.first())?;
        let age = Duration::from_millis(self.clock(now).wrapping_sub(oldest.at).into());
        Some(now + self.age().saturating_sub(age))
    }

    /// How old events may become: who is away must find those of its absence.
    fn age(&self) -> Duration {
        let away = self.members.iter().any(|member| member.away);
        let grace = if away { self.grace } else { Duration::ZERO };
        self.config.history.age.max(grace).min(FOR_EVER)
    }

    /// The oldest event that somebody has not been given yet.
    fn needed(&self) -> u64 {
        let present = self.members.iter().filter(|member| !member.away);
        present.map(|member| member.cursor).min().unwrap_or_else(|| self.log.next())
    }

    /// Forgets the events before `keep`, but for the newest values.
    fn forget(&mut self, keep: u64) -> u64 {
        let before = self.log.len();
        for seq in self.log.first()..keep {
            if let Some(entry) = self.log.entry(seq)
                && let Class::Message(Delivery::Latest(key)) = entry.class
                && let Some(newest) = self.latest.get_mut(&(entry.sender, key))
                && newest.seq == seq
            {
                newest.frame = Some(Bytes::copy_from_slice(self.log.bytes(seq)));
            }
        }
        self.log.trim(keep);
        while self.former.front().is_some_and(|(seq, ..)| *seq < keep) {
            self.former.pop_front();
        }
        before - self.log.len()
    }

    pub(super) fn is_full(&self) -> bool {
        let more = usize::from(planted!("one-seat-too-many"));
        self.config.capacity.is_some_and(|seats| self.members.len() >= seats.get() as usize + more)
    }

    /// Seats; 0 where only the server's limit holds.
    pub(super) fn capacity(&self) -> u32 {
        self.config.capacity.map_or(0, NonZeroU32::get)
    }

    fn index(&self, seat: Seat) -> Option<usize> {
        self.members.binary_search_by_key(&seat, |member| member.seat).ok()
    }
}

/// A tick that is late by less than this does not move those after it.
const MAX_LATE: Duration = Duration::from_millis(5);

/// Bytes of newest values that a room keeps at most.
const MAX_LATEST: usize = 256 << 10;

/// What happened in a room, from some event on: see [`Relay::history`](super::Relay::history).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RoomHistory {
    /// The oldest event that the room keeps.
    pub oldest: u64,
    /// The number that the room's next event will get.
    pub next: u64,
    /// Events that follow each other.
    pub events: Vec<PastEvent>,
}

/// An event that a room keeps.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PastEvent {
    /// Its place in the room's order.
    pub seq: u64,
    /// When it happened, in milliseconds since the room was made; wraps after 49 days.
    pub at_ms: u32,
    /// The whole frame that members got.
    pub frame: Bytes,
}

/// A room as the host sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// Its number.
    pub id: RoomId,
    /// Its name.
    pub name: RoomName,
    /// Players in it.
    pub players: usize,
    /// Seats; `None`: only the server's own limit holds.
    pub capacity: Option<NonZeroU32>,
    /// What becomes of a broadcast.
    pub mode: RelayMode,
    /// Random, new for each incarnation of the room.
    pub epoch: u64,
    /// The last event's number; 0 before the first.
    pub seq: u64,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<Meta>,
}
