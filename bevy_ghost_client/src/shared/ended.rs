//! Keeps what the network has ended until the frame has seen it.

use bevy::prelude::*;

/// Marks what the network has ended: a room, a connection, a player or a member.
/// It goes at the end of the frame, in [`Last`].
///
/// A join and the leave that follows may arrive in one frame: the entity that
/// [`PlayerJoined`](crate::PlayerJoined) speaks of has all its components in
/// `Update` even then, and its relationships too. Queries that must not see it
/// any more say `Without<Ended>`.
#[derive(Clone, Component, Copy, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
pub struct Ended;

impl Ended {
    /// Marks an entity, if it still is there.
    pub fn mark(world: &mut World, entity: Entity) {
        if let Ok(mut entity) = world.get_entity_mut(entity) {
            entity.insert(Self);
        }
    }

    /// Makes an app despawn what is marked. Both plugins do.
    pub fn register(app: &mut App) {
        if !app.is_plugin_added::<CleanUp>() {
            app.add_plugins(CleanUp);
        }
    }
}

struct CleanUp;

impl Plugin for CleanUp {
    fn build(&self, app: &mut App) {
        app.register_type::<Ended>().add_systems(Last, clean_up);
    }
}

fn clean_up(ended: Query<Entity, With<Ended>>, mut commands: Commands) {
    for entity in &ended {
        commands.entity(entity).try_despawn();
    }
}
