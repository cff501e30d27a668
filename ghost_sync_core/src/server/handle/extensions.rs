//! Values of the program's own types, kept with a room or a client.

use std::sync::Arc;

use crate::{
    relay::{ClientNotFound, Relay, RoomNotFound},
    server::extensions::Owner,
    wire::ClientId,
};

use super::ServerHandle;

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
        self.insert(value, |relay| relay.room_id(room).map(Owner::Room))
            .ok_or_else(|| RoomNotFound(room.to_owned()))
    }

    /// The value of type `T` that is kept with a room.
    pub fn room_value<T: Send + Sync + 'static>(&self, room: impl AsRef<str>) -> Option<Arc<T>> {
        self.service.shard.extensions.find(self.room_owner(room.as_ref())?)
    }

    /// Takes the value of type `T` away from a room; values of other types stay.
    pub fn take_room_value<T: Send + Sync + 'static>(
        &self,
        room: impl AsRef<str>,
    ) -> Option<Arc<T>> {
        self.service.shard.extensions.take(self.room_owner(room.as_ref())?)
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
        self.insert(value, |relay| relay.conn_of(client).map(|_| Owner::Client(client)))
            .ok_or(ClientNotFound)
    }

    /// The value of type `T` that is kept with a client; still there in
    /// [`on_disconnect`](crate::server::ServerHandler::on_disconnect).
    pub fn client_value<T: Send + Sync + 'static>(&self, client: ClientId) -> Option<Arc<T>> {
        self.service.shard.extensions.find(Owner::Client(client))
    }

    /// Takes the value of type `T` away from a client; values of other types stay.
    pub fn take_client_value<T: Send + Sync + 'static>(&self, client: ClientId) -> Option<Arc<T>> {
        self.service.shard.extensions.take(Owner::Client(client))
    }

    /// Keeps a value with an owner that is there; `None` if it is not. Its end, which takes
    /// the values with it, needs the same lock: it comes before or after, not in between.
    fn insert<T: Send + Sync + 'static>(
        &self,
        value: T,
        owner: impl FnOnce(&Relay) -> Option<Owner>,
    ) -> Option<Option<Arc<T>>> {
        let values = &self.service.shard.extensions;
        // Dropping a value is code of the program: this one is dropped without the lock.
        let value = Arc::new(value);
        self.look(|relay| Some(values.insert(owner(relay)?, value.clone())))
    }

    fn room_owner(&self, room: &str) -> Option<Owner> {
        self.look(|relay| relay.room_id(room)).map(Owner::Room)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use crate::server::Server;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_value_is_kept_in_the_moment_in_which_its_owner_is_there() {
        let server = Server::builder().local_only().build().handle();
        server.create_room("lobby").unwrap();
        let other = server.clone();
        let mut insertion = None;
        server.service.shard.extensions.meanwhile(|| {
            insertion = Some(std::thread::spawn(move || other.insert_room_value("lobby", 1_u32)));
            // Between its look and its deed nobody can end the room.
            let start = Instant::now();
            while !server.service.shard.is_locked() {
                assert!(start.elapsed() < PATIENCE, "the room may end before the value is kept");
                std::thread::yield_now();
            }
        });
        insertion.unwrap().join().unwrap().unwrap();
        server.delete_room("lobby").unwrap();
        assert!(server.insert_room_value("lobby", 2_u32).is_err());
    }

    #[test]
    fn a_value_that_is_not_kept_is_dropped_outside_of_the_lock() {
        struct Heir(ServerHandle, mpsc::Sender<()>);
        impl Drop for Heir {
            fn drop(&mut self) {
                self.0.client_count();
                let _ = self.1.send(());
            }
        }
        let server = Server::builder().local_only().build().handle();
        let (done, end) = mpsc::channel();
        std::thread::spawn(move || {
            server.insert_client_value(ClientId::nil(), Heir(server.clone(), done))
        });
        end.recv_timeout(PATIENCE).expect("its destructor may ask the server");
    }
}
