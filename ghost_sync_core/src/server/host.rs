//! Where a relay's events and questions go: to a program's handler, to the
//! bridge of a frame-polled program, or nowhere.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use crate::relay::{AskId, Question, RelayEvent};

use super::{hooks::Dispatch, shard::Shard, values::Values};

/// Takes events and questions as they come. Called with the shard's lock held:
/// it must only put them aside.
pub(crate) trait Sink: Send + Sync {
    /// Something happened.
    fn event(&self, event: RelayEvent);
    /// Something must be decided before `deadline`.
    fn ask(&self, ask: AskId, question: Question, deadline: Instant);
}

/// Who is told what happens in a relay.
#[derive(Default)]
pub(super) struct Host {
    /// Set before anything can happen; empty if nobody wants to know.
    pub(super) audience: OnceLock<Audience>,
    /// Whether joins make rooms without the handler being asked.
    pub(super) creates_freely: bool,
    pub(super) values: Values,
}

/// The program's part in a server.
pub(super) enum Audience {
    Handler(Arc<Dispatch>),
    Bridge(Arc<dyn Sink>),
}

impl Host {
    pub(super) fn event(&self, event: RelayEvent) {
        // A handler may want them until it has heard the event.
        if self.dispatch().is_none() {
            self.values.outlive(&event);
        }
        match self.audience.get() {
            Some(Audience::Handler(dispatch)) => dispatch.event(event),
            Some(Audience::Bridge(sink)) => sink.event(event),
            None => {}
        }
    }

    pub(super) fn ask(&self, shard: &Arc<Shard>, ask: AskId, question: Question, at: Instant) {
        match self.audience.get() {
            Some(Audience::Handler(dispatch)) => dispatch.ask(shard, ask, question, at),
            Some(Audience::Bridge(sink)) => sink.ask(ask, question, at),
            // Nobody decides: the relay says no when the time is up.
            None => {}
        }
    }

    /// The handler's facts, if there is a handler.
    pub(super) fn dispatch(&self) -> Option<&Arc<Dispatch>> {
        match self.audience.get() {
            Some(Audience::Handler(dispatch)) => Some(dispatch),
            Some(Audience::Bridge(_)) | None => None,
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}
