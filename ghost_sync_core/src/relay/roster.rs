//! Who is in a room, as frames that newcomers share: a room that fills up would
//! otherwise list everybody anew for each of them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Relay, plants, room::Member};
use crate::wire::{RoomId, Seat, ServerMessage};

/// What was listed and still holds, by ranges of seats.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Seats in a range, as a power of two: more where many seats are free.
    width: u32,
    pages: BTreeMap<u32, Bytes>,
}

impl Roster {
    /// What is told of a seat is not what it was.
    pub(super) fn changed(&mut self, seat: Seat) {
        self.pages.remove(&(seat.0 >> self.width));
    }
}

impl Relay {
    /// The frames that list everybody in a room.
    pub(super) fn roster(&mut self, room: RoomId) -> Vec<Bytes> {
        let Some(found) = self.rooms.get_mut(&room) else { return Vec::new() };
        let Roster { width: last, pages: mut known } = std::mem::take(&mut found.roster);
        let Some(found) = self.rooms.get(&room) else { return Vec::new() };
        let mut frames = Vec::new();
        let mut rest = found.members();
        let (Some(first), Some(newest)) = (rest.first(), rest.last()) else { return frames };
        let spread = (newest.seat.0 - first.seat.0) as usize / rest.len();
        let width = PAGE + (spread + 1).ilog2();
        if width != last {
            known.clear();
        }
        let page_of = |seat: Seat| seat.0 >> width;
        while let Some(first) = rest.first() {
            let page = page_of(first.seat);
            let (listed, others) =
                rest.split_at(rest.partition_point(|member| page_of(member.seat) == page));
            rest = others;
            let frame = known.entry(page).or_insert_with(|| self.list(room, listed));
            frames.push(frame.clone());
        }
        if plants::roster_is_cut()
            && let Some((_, listed)) = found.members().split_last()
            && !listed.is_empty()
        {
            return vec![self.list(room, listed)];
        }
        if found.members().len() > 1 << PAGE
            && let Some(found) = self.rooms.get_mut(&room)
        {
            found.roster = Roster { width, pages: known };
        }
        frames
    }

    fn list(&self, room: RoomId, members: &[Member]) -> Bytes {
        let members = members.iter().filter_map(|member| self.member_info(member)).collect();
        ServerMessage::Roster { room, members }.to_frame()
    }
}

/// Seats that are listed together where none is free, as a power of two. A room with fewer
/// members remembers nothing.
const PAGE: u32 = 6;
