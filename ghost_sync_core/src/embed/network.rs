//! Where the background work of a frame-polled program is done.

use std::{
    io,
    num::NonZeroUsize,
    sync::{Arc, mpsc},
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::watch,
    time::timeout,
};

/// How long goodbyes may take when the program ends.
const LINGER: Duration = Duration::from_secs(1);

/// More threads than these cost a game frames and gain it nothing.
const THREADS: usize = 2;

/// A Tokio runtime in the background. Clones share it; with the last clone, and
/// the last bridge that uses it, it ends.
#[derive(Clone, Debug)]
pub struct Network {
    handle: Handle,
    /// Bridges whose tasks still run.
    busy: watch::Sender<usize>,
    _owned: Option<Arc<Owned>>,
}

/// A runtime that ends in the background.
#[derive(Debug)]
struct Owned {
    runtime: Option<Runtime>,
    busy: watch::Receiver<usize>,
}

/// Counts a bridge's task.
#[derive(Debug)]
struct Busy(watch::Sender<usize>);

impl Network {
    /// A runtime of its own, with one or two threads.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn new() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.min(THREADS))
            .thread_name("ghost-sync")
            .enable_all()
            .build()?;
        let (busy, watched) = watch::channel(0);
        let handle = runtime.handle().clone();
        let owned = Owned { runtime: Some(runtime), busy: watched };
        Ok(Self { handle, busy, _owned: Some(Arc::new(owned)) })
    }

    /// A runtime that somebody else owns and drives. No thread is started, and
    /// nothing blocks one, so a test may drive it step by step with its clock
    /// paused.
    pub fn from_handle(handle: Handle) -> Self {
        Self { handle, busy: watch::Sender::new(0), _owned: None }
    }

    /// The runtime, for tasks of the program's own.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a task in the background, until the network ends at the latest.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// Runs a bridge's task, which the network waits for when it ends.
    pub(super) fn spawn_bridge(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.busy.send_modify(|busy| *busy += 1);
        let busy = Busy(self.busy.clone());
        self.handle.spawn(async move {
            task.await;
            drop(busy);
        });
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|busy| *busy -= 1);
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let mut busy = self.busy.clone();
        let (done, wait) = mpsc::channel::<()>();
        // Not on this thread: it may belong to another runtime, which forbids waiting.
        let end = move || {
            let _ = runtime.block_on(async {
                timeout(LINGER, busy.wait_for(|busy| *busy == 0)).await.map(|_| ())
            });
            runtime.shutdown_background();
            drop(done);
        };
        if std::thread::Builder::new().name("ghost-sync-end".to_owned()).spawn(end).is_ok() {
            let _ = wait.recv_timeout(LINGER);
        }
    }
}
