//! Who is in a room, as frames that newcomers share: a room that fills up would
//! otherwise list everybody anew for each of them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Relay, room::Member};
use crate::wire::{RoomId, Seat, ServerMessage};

/// What was listed and still holds, by ranges of seats.
#[derive(Debug, Default)]
pub(super) struct Roster(BTreeMap<u32, Bytes>);

impl Roster {
    /// What is told of a seat is not what it was.
    pub(super) fn changed(&mut self, seat: Seat) {
        self.0.remove(&page_of(seat));
    }
}

impl Relay {
    /// The frames that list everybody in a room.
    pub(super) fn roster(&mut self, room: RoomId) -> Vec<Bytes> {
        let Some(found) = self.rooms.get_mut(&room) else { return Vec::new() };
        let Roster(mut known) = std::mem::take(&mut found.roster);
        let Some(found) = self.rooms.get(&room) else { return Vec::new() };
        let mut frames = Vec::new();
        let mut rest = found.members();
        while let Some(first) = rest.first() {
            let page = page_of(first.seat);
            let (listed, others) =
                rest.split_at(rest.partition_point(|member| page_of(member.seat) == page));
            rest = others;
            let frame = known.entry(page).or_insert_with(|| self.list(room, listed));
            frames.push(frame.clone());
        }
        if planted!("roster-incomplete")
            && let Some((_, listed)) = found.members().split_last()
            && !listed.is_empty()
        {
            return vec![self.list(room, listed)];
        }
        if found.members().len() > PAGE as usize
            && let Some(found) = self.rooms.get_mut(&room)
        {
            found.roster = Roster(known);
        }
        frames
    }

    fn list(&self, room: RoomId, members: &[Member]) -> Bytes {
        let members = members.iter().filter_map(|member| self.member_info(member)).collect();
        ServerMessage::Roster { room, members }.to_frame()
    }
}

fn page_of(seat: Seat) -> u32 {
    seat.0 / PAGE
}

/// Seats that are listed together. A room with fewer members remembers nothing.
const PAGE: u32 = 64;
