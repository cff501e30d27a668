//! Calls a handler's methods, on threads that may block or as futures.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout_at};

use crate::{
    relay::{Question, RelayEvent, Verdict},
    server::handler::{AsyncServerHandler, ConnectInfo, JoinInfo, ServerHandler},
};

use super::{facts::Facts, lane::Fact};

/// Questions that block a thread at the same time, at most.
const THREADS: usize = 128;

/// Threads beside these that may be stuck with questions whose time is up. All
/// together they leave some of Tokio's 512 for others.
const STUCK: usize = 256;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A way to call a handler. What panics is caught here.
pub(super) trait Run: Send + Sync {
    /// The handler's answer; a panic means no. What cannot even begin before the
    /// deadline is not asked.
    fn decide(self: Arc<Self>, question: Question, deadline: Instant) -> Boxed<Verdict>;
    /// Tells the handler these facts, one after another.
    fn tell(self: Arc<Self>, facts: Facts) -> Boxed<()>;
    /// Whether a decision goes on when its future is dropped.
    fn goes_on(&self) -> bool;
}

/// A handler whose methods may block.
pub(super) struct Blocking<H> {
    handler: Arc<H>,
    threads: Arc<Semaphore>,
    stuck: Arc<Semaphore>,
}

/// A handler whose methods are futures.
pub(super) struct Tasks<H>(H);

impl<H> Blocking<H> {
    pub(super) fn new(handler: H) -> Self {
        let [threads, stuck] = [THREADS, STUCK].map(|count| Arc::new(Semaphore::new(count)));
        Self { handler: Arc::new(handler), threads, stuck }
    }
}

impl<H> Tasks<H> {
    pub(super) fn new(handler: H) -> Self {
        Self(handler)
    }
}

impl<H: ServerHandler> Run for Blocking<H> {
    fn decide(self: Arc<Self>, question: Question, deadline: Instant) -> Boxed<Verdict> {
        Box::pin(async move {
            let place = timeout_at(deadline.into(), self.threads.clone().acquire_owned()).await;
            let Ok(Ok(mut place)) = place else {
                return Verdict::reject("the server's rules are busy");
            };
            let stuck = self.stuck.clone();
            let mut decision = spawn_blocking(move || decide(&*self.handler, &question));
            let decided = match timeout_at(deadline.into(), &mut decision).await {
                Ok(decided) => decided,
                Err(_) => {
                    // Others are decided about in its place, while there is another for it.
                    if let Ok(other) = stuck.try_acquire_owned() {
                        place = other;
                    }
                    decision.await
                }
            };
            drop(place);
            decided.unwrap_or_else(|_| failed())
        })
    }

    fn tell(self: Arc<Self>, mut facts: Facts) -> Boxed<()> {
        Box::pin(async move {
            let told = spawn_blocking(move || {
                while let Some(fact) = facts.next() {
                    let told = catch_unwind(AssertUnwindSafe(|| tell(&*self.handler, &fact)));
                    if let Err(panic) = told {
                        log_panic(&*panic);
                    }
                }
            });
            let _ = told.await;
        })
    }

    fn goes_on(&self) -> bool {
        true
    }
}

impl<H: AsyncServerHandler> Run for Tasks<H> {
    fn decide(self: Arc<Self>, question: Question, _: Instant) -> Boxed<Verdict> {
        Box::pin(async move {
            let decision = catch_panic(async { decide_later(&self.0, &question).await }).await;
            decision.unwrap_or_else(failed)
        })
    }

    fn tell(self: Arc<Self>, mut facts: Facts) -> Boxed<()> {
        Box::pin(async move {
            while let Some(fact) = facts.next() {
                let _ = catch_panic(async { tell_later(&self.0, &fact).await }).await;
            }
        })
    }

    fn goes_on(&self) -> bool {
        false
    }
}

fn decide<H: ServerHandler>(handler: &H, question: &Question) -> Verdict {
    match question {
        Question::Connect { client_id, addr, data, meta, user_agent, identity, .. } => {
            let (client_id, addr, identity) = (*client_id, *addr, identity.as_deref());
            handler.on_connect(&ConnectInfo { client_id, addr, data, meta, user_agent, identity })
        }
        Question::Join { client_id, addr, name, data, role, identity, .. } => {
            let (client_id, addr, role, room) = (*client_id, *addr, *role, name.as_str());
            let identity = identity.as_deref();
            let join = JoinInfo { client_id, room, addr, data, role, options: None, identity };
            handler.on_join(&join)
        }
        Question::CreateRoom { client_id, addr, name, data, role, options, identity, .. } => {
            let (client_id, addr, role, room) = (*client_id, *addr, *role, name.as_str());
            let identity = identity.as_deref();
            let options = options.as_deref();
            let join = JoinInfo { client_id, room, addr, data, role, options, identity };
            handler.on_create_room_request(&join)
        }
        Question::Relay { client_id, name, message_type, payload, .. } => {
            handler.on_relay(*client_id, name.as_str(), *message_type, payload)
        }
        Question::SetMetadata { client_id, key, value, .. } => {
            handler.on_set_metadata(*client_id, key, value.as_deref())
        }
        Question::Greet { client_id, name, .. } => {
            Verdict::greet(handler.on_greet(*client_id, name.as_str()))
        }
    }
}

async fn decide_later<H: AsyncServerHandler>(handler: &H, question: &Question) -> Verdict {
    match question {
        Question::Connect { client_id, addr, data, meta, user_agent, identity, .. } => {
            let (client_id, addr, identity) = (*client_id, *addr, identity.as_deref());
            handler
                .on_connect(&ConnectInfo { client_id, addr, data, meta, user_agent, identity })
                .await
        }
        Question::Join { client_id, addr, name, data, role, identity, .. } => {
            let (client_id, addr, role, room) = (*client_id, *addr, *role, name.as_str());
            let identity = identity.as_deref();
            let join = JoinInfo { client_id, room, addr, data, role, options: None, identity };
            handler.on_join(&join).await
        }
        Question::CreateRoom { client_id, addr, name, data, role, options, identity, .. } => {
            let (client_id, addr, role, room) = (*client_id, *addr, *role, name.as_str());
            let identity = identity.as_deref();
            let options = options.as_deref();
            let join = JoinInfo { client_id, room, addr, data, role, options, identity };
            handler.on_create_room_request(&join).await
        }
        Question::Relay { client_id, name, message_type, payload, .. } => {
            handler.on_relay(*client_id, name.as_str(), *message_type, payload).await
        }
        Question::SetMetadata { client_id, key, value, .. } => {
            handler.on_set_metadata(*client_id, key, value.as_deref()).await
        }
        Question::Greet { client_id, name, .. } => {
            Verdict::greet(handler.on_greet(*client_id, name.as_str()).await)
        }
    }
}

fn tell<H: ServerHandler>(handler: &H, fact: &Fact) {
    match fact {
        Fact::Shutdown => handler.on_shutdown(),
        Fact::Event(event) => match event {
            RelayEvent::ConnectionClosed { client_id, reason, .. } => {
                handler.on_disconnect(*client_id, reason);
            }
            RelayEvent::RoomCreated { name, .. } => handler.on_room_create(name.as_str()),
            RelayEvent::RoomFilled { name, .. } => handler.on_room_filled(name.as_str()),
            RelayEvent::RoomHasSpace { name, .. } => handler.on_room_has_space(name.as_str()),
            RelayEvent::RoomDeleted { name, .. } => handler.on_room_delete(name.as_str()),
            RelayEvent::PlayerLeft { name, client_id, reason, .. }
            | RelayEvent::JoinAbandoned { name, client_id, reason, .. } => {
                handler.on_leave(*client_id, name.as_str(), reason);
            }
            RelayEvent::PlayerAway { name, client_id, .. } => {
                handler.on_away(*client_id, name.as_str());
            }
            RelayEvent::PlayerBack { name, client_id, restarted, .. } => {
                handler.on_back(*client_id, name.as_str(), *restarted);
            }
            RelayEvent::Lagged { name, client_id, .. } => {
                handler.on_backpressure(*client_id, name.as_str());
            }
            RelayEvent::Broadcast { name, client_id, payload, .. } => {
                handler.on_broadcast(*client_id, name.as_str(), payload);
            }
            RelayEvent::Message { client_id, room, message_type, payload, .. } => {
                let room = room.as_ref().map(|(_, name, _)| name.as_str());
                handler.on_message(*client_id, room, *message_type, payload);
            }
            RelayEvent::ConnectionOpened { .. }
            | RelayEvent::TokenReplaced { .. }
            | RelayEvent::ConnectionLost { .. }
            | RelayEvent::ConnectionResumed { .. }
            | RelayEvent::HandshakeFailed { .. }
            | RelayEvent::RoomEmptied { .. }
            | RelayEvent::PlayerJoined { .. }
            | RelayEvent::RoomMetadataChanged { .. }
            | RelayEvent::ClientMetadataChanged { .. }
            | RelayEvent::Rtt { .. } => {}
        },
    }
}

async fn tell_later<H: AsyncServerHandler>(handler: &H, fact: &Fact) {
    match fact {
        Fact::Shutdown => handler.on_shutdown().await,
        Fact::Event(event) => match event {
            RelayEvent::ConnectionClosed { client_id, reason, .. } => {
                handler.on_disconnect(*client_id, reason).await;
            }
            RelayEvent::RoomCreated { name, .. } => handler.on_room_create(name.as_str()).await,
            RelayEvent::RoomFilled { name, .. } => handler.on_room_filled(name.as_str()).await,
            RelayEvent::RoomHasSpace { name, .. } => {
                handler.on_room_has_space(name.as_str()).await;
            }
            RelayEvent::RoomDeleted { name, .. } => handler.on_room_delete(name.as_str()).await,
            RelayEvent::PlayerLeft { name, client_id, reason, .. }
            | RelayEvent::JoinAbandoned { name, client_id, reason, .. } => {
                handler.on_leave(*client_id, name.as_str(), reason).await;
            }
            RelayEvent::PlayerAway { name, client_id, .. } => {
                handler.on_away(*client_id, name.as_str()).await;
            }
            RelayEvent::PlayerBack { name, client_id, restarted, .. } => {
                handler.on_back(*client_id, name.as_str(), *restarted).await;
            }
            RelayEvent::Lagged { name, client_id, .. } => {
                handler.on_backpressure(*client_id, name.as_str()).await;
            }
            RelayEvent::Broadcast { name, client_id, payload, .. } => {
                handler.on_broadcast(*client_id, name.as_str(), payload).await;
            }
            RelayEvent::Message { client_id, room, message_type, payload, .. } => {
                let room = room.as_ref().map(|(_, name, _)| name.as_str());
                handler.on_message(*client_id, room, *message_type, payload).await;
            }
            RelayEvent::ConnectionOpened { .. }
            | RelayEvent::TokenReplaced { .. }
            | RelayEvent::ConnectionLost { .. }
            | RelayEvent::ConnectionResumed { .. }
            | RelayEvent::HandshakeFailed { .. }
            | RelayEvent::RoomEmptied { .. }
            | RelayEvent::PlayerJoined { .. }
            | RelayEvent::RoomMetadataChanged { .. }
            | RelayEvent::ClientMetadataChanged { .. }
            | RelayEvent::Rtt { .. } => {}
        },
    }
}

/// Runs a future; `None` if it panics.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(panic) => {
            log_panic(&*panic);
            Poll::Ready(None)
        }
    })
    .await
}

fn failed() -> Verdict {
    tracing::error!("a handler panicked over a question: the answer is no");
    Verdict::reject("the server's rules failed")
}

fn log_panic(panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text, "a handler panicked");
}
