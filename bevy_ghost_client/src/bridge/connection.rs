//! Makes the connection and takes it down again.

use std::{sync::Arc, time::Duration};

use bevy::prelude::*;
use ghost_sync_core::{
    Client, Request,
    embed::{ClientBridge, ClientCommand},
    wire::{ClientId, RoomName, UserId},
};

use super::{commands, facts, outbox::Outbox, thread::NetworkThread, unanswered::refuse};
use crate::{
    ClientEnd, ClientState, CloseReason, DisconnectReason, GhostClient, GhostNetwork, Target,
    events::{Connected, Disconnected, publish},
    requests::Connect,
    typed::{MessageRegistry, Stamp},
};

/// Gets a connection in place of the one that is there.
pub(super) fn connect(world: &mut World, connect: Connect, when: &Stamp) {
    // What was said before goes to where it was said.
    send_until(world, when);
    if world.resource::<NetworkThread>().bridge.is_some() {
        // The new connection is no end.
        end(world, true);
    }
    let network = match GhostNetwork::of(world) {
        Ok(network) => network,
        Err(error) => {
            for join in std::mem::take(&mut world.resource_mut::<Outbox>().early_joins) {
                refuse(world, &join);
            }
            return disconnected(world, ClientEnd::NoThread(Arc::new(error)), None);
        }
    };
    let protocol = world.resource::<MessageRegistry>().protocol();
    let mut builder = Client::builder().data(connect.data).token(connect.token);
    if let Some(protocol) = protocol {
        builder = builder.protocol(protocol);
    }
    for (key, value) in connect.meta {
        builder = builder.metadata(key, value);
    }
    if let Some(ticket) = connect.session {
        builder = builder.session(ticket);
    }
    if let Some(time) = connect.resume_for {
        builder = builder.resume_for(time);
    }
    let own_server = may_be_own_server(&connect.target);
    let addr = if let Target::Addr(addr) = &connect.target { Some(addr.clone()) } else { None };
    let bridge = ClientBridge::connect(&network, builder, connect.target, connect.reconnect);
    world.resource_mut::<GhostClient>().wake = Some(bridge.wake());
    let mut thread = world.resource_mut::<NetworkThread>();
    thread.bridge = Some(bridge);
    (thread.own_server, thread.addr) = (own_server, addr);
    for join in std::mem::take(&mut world.resource_mut::<Outbox>().early_joins) {
        commands::ask(world, join.into());
    }
    set_state(world, ClientState::Connecting);
}

/// Sends what was written and asked until then: the rest is for the next connection.
fn send_until(world: &mut World, end: &Stamp) {
    let mut payloads = std::mem::take(&mut world.resource_mut::<Outbox>().payloads);
    let mut later = Vec::new();
    if world.resource::<NetworkThread>().bridge.is_some() {
        MessageRegistry::take_client(world, &mut payloads);
        let at = payloads.partition_point(|payload| payload.stamp < *end);
        later = payloads.split_off(at);
    }
    let mut outbox = world.resource_mut::<Outbox>();
    let at = outbox.commands.partition_point(|(stamp, _)| stamp < end);
    let rest = outbox.commands.split_off(at);
    let now = std::mem::replace(&mut outbox.commands, rest);
    commands::carry_out(world, now, &mut payloads);
    world.resource_mut::<Outbox>().payloads = later;
    commands::flush(world);
}

/// The server has greeted this client, for the first time or anew.
pub(super) fn connected(
    world: &mut World,
    client_id: ClientId,
    user: Option<UserId>,
    resumed: Option<Vec<RoomName>>,
) {
    let mut client = world.resource_mut::<GhostClient>();
    let anew = client.client_id.replace(client_id).is_some();
    client.user = user;
    client.attempt = 0;
    client.retry_in = None;
    if !anew {
        info!("connected");
        set_state(world, ClientState::Connected);
    }
    world.resource_mut::<NetworkThread>().unanswered.forget_tokens();
    publish(world, Connected { client_id, resumed });
}

/// The connection has ended, or the attempt to get one.
pub(super) fn disconnected(world: &mut World, reason: ClientEnd, retry_in: Option<Duration>) {
    let to = world.resource::<NetworkThread>().addr.as_ref().map(|addr| format!(" to {addr}"));
    let to = to.unwrap_or_default();
    match retry_in {
        Some(wait) if is_in_order(&reason) => {
            info!("no connection{to}: {reason}; the next attempt is in {wait:.1?}");
        }
        Some(wait) => warn!("no connection{to}: {reason}; the next attempt is in {wait:.1?}"),
        None if matches!(reason, ClientEnd::Requested) => info!("disconnected"),
        None if is_in_order(&reason) => info!("no connection{to}: {reason}"),
        None => warn!("no connection{to}: {reason}"),
    }
    if retry_in.is_none() {
        refuse_joins(world);
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

/// Refuses joins that the connection was to be asked for at the end of this frame: left alone
/// they would wait for another, unlike those of a frame before.
fn refuse_joins(world: &mut World) {
    if world.resource::<NetworkThread>().ending {
        // They were asked after a `Disconnect`.
        return;
    }
    let commands = &mut world.resource_mut::<Outbox>().commands;
    let is_join = |(_, command): &mut (_, ClientCommand)| {
        matches!(command, ClientCommand::Request(Request::Join { .. }))
    };
    for (_, join) in commands.extract_if(.., is_join).collect::<Vec<_>>() {
        if let ClientCommand::Request(join @ Request::Join { if_nowhere: false, .. }) = join {
            refuse(world, &join);
        }
    }
}

/// Whether nothing is wrong: the server says that it stops.
fn is_in_order(reason: &ClientEnd) -> bool {
    matches!(
        reason,
        ClientEnd::Disconnect(DisconnectReason::Closed(CloseReason::ServerShutdown { .. }))
    )
}

/// Takes down what belonged to a connection; what else waits for an answer then goes on to
/// wait for the next, unless it is `for_good`.
fn end(world: &mut World, for_good: bool) {
    facts::close_all(world);
    let mut client = world.resource_mut::<GhostClient>();
    client.client_id = None;
    client.user = None;
    client.away = false;
    client.rtt = None;
    client.retry_in = None;
    if for_good {
        client.attempt = 0;
        client.wake = None;
    }
    let mut thread = world.resource_mut::<NetworkThread>();
    let unanswered = &mut thread.unanswered;
    let mut in_vain: Vec<_> = unanswered.take_pings().chain(unanswered.take_lists()).collect();
    in_vain.extend(unanswered.take_tokens());
    if for_good {
        in_vain.extend(unanswered.take_joins());
        thread.bridge = None;
        thread.ending = false;
    }
    for request in in_vain {
        refuse(world, &request);
    }
}

/// Whether a server on this machine is meant.
fn may_be_own_server(target: &Target) -> bool {
    match target {
        Target::Addr(addr) => {
            ["127.", "localhost", "[::1]"].iter().any(|here| addr.starts_with(here))
        }
        Target::Local(_) | Target::Through(_) => true,
    }
}

fn set_state(world: &mut World, state: ClientState) {
    NextState::set_if_neq(&mut world.resource_mut::<NextState<ClientState>>(), state);
}
