//! Which rooms a program wants to be in, over any number of connections.

use crate::{
    client::{self, Request, RequestError, SendError, ServerEvent},
    embed::ClientCommand,
    wire::{JoinOptions, RoomName},
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

/// When a command takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Noted {
    /// Only on a connection.
    Now,
    /// On the next connection too.
    Later,
    /// It ends the client.
    Disconnect,
}

impl Wanted {
    /// Remembers what a command changes for later connections.
    pub(super) fn note(&mut self, command: &ClientCommand) -> Noted {
        match command {
            ClientCommand::Join { room, if_nowhere: true, .. } if self.find(room).is_some() => {}
            ClientCommand::Join { room, options, if_nowhere } => {
                let (room, options, if_nowhere) = (room.clone(), options.clone(), *if_nowhere);
                let joined = self.find(&room).is_some_and(|wish| wish.joined);
                self.forget(&room);
                self.rooms.push(Wish { room, options, if_nowhere, joined, owed: true });
            }
            ClientCommand::Leave { room } => self.forget(room),
            ClientCommand::SetMeta { .. } => {}
            ClientCommand::Broadcast { .. }
            | ClientCommand::Send { .. }
            | ClientCommand::Ping
            | ClientCommand::ListRooms => return Noted::Now,
            ClientCommand::Disconnect => return Noted::Disconnect,
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
        } else if let ServerEvent::Error(RequestError {
            request: Request::Join { room } | Request::Rejoin { room },
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
        match (self.if_nowhere, self.owed) {
            (true, _) => session.join_if_nowhere(room, options),
            (false, true) => session.join(room, options).map(|()| true),
            (false, false) => session.rejoin(room, options).map(|()| true),
        }
    }

    pub(super) fn request(&self) -> Request {
        let room = self.room.clone();
        if self.owed { Request::Join { room } } else { Request::Rejoin { room } }
    }
}
