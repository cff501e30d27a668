//! Batches of commands on their way from the frame to the background.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
pub(in crate::embed) struct Commands<T> {
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
pub(in crate::embed) struct Orders<T> {
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
/// [after](crate::embed::ClientBridge::flush_after) what its server was told in the same frame.
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
pub(in crate::embed) fn commands<T>() -> (Commands<T>, Orders<T>) {
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
    pub(in crate::embed) fn push(&mut self, command: T) {
        self.pending.push(command);
    }

    /// Sends the batch if there is room for it; otherwise the next call does.
    /// Returns whether nothing is left.
    pub(in crate::embed) fn flush(&mut self) -> bool {
        self.flush_after(None)
    }

    /// Sends the batch as [`flush`](Self::flush) does; it is carried out after `fence`.
    pub(in crate::embed) fn flush_after(&mut self, after: Option<Fence>) -> bool {
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
    pub(in crate::embed) fn take_lost(&mut self) -> Vec<T> {
        std::mem::take(&mut self.lost)
    }

    /// What was added up to now.
    pub(in crate::embed) fn fence(&self) -> Fence {
        let batches = self.batches + u64::from(!self.pending.is_empty());
        Fence { batches, done: self.done.clone() }
    }

    /// Sends what is left, behind everything that was sent before; nothing may follow.
    /// Returns whether the background is there to take it.
    pub(in crate::embed) fn finish(&mut self) -> bool {
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
    pub(in crate::embed) async fn next(&mut self) -> Option<Vec<T>> {
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
    pub(in crate::embed) fn rest(&mut self) -> Vec<T> {
        let held = self.held.take().map(|(batch, _)| batch);
        let batches = held.into_iter().chain(self.channel.try_iter());
        let mut rest: Vec<_> = batches.flat_map(|batch| batch.commands).collect();
        rest.append(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
        rest
    }

    /// The last batch that was taken is carried out.
    pub(in crate::embed) fn done(&self) {
        self.done.send_modify(|done| *done += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
