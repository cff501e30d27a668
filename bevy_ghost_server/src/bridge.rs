//! One frame: what the network thread has told goes into the world, what the frame's systems
//! have written, opened and ended goes to the network thread.
//!
//! This folder alone touches what does something in the core: its bridge, the commands to it,
//! the events and questions from it. The core's plain values (names, ids, reasons, settings)
//! are used everywhere: those of `ghost_sync_core::wire` as they are, others as `lib.rs` exports
//! them. `testing` has streams of its own besides.

mod access;
mod allowed_rooms;
mod facts;
mod index;
mod lines;
mod messages;
mod observers;
mod outbox;
mod payloads;
mod questions;
mod start_stop;
mod thread;

use bevy::prelude::*;
use bevy_ghost_client::{
    Traffic,
    typed::{MessageRegistry, ServerPayload},
};
use ghost_sync_core::embed::{ServerBridge, ServerUpdate};

use crate::{
    Connection, ConnectionStats, GhostServer,
    events::{Missed, publish},
};
pub(crate) use access::{KeptBans, on_ban, on_revoke, on_unban};
pub(crate) use allowed_rooms::AllowedRooms;
pub(crate) use index::Index;
pub(crate) use observers::{
    configure_rooms, on_close_room, on_connection_removed, on_disconnect_client, on_kick,
    on_player_removed, on_room_discarded, on_room_inserted, on_room_removed, on_set_metadata,
    tell_metadata_changes,
};
pub(crate) use outbox::Outbox;
use payloads::PayloadRun;
pub(crate) use questions::Questions;
pub(crate) use start_stop::{StopAtExit, on_start, on_stop, stop_with_app};
pub(crate) use thread::NetworkThread;

/// Takes what the network thread has for us into the world.
///
/// Verdicts leave at once, the rest at the end of the frame.
pub(crate) fn receive(
    world: &mut World,
    // Empty between frames, but for their memory.
    mut updates: Local<Vec<ServerUpdate>>,
    mut run: Local<PayloadRun>,
) {
    if let Some(bridge) = &mut world.resource_mut::<NetworkThread>().bridge {
        bridge.poll(&mut updates);
    }
    let mut updates = updates.drain(..);
    loop {
        run.receive(world, &mut updates);
        let Some(update) = updates.next() else { break };
        match update {
            ServerUpdate::Started { addr } => start_stop::started(world, addr),
            ServerUpdate::Failed(error) => start_stop::failed(world, error.into()),
            ServerUpdate::Event(event) => facts::apply(world, event),
            ServerUpdate::Ask { ask, question, .. } => questions::ask(world, ask, question),
            ServerUpdate::RoomRefused { name, error } => facts::room_refused(world, name, error),
            ServerUpdate::Unsent { to, message_type, payload, error } => {
                messages::unsent(world, to, message_type, payload, error);
            }
            ServerUpdate::MetadataRefused { of, key, value, error } => {
                facts::metadata_refused(world, of, key, value, error);
            }
            ServerUpdate::BanRefused { who, error } => access::ban_refused(world, who, error),
            ServerUpdate::BanClientRefused { tag, error } => {
                access::ban_client_refused(world, tag, error);
            }
            ServerUpdate::UnbanRefused { who } => access::unban_refused(world, who),
            ServerUpdate::RevokeRefused { revoke, .. } => access::revoke_refused(world, revoke),
            ServerUpdate::Missed { conn, client_id, messages } => {
                world.resource_mut::<GhostServer>().missed += messages;
                if let Some(connection) = index::find_connection(world, conn) {
                    publish(world, Missed { connection, client_id, messages });
                }
            }
            ServerUpdate::Stopped => start_stop::stopped(world),
            other => debug!("an update that this version does not know: {other:?}"),
        }
    }
    questions::take_replies(world);
    let answers = std::mem::take(&mut world.resource_mut::<Outbox>().answers);
    thread::flush(world, answers);
}

/// Hands what the systems have written, opened and ended to the network thread, in the order
/// in which they did.
pub(crate) fn send(
    world: &mut World,
    // Empty between frames, but for its memory.
    mut payloads: Local<Vec<ServerPayload>>,
) {
    MessageRegistry::take_server(world, &mut payloads);
    let mut commands = std::mem::take(&mut world.resource_mut::<Outbox>().commands);
    if !payloads.is_empty() {
        messages::to_commands(world, &mut payloads, &mut commands);
        // What is said in a room that was opened later in the frame comes after that.
        commands.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    questions::take_replies(world);
    let answers = std::mem::take(&mut world.resource_mut::<Outbox>().answers);
    thread::flush(world, commands.into_iter().map(|(_, command)| command).chain(answers));
}

/// Looks how much waits for each client.
pub(crate) fn measure_queues(
    thread: Res<NetworkThread>,
    mut connections: Query<(&Connection, &mut ConnectionStats)>,
) {
    let Some(server) = thread.bridge.as_ref().map(ServerBridge::handle) else { return };
    for (connection, mut stats) in &mut connections {
        let queue = server.queue_len(connection.client_id).unwrap_or_default();
        let measured = ConnectionStats {
            queued: Traffic { messages: queue.frames as u64, bytes: queue.bytes as u64 },
            ..*stats
        };
        stats.set_if_neq(measured);
    }
}
