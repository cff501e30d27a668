//! Puts the parts into an app.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::on_real_timer};

use crate::{
    AtExit, Away, ClientState, GhostClient, JoinedRoom, JoinedRooms, LocalPlayer, Member, MemberOf,
    Members, Metadata, User, bridge, diagnostics, events, states, typed::MessageRegistry,
};

/// When the client's work is done in a frame.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, SystemSet)]
pub enum GhostClientSystems {
    /// In [`PreUpdate`]: entities, messages and states become what the server said.
    Receive,
    /// In [`PostUpdate`]: what the frame's systems have written leaves.
    Send,
}

/// Makes an app a client of Ghost Sync rooms.
///
/// Add it beside `DefaultPlugins`, `MinimalPlugins` or
/// [`HeadlessClientPlugins`](crate::HeadlessClientPlugins), in any order. Nothing is connected until
/// [`Connect`](crate::Connect) is triggered.
#[derive(Debug)]
pub struct GhostClientPlugin {
    /// How often the time to the server and back is measured; `None` for only
    /// when [`Ping`](crate::Ping) is triggered. Needs Bevy's `TimePlugin`. Default: each second.
    pub ping_every: Option<Duration>,
}

impl Default for GhostClientPlugin {
    fn default() -> Self {
        Self { ping_every: Some(Duration::from_secs(1)) }
    }
}

impl Plugin for GhostClientPlugin {
    fn build(&self, app: &mut App) {
        states::enable(app);
        app.init_state::<ClientState>()
            .init_resource::<AtExit>()
            .init_resource::<GhostClient>()
            .init_resource::<JoinedRooms>()
            .init_resource::<bridge::NetworkThread>()
            .init_resource::<bridge::Outbox>();
        crate::Ended::register(app);
        events::register(app);
        diagnostics::register(app);
        MessageRegistry::enable_client(app);
        register_types(app);
        add_observers(app);

        app.add_systems(PreUpdate, bridge::receive.in_set(GhostClientSystems::Receive));
        if let Some(every) = self.ping_every {
            let due = resource_exists::<Time<Real>>.and_then(on_real_timer(every));
            app.add_systems(Update, bridge::ping.run_if(crate::connected.and_then(due)));
        }
        app.add_systems(PostUpdate, bridge::send.in_set(GhostClientSystems::Send)).add_systems(
            PostUpdate,
            diagnostics::record_diagnostics.after(GhostClientSystems::Send),
        );
        app.add_systems(Last, bridge::end_with_app);
    }

    fn finish(&self, app: &mut App) {
        states::finish(app);
    }
}

fn register_types(app: &mut App) {
    app.register_type::<AtExit>()
        .register_type::<Away>()
        .register_type::<GhostClient>()
        .register_type::<JoinedRoom>()
        .register_type::<Member>()
        .register_type::<MemberOf>()
        .register_type::<Members>()
        .register_type::<LocalPlayer>()
        .register_type::<Metadata>()
        .register_type::<User>()
        .register_type_mutable_state::<ClientState>();
}

fn add_observers(app: &mut App) {
    app.add_observer(bridge::on_authenticate)
        .add_observer(bridge::on_connect)
        .add_observer(bridge::on_disconnect)
        .add_observer(bridge::on_join)
        .add_observer(bridge::on_leave)
        .add_observer(bridge::on_room_removed)
        .add_observer(bridge::on_ping)
        .add_observer(bridge::on_list_rooms)
        .add_observer(bridge::on_set_metadata);
}
