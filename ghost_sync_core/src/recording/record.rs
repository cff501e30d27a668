//! Recording a room.

use std::io::Write;

use tokio::runtime::Handle;

use crate::{
    link,
    relay::RoomNotFound,
    server::ServerHandle,
    wire::{RoomId, RoomName},
};

use super::recorder::{Recorder, Sight, Source};

impl ServerHandle {
    /// Records what happens in a room, from its first event on if the room still
    /// keeps that, else from now on. Ends when the room is deleted, the server has
    /// stopped, or the recorder is [stopped](Recorder::stop) or dropped.
    ///
    /// The room never waits for `writer`, which is used on a thread for blocking
    /// work and is given large pieces: a [`File`](std::fs::File) needs no buffer.
    /// Read the result with [`Recording`](crate::recording::Recording).
    ///
    /// What is recorded is read from the room's history: a room that keeps none
    /// ([`RoomHistory::NONE`](crate::relay::RoomHistory::NONE)), or less than happens
    /// within a tenth of a second, is recorded with gaps. A room that is deleted on a
    /// server without `resume_grace` may be recorded up to a tenth of a second before.
    ///
    /// # Errors
    /// [`RoomNotFound`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime, unless the server runs.
    pub fn record(
        &self,
        room: impl AsRef<str>,
        writer: impl Write + Send + 'static,
    ) -> Result<Recorder, RoomNotFound> {
        let name = room.as_ref();
        let unknown = || RoomNotFound(name.to_owned());
        let runtime = self.runtime().unwrap_or_else(Handle::current);
        let number = self.look(|relay| relay.room_id(name)).ok_or_else(unknown)?;
        let room = RoomName::new(name).map_err(|_| unknown())?;
        let recorded = Recorded { handle: self.clone(), name: room, number };
        let first = {
            // The clock belongs to the runtime, which may be paused.
            let _guard = runtime.enter();
            recorded.look(None, 0).filter(|first| !first.gone).ok_or_else(unknown)?
        };
        Ok(Recorder::start(&runtime, recorded, first, writer))
    }
}

/// A room of a server, in this incarnation.
struct Recorded {
    handle: ServerHandle,
    name: RoomName,
    number: RoomId,
}

impl Source for Recorded {
    fn look(&self, from: Option<u64>, max_bytes: usize) -> Option<Sight> {
        self.handle.look(|relay| {
            let history = relay.history_of(self.number, from.unwrap_or(0), max_bytes)?;
            let gone = relay.room_id(self.name.as_str()) != Some(self.number);
            let needed = from.is_none_or(|from| from < history.oldest);
            let snapshot =
                if needed { Some(relay.snapshot(link::now(), self.number)?) } else { None };
            Some(Sight { history, snapshot, gone })
        })
    }

    fn is_over(&self) -> bool {
        self.handle.has_stopped()
    }
}
