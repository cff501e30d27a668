//! How long what happened stays for systems that have not read it.
//!
//! Bevy keeps messages until `FixedUpdate` has had a chance to see them, which it never
//! has while the virtual clock stands still: what others say would pile up for as long as a
//! player pauses. What the plugins write is therefore let go after [`PATIENCE`].

use std::{any::TypeId, time::Duration};

use bevy::{
    ecs::message::{Message, Messages},
    platform::collections::HashSet,
    prelude::*,
};

/// Real time without a `FixedUpdate` after which messages live for two frames, as they do in
/// an app without `TimePlugin`; or two of its steps, while the clock goes, if these are longer.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The messages that the plugins of this app write.
#[derive(Default, Resource)]
struct Kept {
    known: HashSet<TypeId>,
    updates: Vec<fn(&mut World)>,
    /// Whether `FixedUpdate` ran since the last look.
    stepped: bool,
    /// When it ran last, as real time since the app began.
    last_step: Duration,
}

/// Adds a message type to an app whose messages do not pile up while the clock stands still.
pub fn add_message<M: Message>(app: &mut App) {
    app.add_message::<M>();
    if !app.world().contains_resource::<Kept>() {
        app.init_resource::<Kept>()
            .add_systems(First, drop_old_messages)
            .add_systems(FixedLast, note_step);
    }
    let mut kept = app.world_mut().resource_mut::<Kept>();
    if kept.known.insert(TypeId::of::<M>()) {
        kept.updates.push(|world| world.resource_mut::<Messages<M>>().update());
    }
}

fn note_step(mut kept: ResMut<Kept>) {
    kept.stepped = true;
}

/// How long a `FixedUpdate` is waited for.
fn patience(world: &World) -> Duration {
    let speed = match world.get_resource::<Time<Virtual>>() {
        Some(time) if !time.is_paused() => time.relative_speed_f64(),
        Some(_) | None => return PATIENCE,
    };
    let step = world.get_resource::<Time<Fixed>>().map_or(0.0, |it| it.timestep().as_secs_f64());
    let steps = Duration::try_from_secs_f64(2.0 * step / speed).unwrap_or(LONGEST_PATIENCE);
    steps.clamp(PATIENCE, LONGEST_PATIENCE)
}

/// However slow the clock is.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);

/// Runs before what the network has for this frame is written.
fn drop_old_messages(world: &mut World) {
    // Without a clock Bevy lets go by itself.
    let Some(now) = world.get_resource::<Time<Real>>().map(Time::elapsed) else { return };
    world.resource_scope(|world, mut kept: Mut<Kept>| {
        if std::mem::take(&mut kept.stepped) {
            kept.last_step = now;
        } else if now.saturating_sub(kept.last_step) > patience(world) {
            for update in &kept.updates {
                update(world);
            }
        }
    });
}
