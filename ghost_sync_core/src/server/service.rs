//! A server from its first setting to its end.
//!
//! ```text
//! Idle --run--> Running --shutdown--> Stopping --all closed, or deadline--> Stopped
//!   \--------------------shutdown---------------------------------------------^
//! ```

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, time::timeout};

use super::{bans_file::Changes, hooks::Hooks, shard::Shard};

/// What all handles of a server share.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) shard: Arc<Shard>,
    /// The handler and what waits for it, if there is a handler.
    hooks: OnceLock<Arc<Hooks>>,
    addr: OnceLock<SocketAddr>,
    phase: watch::Sender<Phase>,
    /// Changes of the bans.
    pub(super) bans: Changes,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Phase {
    Idle,
    Running,
    Stopping,
    Stopped,
}

impl Service {
    pub(super) fn new(shard: Arc<Shard>) -> Arc<Self> {
        let phase = watch::Sender::new(Phase::Idle);
        let (hooks, addr, bans) = Default::default();
        Arc::new(Self { shard, hooks, addr, phase, bans })
    }

    /// Runs from now on, in the current runtime; `false` if it was stopped before.
    pub(super) fn start(&self, addr: Option<SocketAddr>) -> bool {
        if let Some(addr) = addr {
            let _ = self.addr.set(addr);
        }
        self.shard.start(Handle::current());
        self.phase.send_if_modified(|phase| {
            let idle = *phase == Phase::Idle;
            if idle {
                *phase = Phase::Running;
            }
            idle
        })
    }

    /// Has a handler told what happens, and asked.
    pub(super) fn hook(&self, hooks: Arc<Hooks>) {
        self.shard.tell(hooks.clone());
        let _ = self.hooks.set(hooks);
    }

    pub(super) fn hooks(&self) -> Option<&Arc<Hooks>> {
        self.hooks.get()
    }

    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.addr.get().copied()
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the server runs, or will not.
    #[cfg(feature = "client")]
    pub(super) fn started(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Running)
    }

    /// Waits until the server is on its way down.
    pub(super) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Stopping)
    }

    /// Waits until the server has stopped.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Phase::Stopped)
    }

    fn reached(&self, goal: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.phase.subscribe();
        async move {
            let _ = phase.wait_for(|phase| *phase >= goal).await;
        }
    }

    /// Notes that nothing is left that could serve anybody.
    pub(super) fn end(&self) {
        self.phase.send_replace(Phase::Stopped);
    }

    /// Begins to stop, if that was not begun; [`stopped`](Self::stopped) waits
    /// for the end, which comes whether or not anybody waits.
    pub(super) fn stop(self: &Arc<Self>, message: &str, deadline: Duration) {
        let mut was = Phase::Stopped;
        self.phase.send_modify(|phase| {
            was = *phase;
            *phase = match was {
                Phase::Idle | Phase::Stopped => Phase::Stopped,
                Phase::Running | Phase::Stopping => Phase::Stopping,
            };
        });
        if was > Phase::Running {
            return;
        }
        self.shard.act(|relay, now, out| relay.shutdown(now, message, deadline, out));
        if let (Phase::Running, Some(runtime)) = (was, self.shard.runtime()) {
            runtime.spawn(self.clone().wind_down(deadline));
        }
    }

    async fn wind_down(self: Arc<Self>, deadline: Duration) {
        if timeout(deadline, self.shard.idle()).await.is_err() {
            tracing::warn!("connections are dropped: they did not close in time");
            self.shard.abort();
            let _ = timeout(self.shard.linger(), self.shard.idle()).await;
        }
        let patience = deadline.max(self.shard.linger());
        if let Some(hooks) = self.hooks()
            && let Some(untold) = hooks.shut_down(patience).await
        {
            tracing::warn!(untold, "the handler did not finish in time");
        }
        if timeout(patience, self.bans.saved()).await.is_err() {
            tracing::warn!("the last bans are not in their file");
        }
        self.end();
    }
}
