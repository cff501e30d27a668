//! Who said something in a room.

use std::fmt;

use crate::wire::{ClientId, Seat};

/// Who said something in a room, as the server vouches for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// The server program.
    Server,
    /// A player.
    Player {
        /// Its seat.
        seat: Seat,
        /// Its public id; `None` if it had left before this client joined, and nobody says
        /// any more who it was.
        client_id: Option<ClientId>,
    },
}

impl Sender {
    /// Whether the server program said it.
    pub fn is_server(self) -> bool {
        self == Self::Server
    }

    /// The player's public id; `None` for the server, and for a player of whom it is not
    /// known any more.
    pub fn client_id(self) -> Option<ClientId> {
        match self {
            Self::Server => None,
            Self::Player { client_id, .. } => client_id,
        }
    }

    /// The seat; [`Seat::SERVER`] for the server.
    pub fn seat(self) -> Seat {
        match self {
            Self::Server => Seat::SERVER,
            Self::Player { seat, .. } => seat,
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server"),
            Self::Player { client_id: Some(client_id), .. } => fmt::Display::fmt(client_id, f),
            Self::Player { client_id: None, .. } => f.write_str("a former player"),
        }
    }
}
