//! Batches between the frame and the background: neither waits for the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use tokio::sync::Notify;

/// Batches of commands that may be on their way at once.
const BATCHES: usize = 16;

/// The frame's end of the way to the background.
#[derive(Debug)]
pub(super) struct Commands<T> {
    pending: Vec<T>,
    channel: Sender<Vec<T>>,
    sent: Arc<Notify>,
}

/// The background's end of it.
#[derive(Debug)]
pub(super) struct Orders<T> {
    channel: Receiver<Vec<T>>,
    sent: Arc<Notify>,
}

/// A way to the background.
pub(super) fn commands<T>() -> (Commands<T>, Orders<T>) {
    let (sender, receiver) = bounded(BATCHES);
    let sent = Arc::new(Notify::new());
    let orders = Orders { channel: receiver, sent: sent.clone() };
    (Commands { pending: Vec::new(), channel: sender, sent }, orders)
}

impl<T> Commands<T> {
    /// Adds a command to the next batch.
    pub(super) fn push(&mut self, command: T) {
        self.pending.push(command);
    }

    /// Sends the batch if there is room for it; otherwise the next call does.
    /// Returns whether nothing is left.
    pub(super) fn flush(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        match self.channel.try_send(std::mem::take(&mut self.pending)) {
            Ok(()) => {
                self.sent.notify_one();
                true
            }
            Err(TrySendError::Full(batch)) => {
                self.pending = batch;
                false
            }
            // It has ended, which the program was told.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

impl<T> Drop for Commands<T> {
    fn drop(&mut self) {
        self.flush();
        // The channel closes just after this; the background looks once more then.
        let (closed, _) = bounded(0);
        drop(std::mem::replace(&mut self.channel, closed));
        self.sent.notify_one();
    }
}

impl<T> Orders<T> {
    /// The next batch; `None` when the frame's end is gone. Nothing is lost when
    /// the future is dropped.
    pub(super) async fn next(&self) -> Option<Vec<T>> {
        loop {
            match self.channel.try_recv() {
                Ok(batch) => return Some(batch),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.sent.notified().await,
            }
        }
    }
}

/// What waits for the frame.
#[derive(Debug)]
pub(super) struct Updates<T> {
    waiting: Mutex<Waiting<T>>,
    wake: Sender<()>,
    woken: Receiver<()>,
    taken: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    updates: Vec<T>,
    bytes: usize,
}

impl<T> Updates<T> {
    pub(super) fn new() -> Arc<Self> {
        let (wake, woken) = bounded(1);
        let waiting = Mutex::new(Waiting { updates: Vec::new(), bytes: 0 });
        Arc::new(Self { waiting, wake, woken, taken: Notify::new() })
    }

    /// Adds an update, whatever waits.
    pub(super) fn push(&self, update: T) {
        self.change(|updates, _| updates.push(update));
    }

    /// Adds updates in a way of the caller's own, who also counts their bytes.
    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<T>, &mut usize)) {
        let mut waiting = self.lock();
        let Waiting { updates, bytes } = &mut *waiting;
        change(updates, bytes);
        drop(waiting);
        let _ = self.wake.try_send(());
    }

    /// Waits until less than `limit` bytes wait.
    pub(super) async fn room(&self, limit: usize) {
        loop {
            let mut taken = std::pin::pin!(self.taken.notified());
            taken.as_mut().enable();
            if self.lock().bytes < limit {
                return;
            }
            taken.await;
        }
    }

    /// Takes everything.
    pub(super) fn take(&self) -> Vec<T> {
        // In this order: what comes after the look wakes again.
        let _ = self.woken.try_recv();
        let mut waiting = self.lock();
        waiting.bytes = 0;
        let updates = std::mem::take(&mut waiting.updates);
        drop(waiting);
        if !updates.is_empty() {
            self.taken.notify_waiters();
        }
        updates
    }

    /// Gets a token whenever there is something new.
    pub(super) fn wake(&self) -> Receiver<()> {
        self.woken.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
