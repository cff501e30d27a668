//! The only file that touches the core's bridge: what goes to the network
//! thread, and what comes from it.

use bevy::prelude::*;
pub use ghost_sync_core::embed::{Connector, LocalConnector, Network, Reconnect, Target};
use ghost_sync_core::{
    Client,
    embed::{ClientBridge, ClientCommand},
    wire::{Refusal, RoomName},
};
pub(crate) use ghost_sync_core::{Request, RequestError, ServerEvent, embed::ClientUpdate};

use crate::{
    ClientState, GhostClient, JoinedRoom, JoinedRooms, Traffic,
    events::{Connected, Disconnected, JoinRefused, Unsent, UnsentReason, publish},
    hearing,
    requests::{Connect, Disconnect, Join, Leave, ListRooms, Ping, SetMetadata},
    roster,
    typed::{Arrival, ClientOrigin, ClientParcel, ClientReceiver, MessageRegistry, Side},
};

/// The network threads of this app, shared by its client and its server.
#[derive(Clone, Debug, Resource)]
pub struct GhostNetwork(pub Network);

impl GhostNetwork {
    /// The network of this app, started if there is none yet.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn of(world: &mut World) -> std::io::Result<Network> {
        if let Some(network) = world.get_resource::<Self>() {
            return Ok(network.0.clone());
        }
        let network = Network::new()?;
        world.insert_resource(Self(network.clone()));
        Ok(network)
    }
}

#[derive(Default, Resource)]
pub(crate) struct Link {
    bridge: Option<ClientBridge>,
    /// Joins asked for before [`Connect`].
    waiting: Vec<Join>,
    // Empty between frames, but for their memory.
    updates: Vec<ClientUpdate>,
    arrivals: Vec<Arrival<ClientOrigin>>,
    parcels: Vec<ClientParcel>,
}

impl Link {
    fn send(&mut self, command: ClientCommand) -> Result<(), UnsentReason> {
        let bridge = self.bridge.as_mut().ok_or(UnsentReason::NotConnected)?;
        bridge.send(command).map_err(|_full| UnsentReason::OutboxFull)
    }

    fn request(&mut self, command: ClientCommand) {
        if let Err(reason) = self.send(command) {
            warn!("not sent: {reason}");
        }
    }
}

/// Takes what the network thread has for us into the world.
pub(crate) fn receive(world: &mut World) {
    let mut link = world.resource_mut::<Link>();
    let mut updates = std::mem::take(&mut link.updates);
    let mut arrivals = std::mem::take(&mut link.arrivals);
    if let Some(bridge) = &mut link.bridge {
        bridge.poll(&mut updates);
    }
    let mut rest = updates.drain(..);
    loop {
        hearing::hear(world, &mut rest, &mut arrivals);
        let Some(update) = rest.next() else { break };
        match update {
            ClientUpdate::Connecting { attempt } => {
                world.resource_mut::<GhostClient>().attempt = attempt;
            }
            ClientUpdate::Connected { client_id, resumed } => {
                let mut client = world.resource_mut::<GhostClient>();
                let anew = client.client_id.replace(client_id).is_some();
                client.attempt = 0;
                client.retry_in = None;
                if !anew {
                    set_state(world, ClientState::Connected);
                }
                publish(world, Connected { client_id, resumed });
            }
            ClientUpdate::Ticket { ticket } => {
                world.resource_mut::<GhostClient>().ticket = ticket;
            }
            ClientUpdate::Event(event) => roster::apply(world, event),
            ClientUpdate::Disconnected { reason, retry_in } => {
                disconnected(world, reason.to_string(), retry_in);
            }
            other => debug!("an update that this version does not know: {other:?}"),
        }
    }
    drop(rest);
    let mut link = world.resource_mut::<Link>();
    link.updates = updates;
    link.arrivals = arrivals;
}

/// Hands what the systems have written to the network thread.
pub(crate) fn send(world: &mut World) {
    let mut parcels = std::mem::take(&mut world.resource_mut::<Link>().parcels);
    MessageRegistry::take_client(world, &mut parcels);
    if !parcels.is_empty() {
        for unsent in dispatch(world, &mut parcels) {
            publish(world, unsent);
        }
    }
    let mut link = world.resource_mut::<Link>();
    link.parcels = parcels;
    if let Some(bridge) = &mut link.bridge {
        bridge.flush();
    }
}

/// Makes commands of parcels; returns those that cannot leave.
fn dispatch(world: &mut World, parcels: &mut Vec<ClientParcel>) -> Vec<Unsent> {
    let connected = *world.resource::<State<ClientState>>().get() == ClientState::Connected;
    let current = world.resource::<JoinedRooms>().current();
    let (mut sent, mut unsent) = (Traffic::default(), Vec::new());
    let mut registry = world.resource_mut::<MessageRegistry>();
    parcels.retain(|parcel| {
        let may_say = registry.may_say(parcel.message_type, Side::Client);
        if !may_say {
            let message = Some((parcel.message_type, parcel.payload.clone()));
            unsent.push(Unsent { message, reason: UnsentReason::SaidByServer });
        }
        may_say
    });
    world.resource_scope(|world, mut link: Mut<Link>| {
        let mut last: Option<(Entity, &RoomName)> = None;
        for parcel in parcels.drain(..) {
            let (message_type, payload) = (parcel.message_type, parcel.payload.clone());
            let room = parcel.room.or(current);
            if room.is_some() && room != last.map(|(room, _)| room) {
                last = room.and_then(|room| Some((room, &world.get::<JoinedRoom>(room)?.name)));
            }
            let known = last.filter(|&(known, _)| Some(known) == room).map(|(_, name)| name);
            let result = if !connected {
                Err(UnsentReason::NotConnected)
            } else if room.is_some() && known.is_none() {
                Err(UnsentReason::NotInRoom)
            } else {
                command(parcel, known.cloned()).and_then(|command| link.send(command))
            };
            match result {
                Ok(()) => sent.count(&payload),
                Err(reason) => {
                    unsent.push(Unsent { message: Some((message_type, payload)), reason });
                }
            }
        }
    });
    world.resource_mut::<GhostClient>().sent += sent;
    unsent
}

fn command(parcel: ClientParcel, room: Option<RoomName>) -> Result<ClientCommand, UnsentReason> {
    let ClientParcel { to, message_type, payload, .. } = parcel;
    match to {
        ClientReceiver::Room { .. } if room.is_none() => Err(UnsentReason::NotInRoom),
        ClientReceiver::Room { delivery, flags } => {
            Ok(ClientCommand::Broadcast { room, delivery, flags, message_type, payload })
        }
        ClientReceiver::Server => Ok(ClientCommand::Send { room, message_type, payload }),
    }
}

fn disconnected(world: &mut World, reason: String, retry_in: Option<std::time::Duration>) {
    roster::close_all(world);
    let mut client = world.resource_mut::<GhostClient>();
    client.client_id = None;
    client.away = false;
    client.rtt = None;
    client.retry_in = retry_in;
    client.last_reason = Some(reason.clone());
    if retry_in.is_none() {
        client.wake = None;
        let mut link = world.resource_mut::<Link>();
        link.bridge = None;
        set_state(world, ClientState::Disconnected);
    } else {
        set_state(world, ClientState::Reconnecting);
    }
    publish(world, Disconnected { reason, retry_in });
}

/// Gives up a seat that came back after the game had given it up.
pub(crate) fn leave_again(world: &mut World, room: RoomName) {
    world.resource_mut::<Link>().request(ClientCommand::Leave { room });
}

fn set_state(world: &mut World, state: ClientState) {
    world.resource_mut::<NextState<ClientState>>().set(state);
}

pub(crate) fn on_connect(connect: On<Connect>, mut commands: Commands) {
    let connect = connect.clone();
    commands.queue(move |world: &mut World| {
        if world.resource::<Link>().bridge.is_some() {
            disconnected(world, "connecting elsewhere".to_owned(), None);
        }
        let network = match GhostNetwork::of(world) {
            Ok(network) => network,
            Err(error) => {
                disconnected(world, format!("no network thread: {error}"), None);
                return;
            }
        };
        let protocol = world.resource::<MessageRegistry>().protocol();
        let mut builder = Client::builder().protocol(protocol).data(connect.data);
        for (key, value) in connect.meta {
            builder = builder.meta(key, value);
        }
        if let Some(ticket) = connect.session {
            builder = builder.session(ticket);
        }
        if let Some(time) = connect.resume_for {
            builder = builder.resume_for(time);
        }
        let bridge = ClientBridge::connect(&network, builder, connect.target, connect.reconnect);
        world.resource_mut::<GhostClient>().wake = Some(bridge.wake());
        let mut link = world.resource_mut::<Link>();
        link.bridge = Some(bridge);
        for join in std::mem::take(&mut link.waiting) {
            world.trigger(join);
        }
        set_state(world, ClientState::Connecting);
    });
}

pub(crate) fn on_disconnect(_: On<Disconnect>, mut link: ResMut<Link>) {
    link.waiting.clear();
    if link.bridge.is_some() {
        link.request(ClientCommand::Disconnect);
    }
}

pub(crate) fn on_join(join: On<Join>, mut link: ResMut<Link>, mut commands: Commands) {
    let room = match RoomName::new(&join.room) {
        Ok(room) => room,
        Err(error) => {
            let room_name = join.room.clone();
            let why = error.to_string();
            let reason = Refusal::InvalidRoomName { room: room_name.clone(), why };
            commands.queue(|world: &mut World| publish(world, JoinRefused { room_name, reason }));
            return;
        }
    };
    if link.bridge.is_none() {
        link.waiting.push(join.clone());
    } else {
        let Join { data, replay, if_nowhere, .. } = join.clone();
        link.request(ClientCommand::Join { room, data, replay, if_nowhere });
    }
}

pub(crate) fn on_leave(leave: On<Leave>, mut commands: Commands) {
    commands.entity(leave.room).try_despawn();
}

/// A room entity that goes while its seat is there: the seat is given up.
pub(crate) fn on_room_removed(
    removed: On<Remove, JoinedRoom>,
    names: Query<&JoinedRoom>,
    mut rooms: ResMut<JoinedRooms>,
    mut link: ResMut<Link>,
) {
    let Some(at) = rooms.rooms.iter().position(|&(_, room)| room == removed.entity) else { return };
    let entry = rooms.rooms.remove(at);
    if let Ok(room) = names.get(removed.entity) {
        link.request(ClientCommand::Leave { room: room.name.clone() });
    }
    rooms.leaving.push(entry);
}

pub(crate) fn on_ping(_: On<Ping>, mut link: ResMut<Link>) {
    link.request(ClientCommand::Ping);
}

pub(crate) fn on_list_rooms(_: On<ListRooms>, mut link: ResMut<Link>) {
    link.request(ClientCommand::ListRooms);
}

pub(crate) fn on_set_metadata(set: On<SetMetadata>, mut link: ResMut<Link>) {
    link.request(ClientCommand::SetMeta { key: set.key.clone(), value: set.value.clone() });
}
