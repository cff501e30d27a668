//! What was asked and not answered yet.

use std::collections::VecDeque;

use bevy::prelude::*;
use ghost_sync_core::{
    Request, RequestError, ServerEvent,
    embed::ClientCommand,
    wire::{JoinOptions, Refusal, RoomName},
};

use crate::events::{JoinRefused, Refused, publish};

/// What the connection was asked and has not answered: it is refused when that ends.
#[derive(Default)]
pub(super) struct Unanswered {
    pub(super) joins: Vec<RoomName>,
    /// Pings, and whether the game asked for them.
    pings: VecDeque<bool>,
    lists: usize,
}

/// Pings that a connection has on their way at most.
const PINGS: usize = 4;

impl Unanswered {
    pub(super) fn add(&mut self, command: &ClientCommand) {
        if let ClientCommand::Join { room, if_nowhere: false, .. } = command {
            self.joins.push(room.clone());
        } else if let ClientCommand::Ping = command {
            self.ping(true);
        } else if let ClientCommand::ListRooms = command {
            self.lists += 1;
        }
    }

    /// Where enough are on their way, the connection sends none: their answers are its.
    pub(super) fn ping(&mut self, asked: bool) {
        if self.pings.len() < PINGS {
            self.pings.push_back(asked);
        } else if let Some(last) = self.pings.back_mut() {
            *last |= asked;
        }
    }

    pub(super) fn remove_answered(&mut self, event: &ServerEvent) {
        let request = if let ServerEvent::Error(RequestError { request, .. }) = event {
            Some(request)
        } else {
            None
        };
        if let ServerEvent::Joined { room, .. } | ServerEvent::AlreadyJoined { room } = event {
            self.joins.retain(|joining| joining != room);
        } else if let Some(Request::Join { room }) = request {
            self.joins.retain(|joining| joining != room);
        } else if matches!(event, ServerEvent::Pong { .. }) || request == Some(&Request::Ping) {
            self.pings.pop_front();
        } else if matches!(event, ServerEvent::Rooms { .. }) || request == Some(&Request::ListRooms)
        {
            self.lists = self.lists.saturating_sub(1);
        }
    }

    /// The pings that the game waits for; none is on its way any more.
    pub(super) fn take_pings(&mut self) -> impl Iterator<Item = ClientCommand> + use<> {
        let asked = std::mem::take(&mut self.pings).into_iter().filter(|asked| *asked);
        asked.map(|_| ClientCommand::Ping)
    }

    /// The lists of rooms that the game waits for; the session that they were asked in is over.
    pub(super) fn take_lists(&mut self) -> impl Iterator<Item = ClientCommand> + use<> {
        std::iter::repeat_n(ClientCommand::ListRooms, std::mem::take(&mut self.lists))
    }

    /// The joins that the game waits for; nobody will ask for them again.
    pub(super) fn take_joins(&mut self) -> impl Iterator<Item = ClientCommand> + use<> {
        std::mem::take(&mut self.joins).into_iter().map(|room| {
            let (options, if_nowhere) = (JoinOptions::default(), false);
            ClientCommand::Join { room, options, if_nowhere }
        })
    }
}

/// Tells the game that nobody is there to do what it asked.
pub(super) fn refuse(world: &mut World, command: ClientCommand) {
    let request = if let ClientCommand::Join { room, .. } = command {
        let room_name = room.to_string();
        return publish(world, JoinRefused { room_name, reason: Refusal::NotConnected });
    } else if let ClientCommand::Ping = command {
        Request::Ping
    } else if let ClientCommand::ListRooms = command {
        Request::ListRooms
    } else if let ClientCommand::SetMeta { .. } = command {
        Request::SetMeta
    } else {
        // What it would end has ended.
        return;
    };
    let (request, reason) = (request.to_string(), Refusal::NotConnected);
    publish(world, Refused { request, room: None, reference: None, reason });
}
