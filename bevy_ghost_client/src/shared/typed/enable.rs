//! Makes one side of typed messages work in an app.

use bevy::{app::App, ecs::resource::Resource};

use super::{check, directions::Side, registry::MessageRegistry};

impl MessageRegistry {
    /// Makes the client's envelopes of all types, present and future, known to the app.
    pub fn enable_client(app: &mut App) {
        enable(app, Side::Client);
    }

    /// Makes the server's envelopes of all types, present and future, known to the app.
    pub fn enable_server(app: &mut App) {
        enable(app, Side::Server);
    }
}

fn enable(app: &mut App, side: Side) {
    let explained = app.world().contains_resource::<Explained>();
    MessageRegistry::add_side(app, side);
    if !explained {
        app.init_resource::<Explained>().add_observer(check::explain_unregistered);
    }
}

/// Types that nobody registered are explained once, though an app may have both plugins.
#[derive(Default, Resource)]
struct Explained;
