//! What a connection's socket should take next, and what it took.
//!
//! In order: the rest of a frame whose start was written, what waits for the
//! connection alone, then its rooms' events from its cursors on.

use std::{io::IoSlice, ops::ControlFlow, time::Instant};

use bytes::Bytes;

use super::{
    Relay,
    catch_up::WINDOW,
    event::{ConnId, LinkId, Output},
    log::Run,
    outbox::ItemKind,
    plants,
    room::Room,
    session::{Blocked, Connection, SeatRef, Threshold},
};

/// What there is to write, as [`Relay::transmit`] found it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Offer {
    /// Slices that were filled.
    pub slices: usize,
    /// Bytes in them.
    pub bytes: usize,
    /// Whether that is all that waits.
    pub is_all: bool,
}

/// A piece of contiguous memory to write.
#[derive(Clone, Copy)]
enum Piece {
    Partial,
    Item,
    /// Bytes of a room's log from `position` on, for the seat with that index.
    Log {
        seat: usize,
        position: u64,
        run: Run,
    },
}

impl Relay {
    /// Fills `slices` with what to write to `link`, in order.
    ///
    /// Report what was written with [`sent`](Self::sent), before anything else
    /// happens to the relay.
    pub fn transmit<'a>(&'a self, link: LinkId, slices: &mut [IoSlice<'a>]) -> Offer {
        let mut offer = Offer { slices: 0, bytes: 0, is_all: true };
        let Some(connection) = self.connection_on(link) else { return offer };
        let flow = self.pieces(connection, |_, bytes| {
            let Some(slot) = slices.get_mut(offer.slices) else { return ControlFlow::Break(()) };
            *slot = IoSlice::new(bytes);
            offer.slices += 1;
            offer.bytes += bytes.len();
            ControlFlow::Continue(())
        });
        offer.is_all = flow.is_continue();
        offer
    }

    /// `bytes` of what [`transmit`](Self::transmit) gave, which was `offer`, were written.
    pub fn sent(
        &mut self,
        now: Instant,
        link: LinkId,
        offer: Offer,
        bytes: usize,
        out: &mut Vec<Output>,
    ) {
        let Some(conn) = self.conn_on(link) else { return };
        self.pace.sent();
        if offer.is_all && bytes == offer.bytes {
            debug_assert_eq!(self.offered(conn), bytes, "something happened in between");
            return self.sent_all(conn, out);
        }
        self.sent_some(now, conn, bytes, out);
        if self.conns.get(conn).is_some_and(|found| found.behind) {
            self.read_on(conn, WINDOW, out);
        }
    }

    /// Less was written than waits.
    fn sent_some(&mut self, now: Instant, conn: ConnId, bytes: usize, out: &mut Vec<Output>) {
        let mut cursors = std::mem::take(&mut self.scratch_cursors);
        let mut items = 0;
        let mut partial = None;
        let mut of_event = false;
        let mut left = bytes;
        let Some(connection) = self.conns.get(conn) else { return };
        let _ = self.pieces(connection, |piece, bytes| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            let taken = left.min(bytes.len());
            left -= taken;
            let rest = &bytes[taken..];
            match piece {
                Piece::Partial => partial = Some(Bytes::copy_from_slice(rest)),
                Piece::Item => {
                    items += 1;
                    of_event = false;
                    partial = Some(Bytes::copy_from_slice(rest));
                }
                Piece::Log { seat, position, run } => {
                    let held = connection.seats[seat];
                    let position = position + taken as u64;
                    let cursor = if position == run.end {
                        run.next
                    } else if let Some(room) = self.rooms.get(&held.room) {
                        let (seq, end) = room.log.event_at(position);
                        if room.log.start_of(seq) == position {
                            seq
                        } else {
                            let len = usize::try_from(end - position).unwrap_or(rest.len());
                            let len = plants::rest_of_frame(len);
                            of_event = true;
                            partial = Some(Bytes::copy_from_slice(&rest[..len]));
                            room.log.skip_own(seq + 1, held.seat)
                        }
                    } else {
                        run.next
                    };
                    cursors.push((held, cursor));
                }
            }
            ControlFlow::Continue(())
        });
        debug_assert_eq!(left, 0, "more was reported than was given");
        self.apply_sent(conn, items, partial.map(|rest| (rest, of_event)), &cursors);
        cursors.clear();
        self.scratch_cursors = cursors;
        self.after_sent(now, conn, bytes, out);
    }

    /// The socket of `link` takes no more for now; [`sent`](Self::sent) ends that.
    pub fn blocked(&mut self, now: Instant, link: LinkId, out: &mut Vec<Output>) {
        let Some(conn) = self.conn_on(link) else { return };
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.blocked.is_none() {
            connection.blocked = Some(Blocked::new(now));
            self.blocked.insert(conn);
            self.schedule(conn);
            self.set_behind(conn, true);
        }
        if let Some(connection) = self.conns.get_mut(conn).filter(|found| found.is_open()) {
            connection.outbox.take_back(Threshold::of(&self.config));
        }
        self.check_overflow(now, conn, out);
        self.note_congestion(now, conn);
    }

    /// Bytes that wait for a connection.
    fn offered(&self, conn: ConnId) -> usize {
        let mut offered = 0;
        if let Some(connection) = self.conns.get(conn) {
            let _ = self.pieces(connection, |_, bytes| {
                offered += bytes.len();
                ControlFlow::Continue(())
            });
        }
        offered
    }

    /// All that waited was written, as nearly always.
    fn sent_all(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.outbox.written_all();
        for held in &connection.seats {
            let Some(room) = self.rooms.get_mut(&held.room) else { continue };
            let head = room.log.next();
            if let Some(member) = room.member_mut(held.seat) {
                member.cursor = head;
            }
        }
        self.drained(conn, out);
    }

    fn apply_sent(
        &mut self,
        conn: ConnId,
        items: usize,
        partial: Option<(Bytes, bool)>,
        cursors: &[(SeatRef, u64)],
    ) {
        let Some(connection) = self.conns.get_mut(conn) else { return };
        for _ in 0..items {
            connection.outbox.written();
        }
        if let Some((rest, of_event)) = partial {
            connection.outbox.written_partly(rest, of_event);
        }
        for (held, cursor) in cursors {
            let Some(room) = self.rooms.get_mut(&held.room) else { continue };
            if let Some(member) = room.member_mut(held.seat) {
                member.cursor = *cursor;
            }
        }
    }

    fn after_sent(&mut self, now: Instant, conn: ConnId, bytes: usize, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn) else { return };
        if !self.has_pending(connection) {
            return self.drained(conn, out);
        }
        let Some(connection) = self.conns.get_mut(conn) else { return };
        let Some(blocked) = &mut connection.blocked else { return };
        blocked.taken += bytes;
        blocked.last = now;
        if blocked.taken >= super::config::MIN_PROGRESS {
            *blocked = Blocked::new(now);
        }
        self.trim_rooms_of(conn);
    }

    /// Nothing waits for a connection any more.
    fn drained(&mut self, conn: ConnId, out: &mut Vec<Output>) {
        self.unblock(conn);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        if connection.is_closing() {
            return self.forget(conn, out);
        }
        if connection.behind {
            connection.recount_at = self.config.outbox_limit;
            self.set_behind(conn, false);
            self.trim_rooms_of(conn);
        }
    }

    /// The socket of a connection is not full any more; whether it was.
    pub(super) fn unblock(&mut self, conn: ConnId) -> bool {
        let blocked = self.conns.get_mut(conn).and_then(|found| found.blocked.take()).is_some();
        if blocked {
            self.blocked.remove(&conn);
        }
        blocked
    }

    /// What may be lost goes with what else the socket takes next.
    pub(super) fn admit_asides(&mut self, conn: ConnId) {
        if let Some(Connection { outbox, seats, .. }) = self.conns.get_mut(conn) {
            outbox.admit_asides(seats);
        }
    }

    /// Whether something waits for a connection that must arrive, or has a place in the order
    /// of a room.
    pub(super) fn owes(&self, conn: ConnId) -> bool {
        let Some(connection) = self.conns.get(conn) else { return false };
        connection.outbox.owes()
            || connection.seats.iter().any(|held| {
                self.member(*held).is_some_and(|(room, cursor)| {
                    room.log.skip_own(cursor, held.seat) < room.log.next()
                })
            })
    }

    fn trim_rooms_of(&mut self, conn: ConnId) {
        for at in 0..self.conns[conn].seats.len() {
            let room = self.conns[conn].seats[at].room;
            self.trim_later(room);
        }
    }

    /// Whether anything waits for the connection.
    pub(super) fn has_pending(&self, connection: &Connection) -> bool {
        self.pieces(connection, |_, _| ControlFlow::Break(())).is_break()
    }

    fn pieces<'a>(
        &'a self,
        connection: &'a Connection,
        mut visit: impl FnMut(Piece, &'a [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let partial = connection.outbox.partial();
        if !partial.is_empty() {
            visit(Piece::Partial, partial)?;
        }
        // One seat is what nearly everybody has; more need their cursors remembered.
        let mut cursors = [0; INLINE_SEATS];
        let mut many;
        let cursors: &mut [u64] = if connection.seats.len() <= INLINE_SEATS {
            &mut cursors[..connection.seats.len()]
        } else {
            many = vec![0; connection.seats.len()];
            &mut many
        };
        for (cursor, held) in cursors.iter_mut().zip(&connection.seats) {
            *cursor = self.member(*held).map_or(u64::MAX, |(_, cursor)| cursor);
        }
        for item in connection.outbox.items() {
            if let ItemKind::After { room, seat, before } = item.kind
                && let Some(seat) =
                    connection.seats.iter().position(|held| held.room == room && held.seat == seat)
            {
                self.log_pieces(connection, seat, &mut cursors[seat], before, &mut visit)?;
            }
            visit(Piece::Item, &item.frame)?;
        }
        for (seat, cursor) in cursors.iter_mut().enumerate() {
            self.log_pieces(connection, seat, cursor, u64::MAX, &mut visit)?;
        }
        ControlFlow::Continue(())
    }

    fn log_pieces<'a>(
        &'a self,
        connection: &'a Connection,
        seat: usize,
        cursor: &mut u64,
        until: u64,
        visit: &mut impl FnMut(Piece, &'a [u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let held = connection.seats[seat];
        let Some((room, _)) = self.member(held) else { return ControlFlow::Continue(()) };
        if connection.behind && Self::must_choose(room, held.seat, *cursor, until) {
            return ControlFlow::Break(());
        }
        while let Some(run) = room.log.run(*cursor, until, held.seat, MAX_RUN) {
            for (position, bytes) in room.log.slices(run) {
                visit(Piece::Log { seat, position, run }, bytes)?;
            }
            *cursor = run.next;
        }
        ControlFlow::Continue(())
    }

    fn connection_on(&self, link: LinkId) -> Option<&Connection> {
        self.conns.get(self.conn_on(link)?)
    }

    /// The room of a seat and the cursor of its member.
    fn member(&self, held: SeatRef) -> Option<(&Room, u64)> {
        let room = self.rooms.get(&held.room)?;
        Some((room, room.member(held.seat)?.cursor))
    }
}

/// Rooms per connection whose cursors fit on the stack.
const INLINE_SEATS: usize = 4;

/// Bytes of one run, so that one slow walk does not hold everybody up.
const MAX_RUN: u64 = 256 * 1024;
