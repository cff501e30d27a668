//! Who has lost the connection, and may come back.

use bevy::prelude::*;

/// Marks who has lost the connection and whose seats the server holds: a
/// [`Member`](crate::Member), or on a server a player and its connection.
///
/// It goes when they are back; they then have missed nothing. Queries that are about
/// those who can answer say `Without<Away>`. The own member has it while
/// [`GhostClient::away`](crate::GhostClient::away) is set.
#[derive(Clone, Component, Copy, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
pub struct Away;
