//! A member of a room: its seat, and how far it is in the log.

use crate::{
    relay::{catch_up::Behind, event::ConnId},
    wire::{ClientId, Seat},
};

/// A seat and where its member is in the log.
#[derive(Debug)]
pub(in crate::relay) struct Member {
    pub(in crate::relay) seat: Seat,
    pub(in crate::relay) conn: ConnId,
    pub(in crate::relay) client_id: ClientId,
    pub(in crate::relay) cursor: u64,
    /// The first event of its stay.
    pub(in crate::relay) since: u64,
    /// The event of its join.
    pub(in crate::relay) joined: u64,
    /// Messages of its own that it does not hear, and others that it is left out of, in this
    /// stay.
    pub(in crate::relay) own: u64,
    /// Whether it said anything that must not be lost.
    pub(in crate::relay) spoke: bool,
    /// Whether its connection has no link: it is given nothing then.
    pub(in crate::relay) away: bool,
    /// How it reads on, if its socket was full or it has just come back.
    pub(in crate::relay) behind: Option<Box<Behind>>,
}

impl Member {
    /// A member that joins with event `joined` and is given those from `since` on.
    pub(in crate::relay) fn new(
        seat: Seat,
        conn: ConnId,
        client_id: ClientId,
        (joined, since): (u64, u64),
        away: bool,
    ) -> Self {
        Self {
            seat,
            conn,
            client_id,
            cursor: since,
            since,
            joined,
            own: 0,
            spoke: false,
            away,
            behind: None,
        }
    }
}
