//! The handle of the network thread.

use bevy::prelude::*;
use bevy_ghost_client::{HostFence, typed::Stamp};
use bytes::Bytes;
use crossbeam_channel::Receiver;
use ghost_sync_core::embed::{ServerBridge, ServerCommand};

use crate::events::UnsentReason;

#[derive(Resource)]
pub(crate) struct NetworkThread {
    pub(super) bridge: Option<ServerBridge>,
    /// Whether it takes connections.
    pub(super) started: bool,
    /// When it was asked to stop.
    pub(super) stopping: Option<Stamp>,
    /// Whether another is to start after it.
    pub(super) start_again: bool,
    /// Bytes of one payload at most.
    pub(super) max_payload: usize,
}

impl Default for NetworkThread {
    fn default() -> Self {
        Self {
            bridge: None,
            started: false,
            stopping: None,
            start_again: false,
            max_payload: usize::MAX,
        }
    }
}

impl NetworkThread {
    /// Says when there is something to receive; `None` while no server is there.
    pub(crate) fn wake(&self) -> Option<Receiver<()>> {
        self.bridge.as_ref().map(ServerBridge::wake)
    }

    /// Whether rooms may be asked for: not of a server that is about to stop.
    pub(super) fn takes_rooms(&self) -> bool {
        self.bridge.is_some() && self.stopping.is_none()
    }

    /// Whether something may be said at all.
    pub(super) fn check(&self, stamp: &Stamp, payload: &Bytes) -> Result<(), UnsentReason> {
        let stopped = self.stopping.as_ref().is_some_and(|stopping| stamp > stopping);
        if self.bridge.is_none() || stopped {
            return Err(UnsentReason::NotRunning);
        }
        let (len, max) = (payload.len(), self.max_payload);
        if len > max { Err(UnsentReason::TooLarge { len, max }) } else { Ok(()) }
    }
}

/// Gives commands to the network thread, and tells the app's client how far it is with them.
pub(super) fn flush(world: &mut World, commands: impl IntoIterator<Item = ServerCommand>) {
    if let Some(bridge) = &mut world.resource_mut::<NetworkThread>().bridge {
        for command in commands {
            bridge.send(command);
        }
        bridge.flush();
        let fence = bridge.fence();
        world.insert_resource(HostFence(fence));
    }
}
