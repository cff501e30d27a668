//! What waits for the frame, and what it costs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::Notify;

/// What waits for the frame, and an account of what it costs.
#[derive(Debug)]
pub(in crate::embed) struct Updates<T, A> {
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
pub(in crate::embed) struct LastWord<T, A> {
    updates: Arc<Updates<T, A>>,
    word: Option<T>,
}

impl<T, A> LastWord<T, A> {
    /// `word` is what is told if nothing better is [known](Self::set) by then.
    pub(in crate::embed) fn new(updates: Arc<Updates<T, A>>, word: T) -> Self {
        Self { updates, word: Some(word) }
    }

    /// Changes what will be told.
    pub(in crate::embed) fn set(&mut self, word: T) {
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
    pub(in crate::embed) fn new(account: A) -> Arc<Self> {
        let (wake, woken) = bounded(1);
        let waiting = Mutex::new(Waiting { updates: Vec::new(), account, over: false });
        Arc::new(Self { waiting, wake, woken, taken: Notify::new() })
    }

    /// Adds an update, whatever waits.
    pub(in crate::embed) fn push(&self, update: T) {
        self.change(|updates, _| updates.push(update));
    }

    /// Adds updates in a way of the caller's own, who also keeps the account.
    pub(in crate::embed) fn change(&self, change: impl FnOnce(&mut Vec<T>, &mut A)) {
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
    pub(in crate::embed) fn take(
        &self,
        updates: &mut Vec<T>,
        settle: impl FnOnce(&mut Vec<T>, &mut A),
    ) {
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
    pub(in crate::embed) fn wake(&self) -> Receiver<()> {
        self.woken.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The account is a count of bytes.
impl<T> Updates<T, usize> {
    /// Waits until less than `limit` bytes wait.
    pub(in crate::embed) async fn room(&self, limit: usize) {
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
    pub(in crate::embed) fn take_all(&self, updates: &mut Vec<T>) {
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
