//! A room as the host sees it.

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::{
    relay::config::RelayMode,
    wire::{MetadataEntry, RoomId, RoomName},
};

/// What happened in a room, from some event on: see
/// [`Relay::history`](crate::relay::Relay::history).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HistoryPage {
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
    /// Whether nobody else can join.
    pub is_full: bool,
    /// What becomes of a broadcast.
    pub mode: RelayMode,
    /// Random, new for each incarnation of the room.
    pub epoch: u64,
    /// The last event's number; 0 before the first.
    pub seq: u64,
    /// Version of its metadata.
    pub meta_version: u64,
    /// Its metadata, sorted by key.
    pub meta: Vec<MetadataEntry>,
}
