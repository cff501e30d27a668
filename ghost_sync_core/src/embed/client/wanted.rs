//! Which rooms a program wants to be in, over any number of connections.

use crate::{
    client::{self, Request, RequestError, RequestKind, SendError, ServerEvent},
    link,
    wire::{JoinOptions, Refusal, RoomName},
};

/// What the program wants, with and without a connection.
#[derive(Default)]
pub(super) struct Wanted {
    /// Rooms to be in, in the order in which they were joined.
    pub(super) rooms: Vec<Wish>,
    /// Rooms that the connection was asked for and has not answered about.
    pub(super) joining: Vec<RoomName>,
}

/// A room to be in.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) room: RoomName,
    pub(super) options: JoinOptions,
    /// Whether it is wanted only by a client that is nowhere.
    pub(super) if_nowhere: bool,
    /// Whether the client has been in it.
    pub(super) joined: bool,
    /// Whether the program waits to be told about it: if not, the client joins by itself.
    pub(super) owed: bool,
}

/// When a request takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Noted {
    /// Only on a connection.
    Now,
    /// On the next connection too.
    Later,
}

impl Wanted {
    /// Remembers what a request changes for later connections.
    pub(super) fn note(&mut self, request: &Request) -> Noted {
        if let Request::Join { room, options, if_nowhere } = request {
            let known = self.find(room).map(|wish| wish.joined);
            if *if_nowhere && known.is_some() {
                return Noted::Later;
            }
            let (room, options, if_nowhere) = (room.clone(), options.clone(), *if_nowhere);
            let joined = known.unwrap_or(false);
            self.forget(&room);
            self.rooms.push(Wish { room, options, if_nowhere, joined, owed: true });
        } else if let Request::Leave { room } = request {
            self.forget(room);
        } else if !matches!(request, Request::SetMetadata { .. }) {
            return Noted::Now;
        }
        Noted::Later
    }

    /// Forgets rooms that the client is not to be in any more, and says of others
    /// whether it was in them before.
    pub(super) fn hear(&mut self, event: &mut ServerEvent) {
        let gone = if let ServerEvent::Left { room, .. } = event {
            room
        } else if let ServerEvent::Joined { room, rejoined, .. } = event {
            if let Some(wish) = self.find(room) {
                *rejoined |= std::mem::replace(&mut wish.joined, true);
                (wish.if_nowhere, wish.owed) = (false, false);
            } else if *rejoined {
                // An earlier process took that seat.
                let (room, options) = (room.clone(), JoinOptions::default());
                let (if_nowhere, joined, owed) = (false, true, false);
                self.rooms.push(Wish { room, options, if_nowhere, joined, owed });
            }
            return self.answered(room);
        } else if let ServerEvent::AlreadyJoined { room } = event {
            if let Some(wish) = self.find(room) {
                wish.owed = false;
            }
            return self.answered(room);
        } else if let ServerEvent::Refused(RequestError {
            request: RequestKind::Join | RequestKind::Rejoin,
            room: Some(room),
            ..
        }) = event
        {
            self.answered(room);
            room
        } else {
            return;
        };
        // Unless it has asked again since.
        if !self.joining.contains(gone) {
            self.forget(gone);
        }
    }

    /// The connection was asked for a room, unless the client is to be somewhere else.
    pub(super) fn asked(&mut self, room: &RoomName, asked: bool) {
        if asked {
            self.joining.push(room.clone());
        } else {
            self.rooms.retain(|wish| wish.room != *room || !wish.if_nowhere);
        }
    }

    /// Whether the client has a seat in that room, as far as it knows.
    pub(super) fn is_in(&self, room: &RoomName) -> bool {
        self.rooms.iter().any(|wish| wish.room == *room && wish.joined)
    }

    /// A join was not even to be sent: the client is where it was.
    pub(super) fn cannot_be_asked(&mut self, room: &RoomName) {
        let joined = self.find(room).is_some_and(|wish| wish.joined);
        self.forget(room);
        if joined {
            let (room, options) = (room.clone(), JoinOptions::default());
            self.rooms.push(Wish { room, options, if_nowhere: false, joined, owed: false });
        }
    }

    pub(super) fn find(&mut self, room: &RoomName) -> Option<&mut Wish> {
        self.rooms.iter_mut().find(|wish| wish.room == *room)
    }

    /// Goes on wanting a room that could not be asked for.
    pub(super) fn keep(&mut self, wish: Wish) {
        if self.find(&wish.room).is_none() {
            self.rooms.push(wish);
        }
    }

    pub(super) fn forget(&mut self, room: &RoomName) {
        self.rooms.retain(|wish| wish.room != *room);
    }

    pub(super) fn answered(&mut self, room: &RoomName) {
        if let Some(at) = self.joining.iter().position(|joining| joining == room) {
            self.joining.remove(at);
        }
    }
}

impl Wish {
    /// Asks for the seat; returns whether it was to be asked for.
    pub(super) fn ask(&self, session: &mut client::Session) -> Result<bool, SendError> {
        let (room, mut options) = (self.room.clone(), self.options.clone());
        if self.joined {
            options = options.again();
        }
        if !self.owed && !self.if_nowhere {
            return session.rejoin(room, options).map(|()| true);
        }
        let if_nowhere = self.if_nowhere;
        session.request(link::now(), &Request::Join { room, options, if_nowhere })
    }

    /// As the program is told that it could not be asked for.
    pub(super) fn unsent(&self, reason: Refusal) -> RequestError {
        let request = if self.owed { RequestKind::Join } else { RequestKind::Rejoin };
        RequestError { request, room: Some(self.room.clone()), reference: None, reason }
    }
}
