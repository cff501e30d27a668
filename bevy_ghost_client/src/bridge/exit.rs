//! Ends the connection with the app.

use bevy::{ecs::message::MessageCursor, prelude::*};
use ghost_sync_core::embed::ClientCommand;

use super::{commands, thread::NetworkThread};
use crate::AtExit;

/// Says goodbye in the frame in which the app exits, or keeps the seats: until its `World` is
/// dropped, windows and drivers may take their time, or crash.
pub(crate) fn end_with_app(world: &mut World, mut exits: Local<MessageCursor<AppExit>>) {
    let keeps_seats = world.get_resource() == Some(&AtExit::KeepSeats);
    world.resource_mut::<NetworkThread>().keeps_seats = keeps_seats;
    let messages = world.get_resource::<Messages<AppExit>>();
    let exiting = messages.is_some_and(|messages| exits.read(messages).count() > 0);
    let mut thread = world.resource_mut::<NetworkThread>();
    let Some(bridge) = thread.bridge().filter(|_| exiting) else { return };
    bridge.keep_seats(keeps_seats);
    commands::ask(world, ClientCommand::Disconnect);
    commands::flush(world);
}
