//! How a server is set up.

use std::{
    num::NonZeroUsize, path::PathBuf, sync::Arc, thread::available_parallelism, time::Duration,
};

use crate::{
    relay::{CreateOnJoin, GateConfig, Limits, OverflowPolicy, RelayConfig, RoomConfig},
    wire::Protocol,
};

use super::{
    auth::Auth,
    handle::ServerHandle,
    handler::{AsyncServerHandler, ServerHandler},
    hooks::Hooks,
    service::Service,
    shard::Shard,
    sink::Sink,
    start::{Listen, Server, Settings},
};

/// Settings of a server; [`Server::builder`] makes one, [`build`](Self::build) uses it.
///
/// Settings with which nobody could be served (no clients, no time, pings rarer than the
/// silence that disconnects) are refused by [`Server::run`]: [`BindError::Setting`](super::BindError::Setting) names the
/// setting and what it may be.
pub struct ServerBuilder {
    relay: RelayConfig,
    auth: Auth,
    senders: NonZeroUsize,
    settings: Settings,
    sink: NewSink,
}

/// Who is to hear what happens.
enum NewSink {
    Nobody,
    Handler(NewHooks),
    Given(Arc<dyn Sink>),
}

/// Makes the handler, with the server that it is for; whether joins make rooms without it.
type NewHooks = Box<dyn FnOnce(&Arc<Service>, bool) -> Arc<Hooks> + Send>;

impl Server {
    /// Settings to run a server with.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            relay: RelayConfig::default(),
            auth: Auth::anonymous(),
            senders: available_parallelism().map_or(NonZeroUsize::MIN, |cores| cores.min(SENDERS)),
            settings: Settings {
                listen: Listen::Tcp("0.0.0.0:7777".to_owned()),
                rooms: Vec::new(),
                bans: None,
                fault: None,
            },
            sink: NewSink::Nobody,
        }
    }
}

impl ServerBuilder {
    /// All settings of the relay at once, in place of those that were given before. What is said
    /// of the [host](RelayConfig::host) there counts for nothing: the server knows that itself.
    #[must_use]
    pub fn relay(mut self, config: RelayConfig) -> Self {
        let protocol = self.relay.host.protocol.take();
        self.relay = config;
        self.relay.host.protocol = protocol;
        self
    }

    /// Where to listen, as `host:port`; `0.0.0.0:7777` by default. Port 0 takes a
    /// free one, which [`ServerHandle::local_addr`] then says. `[::]:7777` takes IPv6 and IPv4.
    #[must_use]
    pub fn bind(mut self, addr: impl Into<String>) -> Self {
        self.settings.listen = Listen::Tcp(addr.into());
        self
    }

    /// Listens nowhere: only [`ServerHandle::connect_local`] gives connections.
    #[must_use]
    pub fn local_only(mut self) -> Self {
        self.settings.listen = Listen::Nowhere;
        self
    }

    /// Clients at once, those that are away included; 1,024 by default. Connections in their
    /// handshake are counted beside them ([`RelayConfig::max_clients`]).
    #[must_use]
    pub fn max_clients(mut self, clients: usize) -> Self {
        self.relay.max_clients = clients;
        self
    }

    /// Bytes of one message's payload; 64 KiB by default.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.relay.max_payload = bytes;
        self
    }

    /// Time without a sign of life after which a client is disconnected; 31 s by default.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.relay.idle_timeout = timeout;
        self
    }

    /// Time between pings, two of which may go unanswered; 13 s by default.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.relay.ping_interval = interval;
        self
    }

    /// Messages that may wait for one client before some are dropped; 1024 by
    /// default. [`outbox_limit`](Self::outbox_limit) is the same in bytes.
    #[must_use]
    pub fn channel_capacity(mut self, messages: usize) -> Self {
        self.relay.channel_capacity = messages;
        self
    }

    /// Bytes that may wait for one client; 1 MiB by default. `Volatile` and
    /// superseded `Latest` messages are dropped at half of it; a client that
    /// fills all of it with others is disconnected.
    #[must_use]
    pub fn outbox_limit(mut self, bytes: usize) -> Self {
        self.relay.outbox_limit = bytes;
        self
    }

    /// What is dropped when a client is behind; the oldest by default.
    #[must_use]
    pub fn overflow(mut self, policy: OverflowPolicy) -> Self {
        self.relay.overflow = policy;
        self
    }

    /// Rooms at once; 4096 by default.
    #[must_use]
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.relay.max_rooms = rooms;
        self
    }

    /// Rooms that one client may be in, up to 2,862; 1 by default, where joining another room
    /// leaves the first.
    #[must_use]
    pub fn rooms_per_client(mut self, rooms: usize) -> Self {
        self.relay.rooms_per_client = rooms;
        self
    }

    /// How much clients may ask for in how much time; [`Limits::none`] for known clients.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.relay.limits = limits;
        self
    }

    /// How many connections may come from one address; [`GateConfig::none`] for any number.
    #[must_use]
    pub fn gate(mut self, gate: GateConfig) -> Self {
        self.relay.gate = gate;
        self
    }

    /// Whether clients say who they are, and how that is found out; by default they do not.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Keeps bans in this file, one JSON object a line, so that they hold when the server is
    /// started again:
    ///
    /// ```json
    /// {"user":"mallory","until":1796083200,"message":"cheating"}
    /// {"address":"192.0.2.0/24","message":"a rented botnet"}
    /// ```
    ///
    /// `until` is in seconds since 1970; without it a ban lasts for ever. The file is read when the
    /// server starts, and replaced as a whole after each change. A server whose file cannot be
    /// read does not start ([`BindError::Bans`](super::BindError::Bans)).
    #[must_use]
    pub fn bans(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.bans = Some(path.into());
        self
    }

    /// What a join to a room that is not there does; it is refused by default.
    #[must_use]
    pub fn create_on_join(mut self, create: CreateOnJoin) -> Self {
        self.relay.create_on_join = create;
        self
    }

    /// Settings of rooms that joins make.
    #[must_use]
    pub fn room_defaults(mut self, config: RoomConfig) -> Self {
        self.relay.room_defaults = config;
        self
    }

    /// Time that a handler has for an answer; later means no. 2 s by default.
    #[must_use]
    pub fn ask_timeout(mut self, timeout: Duration) -> Self {
        self.relay.ask_timeout = timeout;
        self
    }

    /// Time that a new connection has to say who it is; 5 s by default.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.relay.handshake_timeout = timeout;
        self
    }

    /// Time in which a client whose socket is full must take something; 10 s by default.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.relay.write_timeout = timeout;
        self
    }

    /// Time that a client which lost its connection keeps its seats, to come back
    /// and miss nothing; 30 s by default. Zero: it leaves at once.
    #[must_use]
    pub fn resume_grace(mut self, grace: Duration) -> Self {
        self.relay.resume_grace = grace;
        self
    }

    /// Bytes of history that all rooms together keep for those who come back;
    /// 64 MiB by default. [`RoomConfig::history`] says what one room keeps.
    #[must_use]
    pub fn history_limit(mut self, bytes: usize) -> Self {
        self.relay.history_limit = bytes;
        self
    }

    /// When clients that are put out by a shutdown, or find the server full, are
    /// asked to come back at the earliest; after 1 s by default.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.relay.retry_after = after;
        self
    }

    /// Threads that write to sockets at once when many wait, for one large room as for many
    /// small ones; as many as there are cores, up to 4, by default; 64 at most. With 1,
    /// the runtime's own threads do it alone.
    #[must_use]
    pub fn senders(mut self, threads: NonZeroUsize) -> Self {
        self.senders = threads.min(MAX_SENDERS);
        self
    }

    /// Makes this room at the start.
    #[must_use]
    pub fn room(self, name: impl Into<String>) -> Self {
        self.room_with(name, RoomConfig::default())
    }

    /// Makes this room at the start, with settings of its own.
    #[must_use]
    pub fn room_with(mut self, name: impl Into<String>, config: RoomConfig) -> Self {
        self.settings.rooms.push((name.into(), config));
        self
    }

    /// Keys of metadata that clients may set, when they connect and later; all by default.
    /// A client that brings another is refused, and one that sets another later is told
    /// [`Forbidden`](crate::wire::Refusal::Forbidden). What the server sets is not limited
    /// by this, and is never changed by a client.
    #[must_use]
    pub fn client_metadata_keys<K: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Self {
        self.relay.client_metadata_keys = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// The typed messages that this program knows. A client that was told of others, or of
    /// none, is refused and learns which types differ; so is every client with types where
    /// the set is empty. A server that is told nothing here fits every client, and a client
    /// that was told nothing every server.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.relay.host.protocol = Some(protocol);
        self
    }

    /// Rules and ears that may block.
    #[must_use]
    pub fn handler(self, handler: impl ServerHandler) -> Self {
        self.handler_with(|_| handler)
    }

    /// Rules and ears that may block, made with the server's handle.
    #[must_use]
    pub fn handler_with<H: ServerHandler>(
        mut self,
        make: impl FnOnce(ServerHandle) -> H + Send + 'static,
    ) -> Self {
        self.sink = NewSink::Handler(Box::new(|service, creates_freely| {
            let handler = make(ServerHandle::new(service.clone()));
            Hooks::blocking(handler, &service.shard, creates_freely)
        }));
        self
    }

    /// Rules and ears that are futures.
    #[must_use]
    pub fn async_handler(self, handler: impl AsyncServerHandler) -> Self {
        self.async_handler_with(|_| handler)
    }

    /// Rules and ears that are futures, made with the server's handle.
    #[must_use]
    pub fn async_handler_with<H: AsyncServerHandler>(
        mut self,
        make: impl FnOnce(ServerHandle) -> H + Send + 'static,
    ) -> Self {
        self.sink = NewSink::Handler(Box::new(|service, creates_freely| {
            let handler = make(ServerHandle::new(service.clone()));
            Hooks::tasks(handler, &service.shard, creates_freely)
        }));
        self
    }

    /// Everything goes to `sink`.
    pub(crate) fn bridge(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = NewSink::Given(sink);
        self
    }

    /// A server with these settings, which does not run yet.
    pub fn build(self) -> Server {
        let Self { mut relay, auth, senders, mut settings, sink } = self;
        settings.fault = relay.check().err();
        relay.host.seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let asked = !matches!(sink, NewSink::Nobody);
        let is_handler = matches!(sink, NewSink::Handler(_));
        relay.host.ask_connect = asked;
        relay.host.ask_join = asked;
        relay.host.ask_metadata = matches!(sink, NewSink::Given(_));
        // A handler is made with the handle and asked afterwards; rooms that joins
        // make are observed for its sake, whether or not it then listens.
        relay.room_defaults.observed |= is_handler;
        // A handler is told of each room: it is made when the handler has time to hear of it.
        let creates_freely = is_handler && relay.create_on_join == CreateOnJoin::Always;
        if creates_freely {
            relay.create_on_join = CreateOnJoin::Ask;
        }
        let service = Service::new(Shard::new(relay, auth, senders));
        match sink {
            NewSink::Nobody => {}
            NewSink::Handler(make) => {
                let hooks = make(&service, creates_freely);
                let asked = hooks.wants_metadata();
                service.shard.act(|relay, _, _| relay.set_ask_metadata(asked));
                service.hook(hooks);
            }
            NewSink::Given(sink) => service.shard.tell(sink),
        }
        Server { service, settings }
    }
}

/// Threads that send at most, and by default at most.
const MAX_SENDERS: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");
const SENDERS: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("relay", &self.relay)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
