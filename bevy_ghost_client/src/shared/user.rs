//! Who somebody is.

use bevy::prelude::*;
use ghost_sync_core::wire::UserId;

/// The user that somebody is, as its token says: of a member, on a server of a connection and
/// each of its players. Who showed no token has none. It stays what it is for as long as the
/// entity is there.
///
/// Unlike a [name](crate::Names), nobody can take that of another. Members have it unless the
/// server hides users (`RelayConfig::show_users`); the own ones have it always.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_client::prelude::*;
/// fn mark_friends(joined: On<PlayerJoined>, users: Query<&User>) {
///     if let Ok(User(id)) = users.get(joined.player) {
///         info!("{id} is here");
///     }
/// }
/// # App::new().add_observer(mark_friends);
/// ```
#[derive(Clone, Component, Debug, Deref, Eq, Hash, PartialEq, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, PartialEq, from_reflect = false)]
pub struct User(pub UserId);
