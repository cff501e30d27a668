//! The rooms that this client is in, and who else is there, as entities.

use std::collections::BTreeMap;

use bevy::prelude::*;
use ghost_sync_core::wire::{ClientId, Meta, RoomName, Seat};

/// A room that this client has a seat in.
///
/// Spawned when the server says [`Joined`](crate::Joined), despawned when the
/// seat is lost. Despawning it by hand gives the seat up. Put what belongs to
/// the room on this entity: it goes when the room goes.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
#[require(Metadata)]
pub struct JoinedRoom {
    /// Its name; also there as Bevy's [`Name`].
    pub name: RoomName,
    /// Seats; `None` where only the server's own limit holds.
    pub capacity: Option<u32>,
    /// Random, new for each incarnation of the room.
    pub epoch: u64,
}

/// A player in a [`JoinedRoom`], as this client sees it; the own one too, which
/// has [`LocalPlayer`] beside it.
#[derive(Clone, Component, Debug, Reflect)]
#[component(immutable)]
#[reflect(Component, Debug, from_reflect = false)]
#[require(Metadata)]
pub struct Member {
    /// The public id of the player's client.
    pub client_id: ClientId,
    /// Its number in the room.
    pub seat: Seat,
}

/// Marks the [`Member`] that this client itself is.
#[derive(Clone, Component, Copy, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
pub struct LocalPlayer;

/// Marks who has lost the connection and whose seats the server holds: a [`Member`], or
/// on a server a player and its connection.
///
/// It goes when they are back; they then have missed nothing. Queries that are about
/// those who can answer say `Without<Away>`. The own member has it while
/// [`GhostClient::away`](crate::GhostClient::away) is set.
#[derive(Clone, Component, Copy, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
pub struct Away;

/// The room that a [`Member`] is in.
#[derive(Clone, Component, Copy, Debug, Eq, PartialEq, Reflect)]
#[reflect(Component, Debug, PartialEq)]
#[relationship(relationship_target = Members)]
pub struct MemberOf(pub Entity);

/// The members of a [`JoinedRoom`]; never empty, since this client is one. Those that
/// have left in this frame are among them, as [`Ended`](crate::Ended).
#[derive(Component, Debug, Default, Reflect)]
#[reflect(Component, Debug, Default)]
#[relationship_target(relationship = MemberOf, linked_spawn)]
pub struct Members(Vec<Entity>);

/// What everybody in a room may know about a room or a member: short texts by key.
///
/// On a server it belongs to rooms and connections, and what systems change in it, or give a
/// room to begin with, clients are told at the end of the frame. On a client it is what the
/// server said: ask for changes of the own with [`SetMetadata`](crate::SetMetadata).
///
/// ```
/// # use bevy_ghost_client::Metadata;
/// let mut metadata = Metadata::default().with("map", "cave");
/// metadata.set("mode", "tag");
/// metadata.remove("map");
/// assert_eq!(metadata.iter().collect::<Vec<_>>(), [("mode", "tag")]);
/// ```
#[derive(Clone, Component, Debug, Default, Eq, PartialEq, Reflect)]
#[reflect(Component, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// With one more entry.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets an entry.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Removes an entry, if it is there.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// All entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Takes over a change; `None` removes the key.
    pub fn apply(&mut self, key: String, value: Option<String>) {
        match value {
            Some(value) => self.set(key, value),
            None => self.remove(&key),
        }
    }
}

impl From<Vec<Meta>> for Metadata {
    fn from(entries: Vec<Meta>) -> Self {
        Self(entries.into_iter().collect())
    }
}
