//! How a member reads on that is behind: its socket was full, or it has just come back.
//!
//! It is given what it may not miss and the newest values. What a later event says as well,
//! and `Volatile` messages past its limit, are left out, and a gap is told in their place.
//! This happens when its socket takes bytes again, not before: what is newest is known then.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    event::{ConnId, LinkId, Output, RelayEvent},
    log::{Class, Entry, Origin},
    outbox::{Item, ItemKind},
    reliable::Kept,
    room::Room,
    session::SeatRef,
};
use crate::wire::{Delivery, GapReason, HEADER_LEN, RoomId, Seat, ServerMessage};

/// What a member that is behind has been told of what it is not given.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind {
    /// Events before this one that the log has forgotten are announced: what is kept of
    /// them follows.
    announced: u64,
    /// Whether it was told of these that not all follow.
    told: bool,
    /// Own messages, and such that it is left out of, among those that the log has forgotten and that are not announced.
    own: u64,
    /// Ranges, in rising order, whose `Volatile` messages it is not given.
    skip: Vec<(u64, u64)>,
    /// Members that came and went meanwhile, of whom it has not heard.
    gone: Vec<Seat>,
}

impl Behind {
    /// Of a member that was away from event `next` to before `end`; the log has forgotten
    /// `own` messages of its own among these.
    pub(super) fn since(next: u64, end: u64, own: u64) -> Self {
        Self { own, skip: vec![(next, end)], ..Self::default() }
    }

    /// The log forgets one of its own messages.
    pub(super) fn forgot_own(&mut self, seq: u64) {
        self.own += u64::from(seq >= self.announced);
    }

    /// It is not given the `Volatile` messages from `from` to before `to`; it is at `cursor`.
    pub(super) fn skip(&mut self, cursor: u64, from: u64, to: u64) {
        self.skip.retain(|(_, end)| *end > cursor);
        // More ranges than these are not worth their memory.
        let is_full = self.skip.len() >= MAX_RANGES;
        match self.skip.last_mut() {
            Some(last) if from <= last.1 || is_full => last.1 = last.1.max(to),
            _ => self.skip.push((from, to)),
        }
    }

    /// Ranges whose `Volatile` messages it is not given.
    pub(super) fn skipped(&self) -> &[(u64, u64)] {
        &self.skip
    }

    /// Whether it is not given an event of the log.
    pub(super) fn leaves_out(&self, seq: u64, entry: &Entry) -> bool {
        let class = entry.origin.class;
        (entry.superseded && !planted!("superseded-is-sent"))
            || class == Class::Message(Delivery::Volatile) && self.skips(seq)
            || class == Class::Message(Delivery::Reliable) && planted!("reliable-dropped")
            || class == Class::Control && planted!("control-dropped")
    }

    fn skips(&self, seq: u64) -> bool {
        self.skip.iter().any(|(from, to)| (*from..*to).contains(&seq))
    }

    /// Whether it may be given the log's bytes as they are from `cursor` on.
    fn is_over(&self, cursor: u64) -> bool {
        self.gone.is_empty() && self.skip.last().is_none_or(|(_, to)| *to <= cursor)
    }
}

/// A reader of a room's events for one seat.
pub(super) struct Reader<'a> {
    room: &'a mut Room,
    id: RoomId,
    seat: Seat,
    /// The own join.
    joined: u64,
    pub(super) cursor: u64,
    /// It reads up to before this event; of what the log has forgotten up to before `end`,
    /// where its stay is over: how that is split is not known.
    until: u64,
    end: u64,
    pub(super) behind: Behind,
    /// What it was given.
    pub(super) items: Vec<Item>,
    /// Events that it is not given and somebody else said.
    pub(super) dropped: u64,
    /// Bytes that it may still be given; what it does cost counts, not only frames.
    budget: usize,
    gap: Option<Gap>,
    /// Own messages since the last event that was left out.
    own: u32,
}

/// Events that are left out, one after another.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    to: u64,
    own: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        room: &'a mut Room,
        held: SeatRef,
        (joined, cursor): (u64, u64),
        (until, end): (u64, u64),
        behind: Behind,
        budget: usize,
    ) -> Self {
        let SeatRef { room: id, seat } = held;
        let end = end.min(room.log.next());
        let until = until.min(end);
        Self {
            room,
            id,
            seat,
            joined,
            cursor,
            until,
            end,
            behind,
            items: Vec::new(),
            dropped: 0,
            budget,
            gap: None,
            own: 0,
        }
    }

    /// Reads until there is nothing more, or the budget is used up.
    pub(super) fn run(&mut self) {
        if self.cursor >= self.until {
            return;
        }
        while self.cursor < self.forgotten() && self.may_go_on() {
            self.read_forgotten();
        }
        while self.cursor < self.until && self.may_go_on() {
            self.read_log();
        }
        self.end_gap();
    }

    /// Whether the budget allows more. Something is always read, or there would be nothing
    /// to send after which it reads on.
    fn may_go_on(&self) -> bool {
        self.budget > 0 || self.items.is_empty() && self.gap.is_none()
    }

    /// The first event that the log has not forgotten, or the one after the last.
    fn forgotten(&self) -> u64 {
        self.room.log.first().min(self.end)
    }

    /// Bytes that it may still be given.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    /// Reads what is kept of the events that the log has forgotten.
    fn read_forgotten(&mut self) {
        let first = self.forgotten();
        let latest = self.latest_before(first);
        if self.cursor >= self.behind.announced {
            self.announce_forgotten(first, latest.len());
        }
        let end = self.behind.announced;
        let mut latest = latest.into_iter().filter(|(seq, _)| *seq < end).peekable();
        let mut reliable = self.next_reliable(end);
        while self.may_go_on() {
            let value = latest.next_if(|(seq, _)| reliable.is_none_or(|kept| *seq < kept.seq));
            let (seq, origin, frame) = match (value, reliable) {
                (Some((seq, origin)), _) => (seq, origin, self.room.latest_frame(origin)),
                (None, Some(Kept { seq, origin, .. })) => {
                    let frame = Bytes::copy_from_slice(self.room.reliable.frame(seq));
                    self.cursor = seq + 1;
                    reliable = self.next_reliable(end);
                    (seq, origin, Some(frame))
                }
                (None, None) => {
                    self.end_gap();
                    return self.cursor = end;
                }
            };
            self.cursor = seq + 1;
            let Some(frame) = frame else { continue };
            if !self.is_of_nobody(seq, origin, &frame) {
                self.end_gap();
                self.give(seq, origin, frame);
                continue;
            }
            self.dropped += 1;
            self.budget = self.budget.saturating_sub(LOOK);
            match &mut self.gap {
                Some(gap) if gap.to + 1 == seq => gap.to = seq,
                _ => {
                    self.end_gap();
                    self.gap = Some(Gap { from: seq, to: seq, own: 0 });
                }
            }
        }
    }

    /// Says that of the events from the cursor to before `first` not all are kept, if that
    /// is so; `values` of them are newest values.
    fn announce_forgotten(&mut self, first: u64, values: usize) {
        let reliable = self.room.reliable.since(self.cursor);
        let reliable = reliable.filter(|kept| kept.seq < first && self.is_due(kept)).count();
        let joined = usize::from((self.cursor..first).contains(&self.joined));
        let known = (reliable + values + joined) as u64;
        let missing = (first - self.cursor).saturating_sub(known);
        let own = std::mem::take(&mut self.behind.own).min(missing);
        let own = if planted!("own-forgotten-uncounted") { 0 } else { own };
        self.behind.told = own < missing;
        if self.behind.told {
            let (from, to) = (self.cursor, first - 1);
            let own = u32::try_from(own).unwrap_or(u32::MAX);
            self.tell_gap(Gap { from, to, own }, GapReason::Forgotten);
            self.dropped += missing - u64::from(own);
        }
        self.behind.announced = first;
    }

    fn next_reliable(&self, end: u64) -> Option<Kept> {
        let mut reliable = self.room.reliable.since(self.cursor);
        reliable.find(|kept| self.is_due(kept)).filter(|kept| kept.seq < end).copied()
    }

    fn is_due(&self, kept: &Kept) -> bool {
        !kept.superseded && !kept.origin.spares(self.seat)
    }

    /// Which newest values the log has forgotten, from the cursor to before `first`, in
    /// their order.
    fn latest_before(&self, first: u64) -> Vec<(u64, Origin)> {
        let values = self.room.latest_since(self.cursor);
        let values = values.filter(|(seq, origin)| *seq < first && !origin.spares(self.seat));
        let mut values: Vec<_> = values.collect();
        values.sort_unstable_by_key(|(seq, _)| *seq);
        values
    }

    /// Reads the next event of the log.
    fn read_log(&mut self) {
        let seq = self.cursor;
        let Some(entry) = self.room.log.entry(seq).copied() else {
            self.cursor = self.until;
            return;
        };
        self.cursor += 1;
        self.budget = self.budget.saturating_sub(LOOK);
        let origin = entry.origin;
        let leaks = planted!("left-out-is-replayed") && origin.leaves_out(self.seat);
        if origin.spares(self.seat) && !leaks {
            self.own += u32::from(origin.withholds_message(self.seat));
            return;
        }
        if self.behind.leaves_out(seq, &entry) || self.is_of_nobody_in_log(seq, origin) {
            // What was too much was reported when it was.
            self.dropped += u64::from(origin.class != Class::Message(Delivery::Volatile));
            let own = std::mem::take(&mut self.own);
            match &mut self.gap {
                Some(gap) => (gap.to, gap.own) = (seq, gap.own + own),
                None => self.gap = Some(Gap { from: seq, to: seq, own: 0 }),
            }
            return;
        }
        self.end_gap();
        let frame = self.room.copy(seq);
        self.give(seq, origin, frame);
    }

    fn is_of_nobody_in_log(&mut self, seq: u64, origin: Origin) -> bool {
        if origin.class != Class::Control && self.behind.gone.is_empty() {
            return false;
        }
        let frame = self.room.copy(seq);
        self.is_of_nobody(seq, origin, &frame)
    }

    /// Whether an event is about somebody who came and went while this member was behind,
    /// and said nothing that it has to hear.
    fn is_of_nobody(&mut self, seq: u64, origin: Origin, frame: &[u8]) -> bool {
        let sender = origin.sender;
        if origin.class != Class::Control {
            return self.behind.gone.contains(&sender);
        }
        match ServerMessage::decode(frame.get(HEADER_LEN..).unwrap_or_default()) {
            Ok(ServerMessage::PlayerJoined { member, .. }) => {
                // Whoever was there when it joined, it knows from the roster.
                let unknown = seq > self.joined && self.behind.gone.len() < MAX_GONE;
                let gone = unknown && self.room.left_silently(member.seat);
                if gone {
                    self.behind.gone.push(member.seat);
                }
                gone
            }
            Ok(ServerMessage::PlayerLeft { seat, .. }) => {
                let at = self.behind.gone.iter().position(|gone| *gone == seat);
                let gone = at.map(|at| self.behind.gone.swap_remove(at)).is_some();
                gone && !planted!("end-of-the-unknown-told")
            }
            _ => self.behind.gone.contains(&sender),
        }
    }

    fn give(&mut self, seq: u64, origin: Origin, frame: Bytes) {
        let Origin { sender, class, .. } = origin;
        self.own = 0;
        self.budget = self.budget.saturating_sub(frame.len() + LOOK);
        let (room, forgotten) = (self.id, self.behind.told && seq < self.behind.announced);
        let kind = ItemKind::Event { room, seq, sender, class, forgotten };
        self.items.push(Item { frame, kind });
    }

    fn end_gap(&mut self) {
        if let Some(gap) = self.gap.take() {
            self.tell_gap(gap, GapReason::Lagged);
        }
    }

    fn tell_gap(&mut self, gap: Gap, reason: GapReason) {
        let (room, Gap { from, to, own }) = (self.id, gap);
        if planted!("dropped-without-gap") {
            return;
        }
        let to = if planted!("gap-too-long") { to + 1 } else { to };
        let frame = ServerMessage::Gap { room, from, to, own, reason }.to_frame();
        // What lies between two of these is not known.
        let forgotten = reason == GapReason::Forgotten || to < self.behind.announced;
        self.items.push(Item { frame, kind: ItemKind::Gap { room, from, to, own, forgotten } });
    }
}

impl Relay {
    /// Prepares what `link` is to be sent next, if it is behind: the newest as of now. To be
    /// called when a socket that was full takes bytes again, before
    /// [`transmit`](Self::transmit).
    pub fn catch_up(&mut self, now: Instant, link: LinkId, out: &mut Vec<Output>) {
        let Some(conn) = self.conn_on(link) else { return };
        if self.conns.get(conn).is_none_or(|found| !found.behind) {
            return;
        }
        self.drop_superseded(conn, out);
        self.relieve_if_behind(now, conn, out);
        self.admit_asides(conn);
        self.read_on(conn, WINDOW, out);
    }

    /// A connection is given what is newest from here on, not all there is, until it has
    /// got to the end.
    pub(super) fn set_behind(&mut self, conn: ConnId, behind: bool) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if std::mem::replace(&mut connection.behind, behind) == behind {
            return;
        }
        for SeatRef { room, seat } in &connection.seats {
            if let Some(room) = self.rooms.get_mut(room) {
                room.set_behind(*seat, behind.then(Box::default));
            }
        }
    }

    /// Whether the events from a member's cursor to before `until` cannot be sent as they are.
    pub(super) fn must_choose(room: &Room, seat: Seat, cursor: u64, until: u64) -> bool {
        let Some(behind) = room.member(seat).and_then(|member| member.behind.as_deref()) else {
            return false;
        };
        let cursor = room.log.skip_own(cursor, seat);
        let ahead = cursor < until.min(room.log.next());
        ahead
            && (cursor < room.log.first()
                || cursor <= room.log.last_optional()
                || !behind.is_over(cursor))
    }

    /// Moves events from the rooms' logs into a connection's outbox, chosen for one that is
    /// behind, until about `window` bytes wait there.
    pub(super) fn read_on(&mut self, conn: ConnId, window: usize, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn) else { return };
        let chooses = |held: &SeatRef| {
            let room = self.rooms.get(&held.room);
            let member = room.and_then(|room| Some((room, room.member(held.seat)?)));
            member.is_some_and(|(room, member)| {
                Self::must_choose(room, held.seat, member.cursor, u64::MAX)
            })
        };
        // What waits behind the events of a seat is sent after these only.
        let front = connection.outbox.items().front();
        let is_held = front.is_some_and(|item| matches!(item.kind, ItemKind::After { .. }));
        let has_enough = connection.outbox.bytes() >= window && !is_held;
        if has_enough || !connection.seats.iter().any(chooses) {
            return;
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let mut budget = window.saturating_sub(connection.outbox.bytes()).max(1);
        let seats = connection.seats.clone();
        let mut waiting = connection.outbox.take().into_iter();
        for item in waiting.by_ref() {
            let mut goes_on = true;
            if let ItemKind::After { room, seat, before } = item.kind
                && let Some(held) = seats.iter().find(|held| held.room == room && held.seat == seat)
            {
                goes_on = self.read_seat(conn, *held, before, &mut budget, out);
            }
            let Some(connection) = self.conns.get_mut(conn) else { return };
            connection.outbox.push(item.kind, item.frame);
            if !goes_on {
                break;
            }
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let is_all = waiting.len() == 0;
        waiting.for_each(|item| connection.outbox.push(item.kind, item.frame));
        for held in seats.iter().filter(|_| is_all) {
            if !self.read_seat(conn, *held, u64::MAX, &mut budget, out) {
                return;
            }
        }
    }

    /// Reads for one seat up to before `until`; whether it got there.
    pub(super) fn read_seat(
        &mut self,
        conn: ConnId,
        held: SeatRef,
        until: u64,
        budget: &mut usize,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(room) = self.rooms.get_mut(&held.room) else { return true };
        let Some(member) = room.member(held.seat) else { return true };
        let (joined, cursor) = (member.joined, member.cursor);
        if !Self::must_choose(room, held.seat, cursor, until) {
            return true;
        }
        let behind = member.behind.as_deref().cloned().unwrap_or_default();
        let range = (until, u64::MAX);
        let mut reader = Reader::new(room, held, (joined, cursor), range, behind, *budget);
        reader.run();
        let Reader { cursor, behind, items, dropped, budget: left, .. } = reader;
        *budget = left;
        if let Some(member) = room.member_mut(held.seat) {
            member.cursor = cursor;
            member.behind = member.behind.is_some().then(|| Box::new(behind));
        }
        let arrived = !Self::must_choose(room, held.seat, cursor, until);
        if let Some(connection) = self.conns.get_mut(conn) {
            items.into_iter().for_each(|item| connection.outbox.push(item.kind, item.frame));
        }
        if dropped > 0 {
            self.report_lag(conn, held.room, dropped, out);
        }
        self.trim_later(held.room);
        arrived
    }

    /// Moves all events that wait for a connection into its outbox, in the order in which it
    /// would have been sent them.
    pub(super) fn take_out(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        if self.conns.get(conn).is_some_and(|found| found.blocked.is_none()) {
            self.admit_asides(conn);
        }
        self.drop_superseded(conn, out);
        self.read_on(conn, usize::MAX, out);
        self.copy_out(conn);
    }

    /// Moves the events that wait for a connection as they are.
    fn copy_out(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let seats = connection.seats.clone();
        for item in connection.outbox.take() {
            if let ItemKind::After { room, seat, before } = item.kind
                && let Some(held) = seats.iter().find(|held| held.room == room && held.seat == seat)
            {
                self.copy_seat(conn, *held, before);
            }
            if let Some(connection) = self.conns.get_mut(conn) {
                connection.outbox.push(item.kind, item.frame);
            }
        }
        for held in seats {
            self.copy_seat(conn, held, u64::MAX);
        }
    }

    fn copy_seat(&mut self, conn: ConnId, held: SeatRef, until: u64) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(room) = self.rooms.get_mut(&held.room) else { return };
        let end = until.min(room.log.next());
        let Some(member) = room.member(held.seat) else { return };
        let mut cursor = room.log.skip_own(member.cursor, held.seat);
        while cursor < end
            && let Some(entry) = room.log.entry(cursor)
        {
            let Origin { sender, class, .. } = entry.origin;
            let (room_id, forgotten) = (held.room, false);
            let kind = ItemKind::Event { room: room_id, seq: cursor, sender, class, forgotten };
            connection.outbox.push(kind, room.copy(cursor));
            cursor = room.log.skip_own(cursor + 1, held.seat);
        }
        if let Some(member) = room.member_mut(held.seat) {
            member.cursor = member.cursor.max(cursor);
        }
        self.trim_later(held.room);
    }

    /// Drops what was chosen to be sent and is superseded by now.
    fn drop_superseded(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if !connection.outbox.has_droppable() {
            return;
        }
        let rooms = &self.rooms;
        let seats = &connection.seats;
        let member = |id: RoomId| {
            let held = seats.iter().find(|held| held.room == id)?;
            rooms.get(&id)?.member(held.seat)
        };
        let is_dropped = |item: &Item| {
            let ItemKind::Event { room, seq, sender, class: Class::Message(delivery), .. } =
                item.kind
            else {
                return false;
            };
            let Some(member) = member(room) else { return false };
            match delivery {
                Delivery::Reliable => false,
                Delivery::Volatile => {
                    member.behind.as_deref().is_some_and(|behind| behind.skips(seq))
                }
                Delivery::Latest(key) => rooms[&room].is_superseded(sender, key, seq),
            }
        };
        let own_between = |room: RoomId, last: u64, from: u64| {
            let joined = member(room).map_or(0, |member| member.joined);
            from - last - 1 - u64::from((last + 1..from).contains(&joined))
        };
        let items = connection.outbox.take();
        let (kept, dropped) = announce(items, is_dropped, own_between);
        kept.into_iter().for_each(|item| connection.outbox.push(item.kind, item.frame));
        for (room, dropped) in dropped {
            self.report_lag(conn, room, dropped, out);
        }
    }

    pub(super) fn report_lag(
        &self,
        conn: ConnId,
        room: RoomId,
        dropped: u64,
        out: &mut Vec<Output>,
    ) {
        let (Some(connection), Some(found)) = (self.conns.get(conn), self.rooms.get(&room)) else {
            return;
        };
        let Some(seat) = connection.seat_in(room) else { return };
        out.push(Output::Event(RelayEvent::Lagged {
            room,
            name: found.name.clone(),
            seat,
            conn,
            client_id: connection.client_id,
            dropped,
        }));
    }
}

/// Puts gaps in the place of events that are dropped; returns also how many of which room were.
///
/// Numbers that are missing inside a gap without having been dropped are the receiver's own.
fn announce(
    items: std::collections::VecDeque<Item>,
    is_dropped: impl Fn(&Item) -> bool,
    own_between: impl Fn(RoomId, u64, u64) -> u64,
) -> (Vec<Item>, Vec<(RoomId, u64)>) {
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    // Per room: the gap that nothing was kept after yet, as an index into `kept`.
    let mut open: Vec<(RoomId, usize)> = Vec::new();
    let mut dropped: Vec<(RoomId, u64)> = Vec::new();
    // What comes before one of these is of an earlier stay, and stays as it is.
    let of_stay = |item: &Item| match item.kind {
        ItemKind::Joined { room } | ItemKind::Left { room, .. } => Some(room),
        ItemKind::Control
        | ItemKind::Pong
        | ItemKind::Reply
        | ItemKind::Lane
        | ItemKind::Roster
        | ItemKind::After { .. }
        | ItemKind::Spared { .. }
        | ItemKind::Aside { .. }
        | ItemKind::Event { .. }
        | ItemKind::Gap { .. } => None,
    };
    let ends: Vec<_> =
        items.iter().map(of_stay).enumerate().filter(|(_, it)| it.is_some()).collect();
    let is_past =
        |at: usize, room: RoomId| ends.iter().any(|end| *end > (at, None) && end.1 == Some(room));
    for (at, item) in items.into_iter().enumerate() {
        let (room, from, to, own) = match item.kind {
            ItemKind::Event { room, .. } | ItemKind::Gap { room, .. } if is_past(at, room) => {
                kept.push(item);
                continue;
            }
            ItemKind::Event { room, seq, forgotten, .. } if is_dropped(&item) => {
                match dropped.iter_mut().find(|(known, _)| *known == room) {
                    Some((_, count)) => *count += 1,
                    None => dropped.push((room, 1)),
                }
                if forgotten {
                    continue;
                }
                (room, seq, seq, 0)
            }
            ItemKind::Gap { room, from, to, own, forgotten: false } => (room, from, to, own),
            ItemKind::Event { room, .. }
            | ItemKind::Joined { room }
            | ItemKind::Left { room, .. }
            | ItemKind::Gap { room, .. } => {
                open.retain(|(known, _)| *known != room);
                kept.push(item);
                continue;
            }
            ItemKind::Control
            | ItemKind::Pong
            | ItemKind::Reply
            | ItemKind::Lane
            | ItemKind::Roster
            | ItemKind::After { .. }
            | ItemKind::Spared { .. }
            | ItemKind::Aside { .. } => {
                kept.push(item);
                continue;
            }
        };
        let known = open.iter().find(|(known, _)| *known == room).map(|(_, at)| *at);
        let at = known.unwrap_or(kept.len());
        if known.is_none() {
            open.push((room, at));
        }
        let (first, own) = match kept.get(at).map(|gap| gap.kind) {
            Some(ItemKind::Gap { from: first, to: last, own: before, .. }) => {
                let between = own_between(room, last, from);
                let between = u32::try_from(between).unwrap_or(u32::MAX);
                (first, before.saturating_add(between).saturating_add(own))
            }
            _ => (from, own),
        };
        let (from, reason) = (first, GapReason::Lagged);
        let frame = ServerMessage::Gap { room, from, to, own, reason }.to_frame();
        let forgotten = false;
        let gap = Item { frame, kind: ItemKind::Gap { room, from, to, own, forgotten } };
        match kept.get_mut(at) {
            Some(slot) => *slot = gap,
            None => kept.push(gap),
        }
    }
    (kept, dropped)
}

/// About as many bytes are chosen at a time for a member that is behind: what a socket takes
/// in one go.
pub(super) const WINDOW: usize = 32 << 10;

/// What looking at an event counts for, in bytes.
const LOOK: usize = 4;

/// Ranges of messages that a member is not given, and members of whom it does not hear, at most.
const MAX_RANGES: usize = 16;
const MAX_GONE: usize = 256;
