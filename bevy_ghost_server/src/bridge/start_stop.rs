//! Starts the server on the network thread, and stops it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bevy::{ecs::message::MessageCursor, prelude::*};
use bevy_ghost_client::{
    Ended, GhostNetwork, HostFence,
    typed::{MessageRegistry, Stamp},
};
use ghost_sync_core::{
    Server, ServerBuilder,
    embed::{ServerBridge, ServerCommand},
};

use super::{
    access::KeptBans,
    allowed_rooms::AllowedRooms,
    facts, observers,
    outbox::Outbox,
    questions::Questions,
    thread::{self, NetworkThread},
};
use crate::{
    GhostServer, Room, RoomConfig, ServerConfig, ServerState, StartServer, StopServer,
    events::{GhostServerEvent, ServerFailed, ServerStarted, ServerStopped, StartError, publish},
};

/// How the server stops when its app exits.
#[derive(Default, Resource)]
pub(crate) struct StopAtExit(pub(crate) StopServer);

pub(crate) fn on_start(_: On<StartServer>, mut commands: Commands) {
    commands.queue(start);
}

pub(crate) fn on_stop(stop: On<StopServer>, mut commands: Commands) {
    let StopServer { message, deadline } = stop.clone();
    commands.queue(move |world: &mut World| shut_down(world, message, deadline));
}

fn start(world: &mut World) {
    let mut thread = world.resource_mut::<NetworkThread>();
    if thread.bridge.is_some() {
        thread.start_again = thread.stopping.is_some();
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
    let mut server = world.resource_mut::<GhostServer>();
    server.connector.lead_to(bridge.handle());
    server.handle = Some(bridge.handle());
    let max_payload = world.resource::<ServerConfig>().relay.max_payload;
    let mut thread = world.resource_mut::<NetworkThread>();
    thread.bridge = Some(bridge);
    thread.max_payload = max_payload;
    set_state(world, ServerState::Starting);
    let bans: Vec<_> = world.resource::<KeptBans>().commands().collect();
    bans.into_iter().for_each(|ban| world.resource_mut::<Outbox>().push(ban));
    let mut rooms = world.query_filtered::<(Entity, &Room), Without<Ended>>();
    let rooms: Vec<_> =
        rooms.iter(world).map(|(entity, room)| (entity, room.name().clone())).collect();
    for (entity, name) in rooms {
        observers::open_room(world, entity, name);
    }
}

fn shut_down(world: &mut World, message: String, deadline: Duration) {
    let mut outbox = world.resource_mut::<Outbox>();
    if outbox.active {
        outbox.push(ServerCommand::Shutdown { message, deadline });
        let mut thread = world.resource_mut::<NetworkThread>();
        thread.stopping.get_or_insert_with(Stamp::now);
        thread.start_again = false;
        set_state(world, ServerState::Stopping);
    }
}

/// Stops the server in the frame in which the app exits, unless that was asked for; clients are
/// told while the rest of the app ends.
pub(crate) fn stop_with_app(world: &mut World, mut exits: Local<MessageCursor<AppExit>>) {
    let messages = world.get_resource::<Messages<AppExit>>();
    let exiting = messages.is_some_and(|messages| exits.read(messages).count() > 0);
    if exiting && world.resource::<NetworkThread>().stopping.is_none() {
        let StopServer { message, deadline } = world.resource::<StopAtExit>().0.clone();
        shut_down(world, message, deadline);
        let commands = std::mem::take(&mut world.resource_mut::<Outbox>().commands);
        thread::flush(world, commands.into_iter().map(|(_, command)| command));
    }
}

pub(super) fn started(world: &mut World, addr: Option<SocketAddr>) {
    match addr {
        Some(addr) => info!("the server listens on {addr}"),
        None => info!("the server runs, for clients of this process"),
    }
    world.resource_mut::<GhostServer>().addr = addr;
    world.resource_mut::<NetworkThread>().started = true;
    set_state(world, ServerState::Running);
    publish(world, ServerStarted { addr });
}

pub(super) fn failed(world: &mut World, reason: StartError) {
    end(world, ServerFailed { reason });
}

pub(super) fn stopped(world: &mut World) {
    info!("the server has stopped");
    if let Some(server) = world.resource::<GhostServer>().handle() {
        world.resource_mut::<KeptBans>().keep(server.bans());
    }
    end(world, ServerStopped);
}

/// Forgets the server, tells its end, and starts the next if that was asked for.
fn end<'a, E>(world: &mut World, fact: E)
where
    E: Clone + Event<Trigger<'a>: Default> + Into<GhostServerEvent> + Message,
{
    let again = world.resource::<NetworkThread>().start_again;
    forget(world);
    publish(world, fact);
    if again {
        start(world);
    }
}

fn forget(world: &mut World) {
    world.remove_resource::<HostFence>();
    *world.resource_mut::<NetworkThread>() = NetworkThread::default();
    // The channel of the tickets goes too: those of this server must not answer questions of the
    // next, which have the same numbers.
    *world.resource_mut::<Questions>() = Questions::default();
    *world.resource_mut::<AllowedRooms>() = AllowedRooms::default();
    *world.resource_mut::<Outbox>() = Outbox::default();
    facts::forget_all(world);
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
    let builder = builder.relay(config.relay.clone());
    let builder = builder.auth(config.auth.clone());
    match config.senders {
        Some(senders) => builder.senders(senders),
        None => builder,
    }
}
