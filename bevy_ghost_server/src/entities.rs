//! Rooms, connections and players as entities, and how they hang together.
//!
//! Despawning is how things end: a room closes, a connection is cut, a player is
//! put out of its room. Each end takes what depends on it along, and each player
//! that goes is told once, as [`PlayerLeft`](crate::PlayerLeft).

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use bevy::prelude::*;
use bevy_ghost_client::{Metadata, Traffic};
use ghost_sync_core::{
    identity::Identity,
    relay::{RelayMode, RoomHistory, Validator},
    wire::{ClientId, InvalidRoomName, RoomName, Seat},
};

/// A room. Spawning one opens it to clients, despawning closes it.
///
/// Put what belongs to the room on its entity: it goes when the room goes.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
#[require(RoomConfig, RoomStats, Metadata)]
pub struct Room {
    name: RoomName,
}

impl Room {
    /// A room of that name.
    ///
    /// # Panics
    /// When `name` is no room name: empty, longer than [`RoomName::MAX_LEN`] bytes, or
    /// with control characters. For names that people typed, use [`try_new`](Self::try_new).
    #[track_caller]
    pub fn new(name: &str) -> Self {
        match Self::try_new(name) {
            Ok(room) => room,
            Err(error) => panic!("{name:?} cannot name a room: {error}"),
        }
    }

    /// A room of that name, if it is one.
    ///
    /// # Errors
    /// [`InvalidRoomName`] says what is wrong with it.
    pub fn try_new(name: &str) -> Result<Self, InvalidRoomName> {
        RoomName::new(name).map(Self::from)
    }

    /// The name; also there as Bevy's [`Name`].
    pub fn name(&self) -> &RoomName {
        &self.name
    }
}

impl From<RoomName> for Room {
    fn from(name: RoomName) -> Self {
        Self { name }
    }
}

/// The settings of a room, which the network thread enforces by itself: the core's
/// [`RoomConfig`](ghost_sync_core::relay::RoomConfig) as a component. Change it at any time.
#[derive(Clone, Component, Debug, PartialEq, Reflect)]
#[reflect(Component, Debug, Default, PartialEq)]
pub struct RoomConfig {
    /// Seats; `None` (the default) for as many as the server has clients. To keep everybody
    /// out, reject each [`JoinRequest`](crate::JoinRequest).
    pub capacity: Option<NonZeroU32>,
    /// What happens to the broadcasts of players.
    pub mode: RelayMode,
    /// A function that checks each broadcast of a player on the network's threads, before `mode`
    /// counts: no frame passes meanwhile. It sees bytes; systems and observers decide with
    /// [`RelayRequest`](crate::RelayRequest). `None` (the default): nothing does.
    #[reflect(ignore)]
    pub validator: Option<Validator>,
    /// Which broadcasts the server's systems see. Whatever is sent to the server they see always.
    pub observe: Observe,
    /// Whether clients find it in the list of rooms. Default: yes.
    pub listed: bool,
    /// Removes the room when it was empty for so long; `None` (the default) keeps it.
    pub remove_when_empty: Option<Duration>,
    /// How much of what happens is kept.
    pub history: RoomHistory,
    /// Events of the past that a newcomer may ask for. Default: none.
    pub replay: u32,
    /// Values of each player that newcomers are given: of each key the newest
    /// [`latest`](crate::ToRoom::latest) message. Default: 64, of 16 KiB together; past it
    /// the player's oldest goes. The server has 1,024 of its own, and 256 KiB.
    pub retain: usize,
    /// Sends what is said at most once in this time, all of it together: less work for a
    /// server that is not full, half of this more latency on average. `None` (the default) sends at once, or
    /// under load as soon as can be.
    pub tick: Option<Duration>,
}

impl RoomConfig {
    /// With that many seats; 0 sets no limit, as does `capacity: None`.
    ///
    /// ```
    /// # use bevy_ghost_server::RoomConfig;
    /// assert_eq!(RoomConfig::with_capacity(0), RoomConfig::default());
    /// ```
    #[must_use]
    pub fn with_capacity(capacity: u32) -> Self {
        Self { capacity: NonZeroU32::new(capacity), ..Self::default() }
    }
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            capacity: None,
            mode: RelayMode::AtOnce,
            validator: None,
            observe: Observe::Registered,
            listed: true,
            remove_when_empty: None,
            history: RoomHistory::default(),
            replay: 0,
            retain: 64,
            tick: None,
        }
    }
}

/// Which broadcasts of a room become messages for the server's systems.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Reflect)]
pub enum Observe {
    /// None. The cheapest.
    Nothing,
    /// Those of registered types.
    #[default]
    Registered,
    /// All; those of unknown types as [`Raw`](crate::Raw).
    Everything,
}

/// What goes on in a room. Kept by the plugin.
#[derive(Clone, Component, Copy, Debug, Default, PartialEq, Reflect)]
#[reflect(Component, Debug, Default, PartialEq)]
pub struct RoomStats {
    /// Whether the network thread has opened it.
    pub open: bool,
    /// Players in it now.
    pub players: u32,
    /// Payloads of players that the server's systems saw.
    pub received: Traffic,
    /// Payloads that the server's systems sent to the whole room.
    pub sent: Traffic,
}

/// A client's connection. Despawning it cuts the connection.
///
/// It outlives a network that fails: it is [`Away`](crate::Away) then, up to
/// [`resume_grace`](crate::RelayConfig::resume_grace), if the client has a seat.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
#[require(ConnectionStats, Metadata)]
pub struct Connection {
    /// The client's public id; new for each connection.
    pub client_id: ClientId,
    /// Where it dialled from last.
    pub addr: SocketAddr,
}

/// What the token of a [`Connection`] says: who it is, where it may go, as what, until when. Who
/// showed no token has none.
///
/// Replaced when the client shows a fresh one; the user stays the same, and is on each
/// player too, as [`User`](crate::User). Kept by the plugin; changing it grants nothing.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_ghost_server::{MaxRole, prelude::*};
/// fn only_moderators_speak(mut request: On<RelayRequest>, signed_in: Query<&SignedIn>) {
///     let role = signed_in.get(request.connection).map(|signed| signed.role);
///     if role.is_ok_and(|role| role == MaxRole::Moderator) {
///         return;
///     }
///     request.reject("only moderators speak here");
/// }
/// # App::new().add_observer(only_moderators_speak);
/// ```
#[derive(Clone, Component, Debug, Deref, Reflect)]
#[component(immutable)]
#[reflect(opaque)]
#[reflect(Component, Debug)]
pub struct SignedIn(pub Arc<Identity>);

/// How a connection does. Kept by the plugin.
#[derive(Clone, Component, Copy, Debug, Default, PartialEq, Reflect)]
#[reflect(Component, Debug, Default, PartialEq)]
pub struct ConnectionStats {
    /// The last measured time to the client and back.
    pub rtt: Option<Duration>,
    /// What waited to leave for the client when it was last looked at, each second
    /// (in an app with `TimePlugin`).
    pub queued: Traffic,
    /// Payloads that the server's systems saw.
    pub received: Traffic,
}

/// A seat in a room: one client in one room. Despawning it puts the client out of
/// the room, but leaves it connected, as [`Kick`](crate::Kick) does.
///
/// Put what belongs to the player on its entity: it goes when the player goes.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
pub struct Player {
    /// The same in every room, for as long as the client's session goes on.
    pub client_id: ClientId,
    /// Its number in the room, from 1 up, which nobody else gets there.
    pub seat: Seat,
}

/// The room that a [`Player`] is in. Set by the plugin; changing it moves nobody.
#[derive(Clone, Component, Copy, Debug, Eq, PartialEq, Reflect)]
#[reflect(Component, Debug, PartialEq)]
#[relationship(relationship_target = Players)]
pub struct InRoom(pub Entity);

/// The players in a [`Room`].
///
/// An empty room has no such component: use [`RoomStats`] to count, or
/// `Option<&Players>` to include empty rooms. Those that have left in this frame are
/// among the players, as [`Ended`](crate::Ended).
#[derive(Component, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
#[relationship_target(relationship = InRoom, linked_spawn)]
pub struct Players(Vec<Entity>);

/// The [`Connection`] that a [`Player`] plays over. Set by the plugin.
#[derive(Clone, Component, Copy, Debug, Eq, PartialEq, Reflect)]
#[reflect(Component, Debug, PartialEq)]
#[relationship(relationship_target = Seats)]
pub struct SeatOf(pub Entity);

/// The players that a [`Connection`] is; without a seat it has no such component.
#[derive(Component, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
#[relationship_target(relationship = SeatOf, linked_spawn)]
pub struct Seats(Vec<Entity>);
