//! The only file that touches the core's bridge: what goes to the network
//! thread, and what comes from it.

mod speech;
mod unanswered;

use std::{sync::Arc, time::Duration};

use bevy::prelude::*;
use ghost_sync_core::{
    Client,
    embed::{ClientBridge, ClientCommand},
    wire::{Refusal, RoomName},
};
pub(crate) use ghost_sync_core::{Request, RequestError, ServerEvent, embed::ClientUpdate};

use crate::{
    ClientEnd, ClientState, GhostClient, GhostNetwork, HostFence, JoinedRoom, JoinedRooms, Members,
    Target,
    events::{Connected, Disconnected, JoinRefused, UnsentReason, publish},
    hearing,
    requests::{Connect, Disconnect, Join, Leave, ListRooms, Ping, SetMetadata},
    roster,
    typed::{Arrival, ClientOrigin, ClientPayload, MessageRegistry, Stamp},
};
use speech::Speech;
use unanswered::{Unanswered, refuse};

#[derive(Default, Resource)]
pub(crate) struct Link {
    bridge: Option<ClientBridge>,
    /// Whether the bridge was told to end.
    ending: bool,
    /// Whether the server may be that of this app, see [`HostFence`].
    at_home: bool,
    /// Where it is, if it has an address.
    addr: Option<String>,
    /// What was asked for since the last [`send`].
    asked: Vec<(Stamp, ClientCommand)>,
    /// Rooms that the game has left since the last [`send`]: when, and which room was the
    /// current one until then.
    left: Vec<(Stamp, Option<Entity>)>,
    /// Joins asked for before [`Connect`].
    waiting: Vec<ClientCommand>,
    unanswered: Unanswered,
    // Empty between frames, but for their memory.
    updates: Vec<ClientUpdate>,
    arrivals: Vec<Arrival<ClientOrigin>>,
    parcels: Vec<ClientPayload>,
}

impl Link {
    /// Notes what is asked, for the end of the frame.
    fn ask(&mut self, command: ClientCommand) {
        self.asked.push((Stamp::now(), command));
    }

    /// The bridge, unless it was told to end.
    fn bridge(&mut self) -> Option<&mut ClientBridge> {
        self.bridge.as_mut().filter(|_| !self.ending)
    }

    fn say(&mut self, command: ClientCommand) -> Result<(), UnsentReason> {
        let bridge = self.bridge().ok_or(UnsentReason::NotConnected)?;
        bridge.send(command).map_err(|_full| UnsentReason::OutboxFull)
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
                    info!("connected");
                    set_state(world, ClientState::Connected);
                }
                publish(world, Connected { client_id, resumed });
            }
            ClientUpdate::Ticket { ticket } => {
                world.resource_mut::<GhostClient>().ticket = ticket;
            }
            ClientUpdate::Event(event) => {
                let unanswered = &mut world.resource_mut::<Link>().unanswered;
                unanswered.hear(&event);
                let in_vain: Vec<_> = if let ServerEvent::Reconnecting { .. } = event {
                    unanswered.take_pings().collect()
                } else if let ServerEvent::ResumeFailed { .. } = event {
                    unanswered.take_lists().collect()
                } else {
                    Vec::new()
                };
                roster::apply(world, event);
                in_vain.into_iter().for_each(|question| refuse(world, question));
            }
            ClientUpdate::Disconnected { reason, retry_in } => {
                disconnected(world, reason, retry_in);
            }
            other => debug!("an update that this version does not know: {other:?}"),
        }
    }
    drop(rest);
    let mut link = world.resource_mut::<Link>();
    link.updates = updates;
    link.arrivals = arrivals;
}

/// Hands what the systems have written and asked to the network thread, in the order in
/// which they did.
pub(crate) fn send(world: &mut World) {
    let mut parcels = std::mem::take(&mut world.resource_mut::<Link>().parcels);
    MessageRegistry::take_client(world, &mut parcels);
    let asked = std::mem::take(&mut world.resource_mut::<Link>().asked);
    carry_out(world, asked, &mut parcels);
    world.resource_mut::<Link>().parcels = parcels;
    flush(world);
}

/// As [`send`], what was written and asked until then: the rest is for the next connection.
fn send_until(world: &mut World, end: &Stamp) {
    let mut parcels = std::mem::take(&mut world.resource_mut::<Link>().parcels);
    let mut later = Vec::new();
    if world.resource::<Link>().bridge.is_some() {
        MessageRegistry::take_client(world, &mut parcels);
        let at = parcels.partition_point(|parcel| parcel.stamp < *end);
        later = parcels.split_off(at);
    }
    let mut link = world.resource_mut::<Link>();
    let at = link.asked.partition_point(|(stamp, _)| stamp < end);
    let rest = link.asked.split_off(at);
    let asked = std::mem::replace(&mut link.asked, rest);
    carry_out(world, asked, &mut parcels);
    world.resource_mut::<Link>().parcels = later;
    flush(world);
}

fn flush(world: &mut World) {
    let at_home = world.resource::<Link>().at_home;
    let fence = world.get_resource::<HostFence>().filter(|_| at_home).cloned();
    match (&mut world.resource_mut::<Link>().bridge, fence) {
        (Some(bridge), Some(HostFence(fence))) => bridge.flush_after(fence),
        (Some(bridge), None) => bridge.flush(),
        (None, _) => return,
    }
    let lost = world.resource_mut::<Link>().bridge.as_mut().map(ClientBridge::take_lost);
    for command in lost.into_iter().flatten() {
        speech::lose(world, command);
    }
}

/// Gives the network thread what was asked, and `parcels` where they belong between that.
fn carry_out(
    world: &mut World,
    asked: Vec<(Stamp, ClientCommand)>,
    parcels: &mut Vec<ClientPayload>,
) {
    if asked.is_empty() && parcels.is_empty() {
        return;
    }
    let mut speech = Speech::of(world);
    let mut parcels = parcels.drain(..).peekable();
    for (stamp, command) in asked {
        while let Some(parcel) = parcels.next_if(|parcel| parcel.stamp < stamp) {
            speech.say(world, parcel);
        }
        ask(world, command);
    }
    for parcel in parcels {
        speech.say(world, parcel);
    }
    speech.end(world);
}

/// Asks the connection, or refuses what none can answer.
fn ask(world: &mut World, command: ClientCommand) {
    let mut link = world.resource_mut::<Link>();
    let link = &mut *link;
    let mut refused = Vec::new();
    if let ClientCommand::Disconnect = command {
        refused.append(&mut link.waiting);
    }
    match link.bridge.as_mut().filter(|_| !link.ending) {
        Some(bridge) => {
            link.unanswered.ask(&command);
            link.ending = matches!(command, ClientCommand::Disconnect);
            // Only messages wait for room in the outbox.
            bridge.send(command).ok();
        }
        None if let ClientCommand::Join { room, .. } = &command => {
            // The last wish for a room counts; they wait for the next `Connect`.
            let same = |other: &ClientCommand| matches!(other, ClientCommand::Join { room: other, .. } if other == room);
            link.waiting.retain(|other| !same(other));
            link.waiting.push(command);
        }
        None => refused.push(command),
    }
    for command in refused {
        refuse(world, command);
    }
}

/// The connection has ended, or the attempt to get one.
fn disconnected(world: &mut World, reason: ClientEnd, retry_in: Option<Duration>) {
    let to = world.resource::<Link>().addr.as_ref().map(|addr| format!(" to {addr}"));
    let to = to.unwrap_or_default();
    match retry_in {
        Some(wait) => warn!("no connection{to}: {reason}; the next attempt is in {wait:.1?}"),
        None if matches!(reason, ClientEnd::Requested) => info!("disconnected"),
        None => warn!("no connection{to}: {reason}"),
    }
    end(world, retry_in.is_none());
    let mut client = world.resource_mut::<GhostClient>();
    client.retry_in = retry_in;
    client.last_reason = Some(reason.clone());
    let state =
        if retry_in.is_none() { ClientState::Disconnected } else { ClientState::Reconnecting };
    set_state(world, state);
    publish(world, Disconnected { reason, retry_in });
}

/// Takes down what belonged to a connection; what else waits for an answer then goes on to
/// wait for the next, unless it is `for_good`.
fn end(world: &mut World, for_good: bool) {
    roster::close_all(world);
    let mut client = world.resource_mut::<GhostClient>();
    client.client_id = None;
    client.away = false;
    client.rtt = None;
    client.retry_in = None;
    if for_good {
        client.attempt = 0;
        client.wake = None;
    }
    let mut link = world.resource_mut::<Link>();
    let unanswered = &mut link.unanswered;
    let mut in_vain: Vec<_> = unanswered.take_pings().chain(unanswered.take_lists()).collect();
    if for_good {
        in_vain.extend(unanswered.take_joins());
        link.bridge = None;
        link.ending = false;
    }
    for command in in_vain {
        refuse(world, command);
    }
}

/// Gives up a seat that came back after the game had given it up.
pub(crate) fn leave_again(world: &mut World, room: RoomName) {
    world.resource_mut::<Link>().ask(ClientCommand::Leave { room });
}

fn set_state(world: &mut World, state: ClientState) {
    NextState::set_if_neq(&mut world.resource_mut::<NextState<ClientState>>(), state);
}

pub(crate) fn on_connect(connect: On<Connect>, mut commands: Commands) {
    let (connect, when) = (connect.clone(), Stamp::now());
    commands.queue(move |world: &mut World| self::connect(world, connect, &when));
}

fn connect(world: &mut World, connect: Connect, when: &Stamp) {
    // What was said before goes to where it was said.
    send_until(world, when);
    if world.resource::<Link>().bridge.is_some() {
        // The new connection is no end.
        end(world, true);
    }
    let network = match GhostNetwork::of(world) {
        Ok(network) => network,
        Err(error) => {
            for command in std::mem::take(&mut world.resource_mut::<Link>().waiting) {
                refuse(world, command);
            }
            return disconnected(world, ClientEnd::NoThread(Arc::new(error)), None);
        }
    };
    let protocol = world.resource::<MessageRegistry>().protocol();
    let mut builder = Client::builder().data(connect.data);
    if let Some(protocol) = protocol {
        builder = builder.protocol(protocol);
    }
    for (key, value) in connect.meta {
        builder = builder.meta(key, value);
    }
    if let Some(ticket) = connect.session {
        builder = builder.session(ticket);
    }
    if let Some(time) = connect.resume_for {
        builder = builder.resume_for(time);
    }
    let at_home = may_be_home(&connect.target);
    let addr = if let Target::Addr(addr) = &connect.target { Some(addr.clone()) } else { None };
    let bridge = ClientBridge::connect(&network, builder, connect.target, connect.reconnect);
    world.resource_mut::<GhostClient>().wake = Some(bridge.wake());
    let mut link = world.resource_mut::<Link>();
    link.bridge = Some(bridge);
    (link.at_home, link.addr) = (at_home, addr);
    for join in std::mem::take(&mut link.waiting) {
        ask(world, join);
    }
    set_state(world, ClientState::Connecting);
}

/// Whether a server on this machine is meant.
fn may_be_home(target: &Target) -> bool {
    match target {
        Target::Addr(addr) => {
            ["127.", "localhost", "[::1]"].iter().any(|home| addr.starts_with(home))
        }
        Target::Local(_) | Target::Through(_) => true,
    }
}

pub(crate) fn on_disconnect(_: On<Disconnect>, mut link: ResMut<Link>) {
    link.ask(ClientCommand::Disconnect);
}

pub(crate) fn on_join(join: On<Join>, mut link: ResMut<Link>, mut commands: Commands) {
    let Join { room, options, if_nowhere } = join.clone();
    match RoomName::new(&room) {
        Ok(room) => link.ask(ClientCommand::Join { room, options, if_nowhere }),
        Err(error) => {
            let why = error.to_string();
            let reason = Refusal::InvalidRoomName { room: room.clone(), why };
            let refused = JoinRefused { room_name: room, reason };
            commands.queue(|world: &mut World| publish(world, refused));
        }
    }
}

pub(crate) fn on_leave(
    leave: On<Leave>,
    rooms: ResMut<JoinedRooms>,
    link: ResMut<Link>,
    mut commands: Commands,
) {
    give_up(leave.room, rooms, link);
    commands.entity(leave.room).try_despawn();
}

/// A room entity is no room any more while its seat is there: the seat is given up.
pub(crate) fn on_room_removed(
    removed: On<Remove, JoinedRoom>,
    members: Query<&Members>,
    rooms: ResMut<JoinedRooms>,
    link: ResMut<Link>,
    mut commands: Commands,
) {
    give_up(removed.entity, rooms, link);
    // They go with the room's entity; but that may stay, without its components.
    for member in members.get(removed.entity).into_iter().flat_map(|members| members.iter()) {
        commands.entity(member).try_despawn();
    }
}

fn give_up(room: Entity, mut rooms: ResMut<JoinedRooms>, mut link: ResMut<Link>) {
    let Some(at) = rooms.rooms.iter().position(|&(_, known)| known == room) else { return };
    link.left.push((Stamp::now(), rooms.current()));
    let entry = rooms.rooms.remove(at);
    link.ask(ClientCommand::Leave { room: entry.0.clone() });
    rooms.leaving.push(entry);
}

pub(crate) fn on_ping(
    _: On<Ping>,
    mut link: ResMut<Link>,
    client: Res<GhostClient>,
    mut commands: Commands,
) {
    if client.away {
        // Nothing could be measured.
        commands.queue(|world: &mut World| refuse(world, ClientCommand::Ping));
    } else {
        link.ask(ClientCommand::Ping);
    }
}

/// Asks how far the server is, for [`GhostClient::rtt`].
pub(crate) fn measure_rtt(mut link: ResMut<Link>, client: Res<GhostClient>) {
    if !client.away && link.bridge().is_some_and(|bridge| bridge.send(ClientCommand::Ping).is_ok())
    {
        link.unanswered.ping(false);
    }
}

pub(crate) fn on_list_rooms(_: On<ListRooms>, mut link: ResMut<Link>) {
    link.ask(ClientCommand::ListRooms);
}

pub(crate) fn on_set_metadata(set: On<SetMetadata>, mut link: ResMut<Link>) {
    link.ask(ClientCommand::SetMeta { key: set.key.clone(), value: set.value.clone() });
}
