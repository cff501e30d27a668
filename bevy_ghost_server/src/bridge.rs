//! The only place that touches the core's bridge: what goes to the network
//! thread, and what comes from it.

mod outbox;

use std::time::Duration;

use bevy::{platform::collections::HashMap, prelude::*};
use bevy_ghost_client::{
    Delivery, Ended, GhostNetwork, SendFlags, Traffic,
    typed::{MessageRegistry, ServerParcel, ServerReceiver, Side},
};
use crossbeam_channel::{Receiver, Sender};
pub use ghost_sync_core::ServerHandle;
pub(crate) use ghost_sync_core::embed::ServerUpdate;
pub(crate) use ghost_sync_core::relay::{AskId, ConnId, Question, RelayEvent};
pub use ghost_sync_core::relay::{
    CreateOnJoin, DisconnectReason, GateConfig, IpPrefix, Limits, OverflowPolicy, Rate,
};
use ghost_sync_core::{
    Server, ServerBuilder,
    embed::{ServerBridge, ServerCommand},
};
pub(crate) use outbox::Outbox;

use crate::{
    Connection, ConnectionStats, GhostServer, Room, RoomConfig, RoomStats, ServerConfig,
    ServerState, StartServer, StopServer,
    asks::{self, Waiting},
    events::{Missed, ServerFailed, ServerStarted, ServerStopped, publish},
    hearing::Hearing,
    hooks::Reply,
    index::Index,
    lifecycle, sync,
};

/// The way to and from the network thread.
#[derive(Resource)]
pub(crate) struct Link {
    bridge: Option<ServerBridge>,
    // Empty between frames, but for their memory.
    updates: Vec<ServerUpdate>,
    hearing: Hearing,
    parcels: Vec<ServerParcel>,
    /// What tickets say.
    pub(crate) replies: (Sender<Reply>, Receiver<Reply>),
    /// Questions that wait for tickets.
    pub(crate) waiting: HashMap<AskId, Waiting>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            bridge: None,
            updates: Vec::new(),
            hearing: Hearing::default(),
            parcels: Vec::new(),
            replies: crossbeam_channel::unbounded(),
            waiting: HashMap::default(),
        }
    }
}

impl Link {
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
                world.resource_mut::<GhostServer>().addr = addr;
                set_state(world, ServerState::Running);
                publish(world, ServerStarted { addr });
            }
            ServerUpdate::Failed(error) => {
                stopped(world);
                publish(world, ServerFailed { reason: error.to_string() });
            }
            ServerUpdate::Event(event) => sync::apply(world, event),
            ServerUpdate::Ask { ask, question, .. } => asks::ask(world, ask, question),
            ServerUpdate::RoomRefused { name, error } => {
                sync::room_refused(world, name, error.to_string());
            }
            ServerUpdate::Missed { conn, client_id, messages } => {
                world.resource_mut::<GhostServer>().missed += messages;
                if let Some(connection) = sync::find_connection(world, conn) {
                    publish(world, Missed { connection, client_id, messages });
                }
            }
            ServerUpdate::Stopped => {
                stopped(world);
                publish(world, ServerStopped);
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

/// Hands what the systems have written, and then what they have ended, to the network thread.
pub(crate) fn send(world: &mut World) {
    let mut parcels = std::mem::take(&mut world.resource_mut::<Link>().parcels);
    MessageRegistry::take_server(world, &mut parcels);
    if !parcels.is_empty() {
        dispatch(world, &mut parcels);
    }
    world.resource_mut::<Link>().parcels = parcels;
    asks::take_replies(world);
    let Outbox { commands, answers, .. } = &mut *world.resource_mut::<Outbox>();
    commands.append(answers);
    let commands = std::mem::take(commands);
    flush(world, commands);
}

/// Makes commands of parcels and counts what became of them.
fn dispatch(world: &mut World, parcels: &mut Vec<ServerParcel>) {
    let (mut sent, mut undelivered) = (Traffic::default(), 0);
    let mut rooms: Vec<(Entity, Traffic)> = Vec::new();
    let mut registry = world.resource_mut::<MessageRegistry>();
    parcels.retain(|parcel| {
        let may_say = registry.may_say(parcel.message_type, Side::Server);
        undelivered += u64::from(!may_say);
        may_say
    });
    world.resource_scope(|world, mut link: Mut<Link>| {
        let index = world.resource::<Index>();
        for parcel in parcels.drain(..) {
            let (to, len) = (parcel.to, parcel.payload.len());
            if let ServerReceiver::Room(room, ..) = to {
                if rooms.last().is_none_or(|&(last, _)| last != room) {
                    rooms.push((room, Traffic::default()));
                }
                if let Some((_, sent)) = rooms.last_mut() {
                    sent.count(&parcel.payload);
                }
            }
            match (command(index, parcel), &mut link.bridge) {
                (Some(command), Some(bridge)) => {
                    bridge.send(command);
                    sent += Traffic { messages: 1, bytes: len as u64 };
                }
                _ => {
                    debug!("{len} bytes were for {to:?}, which is not there");
                    undelivered += 1;
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
    server.undelivered += undelivered;
}

fn command(index: &Index, parcel: ServerParcel) -> Option<ServerCommand> {
    let ServerParcel { to, message_type, payload } = parcel;
    let (conn, room) = match to {
        ServerReceiver::Room(room, delivery, flags) => {
            let room = index.room_records.get(&room)?.name.clone();
            return Some(match delivery {
                Delivery::Latest(key) if flags.contains(SendFlags::FORGET) => {
                    ServerCommand::BroadcastLast { room, key, message_type, payload }
                }
                Delivery::Latest(_) | Delivery::Reliable | Delivery::Volatile => {
                    ServerCommand::Broadcast { room, delivery, message_type, payload }
                }
            });
        }
        ServerReceiver::Everyone => {
            return Some(ServerCommand::BroadcastAll { message_type, payload });
        }
        ServerReceiver::Player(player) => {
            let seat = index.seat_records.get(&player)?;
            (seat.conn, Some(seat.name.clone()))
        }
        ServerReceiver::Connection(connection) => {
            (index.connection_records.get(&connection)?.conn, None)
        }
    };
    Some(ServerCommand::Direct { conns: vec![conn], room, message_type, payload })
}

fn flush(world: &mut World, commands: Vec<ServerCommand>) {
    if let Some(bridge) = &mut world.resource_mut::<Link>().bridge {
        for command in commands {
            bridge.send(command);
        }
        bridge.flush();
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
    if world.resource::<Link>().bridge.is_some() {
        return;
    }
    let network = match GhostNetwork::of(world) {
        Ok(network) => network,
        Err(error) => {
            publish(world, ServerFailed { reason: format!("no network thread: {error}") });
            return;
        }
    };
    let protocol = world.resource::<MessageRegistry>().protocol();
    let mut outbox = world.resource_mut::<Outbox>();
    outbox.active = true;
    outbox.typed = !protocol.types().is_empty();
    let room_defaults = outbox.to_core(&RoomConfig::default());
    let builder =
        builder(world.resource::<ServerConfig>()).protocol(protocol).room_defaults(room_defaults);
    let bridge = ServerBridge::start(&network, builder);
    let mut server = world.resource_mut::<GhostServer>();
    server.connector = Some(bridge.local());
    server.handle = Some(bridge.handle());
    world.resource_mut::<Link>().bridge = Some(bridge);
    set_state(world, ServerState::Starting);
    let mut rooms = world.query_filtered::<(Entity, &Room, &RoomConfig), Without<Ended>>();
    let rooms: Vec<_> = rooms
        .iter(world)
        .map(|(entity, room, config)| (entity, room.name().clone(), config.clone()))
        .collect();
    for (entity, name, config) in rooms {
        lifecycle::open_room(world, entity, name, config);
    }
}

fn shut_down(world: &mut World, message: String, deadline: Duration) {
    let mut outbox = world.resource_mut::<Outbox>();
    if outbox.active {
        outbox.push(ServerCommand::Shutdown { message, deadline });
        set_state(world, ServerState::Stopping);
    }
}

fn stopped(world: &mut World) {
    // With it goes the channel of the tickets: those of this server must not
    // answer questions of the next, which have the same numbers.
    *world.resource_mut::<Link>() = Link::default();
    *world.resource_mut::<Outbox>() = Outbox::default();
    sync::forget_all(world);
    set_state(world, ServerState::Stopped);
}

fn set_state(world: &mut World, state: ServerState) {
    world.resource_mut::<NextState<ServerState>>().set(state);
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
