//! Writes what waits: to all at once, and to each that was full when it takes more.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use crate::{link, relay::LinkId};

use super::{Shard, Socket, State, Wrote, without_budget};

/// Connections that each sending thread writes to before the lock is free for others once.
const WRITES_PER_LOCK: usize = 64;

impl Shard {
    /// Writes to every connection that something waits for.
    pub(in crate::server) fn flush(self: &Arc<Self>) {
        // Tokio's budget would make sockets look full after 128 writes.
        without_budget(|| {
            loop {
                let mut guard = self.lock();
                let state = &mut *guard;
                let began = link::now();
                if state.ready.is_empty() {
                    state.relay.take_ready(began, &mut state.listed, &mut state.out);
                    state.ready.extend(state.listed.drain(..));
                }
                let count = state.ready.len().min(WRITES_PER_LOCK * self.senders.count());
                state.listed.extend(state.ready.drain(..count));
                self.write_to_listed(state, began);
                let ended = link::now();
                state.relay.wrote(began, ended);
                if state.ready.is_empty() {
                    state.relay.tidy(ended);
                }
                self.settle(state);
                if state.ready.is_empty() {
                    return self.release(guard);
                }
                self.hand_over(guard);
            }
        });
    }

    /// Goes on writing to a connection whose socket was full.
    fn poll_drain(self: &Arc<Self>, id: LinkId, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = link::now();
        let wrote = state.write(now, id, Some(cx));
        let poll = match wrote {
            Wrote::Some => {
                state.relay.blocked(now, id, &mut state.out);
                Poll::Pending
            }
            Wrote::Unflushed => Poll::Pending,
            Wrote::All | Wrote::Nothing => {
                if let Some(socket) = state.sockets.get_mut(id) {
                    socket.waited();
                }
                Poll::Ready(())
            }
        };
        self.settle(state);
        self.release(guard);
        self.work.notify_one();
        poll
    }

    fn write_to_listed(self: &Arc<Self>, state: &mut State, now: Instant) {
        let mut listed = std::mem::take(&mut state.listed);
        let State { relay, sockets, .. } = state;
        let attempts = self.senders.map(&listed, |id| sockets.get(*id)?.try_write(relay, *id));
        // All of it before anything else happens to the relay: the offers are of one moment.
        if !attempts.is_empty() {
            let mut attempts = attempts.into_iter();
            listed.retain(|id| match attempts.next().flatten() {
                Some((offer, Ok(written))) => {
                    state.relay.sent(now, *id, offer, written, &mut state.out);
                    !(offer.is_all && written == offer.bytes)
                }
                Some((_, Err(error))) => {
                    if let Some(socket) = state.sockets.get_mut(*id) {
                        socket.set_broken(error);
                    }
                    true
                }
                None => true,
            });
        }
        for id in listed.drain(..) {
            self.write_or_wait(state, now, id);
        }
        state.listed = listed;
    }

    fn write_or_wait(self: &Arc<Self>, state: &mut State, now: Instant, id: LinkId) {
        let waits = state.sockets.get(id).is_some_and(Socket::is_waited_for);
        // Only one may register for the socket: the task that waits for it.
        let wrote = if waits { Wrote::Some } else { state.write(now, id, None) };
        match wrote {
            Wrote::All | Wrote::Nothing => return,
            Wrote::Unflushed => {}
            Wrote::Some => state.relay.blocked(now, id, &mut state.out),
        }
        if let (Some(socket), Some(runtime)) = (state.sockets.get_mut(id), self.runtime.get())
            && !socket.is_waited_for()
        {
            let drain = runtime.spawn(drain(self.clone(), id));
            socket.wait_with(drain.abort_handle());
        }
    }
}

/// Writes to a connection whose socket was full until nothing waits any more.
async fn drain(shard: Arc<Shard>, link: LinkId) {
    poll_fn(|cx| shard.poll_drain(link, cx)).await;
}
