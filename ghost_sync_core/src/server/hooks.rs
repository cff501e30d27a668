//! Runs a handler: questions at the same time, facts one after another, and
//! nothing that it does or fails to do can harm the relay.

mod lane;
mod run;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::time::timeout_at;

use crate::{
    relay::{AskId, Question, RelayEvent, Verdict},
    wire::LeaveReason,
};

use super::{AsyncServerHandler, ServerHandler, shard::Shard};
pub(super) use lane::Fact;
use lane::Lane;
use run::{Blocking, Run, Tasks};

/// A handler and what waits for it.
pub(super) struct Dispatch {
    /// Gone once the server has stopped: a handler may hold a handle, and so itself.
    run: Mutex<Option<Arc<dyn Run>>>,
    lane: Lane,
    wants_broadcasts: bool,
}

impl Dispatch {
    /// For a handler whose methods may block.
    pub(super) fn blocking<H: ServerHandler>(handler: H) -> Arc<Self> {
        let wants_broadcasts = handler.wants_broadcasts();
        Self::new(Arc::new(Blocking::new(handler)), wants_broadcasts)
    }

    /// For a handler whose methods are futures.
    pub(super) fn tasks<H: AsyncServerHandler>(handler: H) -> Arc<Self> {
        let wants_broadcasts = handler.wants_broadcasts();
        Self::new(Arc::new(Tasks::new(handler)), wants_broadcasts)
    }

    fn new(run: Arc<dyn Run>, wants_broadcasts: bool) -> Arc<Self> {
        Arc::new(Self { run: Mutex::new(Some(run)), lane: Lane::default(), wants_broadcasts })
    }

    /// Whether rooms should be observed for the handler's sake.
    pub(super) fn wants_broadcasts(&self) -> bool {
        self.wants_broadcasts
    }

    /// Puts a fact aside for the handler.
    pub(super) fn event(&self, event: RelayEvent) {
        let wanted = match &event {
            RelayEvent::Broadcast { .. } => self.wants_broadcasts,
            RelayEvent::ConnectionOpened { .. }
            | RelayEvent::HandshakeFailed { .. }
            | RelayEvent::RoomEmptied { .. }
            | RelayEvent::PlayerJoined { .. }
            | RelayEvent::RoomMetaChanged { .. }
            | RelayEvent::ClientMetaChanged { .. }
            | RelayEvent::Rtt { .. } => false,
            RelayEvent::ConnectionClosed { .. }
            | RelayEvent::RoomCreated { .. }
            | RelayEvent::RoomDeleted { .. }
            | RelayEvent::PlayerLeft { .. }
            | RelayEvent::JoinAbandoned { .. }
            | RelayEvent::Lagged { .. }
            | RelayEvent::Message { .. } => true,
        };
        if wanted {
            self.lane.push(Fact::Event(event));
        }
    }

    /// Has a question answered.
    pub(super) fn ask(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        ask: AskId,
        question: Question,
        deadline: Instant,
    ) {
        if let Some(runtime) = shard.runtime() {
            runtime.spawn(self.clone().decide(shard.clone(), ask, question, deadline));
        }
    }

    /// Tells the handler what happens, until it is told the end.
    pub(super) async fn tell(self: Arc<Self>, shard: Arc<Shard>) {
        loop {
            let facts = self.lane.take().await;
            let last = facts.iter().any(|fact| matches!(fact, Fact::Shutdown));
            let ended: Vec<_> = facts.iter().filter_map(Fact::ended).collect();
            if let Some(run) = self.run() {
                run.tell(facts).await;
            }
            shard.host.values.bury_those(&ended);
            if last {
                *self.run.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return self.lane.finish();
            }
        }
    }

    /// Tells the handler the end, and waits until it has heard it.
    pub(super) async fn shut_down(&self) {
        self.lane.push(Fact::Shutdown);
        self.lane.finished().await;
    }

    fn run(&self) -> Option<Arc<dyn Run>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn decide(
        self: Arc<Self>,
        shard: Arc<Shard>,
        ask: AskId,
        question: Question,
        deadline: Instant,
    ) {
        let accepted_join = accepted_join(&question);
        let Some(run) = self.run() else { return };
        let goes_on = run.goes_on();
        let mut decision = run.decide(question);
        let in_time = timeout_at(deadline.into(), &mut decision).await;
        let (verdict, reason) = match in_time {
            Ok(verdict) => (verdict, LeaveReason::Disconnected),
            // The relay has said no by itself. A thread cannot be stopped, and a
            // yes that comes late still wants its `on_leave`.
            Err(_) if accepted_join.is_some() && goes_on => {
                tracing::warn!("a handler takes longer than ask_timeout for a join");
                (decision.await, LeaveReason::TimedOut)
            }
            Err(_) => return tracing::warn!("a handler did not decide within ask_timeout"),
        };
        let accepted = verdict == Verdict::Accept;
        let asked = shard.answer(ask, verdict);
        if let (true, false, Some(abandoned)) = (accepted, asked, accepted_join) {
            self.event(abandoned(reason));
        }
    }
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatch").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// What must be told if this is accepted in vain.
fn accepted_join(question: &Question) -> Option<impl FnOnce(LeaveReason) -> RelayEvent + use<>> {
    let Question::Join { conn, client_id, name, .. } = question else { return None };
    let (conn, client_id, name) = (*conn, *client_id, name.clone());
    Some(move |reason| RelayEvent::JoinAbandoned { name, conn, client_id, reason })
}
