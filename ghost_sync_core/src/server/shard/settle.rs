//! Passes on what came of it: events, questions and ends; then gives the lock back.

use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::{
    relay::{Output, RelayEvent},
    server::trace_log,
};

use super::{Shard, Socket, State};

impl Shard {
    /// Passes on what the relay wants done.
    pub(super) fn settle(self: &Arc<Self>, state: &mut State) {
        for output in state.out.drain(..) {
            match output {
                Output::Event(event) => {
                    if tracing::enabled!(tracing::Level::DEBUG) && trace_log::is_told(&event) {
                        state.to_log.push(event.clone());
                    }
                    self.pass_on(event);
                }
                Output::Ask { ask, question, deadline } => {
                    if let Some(sink) = self.sink.get() {
                        sink.clone().ask(ask, question, deadline);
                    }
                }
                Output::Disconnect { link: id } => {
                    let Some(socket) = state.sockets.remove(id) else { continue };
                    socket.stop_waiting();
                    self.close(socket);
                }
            }
        }
    }

    /// Closes the socket of a connection that is over, in peace.
    pub(super) fn close(self: &Arc<Self>, socket: Socket) {
        if let Some(runtime) = self.runtime.get() {
            let live = self.live();
            runtime.spawn(async move { socket.close(live.shard().linger()).await });
        }
    }

    fn pass_on(&self, event: RelayEvent) {
        let sink = self.sink.get();
        if !sink.is_some_and(|sink| sink.drops_extensions()) {
            self.extensions.note_end(&event);
        }
        if let Some(sink) = sink {
            sink.event(event);
        }
    }

    /// Gives the lock to whoever waits for it, to go on later.
    pub(super) fn hand_over(&self, mut guard: MutexGuard<'_, State>) {
        let events = std::mem::take(&mut guard.to_log);
        MutexGuard::unlock_fair(guard);
        events.iter().for_each(trace_log::tell);
    }

    /// Gives the lock back, and says what is to be said.
    pub(super) fn release(&self, mut guard: MutexGuard<'_, State>) {
        let events = std::mem::take(&mut guard.to_log);
        drop(guard);
        events.iter().for_each(trace_log::tell);
    }
}
