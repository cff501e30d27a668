//! A seat that is asked for, or was.

use crate::wire::{JoinOptions, Refusal, RoomName};

use super::{RequestError, RequestKind};

/// What a seat was asked for with.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) room: RoomName,
    pub(crate) options: JoinOptions,
    /// Whether it is wanted only by a client that is nowhere.
    pub(crate) if_nowhere: bool,
    /// Whether it is in place of a seat that the client lost.
    pub(crate) rejoined: bool,
    /// Whether the client asked by itself: its program waits for no answer.
    pub(crate) by_itself: bool,
}

impl Asked {
    /// What the program asks for.
    pub(crate) fn new(room: RoomName, options: JoinOptions) -> Self {
        Self { room, options, if_nowhere: false, rejoined: false, by_itself: false }
    }

    /// A seat in a room where an earlier process had one.
    pub(crate) fn former(room: RoomName) -> Self {
        Self { rejoined: true, by_itself: true, ..Self::new(room, JoinOptions::default()) }
    }

    /// The same seat once more, in place of this one, which is lost.
    pub(crate) fn again(self) -> Self {
        let options = self.options.again();
        Self { options, ..Self::former(self.room) }
    }

    /// That it was not granted, and why.
    pub(crate) fn refused(self, reason: Refusal) -> RequestError {
        let request = if self.by_itself { RequestKind::Rejoin } else { RequestKind::Join };
        RequestError { request, room: Some(self.room), reference: None, reason }
    }
}
