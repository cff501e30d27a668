//! What happens to a connection that is behind: droppable messages go and are
//! announced; what must stay moves out of the rooms' logs, so that a slow
//! member never holds a log back; too much of that ends the connection.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use bytes::Bytes;

use super::{
    Relay,
    config::{OverflowPolicy, RelayConfig},
    event::{ConnId, Output, RelayEvent},
    log::Class,
    meta::clamp_u32,
    outbox::{Item, ItemKind},
    session::{SeatRef, Threshold},
};
use crate::wire::{CloseReason, Delivery, GapReason, RoomId, Seat, ServerMessage};

impl Relay {
    /// Drops or closes if more waits for `conn` than may.
    pub(super) fn relieve_if_behind(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn).filter(|connection| connection.is_open())
        else {
            return;
        };
        if connection.outbox.replies() > self.config.max_owed_replies {
            let max = clamp_u32(self.config.max_owed_replies);
            return self.close(now, conn, CloseReason::TooManyRequests { max }, out);
        }
        let waiting = self.waiting(conn);
        let most = connection.relief;
        let too_much = waiting.frames > most.frames || waiting.bytes > most.bytes;
        let in_rooms = waiting.frames - connection.outbox.frames();
        if too_much || in_rooms > TAKEN_AT_ONCE {
            self.take_out(conn);
        }
        if !too_much {
            return;
        }
        if self.config.overflow == OverflowPolicy::Disconnect {
            // Its own events, which it does not get, no longer count.
            let (waiting, most) = (self.waiting(conn), Threshold::of(&self.config));
            if waiting.frames > most.frames || waiting.bytes > most.bytes {
                self.close_slow(now, conn, waiting.bytes, out);
            }
            return;
        }
        let dropped = self.drop_waiting(conn);
        let waiting = self.waiting(conn);
        for (room, dropped) in dropped {
            self.report_lag(conn, room, dropped, out);
        }
        if waiting.bytes > self.config.outbox_limit {
            return self.close_slow(now, conn, waiting.bytes, out);
        }
        // What is left cannot be dropped: look again when it has grown, not at every event.
        let (base, limit) = (Threshold::of(&self.config), self.config.outbox_limit);
        if let Some(connection) = self.conns.get_mut(conn) {
            connection.relief = Threshold {
                frames: base.frames.max(waiting.frames + base.frames / 4),
                bytes: base.bytes.max(waiting.bytes + limit / 8).min(limit),
            };
        }
    }

    /// Frames and bytes that wait for a connection, its rooms' events included.
    pub(super) fn waiting(&self, conn: ConnId) -> Threshold {
        let Some(connection) = self.conns.get(conn) else {
            return Threshold { frames: 0, bytes: 0 };
        };
        let mut waiting =
            Threshold { frames: connection.outbox.frames(), bytes: connection.outbox.bytes() };
        // What an absent member missed waits in the room's history, not for it.
        for held in connection.seats.iter().filter(|_| !connection.is_away()) {
            let Some(room) = self.rooms.get(&held.room) else { continue };
            let Some(member) = room.member(held.seat) else { continue };
            let frames = room.log.next() - member.cursor;
            let bytes = room.log.end() - room.log.start_of(member.cursor);
            waiting.frames += usize::try_from(frames).unwrap_or(usize::MAX);
            waiting.bytes += usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        waiting
    }

    /// Moves the events that wait for one seat from the log into the connection's outbox.
    pub(super) fn take_out_seat(&mut self, conn: ConnId, held: SeatRef) {
        self.take_out_until(conn, held, u64::MAX);
    }

    /// The same for all seats, with everything kept in the order it would have been sent.
    pub(super) fn take_out(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let items = connection.outbox.take();
        let seats = connection.seats.clone();
        for item in items {
            if let ItemKind::After { room, seat, before } = item.kind
                && let Some(held) = seats.iter().find(|held| held.room == room && held.seat == seat)
            {
                self.take_out_until(conn, *held, before);
            }
            if let Some(connection) = self.conns.get_mut(conn) {
                connection.outbox.push(item.kind, item.frame);
            }
        }
        for held in seats {
            self.take_out_seat(conn, held);
        }
    }

    fn take_out_until(&mut self, conn: ConnId, held: SeatRef, until: u64) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(room) = self.rooms.get_mut(&held.room) else { return };
        let end = until.min(room.log.next());
        let Some(member) = room.member(held.seat) else { return };
        let mut cursor = room.log.skip_own(member.cursor, held.seat);
        while cursor < end {
            let Some(entry) = room.log.entry(cursor) else { break };
            let kind = ItemKind::Event {
                room: held.room,
                seq: cursor,
                sender: entry.sender,
                class: entry.class,
            };
            connection.outbox.push(kind, Bytes::copy_from_slice(room.log.bytes(cursor)));
            cursor = room.log.skip_own(cursor + 1, held.seat);
        }
        if let Some(member) = room.member_mut(held.seat) {
            member.cursor = member.cursor.max(cursor);
        }
        self.trim_later(held.room);
    }

    /// Drops what may be dropped; returns how many events of which room.
    fn drop_waiting(&mut self, conn: ConnId) -> Vec<(RoomId, u64)> {
        let Some(connection) = self.conns.get_mut(conn) else { return Vec::new() };
        // A plant may drop what must stay, and so looks at all of it.
        let mut looks = connection.outbox.has_droppable();
        for plant in [planted!("reliable-dropped"), planted!("control-dropped")] {
            looks |= plant;
        }
        if !looks {
            return Vec::new();
        }
        let items = connection.outbox.take();
        let doomed = choose(&items, &self.config);
        let (kept, dropped) = announce(items, &doomed);
        for item in kept {
            if planted!("dropped-without-gap") && matches!(item.kind, ItemKind::Gap { .. }) {
                continue;
            }
            connection.outbox.push(item.kind, item.frame);
        }
        dropped
    }

    fn report_lag(&self, conn: ConnId, room: RoomId, dropped: u64, out: &mut Vec<Output>) {
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

    fn close_slow(&mut self, now: Instant, conn: ConnId, queued: usize, out: &mut Vec<Output>) {
        let max = clamp_u32(self.config.outbox_limit);
        let reason = CloseReason::SlowConsumer { queued: clamp_u32(queued), max };
        self.close(now, conn, reason, out);
    }
}

/// Which items go.
fn choose(items: &VecDeque<Item>, config: &RelayConfig) -> Vec<bool> {
    let mut doomed = vec![false; items.len()];
    let mut left = Threshold { frames: 0, bytes: 0 };
    let mut newest: BTreeMap<(RoomId, Seat, u32), usize> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        if item.kind == ItemKind::Roster {
            continue;
        }
        if let ItemKind::Joined { room } = item.kind {
            // What comes again in the history of another stay replaces nothing of the last.
            newest.retain(|(known, ..), _| *known != room);
        }
        left.frames += 1;
        left.bytes += item.frame.len();
        if let ItemKind::Event {
            room, sender, class: Class::Message(Delivery::Latest(key)), ..
        } = item.kind
            && let Some(older) = newest.insert((room, sender, key), at)
        {
            doomed[older] = true;
            left.frames -= 1;
            left.bytes -= items[older].frame.len();
        }
    }
    let base = Threshold::of(config);
    let keep = match config.overflow {
        OverflowPolicy::KeepLatest | OverflowPolicy::Disconnect => {
            Threshold { frames: 0, bytes: 0 }
        }
        OverflowPolicy::DropOldest | OverflowPolicy::DropNewest => {
            Threshold { frames: base.frames / 2, bytes: base.bytes / 2 }
        }
    };
    let mut doom = |at: usize| {
        let over = left.frames > keep.frames || left.bytes > keep.bytes;
        let class = Class::Message(Delivery::Volatile);
        let reliable = Class::Message(Delivery::Reliable);
        let class = if planted!("reliable-dropped") { reliable } else { class };
        let class = if planted!("control-dropped") { Class::Control } else { class };
        if over && matches!(items[at].kind, ItemKind::Event { class: c, .. } if c == class) {
            doomed[at] = true;
            left.frames -= 1;
            left.bytes -= items[at].frame.len();
        }
    };
    if config.overflow == OverflowPolicy::DropNewest {
        (0..items.len()).rev().for_each(&mut doom);
    } else {
        (0..items.len()).for_each(&mut doom);
    }
    doomed
}

/// Puts gaps in the place of what goes; returns also how many events of which room went.
///
/// Sequence numbers that are missing inside a gap without having been dropped
/// are the receiver's own events.
fn announce(items: VecDeque<Item>, doomed: &[bool]) -> (Vec<Item>, Vec<(RoomId, u64)>) {
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    // Per room: the gap that nothing was kept after yet, as an index into `kept`.
    let mut open: HashMap<RoomId, usize> = HashMap::new();
    let mut dropped: Vec<(RoomId, u64)> = Vec::new();
    for (item, doomed) in items.into_iter().zip(doomed) {
        let (room, first, last, lost) = match item.kind {
            ItemKind::Event { room, seq, .. } if *doomed => {
                match dropped.iter_mut().find(|(known, _)| *known == room) {
                    Some((_, count)) => *count += 1,
                    None => dropped.push((room, 1)),
                }
                (room, seq, seq, 1)
            }
            ItemKind::Gap { room, from, to, own } => {
                (room, from, to, to - from + 1 - u64::from(own))
            }
            ItemKind::Event { room, .. } | ItemKind::Joined { room } => {
                open.remove(&room);
                kept.push(item);
                continue;
            }
            ItemKind::Control
            | ItemKind::Pong
            | ItemKind::Reply
            | ItemKind::Lane
            | ItemKind::Roster
            | ItemKind::Left { .. }
            | ItemKind::After { .. } => {
                kept.push(item);
                continue;
            }
        };
        let at = *open.entry(room).or_insert(kept.len());
        let (from, before) = match kept.get(at).map(|gap| gap.kind) {
            Some(ItemKind::Gap { from, to, own, .. }) => (from, to - from + 1 - u64::from(own)),
            _ => (first, 0),
        };
        let own = u32::try_from(last - from + 1 - before - lost).unwrap_or(u32::MAX);
        let last = if planted!("gap-too-long") { last + 1 } else { last };
        let reason = GapReason::Lagged;
        let frame = ServerMessage::Gap { room, from, to: last, own, reason }.to_frame();
        let gap = Item { frame, kind: ItemKind::Gap { room, from, to: last, own } };
        match kept.get_mut(at) {
            Some(slot) => *slot = gap,
            None => kept.push(gap),
        }
    }
    (kept, dropped)
}

/// Events that wait in a room for somebody whose socket is full before they are taken out: few, or
/// many who stopped to read at the same moment would hold everybody up when they all have
/// too many.
const TAKEN_AT_ONCE: usize = 64;
