//! A room as it is at one moment: what a newcomer would be shown.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Relay,
    room::{HistoryPage, PastEvent},
};
use crate::wire::{MemberInfo, MetadataEntry, RoomId, RoomName, Seat};

/// A room as it is at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoomSnapshot {
    /// Its number.
    pub id: RoomId,
    /// Its name.
    pub name: RoomName,
    /// Random, new for each incarnation of the room.
    pub epoch: u64,
    /// Milliseconds since the room was made; wraps after 49 days.
    pub at_ms: u32,
    /// The last event that is included; 0 before the first.
    pub seq: u64,
    /// Seats; 0 where only the server's own limit holds.
    pub capacity: u32,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<MetadataEntry>,
    /// Everybody in it, in the order of their seats.
    pub members: Vec<MemberInfo>,
    /// The newest values of each sender and key, as whole `Retained` frames.
    pub retained: Vec<Bytes>,
}

impl Relay {
    /// A room as it is now; also one that was deleted, as long as anybody may
    /// have to be told.
    pub fn snapshot(&self, now: Instant, room: RoomId) -> Option<RoomSnapshot> {
        let found = self.rooms.get(&room)?;
        let members = found.members().iter();
        Some(RoomSnapshot {
            id: room,
            name: found.name.clone(),
            epoch: found.epoch,
            at_ms: found.clock(now),
            seq: found.log.next() - 1,
            capacity: found.capacity(),
            meta_version: found.meta.version(),
            meta: found.meta.to_vec(),
            members: members.filter_map(|member| self.member_info(member)).collect(),
            retained: found.retained(Seat::SERVER),
        })
    }

    /// As [`history`](Self::history), by the room's number: also of a room that was
    /// deleted, as long as anybody may have to be told.
    pub fn history_of(&self, room: RoomId, from: u64, max_bytes: usize) -> Option<HistoryPage> {
        let log = &self.rooms.get(&room)?.log;
        let (oldest, next) = (log.first(), log.next());
        let mut events = Vec::new();
        let mut bytes = 0;
        for seq in from.max(oldest)..next {
            let Some(entry) = log.entry(seq) else { break };
            let frame = log.bytes(seq);
            bytes += frame.len();
            if bytes > max_bytes && !events.is_empty() {
                break;
            }
            let frame = Bytes::copy_from_slice(frame);
            events.push(PastEvent { seq, at_ms: entry.at, frame });
        }
        Some(HistoryPage { oldest, next, events })
    }
}
