//! Rooms that clients may open.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bevy::prelude::*;
use bevy_ghost_client::Metadata;
use ghost_sync_core::wire::RoomName;

use crate::RoomConfig;

/// Rooms that clients may open, the last at the end.
#[derive(Default, Resource)]
pub(crate) struct AllowedRooms(VecDeque<AllowedRoom>);

/// A room that a client may open, as the rules want it to be.
#[derive(Debug)]
pub(super) struct AllowedRoom {
    pub(super) name: RoomName,
    pub(super) config: RoomConfig,
    pub(super) metadata: Metadata,
    pub(super) since: Instant,
}

impl AllowedRooms {
    /// Notes how a room is to be that a client may open; `false`: another client may do that
    /// already, and its wishes count.
    pub(super) fn allow(&mut self, room: AllowedRoom) -> bool {
        self.0.retain(|other| other.since.elapsed() < PATIENCE);
        if self.0.iter().any(|other| other.name == room.name) {
            return false;
        }
        self.0.push_back(room);
        if self.0.len() > LIMIT {
            self.0.pop_front();
        }
        true
    }

    /// How a room is to be that a client has opened.
    pub(super) fn take(&mut self, name: &RoomName) -> Option<AllowedRoom> {
        let at = self.0.iter().position(|room| room.name == *name)?;
        self.0.remove(at)
    }
}

/// For so long: the room is there at once, or was not to be had.
const PATIENCE: Duration = Duration::from_secs(5);

/// Rooms allowed at once; those before them were not made, for whatever reason.
const LIMIT: usize = 1024;
