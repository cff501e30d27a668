//! One frame: what the network thread has told goes into the world, what the game's systems
//! have asked and written goes to the network thread.
//!
//! This folder alone touches what does something in the core: its bridge, the commands to it and
//! the events from it. The core's plain values (names, ids, reasons, settings) are used
//! everywhere: those of `ghost_sync_core::wire` as they are, others as `lib.rs` exports them.
//! Two files of `shared/` that both plugins need, `network.rs` and `program.rs`, hold the network
//! threads themselves.

mod commands;
mod connection;
mod exit;
mod facts;
mod messages;
mod observers;
mod outbox;
mod payloads;
mod thread;
mod unanswered;

use bevy::prelude::*;
use ghost_sync_core::{Request, ServerEvent, embed::ClientUpdate};

use crate::{
    GhostClient,
    typed::{Arrival, ClientOrigin, MessageRegistry},
};
pub(crate) use exit::end_with_app;
pub(crate) use observers::{
    on_authenticate, on_connect, on_disconnect, on_join, on_leave, on_list_rooms, on_ping,
    on_room_removed, on_set_metadata,
};
pub(crate) use outbox::Outbox;
pub(crate) use thread::NetworkThread;
use unanswered::refuse;

/// Takes what the network thread has for us into the world.
pub(crate) fn receive(
    world: &mut World,
    // Empty between frames, but for their memory.
    mut updates: Local<Vec<ClientUpdate>>,
    mut arrivals: Local<Vec<Arrival<ClientOrigin>>>,
) {
    if let Some(bridge) = &mut world.resource_mut::<NetworkThread>().bridge {
        bridge.poll(&mut updates);
    }
    let mut updates = updates.drain(..);
    loop {
        payloads::receive(world, &mut updates, &mut arrivals);
        let Some(update) = updates.next() else { break };
        match update {
            ClientUpdate::Connecting { attempt } => {
                world.resource_mut::<GhostClient>().attempt = attempt;
            }
            ClientUpdate::Connected { client_id, user, resumed } => {
                connection::connected(world, client_id, user, resumed);
            }
            ClientUpdate::Ticket { ticket } => {
                world.resource_mut::<GhostClient>().ticket = ticket;
            }
            ClientUpdate::Event(event) => apply(world, event),
            ClientUpdate::Disconnected { reason, retry_in } => {
                connection::disconnected(world, reason, retry_in);
            }
            other => debug!("an update that this version does not know: {other:?}"),
        }
    }
}

/// Takes over one event, and refuses what it leaves without an answer.
fn apply(world: &mut World, event: ServerEvent) {
    let unanswered = &mut world.resource_mut::<NetworkThread>().unanswered;
    unanswered.remove_answered(&event);
    let in_vain: Vec<_> = if let ServerEvent::Reconnecting { .. } = event {
        unanswered.take_pings().collect()
    } else if let ServerEvent::ResumeFailed { .. } = event {
        unanswered.take_lists().chain(unanswered.take_tokens()).collect()
    } else {
        Vec::new()
    };
    facts::apply(world, event);
    in_vain.iter().for_each(|request| refuse(world, request));
}

/// Hands what the systems have written and asked to the network thread, in the order in
/// which they did.
pub(crate) fn send(world: &mut World) {
    let mut payloads = std::mem::take(&mut world.resource_mut::<Outbox>().payloads);
    MessageRegistry::take_client(world, &mut payloads);
    let commands = std::mem::take(&mut world.resource_mut::<Outbox>().commands);
    commands::carry_out(world, commands, &mut payloads);
    world.resource_mut::<Outbox>().payloads = payloads;
    commands::flush(world);
}

/// Asks how far the server is, for [`GhostClient::rtt`].
pub(crate) fn ping(mut thread: ResMut<NetworkThread>, client: Res<GhostClient>) {
    if !client.away && thread.bridge().is_some_and(|bridge| bridge.send(Request::Ping).is_ok()) {
        thread.unanswered.ping(false);
    }
}
