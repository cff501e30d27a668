//! Rooms through the handle.

use crate::{
    relay::{
        ClientNotFound, CreateRoomError, HistoryPage, Relay, RoomConfig, RoomInfo, RoomNotFound,
    },
    wire::{ClientId, RoomName},
};

use super::{ServerHandle, conn_of};

/// What members of a room are told when it goes.
const DELETED: &str = "the room was deleted";

impl ServerHandle {
    /// Makes a room.
    ///
    /// # Errors
    /// [`CreateRoomError`]: the name is taken or none, there are too many rooms,
    /// or the server has stopped.
    pub fn create_room(&self, name: impl AsRef<str>) -> Result<(), CreateRoomError> {
        self.create_room_with(name, RoomConfig::default())
    }

    /// Makes a room with settings of its own.
    ///
    /// # Errors
    /// As [`create_room`](Self::create_room).
    pub fn create_room_with(
        &self,
        name: impl AsRef<str>,
        config: RoomConfig,
    ) -> Result<(), CreateRoomError> {
        let (name, config) = (RoomName::new(name.as_ref())?, self.with_ears(config));
        let epoch = uuid::Uuid::new_v4().as_u64_pair().0;
        self.act(|relay, now, out| relay.create_room(now, name, epoch, config, out)).map(|_| ())
    }

    /// A room's settings as they are now, to change some of them with
    /// [`configure_room`](Self::configure_room). A room is
    /// [`observed`](RoomConfig::observed) where the handler hears broadcasts.
    pub fn room_config(&self, name: impl AsRef<str>) -> Option<RoomConfig> {
        let name = name.as_ref();
        self.look(|relay| relay.room_config(name).cloned())
    }

    /// Changes all of a room's settings; [`room_config`](Self::room_config) gives those to
    /// start from. Players beyond a new capacity stay, and a handler that hears broadcasts
    /// goes on hearing them.
    ///
    /// # Errors
    /// [`RoomNotFound`].
    pub fn configure_room(
        &self,
        name: impl AsRef<str>,
        config: RoomConfig,
    ) -> Result<(), RoomNotFound> {
        let (name, config) = (name.as_ref(), self.with_ears(config));
        self.act(|relay, now, out| relay.configure_room(now, name, config, out))
    }

    /// Deletes a room softly: its members are told and keep their seats, but their
    /// next broadcast or join there fails. The name is free at once.
    ///
    /// # Errors
    /// [`RoomNotFound`].
    pub fn delete_room(&self, name: impl AsRef<str>) -> Result<(), RoomNotFound> {
        let name = name.as_ref();
        self.act(|relay, now, out| relay.delete_room(now, name, DELETED, out))
    }

    /// Deletes a room and puts everybody out of it; they are told why.
    ///
    /// # Errors
    /// [`RoomNotFound`].
    pub fn close_room(
        &self,
        name: impl AsRef<str>,
        message: impl AsRef<str>,
    ) -> Result<(), RoomNotFound> {
        let (name, message) = (name.as_ref(), message.as_ref());
        self.act(|relay, now, out| relay.close_room(now, name, message, out))
    }

    /// Puts a client out of a room; it is told why and stays connected.
    /// [`disconnect`](Self::disconnect) ends its connection.
    ///
    /// # Errors
    /// [`ClientNotFound`] if it is not in that room.
    pub fn kick(
        &self,
        client: ClientId,
        room: impl AsRef<str>,
        message: impl AsRef<str>,
    ) -> Result<(), ClientNotFound> {
        let (room, message) = (room.as_ref(), message.as_ref());
        self.act(|relay, now, out| {
            let conn = conn_of(relay, client)?;
            let room = relay.room_id(room).ok_or(ClientNotFound)?;
            relay.kick(now, conn, room, message, out)
        })
    }

    /// Whether a client is in a room.
    pub fn has_member(&self, room: impl AsRef<str>, client: ClientId) -> bool {
        let name = room.as_ref();
        self.look(|relay| {
            let conn = relay.conn_of(client);
            conn.is_some_and(|conn| relay.rooms_of(conn).any(|(_, of)| *of == *name))
        })
    }

    /// Whether a room of that name can be joined.
    pub fn room_exists(&self, name: impl AsRef<str>) -> bool {
        let name = name.as_ref();
        self.look(|relay| relay.room_id(name).is_some())
    }

    /// How many rooms can be joined.
    pub fn room_count(&self) -> usize {
        self.look(Relay::room_count)
    }

    /// The rooms that can be joined, sorted by name.
    pub fn rooms(&self) -> Vec<RoomInfo> {
        self.look(|relay| relay.rooms().collect())
    }

    /// The players of a room, in the order in which they joined.
    pub fn room_clients(&self, name: impl AsRef<str>) -> Option<Vec<ClientId>> {
        let name = name.as_ref();
        self.look(|relay| {
            let members = relay.members(name)?;
            Some(members.map(|(_, _, client_id)| client_id).collect())
        })
    }

    /// What a room keeps of what happened from event `from` on, up to about
    /// `max_bytes`; `None` if there is no such room.
    pub fn history(
        &self,
        name: impl AsRef<str>,
        from: u64,
        max_bytes: usize,
    ) -> Option<HistoryPage> {
        let name = name.as_ref();
        self.look(|relay| relay.history(name, from, max_bytes))
    }

    /// How many clients have lost their connections and have their seats held.
    pub fn away_count(&self) -> usize {
        self.look(Relay::away_count)
    }

    /// How many players are in a room.
    pub fn room_client_count(&self, name: impl AsRef<str>) -> Option<usize> {
        let name = name.as_ref();
        self.look(|relay| relay.player_count(name))
    }

    /// `config`, with what the handler wants to hear.
    fn with_ears(&self, mut config: RoomConfig) -> RoomConfig {
        let handler = self.service.hooks();
        config.observed |= handler.is_some_and(|handler| handler.wants_broadcasts());
        config
    }
}
