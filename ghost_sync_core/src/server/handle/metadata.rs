//! Metadata: small texts with a room or a client that everybody there can see.

use crate::{
    relay::MetadataError,
    wire::{ClientId, MetadataEntry},
};

use super::{ServerHandle, conn_of};

/// Metadata as it was at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MetadataSnapshot {
    /// Goes up by one with each change; for
    /// [`compare_and_set_room_metadata`](ServerHandle::compare_and_set_room_metadata).
    pub version: u64,
    /// The entries, sorted by key.
    pub entries: Vec<MetadataEntry>,
}

impl MetadataSnapshot {
    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

impl ServerHandle {
    /// Sets an entry of a room's metadata; its members are told. Returns the new version.
    ///
    /// # Errors
    /// [`MetadataError`]: there is no such room, or too much metadata.
    pub fn set_room_metadata(
        &self,
        room: impl AsRef<str>,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<u64, MetadataError> {
        self.change_room(room.as_ref(), key.as_ref(), Some(value.as_ref()), None)
    }

    /// Removes an entry of a room's metadata.
    ///
    /// # Errors
    /// As [`set_room_metadata`](Self::set_room_metadata).
    pub fn remove_room_metadata(
        &self,
        room: impl AsRef<str>,
        key: impl AsRef<str>,
    ) -> Result<u64, MetadataError> {
        self.change_room(room.as_ref(), key.as_ref(), None, None)
    }

    /// Sets or removes an entry of a room's metadata, if it is at `version`.
    ///
    /// # Errors
    /// As [`set_room_metadata`](Self::set_room_metadata), and [`MetadataError::Conflict`] with
    /// the version that is there.
    pub fn compare_and_set_room_metadata(
        &self,
        room: impl AsRef<str>,
        key: impl AsRef<str>,
        value: Option<&str>,
        version: u64,
    ) -> Result<u64, MetadataError> {
        self.change_room(room.as_ref(), key.as_ref(), value, Some(version))
    }

    /// A room's metadata.
    pub fn room_metadata(&self, room: impl AsRef<str>) -> Option<MetadataSnapshot> {
        let room = room.as_ref();
        let (version, entries) = self.look(|relay| relay.room_metadata(room))?;
        Some(MetadataSnapshot { version, entries })
    }

    /// Sets an entry of a client's metadata; its rooms are told. Returns the new version.
    /// The key is the server's from then on, also once it was removed: the client cannot
    /// change it.
    ///
    /// # Errors
    /// [`MetadataError`]: the client is gone, or there is too much metadata.
    pub fn set_client_metadata(
        &self,
        client: ClientId,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<u64, MetadataError> {
        self.change_client(client, key.as_ref(), Some(value.as_ref()), None)
    }

    /// Removes an entry of a client's metadata.
    ///
    /// # Errors
    /// As [`set_client_metadata`](Self::set_client_metadata).
    pub fn remove_client_metadata(
        &self,
        client: ClientId,
        key: impl AsRef<str>,
    ) -> Result<u64, MetadataError> {
        self.change_client(client, key.as_ref(), None, None)
    }

    /// Sets or removes an entry of a client's metadata, if it is at `version`.
    ///
    /// # Errors
    /// As [`set_client_metadata`](Self::set_client_metadata), and [`MetadataError::Conflict`]
    /// with the version that is there.
    pub fn compare_and_set_client_metadata(
        &self,
        client: ClientId,
        key: impl AsRef<str>,
        value: Option<&str>,
        version: u64,
    ) -> Result<u64, MetadataError> {
        self.change_client(client, key.as_ref(), value, Some(version))
    }

    /// A client's metadata.
    pub fn client_metadata(&self, client: ClientId) -> Option<MetadataSnapshot> {
        let (version, entries) =
            self.look(|relay| relay.client_metadata(relay.conn_of(client)?))?;
        Some(MetadataSnapshot { version, entries })
    }

    fn change_room(
        &self,
        room: &str,
        key: &str,
        value: Option<&str>,
        version: Option<u64>,
    ) -> Result<u64, MetadataError> {
        let shard = &self.service.shard;
        shard.act(|relay, now, out| relay.set_room_metadata(now, room, key, value, version, out))
    }

    fn change_client(
        &self,
        client: ClientId,
        key: &str,
        value: Option<&str>,
        version: Option<u64>,
    ) -> Result<u64, MetadataError> {
        self.service.shard.act(|relay, now, out| {
            let conn = conn_of(relay, client)?;
            relay.set_client_metadata(now, conn, key, value, version, out)
        })
    }
}
