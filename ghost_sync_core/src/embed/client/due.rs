//! What a connection is to be asked for, and what is told where it cannot be.

use super::wanted::Wish;
use crate::{
    client::{self, Request, SendError},
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
            Self::Command(command) => ask(session, command),
            Self::Wish(wish) => wish.ask(session),
        }
    }

    /// The room that it asks for a seat in, if it does.
    pub(super) fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Wish(wish) => Some(&wish.room),
            Self::Command(command) => {
                if let ClientCommand::Join { room, .. } = command {
                    Some(room)
                } else {
                    None
                }
            }
        }
    }

    /// As the program is told of it.
    pub(super) fn request(&self) -> Option<Request> {
        match self {
            Self::Command(command) => request_of(command),
            Self::Wish(wish) => Some(wish.request()),
        }
    }
}

/// Makes the request of a command; returns whether it was to be made.
fn ask(session: &mut client::Session, command: &ClientCommand) -> Result<bool, SendError> {
    match command {
        ClientCommand::Join { room, options, if_nowhere: true } => {
            return session.join_if_nowhere(room.clone(), options.clone());
        }
        ClientCommand::Join { room, options, if_nowhere: false } => {
            session.join(room.clone(), options.clone())
        }
        ClientCommand::Leave { room } => session.leave(Some(room.as_str())),
        ClientCommand::Broadcast { room, delivery, flags, message_type, payload } => {
            let room = room.as_ref().map(RoomName::as_str);
            session.broadcast(room, *delivery, *flags, *message_type, payload).map(|_| ())
        }
        ClientCommand::Send { room, message_type, payload } => {
            let room = room.clone().or_else(|| session.current_room());
            let room = room.as_ref().map(RoomName::as_str);
            session.send(room, *message_type, payload).map(|_| ())
        }
        ClientCommand::Ping => session.ping(link::now()),
        ClientCommand::ListRooms => session.list_rooms(),
        ClientCommand::SetMeta { key, value } => session.set_meta(key, value.as_deref()),
        ClientCommand::Disconnect => Ok(()),
    }
    .map(|()| true)
}

/// What a command asks for, as the program is told of it.
pub(super) fn request_of(command: &ClientCommand) -> Option<Request> {
    Some(match command {
        ClientCommand::Join { room, .. } => Request::Join { room: room.clone() },
        ClientCommand::Leave { room } => Request::Leave { room: Some(room.clone()) },
        ClientCommand::Broadcast { room, .. } => {
            Request::Broadcast { room: room.clone(), reference: 0 }
        }
        ClientCommand::Send { room, .. } => Request::Send { room: room.clone(), reference: 0 },
        ClientCommand::Ping => Request::Ping,
        ClientCommand::ListRooms => Request::ListRooms,
        ClientCommand::SetMeta { .. } => Request::SetMeta,
        ClientCommand::Disconnect => return None,
    })
}

/// Why a request could not be sent, in the words that the server would have used.
pub(super) fn refusal(error: SendError) -> Refusal {
    match error {
        SendError::NotInRoom => Refusal::NotInRoom,
        SendError::PayloadTooLarge { len, max } => Refusal::PayloadTooLarge {
            len: u32::try_from(len).unwrap_or(u32::MAX),
            max: u32::try_from(max).unwrap_or(u32::MAX),
        },
        SendError::SaidByServer { .. } => Refusal::Forbidden { what: error.to_string() },
        other @ (SendError::InvalidRoomName(_)
        | SendError::InvalidMetaKey(_)
        | SendError::NothingToForget
        | SendError::OutboxFull { .. }) => Refusal::Rejected { message: other.to_string() },
        SendError::Disconnected(_) | SendError::Closed => Refusal::NotConnected,
    }
}
