//! A room: its members, its log, its settings. Knows no connection's state.

mod info;
mod member;
mod trim;
mod values;

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rustc_hash::{FxHashMap, FxHashSet};

pub use info::{HistoryPage, PastEvent, RoomInfo};
pub(super) use member::Member;

use super::{
    catch_up::Behind,
    config::{MAX_TICK, RoomConfig},
    kicks::Kicked,
    latest::Latest,
    log::{Class, Log, Origin},
    metadata::{MetadataLimit, MetadataMap},
    pace::{Company, Pending},
    plants,
    reliable::ReliableLog,
    roster::Roster,
};
use crate::wire::{ClientId, Delivery, Replay, RoomName, Seat};

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    pub(super) epoch: u64,
    pub(super) config: RoomConfig,
    pub(super) log: Log,
    /// What the log has forgotten and may not be missed.
    pub(super) reliable: ReliableLog,
    pub(super) meta: MetadataMap,
    pub(super) kicked: Kicked,
    /// Sorted by seat.
    members: Vec<Member>,
    pub(super) roster: Roster,
    next_seat: u32,
    /// Whether the host was told last that it is full.
    pub(super) told_full: bool,
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
    /// Bytes that may wait for a member: so much the log keeps for those who are behind.
    outbox_limit: u64,
    /// Members that are behind.
    behind: usize,
    /// Bytes that it kept when they were last counted.
    counted: u64,
    /// The newest event of each sender and key that the log has, and for members that are
    /// behind some that it had.
    newest: FxHashMap<(Seat, u32), u64>,
    /// How many may be known until those are forgotten that the log has not.
    newest_limit: usize,
    /// The last change of each key of a member's metadata, and of the room's own.
    changes: BTreeMap<(Seat, String), u64>,
    /// How many may be known until those are forgotten that nothing keeps.
    changes_limit: usize,
    /// Copies of events for members that are behind, shared among them until the next flush.
    copies: FxHashMap<u64, Bytes>,
    latest: Latest,
    /// Seats that are free, with the event that freed them; as long as that is kept.
    former: VecDeque<Former>,
    /// Of these, who said nothing that must not be lost.
    silent: FxHashSet<Seat>,
}

/// A seat that was given up.
#[derive(Clone, Copy, Debug)]
struct Former {
    /// The event that freed it.
    seq: u64,
    seat: Seat,
    client_id: ClientId,
}

/// Senders and keys whose newest events are known at least.
const MIN_NEWEST: usize = 4096;

/// The last seat that a room gives out; the one after it is that of who watches a recording.
const LAST_SEAT: u32 = u32::MAX - 1;

impl Room {
    /// `grace` is how long its members may be away, `outbox_limit` what may wait for one.
    pub(super) fn new(
        now: Instant,
        name: RoomName,
        epoch: u64,
        config: RoomConfig,
        (grace, outbox_limit): (Duration, usize),
    ) -> Self {
        Self {
            name,
            epoch,
            config,
            log: Log::new(),
            reliable: ReliableLog::default(),
            meta: MetadataMap::new(MetadataLimit::ROOM),
            kicked: Kicked::default(),
            members: Vec::new(),
            roster: Roster::default(),
            next_seat: 1,
            told_full: false,
            deleted: false,
            pending: Pending::Nothing,
            company: Company::default(),
            last_flush: None,
            flushed_to: 0,
            expires: None,
            history_due: None,
            born: now,
            grace,
            outbox_limit: outbox_limit as u64,
            behind: 0,
            counted: 0,
            newest: FxHashMap::default(),
            newest_limit: MIN_NEWEST,
            changes: BTreeMap::new(),
            changes_limit: MIN_NEWEST,
            copies: FxHashMap::default(),
            latest: Latest::default(),
            former: VecDeque::new(),
            silent: FxHashSet::default(),
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
        let seq = self.log.append(origin, at, size, encode);
        if let Class::Message(Delivery::Latest(key)) = origin.class
            && let Some(older) = self.newest.insert((origin.sender, key), seq)
        {
            self.log.supersede(older);
        }
        let must_arrive = origin.must_arrive();
        if let Class::Message(_) = origin.class {
            for seat in origin.spared.seats() {
                if let Some(member) = self.member_mut(seat) {
                    member.own += 1;
                    member.spoke |= must_arrive && seat == origin.sender;
                }
            }
            if must_arrive
                && !origin.spares(origin.sender)
                && let Some(sender) = self.member_mut(origin.sender)
            {
                sender.spoke = true;
            }
        }
        seq
    }

    /// The classes and sizes of the frames that a member is given from `cursor` on, if it
    /// reads on now.
    pub(super) fn sizes_for(
        &self,
        seat: Seat,
        cursor: u64,
        behind: Option<&Behind>,
    ) -> impl Iterator<Item = (Class, usize)> {
        let first = self.log.first();
        let reliable = self.reliable.since(cursor).take_while(move |kept| kept.seq < first);
        let reliable = reliable.filter(move |kept| !kept.superseded && !kept.origin.spares(seat));
        let forgotten =
            reliable.map(|kept| (kept.origin.class, self.reliable.frame(kept.seq).len()));
        let log = (cursor.max(first)..self.log.next()).filter_map(move |seq| {
            let entry = self.log.entry(seq)?;
            let is_left_out = behind.is_some_and(|behind| behind.leaves_out(seq, entry));
            let is_due = !entry.origin.spares(seat) && !is_left_out;
            let len = self.log.start_of(seq + 1) - self.log.start_of(seq);
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            is_due.then_some((entry.origin.class, len))
        });
        forgotten.chain(log)
    }

    /// Whether a seat was given up that said nothing which must not be lost.
    pub(super) fn left_silently(&self, seat: Seat) -> bool {
        self.silent.contains(&seat)
    }

    /// Notes that a member reads on with gaps, or that it has caught up.
    pub(super) fn set_behind(&mut self, seat: Seat, behind: Option<Box<Behind>>) {
        let Some(member) = self.member_mut(seat) else { return };
        let before = std::mem::replace(&mut member.behind, behind).is_some();
        let after = self.member(seat).is_some_and(|member| member.behind.is_some());
        self.behind = self.behind + usize::from(after) - usize::from(before);
        if before && self.behind == 0 {
            let first = self.log.first();
            self.newest.retain(|_, seq| *seq >= first);
        }
    }

    /// How a member reads on that is behind.
    pub(super) fn behind_mut(&mut self, seat: Seat) -> Option<&mut Behind> {
        self.member_mut(seat)?.behind.as_deref_mut()
    }

    /// Bytes that it keeps, by what they cost: its log, and what it keeps apart.
    pub(super) fn kept_bytes(&self) -> u64 {
        self.log.len() + self.reliable.len()
    }

    /// The same, and what it was at the last call.
    pub(super) fn recount(&mut self) -> (u64, u64) {
        let kept = self.kept_bytes();
        (kept, std::mem::replace(&mut self.counted, kept))
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

    /// The first event for a newcomer whose join is event `joined`.
    pub(super) fn replay_from(&self, joined: u64, replay: Replay) -> u64 {
        let most = joined.saturating_sub(self.config.replay.into());
        let wanted = match replay {
            Replay::Last(events) => joined.saturating_sub(events.into()),
            Replay::Since { epoch, seq } if epoch == self.epoch => seq,
            Replay::Nothing | Replay::Since { .. } => joined,
        };
        let from = wanted.max(most).max(self.log.first());
        let from = plants::history_from(from, self.log.first()..joined);
        // Its own join is no history to it.
        if from >= joined { joined + 1 } else { from }
    }

    /// Forgets the newest values of a seat that is given up, and who had it
    /// once the log has forgotten event `seq`.
    /// `joined` is the event of its join, if that and the end mean nothing to those who have
    /// not heard of it yet.
    pub(super) fn forget_seat(
        &mut self,
        seat: Seat,
        client_id: ClientId,
        seq: u64,
        joined: Option<u64>,
    ) {
        if plants::values_go_with_leavers() {
            self.latest.forget_all(seat);
        }
        let keys = (seat, String::new())..(Seat(seat.0.saturating_add(1)), String::new());
        self.changes.extract_if(keys, |_, _| true).for_each(drop);
        if let Some(joined) = joined {
            self.log.make_optional(joined);
            self.silent.insert(seat);
        }
        self.former.push_back(Former { seq, seat, client_id });
    }

    /// Who had the seats that were given up at event `since` or later.
    pub(super) fn former(&self, since: u64) -> Vec<(Seat, ClientId)> {
        let after = self.former.partition_point(|former| former.seq < since);
        self.former.range(after..).map(|former| (former.seat, former.client_id)).collect()
    }

    /// A seat number nobody had before; give it back with [`seat`](Self::seat).
    pub(super) fn next_seat(&mut self) -> Seat {
        let seat = Seat(self.next_seat);
        // Past the last the room is full: a seat is never given twice, and none is the server's.
        self.next_seat = self.next_seat.saturating_add(1);
        seat
    }

    /// Seats a member; seats must come in rising order.
    pub(super) fn seat(&mut self, member: Member) {
        self.roster.changed(member.seat);
        self.members.push(member);
    }

    pub(super) fn unseat(&mut self, seat: Seat) -> Option<Member> {
        self.roster.changed(seat);
        self.set_behind(seat, None);
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

    pub(super) fn is_full(&self) -> bool {
        if self.next_seat > LAST_SEAT {
            return true;
        }
        let seats = self.config.capacity.map(|seats| plants::seats(seats.get() as usize));
        seats.is_some_and(|seats| self.members.len() >= seats)
    }

    /// How many last changes of metadata are known.
    #[cfg(test)]
    pub(super) fn known_changes(&self) -> usize {
        self.changes.len()
    }

    /// Starts to give out seats at `number`.
    #[cfg(test)]
    pub(super) fn start_seats_at(&mut self, number: u32) {
        self.next_seat = number;
    }

    /// Players at once, or, where only the server's limit holds, at all.
    pub(super) fn seats(&self) -> u32 {
        self.config.capacity.map_or(LAST_SEAT, NonZeroU32::get)
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
