//! What the game has asked and written, until it leaves at the end of the frame.

use bevy::prelude::*;
use ghost_sync_core::{Request, embed::ClientCommand};

use crate::typed::{ClientPayload, Stamp};

#[derive(Default, Resource)]
pub(crate) struct Outbox {
    /// What was asked for, and when.
    pub(super) commands: Vec<(Stamp, ClientCommand)>,
    /// What was written after a [`Connect`](crate::Connect), and belongs to the new connection.
    /// Else empty between frames, but for its memory.
    pub(super) payloads: Vec<ClientPayload>,
    /// Rooms that the game has left: when, and which room was the current one until then.
    pub(super) left: Vec<(Stamp, Option<Entity>)>,
    /// Joins asked for while there was no connection: they wait for the next
    /// [`Connect`](crate::Connect).
    pub(super) early_joins: Vec<Request>,
}

impl Outbox {
    /// Notes what is asked, and that it is asked now.
    pub(super) fn push(&mut self, command: impl Into<ClientCommand>) {
        self.commands.push((Stamp::now(), command.into()));
    }
}
