//! How a member reads on that is behind: its socket was full, or it has just come back.
//!
//! It is given what it may not miss and the newest values. What a later event says as well,
//! and `Volatile` messages past its limit, are left out, and a gap is told in their place.
//! This happens when its socket takes bytes again, not before: what is newest is known then.

mod behind;
mod reader;
mod superseded;

use std::time::Instant;

pub(super) use behind::Behind;
pub(super) use reader::Reader;

use super::{
    Relay,
    event::{ConnId, LinkId, Output, RelayEvent},
    log::Origin,
    outbox::ItemKind,
    room::Room,
    session::SeatRef,
};
use crate::wire::{RoomId, Seat};

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
        self.check_overflow(now, conn, out);
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
        *budget = reader.budget();
        let Reader { cursor, behind, items, dropped, .. } = reader;
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

/// About as many bytes are chosen at a time for a member that is behind: what a socket takes
/// in one go.
pub(super) const WINDOW: usize = 32 << 10;
