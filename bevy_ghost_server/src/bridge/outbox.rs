//! What a frame asks of the network thread, in the terms of the plugin.

use bevy::prelude::*;
use bevy_ghost_client::{Metadata, typed::Stamp};
use bytes::Bytes;
use ghost_sync_core::{
    embed::ServerCommand,
    relay::{self, AskId, ConnId, Verdict},
    wire::{MessageType, RoomName},
};

use crate::{Observe, RoomConfig};

/// What the frame asks of the network thread, and when it was asked.
#[derive(Default, Resource)]
pub(crate) struct Outbox {
    pub(super) commands: Vec<(Stamp, ServerCommand)>,
    /// Verdicts, which do not wait for the end of the frame.
    pub(super) answers: Vec<ServerCommand>,
    pub(super) active: bool,
    /// Whether there are registered types at all, which a room may have observed.
    pub(super) typed: bool,
}

impl Outbox {
    pub(super) fn create_room(&mut self, name: RoomName, config: &RoomConfig) {
        self.push(ServerCommand::CreateRoom { name, config: self.to_core(config) });
    }

    pub(super) fn configure_room(&mut self, name: RoomName, config: &RoomConfig) {
        self.push(ServerCommand::ConfigureRoom { name, config: self.to_core(config) });
    }

    pub(super) fn close_room(&mut self, name: RoomName, message: String) {
        self.push(ServerCommand::CloseRoom { name, message });
    }

    pub(super) fn kick(&mut self, conn: ConnId, room: RoomName, message: String, bars: bool) {
        self.push(ServerCommand::Kick { conn, room, message, bars });
    }

    pub(super) fn disconnect(&mut self, conn: ConnId, message: String, bars: bool) {
        self.push(ServerCommand::Disconnect { conn, message, bars });
    }

    pub(super) fn set_room_metadata(&mut self, room: RoomName, key: String, value: Option<String>) {
        self.push(ServerCommand::SetRoomMetadata { room, key, value });
    }

    pub(super) fn set_client_metadata(&mut self, conn: ConnId, key: String, value: Option<String>) {
        self.push(ServerCommand::SetClientMetadata { conn, key, value });
    }

    /// Gives a verdict; yes comes with what a newcomer is told.
    pub(super) fn answer(
        &mut self,
        ask: AskId,
        verdict: Result<Vec<(MessageType, Bytes)>, String>,
    ) {
        let verdict = match verdict {
            Ok(greeting) => Verdict::greet(greeting),
            Err(message) => Verdict::Reject { message },
        };
        if self.active {
            self.answers.push(ServerCommand::Answer { ask, verdict });
        }
    }

    /// Lets a client open a room.
    pub(super) fn answer_room(&mut self, ask: AskId, config: &RoomConfig) {
        let verdict = Verdict::CreateRoom { config: self.to_core(config) };
        if self.active {
            self.answers.push(ServerCommand::Answer { ask, verdict });
        }
    }

    /// Says what newcomers are told of a room that a client opens.
    pub(super) fn describe_room(&mut self, room: &RoomName, metadata: &Metadata) {
        for (key, value) in metadata.iter() {
            let (room, key, value) = (room.clone(), key.to_owned(), Some(value.to_owned()));
            self.answers.push(ServerCommand::SetRoomMetadata { room, key, value });
        }
    }

    pub(super) fn to_core(&self, config: &RoomConfig) -> relay::RoomConfig {
        let mut core = relay::RoomConfig::default();
        core.validator.clone_from(&config.validator);
        core.capacity = config.capacity;
        core.mode = config.mode;
        core.observed = match config.observe {
            Observe::Nothing => false,
            Observe::Registered => self.typed,
            Observe::Everything => true,
        };
        core.listed = config.listed;
        core.remove_when_empty = config.remove_when_empty;
        core.history = config.history;
        core.replay = config.replay;
        core.retain = config.retain;
        core.tick(config.tick.unwrap_or_default())
    }

    pub(super) fn push(&mut self, command: ServerCommand) {
        if self.active {
            self.commands.push((Stamp::now(), command));
        }
    }
}
