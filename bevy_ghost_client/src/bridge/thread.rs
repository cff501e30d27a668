//! The handle of the network thread.

use bevy::prelude::*;
use ghost_sync_core::{Request, embed::ClientBridge};

use super::unanswered::Unanswered;
use crate::events::UnsentReason;

#[derive(Default, Resource)]
pub(crate) struct NetworkThread {
    pub(super) bridge: Option<ClientBridge>,
    /// Whether the bridge was told to end.
    pub(super) ending: bool,
    /// Whether the server may be that of this app, see [`HostFence`](crate::HostFence).
    pub(super) own_server: bool,
    /// Where it is, if it has an address.
    pub(super) addr: Option<String>,
    pub(super) unanswered: Unanswered,
    /// Whether the end of the app is to be no goodbye, see [`AtExit`](crate::AtExit).
    pub(super) keeps_seats: bool,
}

impl NetworkThread {
    /// The bridge, unless it was told to end.
    pub(super) fn bridge(&mut self) -> Option<&mut ClientBridge> {
        self.bridge.as_mut().filter(|_| !self.ending)
    }

    pub(super) fn send(&mut self, request: Request) -> Result<(), UnsentReason> {
        let bridge = self.bridge().ok_or(UnsentReason::NotConnected)?;
        bridge.send(request).map_err(|_full| UnsentReason::OutboxFull)
    }
}

impl Drop for NetworkThread {
    fn drop(&mut self) {
        // Whoever crashes comes back, if anybody kept the ticket.
        let keeps_seats = self.keeps_seats || std::thread::panicking();
        if let Some(bridge) = self.bridge() {
            bridge.keep_seats(keeps_seats);
        }
    }
}
