//! What everybody in a room may know about it and its members.

use std::collections::BTreeMap;

use bevy::prelude::*;
use ghost_sync_core::wire::MetadataEntry;

/// What everybody in a room may know about a room or a member: short texts by key. At most 32
/// entries, and 2 KiB of keys and values together; a key has 1 to 64 bytes.
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

impl From<Vec<MetadataEntry>> for Metadata {
    fn from(entries: Vec<MetadataEntry>) -> Self {
        Self(entries.into_iter().collect())
    }
}
