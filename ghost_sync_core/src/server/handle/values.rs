//! Values of the program's own types, kept with a room or a client.

use std::sync::Arc;

use crate::{
    relay::{ClientNotFound, RoomNotFound},
    server::values::Owner,
    wire::ClientId,
};

use super::{ServerHandle, conn_of};

impl ServerHandle {
    /// Keeps a value with a room until the room is deleted: one per type. Clients
    /// do not see it. Returns the one of that type that was there.
    ///
    /// # Errors
    /// [`RoomNotFound`].
    pub fn insert_room_value<T: Send + Sync + 'static>(
        &self,
        room: impl AsRef<str>,
        value: T,
    ) -> Result<Option<Arc<T>>, RoomNotFound> {
        let room = room.as_ref();
        let owner = self.room_owner(room).ok_or_else(|| RoomNotFound(room.to_owned()))?;
        Ok(self.service.shard.host.values.insert(owner, value))
    }

    /// The value of type `T` that is kept with a room.
    pub fn room_value<T: Send + Sync + 'static>(&self, room: impl AsRef<str>) -> Option<Arc<T>> {
        self.service.shard.host.values.find(self.room_owner(room.as_ref())?)
    }

    /// Takes the value of type `T` away from a room; values of other types stay.
    pub fn take_room_value<T: Send + Sync + 'static>(
        &self,
        room: impl AsRef<str>,
    ) -> Option<Arc<T>> {
        self.service.shard.host.values.take(self.room_owner(room.as_ref())?)
    }

    /// Keeps a value with a client until it disconnects: one per type. Returns the
    /// one of that type that was there.
    ///
    /// # Errors
    /// [`ClientNotFound`].
    pub fn insert_client_value<T: Send + Sync + 'static>(
        &self,
        client: ClientId,
        value: T,
    ) -> Result<Option<Arc<T>>, ClientNotFound> {
        self.look(|relay| conn_of(relay, client))?;
        Ok(self.service.shard.host.values.insert(Owner::Client(client), value))
    }

    /// The value of type `T` that is kept with a client; still there in
    /// [`on_disconnect`](crate::server::ServerHandler::on_disconnect).
    pub fn client_value<T: Send + Sync + 'static>(&self, client: ClientId) -> Option<Arc<T>> {
        self.service.shard.host.values.find(Owner::Client(client))
    }

    /// Takes the value of type `T` away from a client; values of other types stay.
    pub fn take_client_value<T: Send + Sync + 'static>(&self, client: ClientId) -> Option<Arc<T>> {
        self.service.shard.host.values.take(Owner::Client(client))
    }

    fn room_owner(&self, room: &str) -> Option<Owner> {
        self.look(|relay| relay.room_id(room)).map(Owner::Room)
    }
}
