//! What becomes of the seats when the app exits.

use bevy::prelude::*;

/// What the client does when its app exits, by [`AppExit`] or because its `World` is dropped:
/// a resource, to be set at any time before.
///
/// A program that is killed or panics, or whose machine fails, says nothing either way: the
/// server holds its seats for the grace, and its ticket takes them.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// /// Ends the game for an update; the next process comes back with the ticket.
/// fn restart(client: Res<GhostClient>, mut commands: Commands, mut exit: MessageWriter<AppExit>) {
///     let Some(ticket) = client.ticket else { return };
///     keep(ticket); // in a file, for `Connect::session`
///     commands.insert_resource(AtExit::KeepSeats);
///     exit.write(AppExit::Success);
/// }
/// # fn keep(_: SessionTicket) {}
/// # App::new().add_systems(Update, restart);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Reflect, Resource)]
#[reflect(Resource, Debug, Default, PartialEq)]
pub enum AtExit {
    /// It says goodbye, as [`Disconnect`](crate::Disconnect) does: the seats are free at once.
    #[default]
    SayGoodbye,
    /// It says nothing: the others see the player [`Away`](crate::Away), and who has
    /// [`GhostClient::ticket`](crate::GhostClient::ticket) may come back to its seats.
    KeepSeats,
}
