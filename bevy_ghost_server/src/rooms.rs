//! The rooms by name, for those who prefer a resource to entities.

use bevy::{platform::collections::HashMap, prelude::*};
use ghost_sync_core::wire::RoomName;

use crate::{CloseRoom, CreateRoomError, Room, RoomConfig};

/// All [`Room`]s by name, and a way to open and close them.
///
/// A room is listed here from the moment in which its entity is spawned.
#[derive(Debug, Default, Resource)]
pub struct Rooms {
    pub(crate) by_name: HashMap<RoomName, Entity>,
    wanted: Vec<(Room, RoomConfig)>,
    unwanted: Vec<(Entity, String)>,
}

impl Rooms {
    /// Opens a room with the default rules, at the end of the frame.
    ///
    /// # Errors
    /// See [`create_with`](Self::create_with).
    pub fn create(&mut self, name: &str) -> Result<(), CreateRoomError> {
        self.create_with(name, RoomConfig::default())
    }

    /// Opens a room, at the end of the frame.
    ///
    /// # Errors
    /// When the name is taken, or is none.
    pub fn create_with(&mut self, name: &str, config: RoomConfig) -> Result<(), CreateRoomError> {
        let room = Room::try_new(name)?;
        let taken = self.by_name.contains_key(name)
            || self.wanted.iter().any(|(other, _)| other.name() == name);
        if taken {
            return Err(CreateRoomError::RoomAlreadyExists(room.name().clone()));
        }
        self.wanted.push((room, config));
        Ok(())
    }

    /// Closes a room, at the end of the frame. `false` when there is none of that name.
    pub fn close(&mut self, name: &str, message: impl Into<String>) -> bool {
        let wanted = self.wanted.len();
        self.wanted.retain(|(room, _)| room.name() != name);
        let Some(room) = self.get(name) else { return self.wanted.len() < wanted };
        self.unwanted.push((room, message.into()));
        true
    }

    /// The entity of a room.
    pub fn get(&self, name: &str) -> Option<Entity> {
        self.by_name.get(name).copied()
    }

    /// All rooms, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&RoomName, Entity)> {
        self.by_name.iter().map(|(name, room)| (name, *room))
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no room.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// Does what was asked of [`Rooms`] in this frame.
pub(crate) fn open_and_close_rooms(mut commands: Commands, mut rooms: ResMut<Rooms>) {
    if rooms.wanted.is_empty() && rooms.unwanted.is_empty() {
        return;
    }
    for (room, message) in std::mem::take(&mut rooms.unwanted) {
        commands.trigger(CloseRoom { room, message });
    }
    for (room, config) in std::mem::take(&mut rooms.wanted) {
        commands.spawn((room, config));
    }
}
