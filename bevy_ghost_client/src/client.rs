//! What is known about the connection right now.

use std::time::Duration;

use bevy::prelude::*;
use crossbeam_channel::Receiver;
use ghost_sync_core::wire::{ClientId, RoomName, SessionTicket, UserId};

use crate::{ClientEnd, Traffic};

/// Whether there is a connection; details are in [`GhostClient`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Reflect, States)]
pub enum ClientState {
    /// There is none, and none is being made.
    #[default]
    Disconnected,
    /// The first attempt is under way.
    Connecting,
    /// Rooms can be joined. Still so when the link is lost and the seats are held, see
    /// [`GhostClient::away`]: the rooms are there, and what is written leaves later.
    Connected,
    /// There was a connection, or an attempt to get one, and there are no rooms any more;
    /// the next attempt waits or is under way.
    Reconnecting,
}

/// The connection: who we are to the server, how far away it is, how much went over it.
#[derive(Clone, Debug, Default, Reflect, Resource)]
#[reflect(Resource, Debug, Default)]
pub struct GhostClient {
    /// The own public id, while connected.
    pub client_id: Option<ClientId>,
    pub(crate) user: Option<UserId>,
    /// Whether the link is lost, while the server may still hold the seats: from
    /// [`Reconnecting`](crate::Reconnecting) on.
    pub away: bool,
    /// Attempts to connect that have failed in a row.
    pub attempt: u32,
    /// How long the next attempt waits, as of the last [`Disconnected`](crate::Disconnected).
    pub retry_in: Option<Duration>,
    /// Why the last connection, link or attempt ended.
    #[reflect(ignore)]
    pub last_reason: Option<ClientEnd>,
    /// The last measured time to the server and back.
    pub rtt: Option<Duration>,
    /// Payloads written, since the app began.
    pub sent: Traffic,
    /// Payloads read, since the app began.
    pub received: Traffic,
    /// What another process needs to go on as this player, with the same id and seats,
    /// should this one die: keep it in a file and give it to
    /// [`Connect::session`](crate::Connect::session). It changes with each
    /// [`Connected`](crate::Connected) and [`Resumed`](crate::Resumed); whoever has it is this player.
    #[reflect(ignore)]
    pub ticket: Option<SessionTicket>,
    #[reflect(ignore)]
    pub(crate) wake: Option<Receiver<()>>,
}

impl GhostClient {
    /// The user that the server takes this client for, while connected: what its token says
    /// ([`Connect::with_token`](crate::Connect::with_token)). `None`: nobody in particular.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// Gets a token whenever there is something to receive, for a runner that
    /// sleeps until then; `None` while there is no connection and none is being made.
    pub fn wake(&self) -> Option<Receiver<()>> {
        self.wake.clone()
    }
}

/// The [`JoinedRoom`](crate::JoinedRoom)s by name.
#[derive(Debug, Default, Resource)]
pub struct JoinedRooms {
    pub(crate) rooms: Vec<(RoomName, Entity)>,
    /// Rooms whose entities are gone, but not yet the seats.
    pub(crate) leaving: Vec<(RoomName, Entity)>,
    /// Rooms whose seats are lost and asked for again.
    pub(crate) rejoining: Vec<RoomName>,
}

impl JoinedRooms {
    /// The entity of a room, if this client is in it.
    pub fn get(&self, name: &str) -> Option<Entity> {
        self.rooms.iter().find(|(known, _)| known == name).map(|&(_, room)| room)
    }

    /// The room joined last: where messages go that name no room.
    pub fn current(&self) -> Option<Entity> {
        self.rooms.last().map(|&(_, room)| room)
    }

    /// The name of a room that this client is in, or is about to be out of.
    pub(crate) fn name(&self, room: Entity) -> Option<&RoomName> {
        let mut known = self.rooms.iter().chain(&self.leaving);
        known.find(|&&(_, known)| known == room).map(|(name, _)| name)
    }

    /// All rooms, the one joined last at the end.
    pub fn iter(&self) -> impl Iterator<Item = (&RoomName, Entity)> {
        self.rooms.iter().map(|(name, room)| (name, *room))
    }

    /// How many rooms this client is in.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether this client is in no room.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

/// Run condition: there is a connection, even if its link is [lost](GhostClient::away).
pub fn connected(state: Option<Res<State<ClientState>>>) -> bool {
    state.is_some_and(|state| *state.get() == ClientState::Connected)
}

/// Run condition: this client has a seat in the room of that name.
pub fn in_room(name: impl Into<String>) -> impl FnMut(Option<Res<JoinedRooms>>) -> bool + Clone {
    let name = name.into();
    move |rooms: Option<Res<JoinedRooms>>| rooms.is_some_and(|rooms| rooms.get(&name).is_some())
}
