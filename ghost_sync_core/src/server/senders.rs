//! Threads that write to many sockets at once.
//!
//! Nearly all of the cost of a message is the kernel's, one system call for each member,
//! and one thread can only make one at a time. While the shard's lock is held nothing
//! changes, so others may read what there is to write and write it.

use std::{num::NonZeroUsize, sync::OnceLock};

use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator},
};

/// The threads, once they are needed.
#[derive(Debug)]
pub(super) struct Senders {
    threads: NonZeroUsize,
    pool: OnceLock<Option<ThreadPool>>,
}

impl Senders {
    /// With one thread, whoever flushes does it alone.
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self { threads, pool: OnceLock::new() }
    }

    /// How many work at once.
    pub(super) fn count(&self) -> usize {
        self.threads.get()
    }

    /// The results of `send` for all `items`, in their order; none at all where it is
    /// better done by one.
    pub(super) fn map<I: Sync, T: Send>(
        &self,
        items: &[I],
        send: impl Fn(&I) -> T + Send + Sync,
    ) -> Vec<T> {
        if self.count() == 1 || items.len() < MANY {
            return Vec::new();
        }
        let Some(pool) = self.pool.get_or_init(|| self.start()) else { return Vec::new() };
        pool.install(|| items.par_iter().with_min_len(SHARE).map(send).collect())
    }

    fn start(&self) -> Option<ThreadPool> {
        let builder = ThreadPoolBuilder::new()
            .num_threads(self.count())
            .thread_name(|at| format!("ghost-sender-{at}"));
        let pool = builder.build();
        if let Err(error) = &pool {
            tracing::warn!(%error, "cannot start threads that send; one does it alone");
        }
        pool.ok()
    }
}

/// Connections to write to from which on it is worth to wake other threads: that takes as
/// long as a few writes.
const MANY: usize = 48;

/// Connections that one thread takes at a time.
const SHARE: usize = 16;
