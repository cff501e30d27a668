//! The only place that touches the core's bridge: what goes to the network
//! thread, and what comes from it.

mod outbox;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bevy::{platform::collections::HashMap, prelude::*};
use bevy_ghost_client::{
    Delivery, Ended, GhostNetwork, HostFence, LocalConnector, MessageType, Metadata, SendFlags,
    Traffic,
    typed::{MessageRegistry, ServerPayload, ServerReceiver, Side, Stamp},
};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
pub use ghost_sync_core::ServerHandle;
pub(crate) use ghost_sync_core::embed::{MetaOwner, ServerUpdate};
pub(crate) use ghost_sync_core::relay::{AskId, ConnId, Question, RelayEvent};
pub use ghost_sync_core::relay::{
    CreateOnJoin, DisconnectReason, GateConfig, IpPrefix, Limits, OverflowPolicy, Rate,
};
use ghost_sync_core::{
    Server, ServerBuilder,
    embed::{Audience, ServerBridge, ServerCommand},
    relay::SendError,
    wire::RoomName,
};
pub(crate) use outbox::Outbox;

use crate::{
    Connection, ConnectionStats, GhostServer, Room, RoomConfig, RoomStats, Rooms, ServerConfig,
    ServerState, StartServer, StopServer,
    asks::{self, Waiting},
    events::{
        Missed, ServerFailed, ServerStarted, ServerStopped, StartError, Unsent, UnsentReason,
        publish,
    },
    hearing::Hearing,
    hooks::Reply,
    index::Index,
    lifecycle, sync,
};

/// The way to and from the network thread.
#[derive(Resource)]
pub(crate) struct Link {
    bridge: Option<ServerBridge>,
    /// When it was asked to stop.
    stopping: Option<Stamp>,
    /// Whether another is to start after it.
    start_again: bool,
    /// Bytes of one payload at most.
    max_payload: usize,
    // Empty between frames, but for their memory.
    updates: Vec<ServerUpdate>,
    hearing: Hearing,
    parcels: Vec<ServerPayload>,
    /// What tickets say.
    pub(crate) replies: (Sender<Reply>, Receiver<Reply>),
    /// Questions that wait for tickets.
    pub(crate) waiting: HashMap<AskId, Waiting>,
    /// Rooms that clients may open, the last at the end.
    promised: VecDeque<Promise>,
    /// The way to whichever server this app runs.
    home: Option<LocalConnector>,
}

/// A room that a client may open, as the rules want it to be.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) name: RoomName,
    pub(crate) config: RoomConfig,
    pub(crate) metadata: Metadata,
    pub(crate) since: Instant,
}

/// For so long: the room is there at once, or was not to be had.
const PROMISED: Duration = Duration::from_secs(5);

/// Rooms promised at once; those before them were not made, for whatever reason.
const PROMISES: usize = 1024;

impl Default for Link {
    fn default() -> Self {
        Self {
            bridge: None,
            stopping: None,
            start_again: false,
            max_payload: usize::MAX,
            updates: Vec::new(),
            hearing: Hearing::default(),
            parcels: Vec::new(),
            replies: crossbeam_channel::unbounded(),
            waiting: HashMap::default(),
            promised: VecDeque::new(),
            home: None,
        }
    }
}

impl Link {
    /// Whether something may be said at all.
    fn check(&self, stamp: &Stamp, payload: &Bytes) -> Result<(), UnsentReason> {
        let stopped = self.stopping.as_ref().is_some_and(|stopping| stamp > stopping);
        if self.bridge.is_none() || stopped {
            return Err(UnsentReason::NotRunning);
        }
        let (len, max) = (payload.len(), self.max_payload);
        if len > max { Err(UnsentReason::TooLarge { len, max }) } else { Ok(()) }
    }

    /// Notes how a room is to be that a client may open; `false`: another client may do that
    /// already, and its wishes count.
    pub(crate) fn promise(&mut self, promise: Promise) -> bool {
        self.promised.retain(|other| other.since.elapsed() < PROMISED);
        if self.promised.iter().any(|other| other.name == promise.name) {
            return false;
        }
        self.promised.push_back(promise);
        if self.promised.len() > PROMISES {
            self.promised.pop_front();
        }
        true
    }

    /// Whether rooms may be asked for: not of a server that is about to stop.
    pub(crate) fn takes_rooms(&self) -> bool {
        self.bridge.is_some() && self.stopping.is_none()
    }

    /// How a room is to be that a client has opened.
    pub(crate) fn take_promise(&mut self, name: &RoomName) -> Option<Promise> {
        let at = self.promised.iter().position(|promise| promise.name == *name)?;
        self.promised.remove(at)
    }

    /// Says when there is something to receive; `None` while no server is there.
    pub(crate) fn wake(&self) -> Option<Receiver<()>> {
        self.bridge.as_ref().map(ServerBridge::wake)
    }
}

/// Takes what the network thread has for us into the world.
///
/// Verdicts leave at once, the rest at the end of the frame.
pub(crate) fn receive(world: &mut World) {
    let mut link = world.resource_mut::<Link>();
    let mut updates = std::mem::take(&mut link.updates);
    if let Some(bridge) = &mut link.bridge {
        bridge.poll(&mut updates);
    }
    let mut hearing = std::mem::take(&mut link.hearing);
    let mut rest = updates.drain(..);
    loop {
        hearing.hear(world, &mut rest);
        let Some(update) = rest.next() else { break };
        match update {
            ServerUpdate::Started { addr } => {
                match addr {
                    Some(addr) => info!("the server listens on {addr}"),
                    None => info!("the server runs, for clients of this process"),
                }
                world.resource_mut::<GhostServer>().addr = addr;
                set_state(world, ServerState::Running);
                publish(world, ServerStarted { addr });
            }
            ServerUpdate::Failed(error) => {
                let again = world.resource::<Link>().start_again;
                stopped(world);
                publish(world, ServerFailed { reason: error.into() });
                if again {
                    start(world);
                }
            }
            ServerUpdate::Event(event) => sync::apply(world, event),
            ServerUpdate::Ask { ask, question, .. } => asks::ask(world, ask, question),
            ServerUpdate::RoomRefused { name, error } => {
                sync::room_refused(world, name, error);
            }
            ServerUpdate::Unsent { to, message_type, payload, error } => {
                unsent(world, to, message_type, payload, error);
            }
            ServerUpdate::MetaRefused { of, key, value, error } => {
                sync::metadata_refused(world, of, key, value, error);
            }
            ServerUpdate::Missed { conn, client_id, messages } => {
                world.resource_mut::<GhostServer>().missed += messages;
                if let Some(connection) = sync::find_connection(world, conn) {
                    publish(world, Missed { connection, client_id, messages });
                }
            }
            ServerUpdate::Stopped => {
                info!("the server has stopped");
                let again = world.resource::<Link>().start_again;
                stopped(world);
                publish(world, ServerStopped);
                if again {
                    start(world);
                }
            }
            other => debug!("an update that this version does not know: {other:?}"),
        }
    }
    drop(rest);
    let mut link = world.resource_mut::<Link>();
    link.updates = updates;
    link.hearing = hearing;
    asks::take_replies(world);
    let answers = std::mem::take(&mut world.resource_mut::<Outbox>().answers);
    flush(world, answers);
}

/// Hands what the systems have written, opened and ended to the network thread, in the order
/// in which they did.
pub(crate) fn send(world: &mut World) {
    let mut parcels = std::mem::take(&mut world.resource_mut::<Link>().parcels);
    MessageRegistry::take_server(world, &mut parcels);
    let mut commands = std::mem::take(&mut world.resource_mut::<Outbox>().commands);
    if !parcels.is_empty() {
        speak(world, &mut parcels, &mut commands);
        // What is said in a room that was opened later in the frame comes after that.
        commands.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    world.resource_mut::<Link>().parcels = parcels;
    asks::take_replies(world);
    let answers = std::mem::take(&mut world.resource_mut::<Outbox>().answers);
    flush(world, commands.into_iter().map(|(_, command)| command).chain(answers));
}

/// Makes commands of parcels, counts them, and tells which are for nobody.
fn speak(
    world: &mut World,
    parcels: &mut Vec<ServerPayload>,
    commands: &mut Vec<(Stamp, ServerCommand)>,
) {
    let (mut sent, mut unsent) = (Traffic::default(), Vec::new());
    let mut rooms: Vec<(Entity, Traffic)> = Vec::new();
    world.resource_scope(|world, mut registry: Mut<MessageRegistry>| {
        let (index, link) = (world.resource::<Index>(), world.resource::<Link>());
        for parcel in parcels.drain(..) {
            let ServerPayload { stamp, to, message_type, bytes } = parcel;
            let payload = bytes.as_ref().ok().cloned();
            let command = bytes.map_err(|_| UnsentReason::Unencodable).and_then(|payload| {
                if !registry.may_say(message_type, Side::Server) {
                    return Err(UnsentReason::SaidByClients);
                }
                link.check(&stamp, &payload)?;
                command(index, &stamp, &to, message_type, payload).ok_or(UnsentReason::Gone)
            });
            match (command, payload) {
                (Ok((when, command)), Some(payload)) => {
                    commands.push((when.unwrap_or(stamp), command));
                    sent.count(&payload);
                    if let ServerReceiver::Room { room, .. } = to {
                        if rooms.last().is_none_or(|&(last, _)| last != room) {
                            rooms.push((room, Traffic::default()));
                        }
                        if let Some((_, sent)) = rooms.last_mut() {
                            sent.count(&payload);
                        }
                    }
                }
                (Ok(_), None) => {}
                (Err(reason), payload) => {
                    let payload = payload.unwrap_or_default();
                    unsent.push(Unsent { to, message_type, payload, reason });
                }
            }
        }
    });
    for (room, sent) in rooms {
        if let Some(mut stats) = world.get_mut::<RoomStats>(room) {
            stats.sent += sent;
        }
    }
    let mut server = world.resource_mut::<GhostServer>();
    server.sent += sent;
    server.undelivered += unsent.len() as u64;
    for unsent in unsent {
        publish(world, unsent);
    }
}

/// What to ask for, so that it is said; when, if not at the moment in which it was said.
/// `None` when nobody is there to hear it.
fn command(
    index: &Index,
    stamp: &Stamp,
    to: &ServerReceiver,
    message_type: MessageType,
    payload: Bytes,
) -> Option<(Option<Stamp>, ServerCommand)> {
    let in_time = |end: &Option<Stamp>| end.as_ref().is_none_or(|end| stamp < end);
    let (conn, room, delivery) = match to {
        ServerReceiver::Room { room, delivery, flags, except } => {
            let record = index.room_records.get(room).filter(|room| in_time(&room.closing))?;
            let when = (*stamp < record.wanted).then(|| record.wanted.same());
            let (room, delivery) = (record.name.clone(), *delivery);
            let seat = |player| index.seat_records.get(player);
            let here = except.iter().filter_map(seat).filter(|seat| seat.name == record.name);
            let except = here.map(|seat| seat.conn).collect();
            let command = match delivery {
                Delivery::Latest(key) if flags.contains(SendFlags::FORGET) => {
                    ServerCommand::BroadcastLast { room, key, except, message_type, payload }
                }
                Delivery::Latest(_) | Delivery::Reliable | Delivery::Volatile => {
                    ServerCommand::Broadcast { room, delivery, except, message_type, payload }
                }
            };
            return Some((when, command));
        }
        ServerReceiver::Everyone => {
            return Some((None, ServerCommand::BroadcastAll { message_type, payload }));
        }
        ServerReceiver::Player { player, delivery } => {
            let seat = index.seat_records.get(player).filter(|seat| in_time(&seat.ended))?;
            (seat.conn, Some(seat.name.clone()), *delivery)
        }
        ServerReceiver::Connection { connection, delivery } => {
            let record = index.connection_records.get(connection)?;
            (in_time(&record.closing).then_some(record.conn)?, None, *delivery)
        }
    };
    let conns = vec![conn];
    Some((None, ServerCommand::Direct { conns, room, delivery, message_type, payload }))
}

/// The relay could not say something.
fn unsent(
    world: &mut World,
    to: Audience,
    message_type: MessageType,
    payload: Bytes,
    error: SendError,
) {
    let (index, delivery) = (world.resource::<Index>(), Delivery::Reliable);
    let to = match to {
        Audience::Room(name) => world.resource::<Rooms>().get(name.as_str()).map(|room| {
            let (flags, except) = (SendFlags::NONE, Vec::new());
            ServerReceiver::Room { room, delivery, flags, except }
        }),
        Audience::Clients { conns, .. } => {
            let connection = conns.first().and_then(|conn| index.connections.get(conn)).copied();
            connection.map(|connection| ServerReceiver::Connection { connection, delivery })
        }
        Audience::Everybody => Some(ServerReceiver::Everyone),
    };
    world.resource_mut::<GhostServer>().undelivered += 1;
    let Some(to) = to else { return debug!("not sent, to somebody who is gone: {error}") };
    let reason = match error {
        SendError::RoomNotFound(_) | SendError::ClientNotFound(_) => UnsentReason::Gone,
        SendError::PayloadTooLarge { len, max } => UnsentReason::TooLarge { len, max },
        SendError::SaidByClients { .. } => UnsentReason::SaidByClients,
        SendError::TooManyLeftOut { max } => UnsentReason::TooManyLeftOut { max },
        other => return warn!("not sent: {other}"),
    };
    publish(world, Unsent { to, message_type, payload, reason });
}

fn flush(world: &mut World, commands: impl IntoIterator<Item = ServerCommand>) {
    if let Some(bridge) = &mut world.resource_mut::<Link>().bridge {
        for command in commands {
            bridge.send(command);
        }
        bridge.flush();
        let fence = bridge.fence();
        world.insert_resource(HostFence(fence));
    }
}

/// Looks how much waits for each client.
pub(crate) fn measure_queues(
    link: Res<Link>,
    mut connections: Query<(&Connection, &mut ConnectionStats)>,
) {
    let Some(server) = link.bridge.as_ref().map(ServerBridge::handle) else { return };
    for (connection, mut stats) in &mut connections {
        let queue = server.queue_len(connection.client_id).unwrap_or_default();
        let measured = ConnectionStats {
            queued: Traffic { messages: queue.frames as u64, bytes: queue.bytes as u64 },
            ..*stats
        };
        stats.set_if_neq(measured);
    }
}

pub(crate) fn on_start(_: On<StartServer>, mut commands: Commands) {
    commands.queue(start);
}

pub(crate) fn on_stop(stop: On<StopServer>, mut commands: Commands) {
    let StopServer { message, deadline } = stop.clone();
    commands.queue(move |world: &mut World| shut_down(world, message, deadline));
}

fn start(world: &mut World) {
    let mut link = world.resource_mut::<Link>();
    if link.bridge.is_some() {
        link.start_again = link.stopping.is_some();
        return;
    }
    let network = match GhostNetwork::of(world) {
        Ok(network) => network,
        Err(error) => {
            let reason = StartError::NoThread(Arc::new(error));
            return publish(world, ServerFailed { reason });
        }
    };
    let registry = world.resource::<MessageRegistry>();
    let (protocol, typed) = (registry.protocol(), registry.has_types());
    let mut outbox = world.resource_mut::<Outbox>();
    outbox.active = true;
    outbox.typed = typed;
    let room_defaults = outbox.to_core(&RoomConfig::default());
    let mut builder = builder(world.resource::<ServerConfig>()).room_defaults(room_defaults);
    if let Some(protocol) = protocol {
        builder = builder.protocol(protocol);
    }
    let bridge = ServerBridge::start(&network, builder);
    let home = world.resource_mut::<Link>().home.get_or_insert_with(|| bridge.local()).clone();
    home.lead_to(bridge.handle());
    let mut server = world.resource_mut::<GhostServer>();
    server.connector = Some(home);
    server.handle = Some(bridge.handle());
    let max_payload = world.resource::<ServerConfig>().max_payload;
    let mut link = world.resource_mut::<Link>();
    link.bridge = Some(bridge);
    link.max_payload = max_payload;
    set_state(world, ServerState::Starting);
    let mut rooms = world.query_filtered::<(Entity, &Room), Without<Ended>>();
    let rooms: Vec<_> =
        rooms.iter(world).map(|(entity, room)| (entity, room.name().clone())).collect();
    for (entity, name) in rooms {
        lifecycle::open_room(world, entity, name);
    }
}

fn shut_down(world: &mut World, message: String, deadline: Duration) {
    let mut outbox = world.resource_mut::<Outbox>();
    if outbox.active {
        outbox.push(ServerCommand::Shutdown { message, deadline });
        let mut link = world.resource_mut::<Link>();
        link.stopping.get_or_insert_with(Stamp::now);
        link.start_again = false;
        set_state(world, ServerState::Stopping);
    }
}

fn stopped(world: &mut World) {
    // With it goes the channel of the tickets: those of this server must not
    // answer questions of the next, which have the same numbers.
    world.remove_resource::<HostFence>();
    let mut link = world.resource_mut::<Link>();
    *link = Link { home: link.home.take(), ..Link::default() };
    *world.resource_mut::<Outbox>() = Outbox::default();
    sync::forget_all(world);
    set_state(world, ServerState::Stopped);
}

fn set_state(world: &mut World, state: ServerState) {
    NextState::set_if_neq(&mut world.resource_mut::<NextState<ServerState>>(), state);
}

fn builder(config: &ServerConfig) -> ServerBuilder {
    let builder = match &config.bind {
        Some(addr) => Server::builder().bind(addr.clone()),
        None => Server::builder().local_only(),
    };
    let builder = match &config.client_meta_keys {
        Some(keys) => builder.client_meta_keys(keys.iter().cloned()),
        None => builder,
    };
    builder
        .max_clients(config.max_clients)
        .max_payload(config.max_payload)
        .max_rooms(config.max_rooms)
        .rooms_per_client(config.rooms_per_client)
        .idle_timeout(config.idle_timeout)
        .ping_interval(config.ping_interval)
        .ask_timeout(config.ask_timeout)
        .channel_capacity(config.channel_capacity)
        .outbox_limit(config.outbox_limit)
        .overflow(config.overflow)
        .create_on_join(config.create_on_join)
        .handshake_timeout(config.handshake_timeout)
        .resume_grace(config.resume_grace)
        .history_limit(config.history_limit)
        .limits(config.limits.clone())
        .gate(config.gate.clone())
        .retry_after(config.retry_after)
}
