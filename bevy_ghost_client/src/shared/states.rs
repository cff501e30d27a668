//! States, whether Bevy's own plugins are added before ours or after.

use bevy::{
    app::{MainScheduleOrder, TaskPoolPlugin},
    ecs::schedule::ScheduleLabel,
    prelude::*,
    state::{app::StatesPlugin, state::setup_state_transitions_in_world},
};

/// Makes states work in an app.
///
/// `DefaultPlugins` and `MinimalPlugins` may follow, and bring `StatesPlugin` then: adding it
/// here would make Bevy stop with a message that names neither plugin.
pub fn enable(app: &mut App) {
    if app.is_plugin_added::<StatesPlugin>() {
        return;
    }
    if app.is_plugin_added::<TaskPoolPlugin>() {
        app.add_plugins(StatesPlugin);
        return;
    }
    let mut order = app.world_mut().resource_mut::<MainScheduleOrder>();
    if !order.labels.contains(&StateTransition.intern()) {
        order.insert_after(PreUpdate, StateTransition);
        order.insert_startup_before(PreStartup, StateTransition);
        setup_state_transitions_in_world(app.world_mut());
    }
}

/// Undoes what was done twice, once all plugins are there.
pub fn finish(app: &mut App) {
    let mut order = app.world_mut().resource_mut::<MainScheduleOrder>();
    let order = &mut *order;
    for labels in [&mut order.labels, &mut order.startup_labels] {
        let mut known = false;
        labels.retain(|label| {
            *label != StateTransition.intern() || !std::mem::replace(&mut known, true)
        });
    }
}
