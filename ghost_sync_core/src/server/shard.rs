//! The relay with its sockets around it.
//!
//! Readers feed it as bytes come; the driver writes what came of that, many
//! events in one system call. One lock holds it all together. It is held for the
//! length of a function here, never across an await and never while code of the
//! program runs.

mod flush;
mod settle;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    task::Context,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use slotmap::SecondaryMap;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

use crate::{
    link,
    relay::{AskId, Input, LinkId, Output, Relay, RelayConfig, RelayEvent, Verdict},
    wire::{ClientId, DisconnectReason, Secret},
};

use super::{
    auth::Auth,
    extensions::Extensions,
    senders::Senders,
    sink::Sink,
    socket::{Socket, Wrote},
    validate::{Check, SlowOnes},
    writer::{Writer, without_budget},
};

/// Bytes for one client after which a reader writes them out by itself; well below
/// what may wait for a client.
const FLUSH_AT: usize = 128 << 10;

/// Time between two lines of the log about the same.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// A relay, its connections and the way to its host.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<State>,
    /// Told whenever there may be something to write or a deadline.
    pub(super) work: Notify,
    /// Set before anything can happen; empty if nobody wants to know.
    sink: OnceLock<Arc<dyn Sink>>,
    pub(super) extensions: Arc<Extensions>,
    runtime: OnceLock<Handle>,
    auth: Auth,
    pub(super) slow_validators: SlowOnes,
    linger: Duration,
    write_timeout: Duration,
    ask_timeout: Duration,
    senders: Senders,
    /// Connections whose tasks still run.
    live: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    relay: Relay,
    sockets: SecondaryMap<LinkId, Socket>,
    ready: VecDeque<LinkId>,
    listed: Vec<LinkId>,
    out: Vec<Output>,
    /// Until when the driver sleeps, if it does; `Some(None)`: until it is woken.
    asleep: Option<Option<Instant>>,
    /// What validators are to check when the lock is free.
    to_check: Vec<Check>,
    /// What is to be logged: not under the lock, where whoever takes the log
    /// could hold everybody up.
    to_log: Vec<RelayEvent>,
    /// Until when it is not said again that connections are turned away.
    turned_away: Option<Instant>,
}

/// When a reader had better go on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Next {
    /// At once.
    Read,
    /// When others who are ready have had their turn.
    Yield,
    /// Later: it is refused what it says.
    Pause,
}

/// There is something to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy;

/// Counts a connection's tasks for as long as it lives.
#[derive(Debug)]
pub(super) struct Live(Arc<Shard>);

impl Shard {
    pub(super) fn new(mut config: RelayConfig, auth: Auth, senders: NonZeroUsize) -> Arc<Self> {
        let RelayConfig { linger, write_timeout, ask_timeout, .. } = config;
        config.host.auth = auth.policy();
        let state = State {
            relay: Relay::new(config),
            sockets: SecondaryMap::new(),
            ready: VecDeque::new(),
            listed: Vec::new(),
            out: Vec::new(),
            asleep: None,
            to_check: Vec::new(),
            to_log: Vec::new(),
            turned_away: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            work: Notify::new(),
            sink: OnceLock::new(),
            extensions: Arc::default(),
            runtime: OnceLock::new(),
            auth,
            slow_validators: SlowOnes::default(),
            linger,
            write_timeout,
            ask_timeout,
            senders: Senders::new(senders),
            live: watch::Sender::new(0),
        })
    }

    /// Has `sink` told what happens.
    pub(super) fn tell(&self, sink: Arc<dyn Sink>) {
        let _ = self.sink.set(sink);
    }

    /// Where tasks go from here on.
    pub(super) fn start(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// Where tasks go, once that is known.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    /// How clients are known.
    pub(super) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Reads from the relay.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Relay) -> T) -> T {
        at(&self.lock().relay)
    }

    /// Whether somebody has the lock now.
    #[cfg(test)]
    pub(super) fn is_locked(&self) -> bool {
        self.state.is_locked()
    }

    /// Does something to the relay, in the name of the host.
    pub(super) fn act<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Relay, Instant, &mut Vec<Output>) -> T,
    ) -> T {
        // The clock belongs to the runtime, which may be paused.
        let _guard = self.runtime.get().map(Handle::enter);
        let mut guard = self.lock();
        let state = &mut *guard;
        let result = act(&mut state.relay, link::now(), &mut state.out);
        self.settle(state);
        self.release(guard);
        self.work.notify_one();
        result
    }

    /// Whether a connection from `addr` may be taken. Says now and then in the log how many
    /// were not.
    pub(super) fn admits(&self, addr: SocketAddr) -> bool {
        let now = link::now();
        let mut guard = self.lock();
        if guard.relay.admits(now, addr) {
            return true;
        }
        let count = guard.relay.turned_away();
        let tell = guard.turned_away.is_none_or(|until| until <= now);
        if tell {
            guard.turned_away = Some(now + BETWEEN_LINES);
        }
        drop(guard);
        if tell {
            tracing::warn!(%addr, count, "too many connections from one address: turned away");
        }
        false
    }

    /// Takes a connection, which `read` reads from; it is served until one side ends it.
    pub(super) fn open<F>(
        self: &Arc<Self>,
        writer: Writer,
        addr: SocketAddr,
        read: impl FnOnce(Live, LinkId, ClientId) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(runtime) = self.runtime.get() else { return };
        let _guard = runtime.enter();
        let mut guard = self.lock();
        let state = &mut *guard;
        let client_id = ClientId::new_v4();
        // Both come from the operating system's source of random numbers.
        let secret = Secret(*ClientId::new_v4().as_bytes());
        let link = state.relay.connect(link::now(), addr, client_id, secret, &mut state.out);
        // The task cannot feed anything before the lock is free.
        let reader = runtime.spawn(read(self.live(), link, client_id));
        state.sockets.insert(link, Socket::new(writer, reader));
        self.settle(state);
        self.release(guard);
        self.work.notify_one();
    }

    /// Frees the socket of whoever has been there longest and has not said who it is;
    /// whether there was one.
    pub(super) async fn drop_greeter(self: &Arc<Self>) -> bool {
        let Some(socket) = self.take_greeter() else { return false };
        socket.free().await;
        true
    }

    fn take_greeter(self: &Arc<Self>) -> Option<Socket> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let greeter = state.relay.drop_greeter(link::now(), &mut state.out);
        // Before the relay's word that it is to be closed in peace.
        let socket = state.sockets.remove(greeter?)?;
        self.settle(state);
        self.release(guard);
        socket.stop_waiting();
        Some(socket)
    }

    /// A reader got bytes. It says when it had better read more.
    pub(super) fn feed(self: &Arc<Self>, id: LinkId, mut bytes: &[u8]) -> Next {
        let mut next = Next::Read;
        loop {
            let mut guard = self.lock();
            let state = &mut *guard;
            let taken = state.relay.feed(link::now(), id, bytes, &mut state.out);
            let wake = !state.out.is_empty() || state.is_overslept();
            self.settle(state);
            let flush = state.relay.pending_bytes() > FLUSH_AT;
            // What a flush brings up is for the driver too.
            let wake = wake || flush;
            if wake {
                state.asleep = None;
            }
            if state.relay.is_over_limit(link::now(), id) {
                next = Next::Pause;
            }
            let checks = std::mem::take(&mut state.to_check);
            bytes = &bytes[taken..];
            if bytes.is_empty() {
                self.release(guard);
            } else {
                next = next.max(Next::Yield);
                self.hand_over(guard);
            }
            self.validate(checks);
            if flush {
                self.flush();
            }
            if wake {
                self.work.notify_one();
            }
            if bytes.is_empty() {
                return next;
            }
        }
    }

    /// Whether a reader that gets much should leave it for a while.
    pub(super) fn is_congested(&self, id: LinkId) -> bool {
        self.lock().relay.is_congested(link::now(), id)
    }

    /// How long a socket may be full.
    pub(super) fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// A reader got to the end.
    pub(super) fn lost(self: &Arc<Self>, id: LinkId, reason: DisconnectReason) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut wrote = Wrote::Nothing;
        if reason == DisconnectReason::ConnectionClosed {
            // Who has nothing more to say may still listen for the answers.
            wrote = without_budget(|| state.write(link::now(), id, None));
        }
        let Some(socket) = state.sockets.remove(id) else { return };
        let reason = socket.reason(reason);
        let input = Input::Disconnected { link: id, reason };
        state.relay.handle(link::now(), input, &mut state.out);
        self.settle(state);
        self.release(guard);
        socket.stop_waiting();
        if wrote == Wrote::Unflushed {
            self.close(socket);
        }
        self.work.notify_one();
    }

    /// The host decided. `false`: nobody waits for it any more.
    pub(super) fn answer(self: &Arc<Self>, ask: AskId, verdict: Verdict) -> bool {
        self.act(|relay, now, out| {
            let asked = relay.is_asked(ask);
            relay.handle(now, Input::Answer { ask, verdict }, out);
            asked
        })
    }

    /// The driver has nothing to do now: says when it will have something at the latest.
    /// `Err`: it has something to do after all.
    pub(super) fn rest(&self) -> Result<Option<Instant>, Busy> {
        let state = &mut *self.lock();
        if state.relay.is_dirty() || !state.ready.is_empty() {
            return Err(Busy);
        }
        let due = state.relay.next_deadline();
        state.asleep = Some(due);
        Ok(due)
    }

    /// Lets the relay look at the clock.
    pub(super) fn tick(self: &Arc<Self>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.asleep = None;
        let now = link::now();
        if state.relay.next_deadline().is_some_and(|due| due <= now) {
            state.relay.handle(now, Input::Tick, &mut state.out);
            self.settle(state);
        }
        self.release(guard);
    }

    /// Drops every connection now.
    pub(super) fn abort(self: &Arc<Self>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = link::now();
        let ids: Vec<_> = state.sockets.keys().collect();
        let mut sockets = Vec::new();
        for id in ids {
            let reason = DisconnectReason::ConnectionClosed;
            state.relay.handle(now, Input::Disconnected { link: id, reason }, &mut state.out);
            sockets.extend(state.sockets.remove(id));
        }
        self.settle(state);
        self.release(guard);
        sockets.into_iter().for_each(Socket::abort);
    }

    /// Waits until no connection's task runs.
    pub(super) async fn idle(&self) {
        let _ = self.live.subscribe().wait_for(|live| *live == 0).await;
    }

    /// How long a closed connection may take to close on its side too.
    pub(super) fn linger(&self) -> Duration {
        self.linger
    }

    fn live(self: &Arc<Self>) -> Live {
        self.live.send_modify(|live| *live += 1);
        Live(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn write(&mut self, now: Instant, id: LinkId, cx: Option<&mut Context<'_>>) -> Wrote {
        match self.sockets.get_mut(id) {
            Some(socket) => socket.write(&mut self.relay, now, id, cx, &mut self.out),
            None => Wrote::Nothing,
        }
    }

    /// Whether the driver sleeps, and too long for what has come up.
    fn is_overslept(&self) -> bool {
        let Some(until) = self.asleep else { return false };
        let due = self.relay.next_deadline();
        self.relay.is_dirty() || due.is_some_and(|due| until.is_none_or(|until| due < until))
    }
}

impl Live {
    pub(super) fn shard(&self) -> &Arc<Shard> {
        &self.0
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.send_modify(|live| *live -= 1);
    }
}
