//! What a connection is to be asked for, and what is told where it cannot be.

use super::wanted::Wish;
use crate::{
    client::{self, Request, RequestError, SendError},
    embed::ClientCommand,
    link,
    wire::{Refusal, RoomName},
};

/// Something to ask the connection for.
pub(super) enum Due {
    /// What the program commands.
    Command(ClientCommand),
    /// A seat that is wanted since an earlier connection.
    Wish(Wish),
}

impl Due {
    /// Makes the request; returns whether it was to be made.
    pub(super) fn ask(&self, session: &mut client::Session) -> Result<bool, SendError> {
        match self {
            Self::Command(ClientCommand::Request(request)) => session.request(link::now(), request),
            Self::Command(ClientCommand::Disconnect) => Ok(true),
            Self::Wish(wish) => wish.ask(session),
        }
    }

    /// The room that it asks for a seat in, if it does.
    pub(super) fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Wish(wish) => Some(&wish.room),
            Self::Command(ClientCommand::Request(Request::Join { room, .. })) => Some(room),
            Self::Command(_) => None,
        }
    }

    /// As the program is told that it could not be asked for.
    pub(super) fn unsent(&self, reason: Refusal) -> Option<RequestError> {
        match self {
            Self::Command(ClientCommand::Request(request)) => Some(request.unsent(reason)),
            Self::Command(ClientCommand::Disconnect) => None,
            Self::Wish(wish) => Some(wish.unsent(reason)),
        }
    }
}
