//! Metadata of rooms and clients: a small string map with a version. Each key has an
//! owner: what the server has set, or removed, a client does not change.

mod change;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use change::{MetadataChange, OwnedChange};

use super::{error::MetadataError, plants};
use crate::wire::{
    MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MetadataEntry, Refusal, check_metadata_key,
};

/// A bounded string map; each change adds one to its version.
#[derive(Clone, Debug)]
pub(super) struct MetadataMap {
    entries: BTreeMap<String, OwnedValue>,
    /// Keys that the server has removed.
    removed: BTreeSet<String>,
    version: u64,
    limit: MetadataLimit,
}

#[derive(Clone, Debug)]
struct OwnedValue {
    value: String,
    owner: Owner,
}

/// Who set a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    Server,
    Client,
}

/// What each owner may have: one must not use up what the other may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MetadataLimit {
    pub(super) bytes: usize,
    pub(super) entries: usize,
    /// Keys removed by the server that are remembered one by one; past it, a client
    /// may change no key but those that it has.
    pub(super) removed: usize,
}

impl MetadataMap {
    pub(super) fn new(limit: MetadataLimit) -> Self {
        let (entries, removed) = (BTreeMap::new(), BTreeSet::new());
        Self { entries, removed, version: 0, limit }
    }

    /// A map at version 0 with the entries that a client brings.
    pub(super) fn with(
        limit: MetadataLimit,
        entries: Vec<MetadataEntry>,
    ) -> Result<Self, MetadataError> {
        let mut map = Self::new(limit);
        for (key, value) in entries {
            map.check(Owner::Client, &key, Some(&value), None)?;
            map.entries.insert(key, OwnedValue { value, owner: Owner::Client });
        }
        Ok(map)
    }

    /// Sets or removes `key`; returns the new version.
    pub(super) fn set(
        &mut self,
        owner: Owner,
        key: &str,
        value: Option<&str>,
        if_version: Option<u64>,
    ) -> Result<u64, MetadataError> {
        self.check(owner, key, value, if_version)?;
        self.removed.remove(key);
        match value {
            Some(value) => {
                self.entries.insert(key.to_owned(), OwnedValue { value: value.to_owned(), owner });
            }
            None => {
                self.entries.remove(key);
                if owner == Owner::Server && self.removed.len() < self.limit.removed {
                    self.removed.insert(key.to_owned());
                }
            }
        }
        self.version += 1;
        Ok(self.version)
    }

    /// Sets a key in the server's name before anybody was told any: in place of what the client
    /// says, and without another version. Whoever vouches keeps to the server's limit.
    pub(super) fn vouch(&mut self, key: &str, value: &str) {
        let entry = OwnedValue { value: value.to_owned(), owner: Owner::Server };
        self.entries.insert(key.to_owned(), entry);
    }

    /// Whether `key` may be changed like this now.
    pub(super) fn check(
        &self,
        owner: Owner,
        key: &str,
        value: Option<&str>,
        if_version: Option<u64>,
    ) -> Result<(), MetadataError> {
        check_metadata_key(key)
            .map_err(|why| MetadataError::InvalidKey { key: shown(key), why })?;
        if owner == Owner::Client && self.is_servers(key) && plants::locks_hold() {
            return Err(MetadataError::OwnedByServer(key.to_owned()));
        }
        if if_version.is_some_and(|expected| expected != self.version) {
            return Err(MetadataError::Conflict { current: self.version });
        }
        let Some(value) = value else { return Ok(()) };
        let others = self.entries.iter().filter(|(of, entry)| *of != key && entry.owner == owner);
        let size = |(key, entry): (&String, &OwnedValue)| key.len() + entry.value.len();
        let MetadataLimit { bytes: max_bytes, entries: max_entries, .. } = self.limit;
        let (mut bytes, mut entries) = (key.len() + value.len(), 1);
        for other in others {
            bytes += size(other);
            entries += 1;
        }
        if bytes > max_bytes || entries > max_entries {
            return Err(MetadataError::TooLarge { max_bytes, max_entries });
        }
        Ok(())
    }

    pub(super) fn is_servers(&self, key: &str) -> bool {
        match self.entries.get(key) {
            Some(entry) => entry.owner == Owner::Server,
            None => self.removed.contains(key) || self.removed.len() >= self.limit.removed,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The entries, sorted by key.
    pub(super) fn to_vec(&self) -> Vec<MetadataEntry> {
        self.entries.iter().map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
    }
}

impl MetadataLimit {
    /// Of a room, whose metadata is the server's alone.
    pub(super) const ROOM: Self = Self { bytes: 16 * 1024, entries: 64, removed: 0 };
    pub(super) const CLIENT: Self =
        Self { bytes: MAX_METADATA_BYTES, entries: MAX_METADATA_ENTRIES, removed: 256 };
}

/// What is repeated of a key that is none: it may be long.
fn shown(key: &str) -> String {
    key.chars().take(32).collect()
}

/// Whether clients may have `key` at all; says which they may if not.
pub(super) fn check_listed(allowed: Option<&BTreeSet<String>>, key: &str) -> Result<(), String> {
    let Some(allowed) = allowed.filter(|allowed| !allowed.contains(key)) else { return Ok(()) };
    if allowed.is_empty() {
        return Err(format!("clients may set no metadata here, and {key:?} was set"));
    }
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    Err(format!("clients may set no metadata {key:?} here, only: {}", allowed.join(", ")))
}

impl MetadataError {
    pub(super) fn as_refusal(&self) -> Refusal {
        match self {
            Self::TooLarge { max_bytes, max_entries } => {
                Refusal::metadata_too_large(*max_bytes, *max_entries)
            }
            Self::Conflict { current } => Refusal::MetadataConflict { current: *current },
            Self::InvalidKey { key, why } => Refusal::invalid_metadata_key(key, *why),
            Self::OwnedByServer(_) => Refusal::Forbidden { what: self.to_string() },
            Self::RoomNotFound(_) | Self::ClientNotFound(_) => Refusal::NotInRoom,
        }
    }
}

/// `value` as the wire has it; larger ones are cut to the largest.
pub(super) fn clamp_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: MetadataLimit = MetadataLimit { bytes: 10, entries: 2, removed: 2 };
    const TOO_LARGE: MetadataError = MetadataError::TooLarge { max_bytes: 10, max_entries: 2 };

    #[test]
    fn a_change_with_an_old_version_is_refused_and_changes_nothing() {
        let mut map = MetadataMap::new(LIMIT);
        assert_eq!(map.set(Owner::Client, "a", Some("1"), Some(0)), Ok(1));
        let late = map.set(Owner::Client, "a", Some("2"), Some(0));
        assert_eq!(late, Err(MetadataError::Conflict { current: 1 }));
        assert_eq!(map.to_vec(), [("a".into(), "1".into())]);
    }

    #[test]
    fn limits_hold_at_their_edges_and_replacing_frees_the_old_value() {
        let mut map = MetadataMap::new(LIMIT);
        let mut set = |key, value| map.set(Owner::Client, key, value, None);
        assert_eq!(set("a", Some("123456789")), Ok(1));
        assert_eq!(set("b", Some("")), Err(TOO_LARGE));
        assert_eq!(set("a", Some("1")), Ok(2));
        assert_eq!(set("b", Some("2")), Ok(3));
        assert_eq!(set("c", Some("3")), Err(TOO_LARGE));
        assert_eq!(set("a", None), Ok(4));
        assert_eq!(set("c", Some("3")), Ok(5));
    }

    #[test]
    fn a_client_changes_no_key_that_the_server_has_set_or_removed() {
        let mut map = MetadataMap::with(LIMIT, vec![("n".into(), "1".into())]).unwrap();
        assert_eq!(map.set(Owner::Client, "n", Some("2"), None), Ok(1));
        assert_eq!(map.set(Owner::Server, "n", Some("3"), None), Ok(2));
        let denied = Err(MetadataError::OwnedByServer("n".into()));
        assert_eq!(map.set(Owner::Client, "n", Some("4"), None), denied);
        assert_eq!(map.set(Owner::Client, "n", None, None), denied);
        assert_eq!(map.set(Owner::Server, "n", None, None), Ok(3));
        assert_eq!(map.set(Owner::Client, "n", Some("4"), None), denied);
        assert_eq!(map.set(Owner::Server, "n", Some("5"), None), Ok(4));
        assert_eq!(map.to_vec(), [("n".into(), "5".into())]);
    }

    #[test]
    fn what_a_client_sets_takes_no_room_from_the_server() {
        let mut map = MetadataMap::new(LIMIT);
        assert_eq!(map.set(Owner::Client, "a", Some("123456789"), None), Ok(1));
        assert_eq!(map.set(Owner::Server, "b", Some("123456789"), None), Ok(2));
        assert_eq!(map.set(Owner::Server, "c", Some(""), None), Err(TOO_LARGE));
    }

    #[test]
    fn past_the_removed_keys_that_are_remembered_a_client_keeps_to_its_own() {
        let mut map = MetadataMap::with(LIMIT, vec![("own".into(), "1".into())]).unwrap();
        for key in ["x", "y", "z"] {
            map.set(Owner::Server, key, None, None).unwrap();
        }
        let denied = Err(MetadataError::OwnedByServer("z".into()));
        assert_eq!(map.set(Owner::Client, "z", Some("1"), None), denied);
        assert_eq!(map.set(Owner::Client, "own", Some("2"), None), Ok(4));
    }
}
