//! The relay with its sockets around it.
//!
//! Readers feed it as bytes come; the driver writes what came of that, many
//! events in one system call. One lock holds it all together. It is held for the
//! length of a function here, never across an await and never while code of the
//! program runs.

use std::{
    collections::VecDeque,
    io::IoSlice,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use slotmap::SecondaryMap;
use tokio::{
    io::AsyncRead,
    runtime::Handle,
    sync::{Notify, watch},
    task::{AbortHandle, JoinHandle},
};

use crate::{
    link,
    relay::{AskId, Input, LinkId, Offer, Output, Relay, RelayConfig, RelayEvent, Verdict},
    wire::{ClientId, DisconnectReason, Secret},
};

use super::{
    connection,
    host::Host,
    journal,
    senders::Senders,
    writer::{Writer, without_budget},
};

/// Bytes for one client after which a reader writes them out by itself; well below
/// what may wait for a client.
const FLUSH_AT: usize = 128 << 10;

/// Connections that each sending thread writes to before the lock is free for others once.
const WRITES_PER_LOCK: usize = 64;

/// Time between two lines of the log about the same.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Slices in one write.
const SLICES: usize = 64;

/// A relay, its connections and the way to its host.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<State>,
    /// Told whenever there may be something to write or a deadline.
    pub(super) work: Notify,
    pub(super) host: Host,
    runtime: OnceLock<Handle>,
    linger: Duration,
    write_timeout: Duration,
    senders: Senders,
    /// Connections whose tasks still run.
    live: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    relay: Relay,
    links: SecondaryMap<LinkId, Link>,
    ready: VecDeque<LinkId>,
    listed: Vec<LinkId>,
    out: Vec<Output>,
    /// Until when the driver sleeps, if it does; `Some(None)`: until it is woken.
    asleep: Option<Option<Instant>>,
    /// What is to be logged: not under the lock, where whoever takes the log
    /// could hold everybody up.
    journal: Vec<RelayEvent>,
    /// Until when it is not said again that connections are turned away.
    turned_away: Option<Instant>,
}

/// The socket of a connection.
#[derive(Debug)]
struct Link {
    writer: Writer,
    reader: JoinHandle<()>,
    /// The task that waits for the socket to take more, while it is full.
    drain: Option<AbortHandle>,
    /// Why nothing more can be written; the reader reports it at the end of its data.
    broken: Option<DisconnectReason>,
}

/// What became of an attempt to write everything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wrote {
    All,
    /// The socket is full.
    Some,
    /// There is no such connection, or nothing can be written to it.
    Nothing,
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
    pub(super) fn new(config: RelayConfig, host: Host, senders: NonZeroUsize) -> Arc<Self> {
        let (linger, write_timeout) = (config.linger, config.write_timeout);
        let state = State {
            relay: Relay::new(config),
            links: SecondaryMap::new(),
            ready: VecDeque::new(),
            listed: Vec::new(),
            out: Vec::new(),
            asleep: None,
            journal: Vec::new(),
            turned_away: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            work: Notify::new(),
            host,
            runtime: OnceLock::new(),
            linger,
            write_timeout,
            senders: Senders::new(senders),
            live: watch::Sender::new(0),
        })
    }

    /// Where tasks go from here on.
    pub(super) fn start(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// Where tasks go, once that is known.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
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

    /// Takes a connection; it is served until one side ends it.
    pub(super) fn open<R>(self: &Arc<Self>, reader: R, writer: Writer, addr: SocketAddr)
    where
        R: AsyncRead + Send + Unpin + 'static,
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
        let reader = runtime.spawn(connection::read(self.live(), link, reader, addr, client_id));
        state.links.insert(link, Link { writer, reader, drain: None, broken: None });
        self.settle(state);
        self.release(guard);
        self.work.notify_one();
    }

    /// Frees the socket of whoever has been there longest and has not said who it is;
    /// whether there was one.
    pub(super) async fn drop_greeter(self: &Arc<Self>) -> bool {
        let Some(Link { writer, mut reader, .. }) = self.take_greeter() else { return false };
        // The socket is free when both of its halves are.
        drop(writer);
        reader.abort();
        let _ = (&mut reader).await;
        true
    }

    fn take_greeter(self: &Arc<Self>) -> Option<Link> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let greeter = state.relay.drop_greeter(link::now(), &mut state.out);
        // Before the relay's word that it is to be closed in peace.
        let link = state.links.remove(greeter?)?;
        self.settle(state);
        self.release(guard);
        link.stop_draining();
        Some(link)
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
            bytes = &bytes[taken..];
            if bytes.is_empty() {
                self.release(guard);
            } else {
                next = next.max(Next::Yield);
                self.hand_over(guard);
            }
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
        if reason == DisconnectReason::ConnectionClosed {
            // Who has nothing more to say may still listen for the answers.
            without_budget(|| state.write(link::now(), id, None));
        }
        let Some(link) = state.links.remove(id) else { return };
        let reason = link.broken.clone().unwrap_or(reason);
        let input = Input::Disconnected { link: id, reason };
        state.relay.handle(link::now(), input, &mut state.out);
        self.settle(state);
        self.release(guard);
        link.stop_draining();
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

    /// Writes to every connection that something waits for.
    pub(super) fn flush(self: &Arc<Self>) {
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
    pub(super) fn poll_drain(self: &Arc<Self>, id: LinkId, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = link::now();
        let wrote = state.write(now, id, Some(cx));
        let poll = if wrote == Wrote::Some {
            state.relay.blocked(now, id, &mut state.out);
            Poll::Pending
        } else {
            if let Some(link) = state.links.get_mut(id) {
                link.drain = None;
            }
            Poll::Ready(())
        };
        self.settle(state);
        self.release(guard);
        self.work.notify_one();
        poll
    }

    /// Drops every connection now.
    pub(super) fn abort(self: &Arc<Self>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let now = link::now();
        let ids: Vec<_> = state.links.keys().collect();
        let mut links = Vec::new();
        for id in ids {
            let reason = DisconnectReason::ConnectionClosed;
            state.relay.handle(now, Input::Disconnected { link: id, reason }, &mut state.out);
            links.extend(state.links.remove(id));
        }
        self.settle(state);
        self.release(guard);
        for link in links {
            link.stop_draining();
            link.reader.abort();
        }
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

    fn write_to_listed(self: &Arc<Self>, state: &mut State, now: Instant) {
        let mut listed = std::mem::take(&mut state.listed);
        let State { relay, links, .. } = state;
        let attempts = self.senders.map(&listed, |id| attempt(relay, links, *id));
        // All of it before anything else happens to the relay: the offers are of one moment.
        if !attempts.is_empty() {
            let mut attempts = attempts.into_iter();
            listed.retain(|id| match attempts.next().flatten() {
                Some((offer, Ok(written))) => {
                    state.relay.sent(now, *id, offer, written, &mut state.out);
                    !(offer.is_all && written == offer.bytes)
                }
                Some((_, Err(error))) => {
                    if let Some(link) = state.links.get_mut(*id) {
                        link.broken = Some(error);
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
        let waits = state.links.get(id).is_some_and(|link| link.drain.is_some());
        // Only one may register for the socket: the task that waits for it.
        if !waits && state.write(now, id, None) != Wrote::Some {
            return;
        }
        state.relay.blocked(now, id, &mut state.out);
        if let (Some(link), Some(runtime)) = (state.links.get_mut(id), self.runtime.get())
            && link.drain.is_none()
        {
            let drain = runtime.spawn(connection::drain(self.clone(), id));
            link.drain = Some(drain.abort_handle());
        }
    }

    /// Passes on what the relay wants done.
    fn settle(self: &Arc<Self>, state: &mut State) {
        for output in state.out.drain(..) {
            match output {
                Output::Event(event) => {
                    if tracing::enabled!(tracing::Level::DEBUG) && journal::is_told(&event) {
                        state.journal.push(event.clone());
                    }
                    self.host.event(event);
                }
                Output::Ask { ask, question, deadline } => {
                    self.host.ask(self, ask, question, deadline);
                }
                Output::Disconnect { link: id } => {
                    let Some(link) = state.links.remove(id) else { continue };
                    link.stop_draining();
                    let Some(runtime) = self.runtime.get() else { continue };
                    let Link { writer, reader, .. } = link;
                    runtime.spawn(connection::close(self.live(), writer, reader));
                }
            }
        }
    }

    /// Gives the lock to whoever waits for it, to go on later.
    fn hand_over(&self, mut guard: MutexGuard<'_, State>) {
        let journal = std::mem::take(&mut guard.journal);
        MutexGuard::unlock_fair(guard);
        journal.iter().for_each(journal::tell);
    }

    /// Gives the lock back, and says what is to be said.
    fn release(&self, mut guard: MutexGuard<'_, State>) {
        let journal = std::mem::take(&mut guard.journal);
        drop(guard);
        journal.iter().for_each(journal::tell);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Writes what waits for `id` once, if that is to a socket that is not known to be full;
/// returns what was offered to it and how much it took.
fn attempt(
    relay: &Relay,
    links: &SecondaryMap<LinkId, Link>,
    id: LinkId,
) -> Option<(Offer, Result<usize, DisconnectReason>)> {
    let link = links.get(id).filter(|link| link.broken.is_none() && link.drain.is_none())?;
    let mut slices = [IoSlice::new(&[]); SLICES];
    let offer = relay.transmit(id, &mut slices);
    if offer.slices == 0 {
        return None;
    }
    match link.writer.try_write(&slices[..offer.slices])? {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        written => Some((offer, written.map_err(|error| DisconnectReason::from_io(&error)))),
    }
}

impl State {
    /// Whether the driver sleeps, and too long for what has come up.
    fn is_overslept(&self) -> bool {
        let Some(until) = self.asleep else { return false };
        let due = self.relay.next_deadline();
        self.relay.is_dirty() || due.is_some_and(|due| until.is_none_or(|until| due < until))
    }

    /// Writes what waits for `id` until nothing does or its socket is full; then `cx` is
    /// woken when it takes more.
    fn write(&mut self, now: Instant, id: LinkId, mut cx: Option<&mut Context<'_>>) -> Wrote {
        let Some(link) = self.links.get_mut(id) else { return Wrote::Nothing };
        if link.broken.is_some() {
            self.relay.blocked(now, id, &mut self.out);
            return Wrote::Nothing;
        }
        self.relay.catch_up(now, id, &mut self.out);
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let offer = self.relay.transmit(id, &mut slices);
            if offer.slices == 0 {
                return Wrote::All;
            }
            let slices = &slices[..offer.slices];
            let wrote = match &mut cx {
                Some(cx) => link.writer.poll_write(cx, slices),
                None => link.writer.write_now(slices),
            };
            let error = match wrote {
                Poll::Pending => return Wrote::Some,
                Poll::Ready(Ok(0)) => std::io::ErrorKind::WriteZero.into(),
                Poll::Ready(Ok(written)) => {
                    self.relay.sent(now, id, offer, written, &mut self.out);
                    if offer.is_all && written == offer.bytes {
                        return Wrote::All;
                    }
                    continue;
                }
                Poll::Ready(Err(error)) => error,
            };
            // The other side's last words may still be there to read.
            link.broken = Some(DisconnectReason::from_io(&error));
            self.relay.blocked(now, id, &mut self.out);
            return Wrote::Nothing;
        }
    }
}

impl Link {
    fn stop_draining(&self) {
        if let Some(drain) = &self.drain {
            drain.abort();
        }
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
