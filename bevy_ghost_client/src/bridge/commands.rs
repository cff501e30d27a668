//! Gives the network thread a frame's commands and messages, in the order in which they were
//! made.

use bevy::prelude::*;
use ghost_sync_core::{
    Request,
    embed::{ClientBridge, ClientCommand},
};

use super::{
    messages::{self, Outgoing},
    outbox::Outbox,
    thread::NetworkThread,
    unanswered::refuse,
};
use crate::{
    HostFence,
    typed::{ClientPayload, Stamp},
};

/// Gives the network thread what was asked, and `payloads` where they belong between that.
pub(super) fn carry_out(
    world: &mut World,
    commands: Vec<(Stamp, ClientCommand)>,
    payloads: &mut Vec<ClientPayload>,
) {
    if commands.is_empty() && payloads.is_empty() {
        return;
    }
    let mut outgoing = Outgoing::of(world);
    let mut payloads = payloads.drain(..).peekable();
    for (stamp, command) in commands {
        while let Some(payload) = payloads.next_if(|payload| payload.stamp < stamp) {
            outgoing.send(world, payload);
        }
        ask(world, command);
    }
    for payload in payloads {
        outgoing.send(world, payload);
    }
    outgoing.end(world);
}

/// Asks the connection, or refuses what none can answer.
pub(super) fn ask(world: &mut World, command: ClientCommand) {
    let mut refused = Vec::new();
    if let ClientCommand::Disconnect = command {
        refused.append(&mut world.resource_mut::<Outbox>().early_joins);
    }
    let mut thread = world.resource_mut::<NetworkThread>();
    let thread = &mut *thread;
    match (thread.bridge.as_mut().filter(|_| !thread.ending), command) {
        (Some(bridge), command) => {
            match &command {
                ClientCommand::Request(request) => thread.unanswered.add(request),
                ClientCommand::Disconnect => thread.ending = true,
                _ => {}
            }
            // Only messages wait for room in the outbox.
            bridge.send(command).ok();
        }
        (None, ClientCommand::Request(join @ Request::Join { .. })) => {
            // The last wish for a room counts; they wait for the next `Connect`.
            let joins = &mut world.resource_mut::<Outbox>().early_joins;
            joins.retain(|other| other.room() != join.room());
            joins.push(join);
        }
        (None, ClientCommand::Request(request)) => refused.push(request),
        // What it would end has ended.
        (None, _) => {}
    }
    for request in refused {
        refuse(world, &request);
    }
}

/// Sends what the network thread was given; tells what it was given in vain.
pub(super) fn flush(world: &mut World) {
    let own_server = world.resource::<NetworkThread>().own_server;
    let fence = world.get_resource::<HostFence>().filter(|_| own_server).cloned();
    match (&mut world.resource_mut::<NetworkThread>().bridge, fence) {
        (Some(bridge), Some(HostFence(fence))) => bridge.flush_after(fence),
        (Some(bridge), None) => bridge.flush(),
        (None, _) => return,
    }
    let lost = world.resource_mut::<NetworkThread>().bridge.as_mut().map(ClientBridge::take_lost);
    for command in lost.into_iter().flatten() {
        if let ClientCommand::Request(request) = command {
            messages::lose(world, request);
        }
    }
}
