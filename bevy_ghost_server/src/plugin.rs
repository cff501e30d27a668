//! Puts the parts into an app.

use std::time::Duration;

use bevy::{prelude::*, time::common_conditions::on_real_timer};
use bevy_ghost_client::{GhostClientSystems, Metadata, states, typed::MessageRegistry};

use crate::{
    Auth, Away, Connection, ConnectionStats, GhostServer, InRoom, Player, Players, RelayConfig,
    Room, RoomConfig, RoomStats, Rooms, SeatOf, Seats, ServerConfig, ServerState, SignedIn,
    StartServer, User, bridge, diagnostics, events, rooms,
};

/// When the server's work is done in a frame.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, SystemSet)]
pub enum GhostServerSystems {
    /// In [`PreUpdate`]: entities, messages and states become what the network
    /// thread said; rules decide.
    Receive,
    /// In [`PostUpdate`]: what the frame's systems have written, opened and ended leaves.
    Send,
}

/// Makes an app a server of Ghost Sync rooms.
///
/// Add it beside `DefaultPlugins`, `MinimalPlugins` or
/// [`DedicatedServerPlugins`](crate::DedicatedServerPlugins), in any order.
#[derive(Clone, Debug)]
pub struct GhostServerPlugin {
    /// The settings; later they are a resource.
    pub config: ServerConfig,
    /// Whether the server starts with the app. If not, trigger [`StartServer`].
    pub start: bool,
}

impl GhostServerPlugin {
    /// Listens at `host:port`; port 0 takes any free one.
    pub fn bind(addr: impl Into<String>) -> Self {
        Self::with(ServerConfig { bind: Some(addr.into()), ..ServerConfig::default() })
    }

    /// Listens nowhere: for clients of this process only.
    pub fn local() -> Self {
        Self::with(ServerConfig { bind: None, ..ServerConfig::default() })
    }

    /// With these settings.
    pub fn with(config: ServerConfig) -> Self {
        Self { config, start: true }
    }

    /// With other settings of the relay: `change` is given those that there are.
    ///
    /// ```
    /// # use bevy_ghost_server::prelude::*;
    /// let server = GhostServerPlugin::bind("0.0.0.0:7777").relay(|relay| relay.max_clients = 64);
    /// ```
    #[must_use]
    pub fn relay(mut self, change: impl FnOnce(&mut RelayConfig)) -> Self {
        change(&mut self.config.relay);
        self
    }

    /// With clients that show tokens.
    ///
    /// ```
    /// # use bevy_ghost_server::{Auth, AuthError, Identity, Token, prelude::*};
    /// // Whoever knows the word is Ada. Real ones ask a database, or verify signatures.
    /// let server = GhostServerPlugin::bind("0.0.0.0:7777").auth(Auth::required(
    ///     |token: Token, _addr| async move {
    ///         match &token.0[..] {
    ///             b"open sesame" => Ok(Identity::new(UserId::new("ada").unwrap())),
    ///             _ => Err(AuthError::BadSignature),
    ///         }
    ///     },
    /// ));
    /// ```
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.config.auth = auth;
        self
    }

    /// Waits for [`StartServer`].
    #[must_use]
    pub fn stopped(self) -> Self {
        Self { start: false, ..self }
    }
}

impl Default for GhostServerPlugin {
    fn default() -> Self {
        Self::with(ServerConfig::default())
    }
}

impl Plugin for GhostServerPlugin {
    fn build(&self, app: &mut App) {
        states::enable(app);
        app.init_state::<ServerState>()
            .insert_resource(self.config.clone())
            .init_resource::<GhostServer>()
            .init_resource::<Rooms>()
            .init_resource::<bridge::AllowedRooms>()
            .init_resource::<bridge::KeptBans>()
            .init_resource::<bridge::StopAtExit>()
            .init_resource::<bridge::Index>()
            .init_resource::<bridge::NetworkThread>()
            .init_resource::<bridge::Outbox>()
            .init_resource::<bridge::Questions>();
        bevy_ghost_client::Ended::register(app);
        events::register(app);
        diagnostics::register(app);
        MessageRegistry::enable_server(app);
        register_types(app);
        add_observers(app);

        if self.start {
            app.add_systems(PreStartup, |mut commands: Commands| commands.trigger(StartServer));
        }
        // A client in the same app finds what its server did in the same frame.
        app.configure_sets(
            PreUpdate,
            GhostClientSystems::Receive.after(GhostServerSystems::Receive),
        )
        .configure_sets(PostUpdate, GhostClientSystems::Send.after(GhostServerSystems::Send));
        let each_second =
            resource_exists::<Time<Real>>.and_then(on_real_timer(Duration::from_secs(1)));
        app.add_systems(PreUpdate, bridge::receive.in_set(GhostServerSystems::Receive))
            .add_systems(PreUpdate, bridge::measure_queues.run_if(each_second))
            .add_systems(
                PostUpdate,
                (
                    rooms::open_and_close_rooms,
                    bridge::configure_rooms,
                    bridge::tell_metadata_changes,
                    bridge::send,
                )
                    .chain()
                    .in_set(GhostServerSystems::Send),
            )
            .add_systems(
                PostUpdate,
                diagnostics::record_diagnostics.after(GhostServerSystems::Send),
            )
            .add_systems(Last, bridge::stop_with_app);
    }

    fn finish(&self, app: &mut App) {
        states::finish(app);
    }
}

fn register_types(app: &mut App) {
    app.register_type::<Away>()
        .register_type::<Connection>()
        .register_type::<ConnectionStats>()
        .register_type::<GhostServer>()
        .register_type::<InRoom>()
        .register_type::<Metadata>()
        .register_type::<Player>()
        .register_type::<Players>()
        .register_type::<Room>()
        .register_type::<RoomConfig>()
        .register_type::<RoomStats>()
        .register_type::<SeatOf>()
        .register_type::<Seats>()
        .register_type::<ServerConfig>()
        .register_type::<SignedIn>()
        .register_type::<User>()
        .register_type_mutable_state::<ServerState>();
}

fn add_observers(app: &mut App) {
    app.add_observer(bridge::on_start)
        .add_observer(bridge::on_stop)
        .add_observer(bridge::on_room_inserted)
        .add_observer(bridge::on_room_discarded)
        .add_observer(bridge::on_room_removed)
        .add_observer(bridge::on_connection_removed)
        .add_observer(bridge::on_player_removed)
        .add_observer(bridge::on_kick)
        .add_observer(bridge::on_disconnect_client)
        .add_observer(bridge::on_close_room)
        .add_observer(bridge::on_ban)
        .add_observer(bridge::on_unban)
        .add_observer(bridge::on_revoke)
        .add_observer(bridge::on_set_metadata);
}
