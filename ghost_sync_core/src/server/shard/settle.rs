//! Passes on what came of it: events, questions and ends; then gives the lock back.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::MutexGuard;
use tokio::time::timeout;

use crate::{
    relay::{AskId, Input, Output, Question, RelayEvent, Spoken},
    server::{trace_log, validate::Check},
    wire::Token,
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
                Output::Ask { ask, question, deadline } => match question {
                    Question::Relay {
                        client_id,
                        name: room,
                        seat,
                        message_type,
                        payload,
                        identity,
                        validator: Some(validator),
                        ..
                    } => {
                        let spoken =
                            Spoken { room, client_id, seat, identity, message_type, payload };
                        state.to_check.push(Check { ask, validator, spoken });
                    }
                    question @ (Question::Connect { .. }
                    | Question::Join { .. }
                    | Question::CreateRoom { .. }
                    | Question::Greet { .. }
                    | Question::Relay { .. }
                    | Question::SetMetadata { .. }) => {
                        if let Some(sink) = self.sink.get() {
                            sink.clone().ask(ask, question, deadline);
                        }
                    }
                },
                Output::Verify { ask, client_id: _, addr, token } => self.verify(ask, addr, token),
                Output::Disconnect { link: id } => {
                    let Some(socket) = state.sockets.remove(id) else { continue };
                    socket.stop_waiting();
                    self.close(socket);
                }
            }
        }
    }

    /// Has a token verified, outside of the lock.
    fn verify(self: &Arc<Self>, ask: AskId, addr: SocketAddr, token: Token) {
        let Some(runtime) = self.runtime.get() else { return };
        let shard = self.clone();
        runtime.spawn(async move {
            let Some(verdict) = shard.auth.authenticate(token, addr) else { return };
            // Later the relay has said by itself that it is not known yet.
            if let Ok(identity) = timeout(shard.ask_timeout, verdict).await {
                let identity = identity.map(Box::new);
                shard.act(|relay, now, out| {
                    relay.handle(now, Input::Identity { ask, identity }, out);
                });
            }
        });
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
