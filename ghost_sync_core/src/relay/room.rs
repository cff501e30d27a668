//! A room: its members, its log, its settings. Knows no connection's state.

use std::{num::NonZeroU32, time::Instant};

use super::{
    config::{RelayMode, RoomConfig},
    event::ConnId,
    log::Log,
    meta::{MetaLimit, MetaMap},
};
use crate::wire::{ClientId, Meta, RoomId, RoomName, Seat};

#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    pub(super) epoch: u64,
    pub(super) config: RoomConfig,
    pub(super) log: Log,
    pub(super) meta: MetaMap,
    /// Sorted by seat.
    members: Vec<Member>,
    next_seat: u32,
    /// Deleted softly: members keep their seats, nothing more is said.
    pub(super) deleted: bool,
    /// Whether it is listed among the rooms with something new.
    pub(super) dirty: bool,
    /// When it goes if nobody joins.
    pub(super) expires: Option<Instant>,
}

/// A seat and where its member is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) seat: Seat,
    pub(super) conn: ConnId,
    pub(super) client_id: ClientId,
    pub(super) cursor: u64,
}

impl Room {
    pub(super) fn new(name: RoomName, epoch: u64, config: RoomConfig) -> Self {
        Self {
            name,
            epoch,
            config,
            log: Log::new(),
            meta: MetaMap::new(MetaLimit::ROOM),
            members: Vec::new(),
            next_seat: 1,
            deleted: false,
            dirty: false,
            expires: None,
        }
    }

    /// A seat number nobody had before; give it back with [`seat`](Self::seat).
    pub(super) fn next_seat(&mut self) -> Seat {
        let seat = Seat(self.next_seat);
        self.next_seat += 1;
        seat
    }

    /// Seats a member; seats must come in rising order.
    pub(super) fn seat(&mut self, member: Member) {
        self.members.push(member);
    }

    pub(super) fn unseat(&mut self, seat: Seat) -> Option<Member> {
        self.index(seat).map(|at| self.members.remove(at))
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
        for member in &mut self.members {
            if member.cursor < head {
                member.cursor = self.log.skip_own(member.cursor, member.seat);
            }
            if member.cursor < head {
                behind(member);
            }
        }
    }

    /// Forgets what every member has been given.
    pub(super) fn trim(&mut self) {
        let head = self.log.next();
        let oldest = self.members.iter().map(|member| member.cursor).min().unwrap_or(head);
        self.log.trim(oldest);
    }

    pub(super) fn is_full(&self) -> bool {
        self.config.capacity.is_some_and(|seats| self.members.len() >= seats.get() as usize)
    }

    /// Seats; 0 where only the server's limit holds.
    pub(super) fn capacity(&self) -> u32 {
        self.config.capacity.map_or(0, NonZeroU32::get)
    }

    fn index(&self, seat: Seat) -> Option<usize> {
        self.members.binary_search_by_key(&seat, |member| member.seat).ok()
    }
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
