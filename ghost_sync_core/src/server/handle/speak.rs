//! What the server itself says.

use crate::{
    relay::{Announcement, ConnId, ServerSendError},
    wire::{ClientId, Delivery, MessageType},
};

use super::{ServerHandle, conn_of};

impl ServerHandle {
    /// Says something to everybody in a room, reliably. Returns its place in the
    /// room's order.
    ///
    /// # Errors
    /// [`ServerSendError`]: there is no such room, or the payload is too large.
    pub fn broadcast(
        &self,
        room: impl AsRef<str>,
        data: impl AsRef<[u8]>,
    ) -> Result<u64, ServerSendError> {
        self.broadcast_with(room, Delivery::Reliable, MessageType::RAW, data)
    }

    /// Says the last value of a key of [`Latest`](Delivery::Latest): it is delivered like
    /// others, and newcomers are not given a value of that key afterwards.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_last(
        &self,
        room: impl AsRef<str>,
        key: u32,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<u64, ServerSendError> {
        let (room, data) = (room.as_ref(), data.as_ref());
        let shard = &self.service.shard;
        shard.act(|relay, now, _| relay.broadcast_last(now, room, key, message_type, data))
    }

    /// Says something to everybody in a room, in a way of choice.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_with(
        &self,
        room: impl AsRef<str>,
        delivery: Delivery,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<u64, ServerSendError> {
        let (room, data) = (room.as_ref(), data.as_ref());
        self.act(|relay, now, _| relay.broadcast(now, room, delivery, message_type, data))
    }

    /// Says something to everybody in a room but some, at most 4: see
    /// [`Announcement::except`]. Returns its place in the room's order.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast), and [`ServerSendError::TooManyLeftOut`].
    pub fn broadcast_except(
        &self,
        room: impl AsRef<str>,
        except: impl IntoIterator<Item = ClientId>,
        delivery: Delivery,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<u64, ServerSendError> {
        // The iterator is code of the program: it runs before the lock is taken.
        let except: Vec<ClientId> = except.into_iter().collect();
        let (room, payload) = (room.as_ref(), data.as_ref());
        self.act(|relay, now, _| {
            let except: Vec<ConnId> =
                except.into_iter().filter_map(|client| relay.conn_of(client)).collect();
            let except = &except[..];
            let words =
                Announcement { delivery, except, message_type, payload, ..Default::default() };
            relay.say(now, room, words)
        })
    }

    /// Says something to one client, reliably.
    ///
    /// # Errors
    /// [`ServerSendError`]: it is gone, or the payload is too large.
    pub fn send_to(&self, client: ClientId, data: impl AsRef<[u8]>) -> Result<(), ServerSendError> {
        self.send_to_with(client, Delivery::Reliable, MessageType::RAW, data)
    }

    /// Says something to one client, in a way of choice: see
    /// [`Relay::direct`](crate::relay::Relay::direct) for what may be lost.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub fn send_to_with(
        &self,
        client: ClientId,
        delivery: Delivery,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<(), ServerSendError> {
        let data = data.as_ref();
        self.act(|relay, _, _| {
            let conn = conn_of(relay, client)?;
            relay.direct(&[conn], None, delivery, message_type, data).map(|_| ())
        })
    }

    /// Says something to some clients, reliably. Returns how many of them are there.
    ///
    /// # Errors
    /// [`ServerSendError::PayloadTooLarge`].
    pub fn send_to_many(
        &self,
        clients: impl IntoIterator<Item = ClientId>,
        data: impl AsRef<[u8]>,
    ) -> Result<usize, ServerSendError> {
        self.send_to_many_with(clients, Delivery::Reliable, MessageType::RAW, data)
    }

    /// Says something to some clients, in a way of choice, as
    /// [`send_to_with`](Self::send_to_with) does. Returns how many of them are there.
    ///
    /// # Errors
    /// [`ServerSendError`]: the payload is too large, or the server may not say it.
    pub fn send_to_many_with(
        &self,
        clients: impl IntoIterator<Item = ClientId>,
        delivery: Delivery,
        message_type: MessageType,
        data: impl AsRef<[u8]>,
    ) -> Result<usize, ServerSendError> {
        // The iterator is code of the program: it runs before the lock is taken.
        let clients: Vec<ClientId> = clients.into_iter().collect();
        let data = data.as_ref();
        self.act(|relay, _, _| {
            let conns: Vec<ConnId> =
                clients.into_iter().filter_map(|client| relay.conn_of(client)).collect();
            relay.direct(&conns, None, delivery, message_type, data)
        })
    }

    /// Says something to every client, in a room or not. Returns how many there are.
    ///
    /// # Errors
    /// [`ServerSendError::PayloadTooLarge`].
    pub fn broadcast_all(&self, data: impl AsRef<[u8]>) -> Result<usize, ServerSendError> {
        let data = data.as_ref();
        self.act(|relay, _, _| relay.broadcast_all(MessageType::RAW, data))
    }
}
