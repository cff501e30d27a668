//! Who hears what happens in a relay, and is asked: a program's handler, the bridge of a
//! frame-polled program, or nobody.

use std::{fmt::Debug, sync::Arc, time::Instant};

use crate::relay::{AskId, Question, RelayEvent};

/// Takes events and questions as they come. Called with the shard's lock held:
/// it must only put them aside.
pub(crate) trait Sink: Debug + Send + Sync {
    /// Something happened.
    fn event(&self, event: RelayEvent);

    /// Something must be decided before `deadline`. If nobody does, the relay says no then.
    fn ask(self: Arc<Self>, ask: AskId, question: Question, deadline: Instant);

    /// Whether the sink drops the extensions of those who are gone, once its program has heard
    /// of it. Otherwise they go by themselves.
    fn drops_extensions(&self) -> bool {
        false
    }
}
