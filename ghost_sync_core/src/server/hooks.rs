//! Runs a handler: questions at the same time, facts one after another, and
//! nothing that it does or fails to do can harm the relay.

mod facts;
mod lane;
mod run;

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{timeout, timeout_at},
};

use crate::{
    relay::{AskId, Question, RelayEvent, Verdict},
    wire::LeaveReason,
};

use super::{
    extensions::Extensions,
    handler::{AsyncServerHandler, ServerHandler},
    shard::Shard,
    sink::Sink,
};
use facts::Facts;
use lane::{Fact, Lane};
use run::{Blocking, Run, Tasks};

/// A handler and what waits for it.
pub(super) struct Hooks {
    /// Where answers go. The shard holds this.
    shard: Weak<Shard>,
    extensions: Arc<Extensions>,
    /// Gone once the server has stopped: a handler may hold a handle, and so itself.
    run: Mutex<Option<Arc<dyn Run>>>,
    lane: Arc<Lane>,
    joins: watch::Sender<Joins>,
    wants_broadcasts: bool,
    wants_metadata: bool,
    /// Whether joins make rooms without the handler being asked.
    creates_freely: bool,
}

/// Decisions about joins that are being made.
#[derive(Debug, Default)]
struct Joins {
    count: usize,
    /// When the last of them is due.
    due: Option<Instant>,
}

/// Counts a decision about a join for as long as it lives.
struct Deciding(Arc<Hooks>);

impl Drop for Deciding {
    fn drop(&mut self) {
        self.0.joins.send_modify(|joins| joins.count -= 1);
    }
}

impl Hooks {
    /// For a handler whose methods may block. `creates_freely`: joins make rooms without it
    /// being asked.
    pub(super) fn blocking<H: ServerHandler>(
        handler: H,
        shard: &Arc<Shard>,
        creates_freely: bool,
    ) -> Arc<Self> {
        let wants = (handler.wants_broadcasts(), handler.wants_metadata());
        Self::new(Arc::new(Blocking::new(handler)), wants, shard, creates_freely)
    }

    /// For a handler whose methods are futures.
    pub(super) fn tasks<H: AsyncServerHandler>(
        handler: H,
        shard: &Arc<Shard>,
        creates_freely: bool,
    ) -> Arc<Self> {
        let wants = (handler.wants_broadcasts(), handler.wants_metadata());
        Self::new(Arc::new(Tasks::new(handler)), wants, shard, creates_freely)
    }

    fn new(
        run: Arc<dyn Run>,
        (wants_broadcasts, wants_metadata): (bool, bool),
        shard: &Arc<Shard>,
        creates_freely: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            shard: Arc::downgrade(shard),
            extensions: shard.extensions.clone(),
            run: Mutex::new(Some(run)),
            lane: Arc::default(),
            joins: watch::Sender::default(),
            wants_broadcasts,
            wants_metadata,
            creates_freely,
        })
    }

    /// Whether the handler decides about changes of metadata.
    pub(super) fn wants_metadata(&self) -> bool {
        self.wants_metadata
    }

    /// Whether rooms should be observed for the handler's sake.
    pub(super) fn wants_broadcasts(&self) -> bool {
        self.wants_broadcasts
    }

    /// Holds back what leads to more facts while the handler has many to hear; `false` if it
    /// still has when the time for an answer is over.
    async fn may_follow(&self, question: &Question, deadline: Instant) -> bool {
        match question {
            // It has its seats already.
            Question::Relay { .. } | Question::Greet { .. } | Question::SetMetadata { .. } => true,
            Question::Connect { .. } | Question::CreateRoom { .. } | Question::Join { .. } => {
                let short = timeout_at(deadline.into(), self.lane.short()).await.is_ok();
                if !short {
                    tracing::debug!("a handler is too slow to hear of more clients");
                }
                short
            }
        }
    }

    /// Tells the handler what happens, until it is told the end.
    pub(super) async fn tell(self: Arc<Self>) {
        let _untold = Untold(&self.lane);
        loop {
            self.lane.filled().await;
            let mut facts = Facts::new(self.lane.clone(), self.extensions.clone());
            match self.run() {
                Some(run) => run.tell(facts).await,
                None => while facts.next().is_some() {},
            }
            if self.lane.has_ended() {
                *self.run.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return self.lane.finish();
            }
        }
    }

    /// Tells the handler the end, after what it still decides has come to
    /// nothing, and waits until it has heard it; both for `patience` at most. What it has not
    /// heard by then it is not told any more, but for the end.
    /// Returns how many facts that are; `None` if it has heard everything.
    pub(super) async fn shut_down(&self, patience: Duration) -> Option<usize> {
        // A yes to a join wants its `on_leave`, and nothing may follow the end.
        let _ = timeout(patience, self.decided()).await;
        self.lane.push(Fact::Shutdown);
        if timeout(patience, self.lane.finished()).await.is_ok() {
            return None;
        }
        let mut facts = self.lane.take_all();
        let ended: Vec<_> = facts.iter().filter_map(Fact::ended).collect();
        self.extensions.drop_of(&ended);
        facts.pop_back_if(|last| matches!(last, Fact::Shutdown)).inspect(|_| {
            self.lane.push(Fact::Shutdown);
        });
        Some(facts.len())
    }

    fn deciding(self: &Arc<Self>, deadline: Instant) -> Deciding {
        self.joins.send_modify(|joins| {
            joins.count += 1;
            joins.due = joins.due.max(Some(deadline));
        });
        Deciding(self.clone())
    }

    /// Waits until no join is being decided, or should be any more.
    async fn decided(&self) {
        let mut joins = self.joins.subscribe();
        let due = joins.borrow().due;
        if let Some(due) = due {
            let _ = timeout_at(due.into(), joins.wait_for(|joins| joins.count == 0)).await;
        }
    }

    /// A room that the handler has made is observed if it hears broadcasts.
    fn with_ears(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::CreateRoom { mut config } => {
                config.observed |= self.wants_broadcasts;
                Verdict::CreateRoom { config }
            }
            Verdict::Accept
            | Verdict::AcceptAs { .. }
            | Verdict::Admit(_)
            | Verdict::Reject { .. } => verdict,
        }
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
        let mut decision = run.decide(question, deadline);
        let in_time = timeout_at(deadline.into(), &mut decision).await;
        let (verdict, reason) = match in_time {
            Ok(verdict) => (verdict, LeaveReason::Disconnected),
            // The relay has said no by itself. A thread cannot be stopped, and a
            // yes that comes late still wants its `on_leave`.
            Err(_) if goes_on => {
                tracing::warn!("a handler takes longer than ask_timeout");
                (decision.await, LeaveReason::TimedOut)
            }
            Err(_) => return tracing::warn!("a handler did not decide within ask_timeout"),
        };
        let accepted = !matches!(verdict, Verdict::Reject { .. });
        let asked = shard.answer(ask, self.with_ears(verdict));
        if let (true, false, Some(abandoned)) = (accepted, asked, accepted_join) {
            self.event(abandoned(reason));
        }
    }
}

impl Sink for Hooks {
    fn event(&self, event: RelayEvent) {
        let wanted = match &event {
            RelayEvent::Broadcast { .. } => self.wants_broadcasts,
            RelayEvent::ConnectionOpened { .. }
            | RelayEvent::TokenReplaced { .. }
            | RelayEvent::ConnectionLost { .. }
            | RelayEvent::ConnectionResumed { .. }
            | RelayEvent::HandshakeFailed { .. }
            | RelayEvent::RoomEmptied { .. }
            | RelayEvent::PlayerJoined { .. }
            | RelayEvent::RoomMetadataChanged { .. }
            | RelayEvent::ClientMetadataChanged { .. }
            | RelayEvent::Rtt { .. } => false,
            RelayEvent::ConnectionClosed { .. }
            | RelayEvent::RoomCreated { .. }
            | RelayEvent::RoomDeleted { .. }
            | RelayEvent::PlayerLeft { .. }
            | RelayEvent::PlayerAway { .. }
            | RelayEvent::PlayerBack { .. }
            | RelayEvent::JoinAbandoned { .. }
            | RelayEvent::Lagged { .. }
            | RelayEvent::Message { .. } => true,
        };
        if wanted {
            self.lane.push(Fact::Event(event));
        }
    }

    fn ask(self: Arc<Self>, ask: AskId, question: Question, deadline: Instant) {
        let Some(shard) = self.shard.upgrade() else { return };
        let Some(runtime) = shard.runtime().cloned() else { return };
        let join = matches!(question, Question::Join { .. });
        let deciding = join.then(|| self.deciding(deadline));
        runtime.spawn(async move {
            if !self.may_follow(&question, deadline).await {
                // The relay says no by itself.
            } else if self.creates_freely && matches!(question, Question::CreateRoom { .. }) {
                shard.answer(ask, Verdict::Accept);
            } else {
                self.decide(shard, ask, question, deadline).await;
            }
            drop(deciding);
        });
    }

    fn drops_extensions(&self) -> bool {
        true
    }
}

/// Sees to it that nothing is told any more when the task that tells is gone, with its runtime:
/// that waits for threads that block.
struct Untold<'a>(&'a Lane);

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        self.0.take_all();
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// What must be told if this is accepted in vain.
fn accepted_join(question: &Question) -> Option<impl FnOnce(LeaveReason) -> RelayEvent + use<>> {
    let Question::Join { conn, client_id, name, .. } = question else { return None };
    let (conn, client_id, name) = (*conn, *client_id, name.clone());
    Some(move |reason| RelayEvent::JoinAbandoned { name, conn, client_id, reason })
}
