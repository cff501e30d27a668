//! What was asked and not answered yet.

use std::collections::VecDeque;

use bevy::prelude::*;
use ghost_sync_core::{
    Request, RequestError, RequestKind, ServerEvent,
    wire::{JoinOptions, Refusal, RoomName, Token},
};

use crate::events::{JoinRefused, Refused, publish};

/// What the connection was asked and has not answered: it is refused when that ends.
#[derive(Default)]
pub(super) struct Unanswered {
    pub(super) joins: Vec<RoomName>,
    /// Pings, and whether the game asked for them.
    pings: VecDeque<bool>,
    lists: usize,
    tokens: usize,
}

/// Pings that a connection has on their way at most.
const PINGS: usize = 4;

impl Unanswered {
    pub(super) fn add(&mut self, request: &Request) {
        if let Request::Join { room, if_nowhere: false, .. } = request {
            self.joins.push(room.clone());
        } else if let Request::Ping = request {
            self.ping(true);
        } else if let Request::ListRooms = request {
            self.lists += 1;
        } else if let Request::Authenticate { .. } = request {
            self.tokens += 1;
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
        let answered =
            if let ServerEvent::Joined { room, .. } | ServerEvent::AlreadyJoined { room } = event {
                Some((RequestKind::Join, Some(room)))
            } else if let ServerEvent::Pong { .. } = event {
                Some((RequestKind::Ping, None))
            } else if let ServerEvent::RoomList { .. } = event {
                Some((RequestKind::ListRooms, None))
            } else if let ServerEvent::Authenticated { .. } = event {
                Some((RequestKind::Authenticate, None))
            } else if let ServerEvent::Refused(RequestError { request, room, .. }) = event {
                Some((*request, room.as_ref()))
            } else {
                None
            };
        let Some((kind, room)) = answered else { return };
        if kind == RequestKind::Join {
            self.joins.retain(|joining| Some(joining) != room);
        } else if kind == RequestKind::Ping {
            self.pings.pop_front();
        } else if kind == RequestKind::ListRooms {
            self.lists = self.lists.saturating_sub(1);
        } else if kind == RequestKind::Authenticate {
            self.tokens = self.tokens.saturating_sub(1);
        }
    }

    /// The pings that the game waits for; none is on its way any more.
    pub(super) fn take_pings(&mut self) -> impl Iterator<Item = Request> + use<> {
        let asked = std::mem::take(&mut self.pings).into_iter().filter(|asked| *asked);
        asked.map(|_| Request::Ping)
    }

    /// The lists of rooms that the game waits for; the session that they were asked in is over.
    pub(super) fn take_lists(&mut self) -> impl Iterator<Item = Request> + use<> {
        std::iter::repeat_n(Request::ListRooms, std::mem::take(&mut self.lists))
    }

    /// The tokens that were shown and not looked at: the next session begins with the last.
    pub(super) fn take_tokens(&mut self) -> impl Iterator<Item = Request> + use<> {
        let shown = || Request::Authenticate { token: Token::default() };
        std::iter::repeat_with(shown).take(std::mem::take(&mut self.tokens))
    }

    /// A session has begun with the token that was shown last.
    pub(super) fn forget_tokens(&mut self) {
        self.tokens = 0;
    }

    /// The joins that the game waits for; nobody will ask for them again.
    pub(super) fn take_joins(&mut self) -> impl Iterator<Item = Request> + use<> {
        std::mem::take(&mut self.joins).into_iter().map(|room| {
            let (options, if_nowhere) = (JoinOptions::default(), false);
            Request::Join { room, options, if_nowhere }
        })
    }
}

/// Tells the game that nobody is there to do what it asked.
pub(super) fn refuse(world: &mut World, request: &Request) {
    let reason = Refusal::NotConnected;
    match (request.kind(), request.room()) {
        (RequestKind::Join, Some(room)) => {
            publish(world, JoinRefused { room_name: room.to_string(), reason });
        }
        // What it would end has ended, and messages are told as unsent.
        (RequestKind::Leave | RequestKind::Broadcast | RequestKind::ToServer, _) => {}
        (kind, _) => {
            let request = kind.to_string();
            publish(world, Refused { request, room: None, reference: None, reason });
        }
    }
}
