//! Batches between the frame and the background: neither waits for the other.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

/// Batches of commands that may be on their way at once.
const BATCHES: usize = 16;

/// How long a batch waits at most for a [`Fence`]: whoever it is about may stand still.
const PATIENCE: Duration = Duration::from_secs(1);

/// The frame's end of the way to the background.
#[derive(Debug)]
pub(super) struct Commands<T> {
    pending: Vec<T>,
    channel: Sender<Batch<T>>,
    /// The last batch, if the channel was full when the frame's end went.
    last: Arc<Mutex<Vec<T>>>,
    sent: Arc<Notify>,
    /// Batches that were sent.
    batches: u64,
    done: watch::Receiver<u64>,
    /// What was flushed last, if the background had ended.
    lost: Vec<T>,
}

/// The background's end of it.
#[derive(Debug)]
pub(super) struct Orders<T> {
    channel: Receiver<Batch<T>>,
    last: Arc<Mutex<Vec<T>>>,
    sent: Arc<Notify>,
    /// A batch that waits for its fence, and until when.
    held: Option<(Batch<T>, Option<Instant>)>,
    /// How far the other side was when it was waited for in vain: it stands still.
    stuck: Option<u64>,
    /// Batches that were carried out.
    done: watch::Sender<u64>,
}

#[derive(Debug)]
struct Batch<T> {
    commands: Vec<T>,
    after: Option<Fence>,
}

/// What was sent over a bridge up to now: something to wait for until it is carried out.
///
/// A program that is server and client at once lets its client ask
/// [after](super::ClientBridge::flush_after) what its server was told in the same frame.
#[derive(Clone, Debug)]
pub struct Fence {
    batches: u64,
    done: watch::Receiver<u64>,
}

impl Fence {
    /// How far the other side is.
    fn reached(&self) -> u64 {
        *self.done.borrow()
    }

    /// Waits until that is carried out, or never will be; `false` when the time is up first.
    async fn passed(&mut self, deadline: Instant) -> bool {
        let passed = self.done.wait_for(|done| *done >= self.batches);
        timeout_at(deadline, passed).await.is_ok()
    }
}

/// A way to the background.
pub(super) fn commands<T>() -> (Commands<T>, Orders<T>) {
    let (sender, receiver) = bounded(BATCHES);
    let sent = Arc::new(Notify::new());
    let (done, watched) = watch::channel(0);
    let last = Arc::new(Mutex::new(Vec::new()));
    let orders = Orders {
        channel: receiver,
        last: last.clone(),
        sent: sent.clone(),
        held: None,
        stuck: None,
        done,
    };
    let pending = Vec::new();
    let (batches, lost) = (0, Vec::new());
    (Commands { pending, channel: sender, last, sent, batches, done: watched, lost }, orders)
}

impl<T> Commands<T> {
    /// Adds a command to the next batch.
    pub(super) fn push(&mut self, command: T) {
        self.pending.push(command);
    }

    /// Sends the batch if there is room for it; otherwise the next call does.
    /// Returns whether nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        self.flush_after(None)
    }

    /// Sends the batch as [`flush`](Self::flush) does; it is carried out after `fence`.
    pub(super) fn flush_after(&mut self, after: Option<Fence>) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        let commands = std::mem::take(&mut self.pending);
        match self.channel.try_send(Batch { commands, after }) {
            Ok(()) => {
                self.batches += 1;
                self.sent.notify_one();
                true
            }
            Err(TrySendError::Full(batch)) => {
                self.pending = batch.commands;
                false
            }
            // It has ended, which the program is told.
            Err(TrySendError::Disconnected(batch)) => {
                // Whoever does not ask for it after each flush does not want it.
                self.lost = batch.commands;
                true
            }
        }
    }

    /// Takes what was flushed last, if the background had ended.
    pub(super) fn take_lost(&mut self) -> Vec<T> {
        std::mem::take(&mut self.lost)
    }

    /// What was added up to now.
    pub(super) fn fence(&self) -> Fence {
        let batches = self.batches + u64::from(!self.pending.is_empty());
        Fence { batches, done: self.done.clone() }
    }

    /// Sends what is left, behind everything that was sent before; nothing may follow.
    /// Returns whether the background is there to take it.
    pub(super) fn finish(&mut self) -> bool {
        let commands = std::mem::take(&mut self.pending);
        match self.channel.try_send(Batch { commands, after: None }) {
            Ok(()) => {
                self.sent.notify_one();
                true
            }
            Err(TrySendError::Full(batch)) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = batch.commands;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

impl<T> Drop for Commands<T> {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.finish();
        }
        // The channel closes just after this; the background looks once more then.
        let (closed, _) = bounded(0);
        drop(std::mem::replace(&mut self.channel, closed));
        self.sent.notify_one();
    }
}

impl<T> Orders<T> {
    /// The next batch; `None` when the frame's end is gone. Nothing is lost when
    /// the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Vec<T>> {
        while self.held.is_none() {
            match self.channel.try_recv() {
                Ok(batch) => {
                    let deadline = batch.after.as_ref().map(|_| Instant::now() + PATIENCE);
                    self.held = Some((batch, deadline));
                }
                Err(TryRecvError::Disconnected) => {
                    let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                    let batch = std::mem::take(&mut *last);
                    return (!batch.is_empty()).then_some(batch);
                }
                Err(TryRecvError::Empty) => self.sent.notified().await,
            }
        }
        if let Some((batch, Some(deadline))) = &mut self.held
            && let Some(fence) = &mut batch.after
            && self.stuck != Some(fence.reached())
        {
            let reached = fence.reached();
            let passed = fence.passed(*deadline).await;
            self.stuck = (!passed).then_some(reached);
        }
        self.held.take().map(|(batch, _)| batch.commands)
    }

    /// What was sent and is not taken any more.
    pub(super) fn rest(&mut self) -> Vec<T> {
        let held = self.held.take().map(|(batch, _)| batch);
        let batches = held.into_iter().chain(self.channel.try_iter());
        let mut rest: Vec<_> = batches.flat_map(|batch| batch.commands).collect();
        rest.append(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
        rest
    }

    /// The last batch that was taken is carried out.
    pub(super) fn done(&self) {
        self.done.send_modify(|done| *done += 1);
    }
}

/// What waits for the frame, and an account of what it costs.
#[derive(Debug)]
pub(super) struct Updates<T, A> {
    waiting: Mutex<Waiting<T, A>>,
    wake: Sender<()>,
    woken: Receiver<()>,
    taken: Notify,
}

#[derive(Debug)]
struct Waiting<T, A> {
    updates: Vec<T>,
    account: A,
    /// The last update was added.
    over: bool,
}

/// Adds a last update when it is dropped, whatever ends the task that holds it: its work, a
/// panic of ours, or the runtime.
#[derive(Debug)]
pub(super) struct LastWord<T, A> {
    updates: Arc<Updates<T, A>>,
    word: Option<T>,
}

impl<T, A> LastWord<T, A> {
    /// `word` is what is told if nothing better is [known](Self::set) by then.
    pub(super) fn new(updates: Arc<Updates<T, A>>, word: T) -> Self {
        Self { updates, word: Some(word) }
    }

    /// Changes what will be told.
    pub(super) fn set(&mut self, word: T) {
        self.word = Some(word);
    }
}

impl<T, A> Drop for LastWord<T, A> {
    fn drop(&mut self) {
        if let Some(word) = self.word.take() {
            self.updates.alter(|waiting| {
                waiting.updates.push(word);
                waiting.over = true;
            });
        }
    }
}

impl<T, A> Updates<T, A> {
    pub(super) fn new(account: A) -> Arc<Self> {
        let (wake, woken) = bounded(1);
        let waiting = Mutex::new(Waiting { updates: Vec::new(), account, over: false });
        Arc::new(Self { waiting, wake, woken, taken: Notify::new() })
    }

    /// Adds an update, whatever waits.
    pub(super) fn push(&self, update: T) {
        self.change(|updates, _| updates.push(update));
    }

    /// Adds updates in a way of the caller's own, who also keeps the account.
    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<T>, &mut A)) {
        self.alter(|waiting| change(&mut waiting.updates, &mut waiting.account));
    }

    /// Changes what waits, and wakes the frame for it. After a [`LastWord`] nothing is changed.
    fn alter(&self, alter: impl FnOnce(&mut Waiting<T, A>)) {
        let mut waiting = self.lock();
        if waiting.over {
            return;
        }
        let first = waiting.updates.is_empty();
        alter(&mut waiting);
        let news = first && !waiting.updates.is_empty();
        drop(waiting);
        // Whoever is told takes everything, also what comes until then.
        if news {
            let _ = self.wake.try_send(());
        }
    }

    /// Appends everything to `updates`, after `settle` has looked at it for the last time
    /// and begun the account anew. If `updates` is empty, the two vectors change places:
    /// one swap, and memory that was needed once serves again.
    pub(super) fn take(&self, updates: &mut Vec<T>, settle: impl FnOnce(&mut Vec<T>, &mut A)) {
        // In this order: what comes after the look wakes again.
        let _ = self.woken.try_recv();
        let mut guard = self.lock();
        let waiting = &mut *guard;
        settle(&mut waiting.updates, &mut waiting.account);
        if waiting.updates.is_empty() {
            return;
        }
        if updates.is_empty() {
            std::mem::swap(updates, &mut waiting.updates);
        } else {
            updates.append(&mut waiting.updates);
        }
        drop(guard);
        self.taken.notify_waiters();
    }

    /// Gets a token whenever there is something new.
    pub(super) fn wake(&self) -> Receiver<()> {
        self.woken.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account is a count of bytes.
impl<T> Updates<T, usize> {
    /// Waits until less than `limit` bytes wait.
    pub(super) async fn room(&self, limit: usize) {
        loop {
            let mut taken = std::pin::pin!(self.taken.notified());
            taken.as_mut().enable();
            if self.lock().account < limit {
                return;
            }
            taken.await;
        }
    }

    /// Appends everything to `updates`.
    pub(super) fn take_all(&self, updates: &mut Vec<T>) {
        self.take(updates, |_, bytes| *bytes = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_tells_of_all_that_waits_and_another_of_what_comes_after_a_look() {
        let updates = Updates::new(0);
        let wake = updates.wake();
        updates.change(|_, _| {});
        assert!(wake.is_empty(), "there is nothing to look at");
        updates.push(1);
        updates.push(2);
        // Whoever sleeps takes the token first and looks then.
        assert_eq!(wake.try_iter().count(), 1);
        updates.push(3);
        let mut seen = Vec::new();
        updates.take_all(&mut seen);
        updates.push(4);
        assert_eq!(wake.try_iter().count(), 1);
        updates.take_all(&mut seen);
        assert_eq!(seen, [1, 2, 3, 4]);
        assert!(wake.is_empty());
    }

    #[tokio::test]
    async fn what_was_pushed_before_the_end_arrives_however_full_the_channel_is() {
        let (mut commands, mut orders) = commands();
        for batch in 0..BATCHES + 3 {
            commands.push(batch);
            commands.flush();
        }
        drop(commands);
        let mut seen = Vec::new();
        while let Some(batch) = orders.next().await {
            seen.extend(batch);
        }
        assert_eq!(seen, (0..BATCHES + 3).collect::<Vec<_>>());
        assert!(orders.next().await.is_none());
    }

    #[test]
    fn nothing_follows_a_last_word_which_is_told_once() {
        let updates = Updates::new(0);
        let mut last = LastWord::new(updates.clone(), "early");
        updates.push("first");
        last.set("late");
        drop(last);
        updates.push("too late");
        let mut seen = Vec::new();
        updates.take_all(&mut seen);
        assert_eq!(seen, ["first", "late"]);
        drop(LastWord::new(updates.clone(), "again"));
        updates.take_all(&mut seen);
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn memory_that_was_needed_once_serves_again() {
        let updates = Updates::new(0);
        let mut seen = Vec::new();
        for _ in 0..3 {
            updates.change(|waiting, _| waiting.extend(0..1000));
            updates.take_all(&mut seen);
            seen.clear();
        }
        let needed = seen.capacity();
        assert!(needed >= 1000);
        updates.push(0);
        updates.take_all(&mut seen);
        assert!(seen.capacity() >= 1000, "the vector of the round before");
    }
}
