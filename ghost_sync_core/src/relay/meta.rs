//! Metadata of rooms and clients: a small string map with a version.

use std::collections::BTreeMap;

use super::error::MetaError;
use crate::wire::{Meta, Refusal};

/// A bounded string map; each change adds one to its version.
#[derive(Clone, Debug)]
pub(super) struct MetaMap {
    entries: BTreeMap<String, String>,
    version: u64,
    limit: MetaLimit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct MetaLimit {
    pub(super) bytes: usize,
    pub(super) entries: usize,
}

impl MetaMap {
    pub(super) fn new(limit: MetaLimit) -> Self {
        Self { entries: BTreeMap::new(), version: 0, limit }
    }

    /// A map with these entries at version 0.
    pub(super) fn with(limit: MetaLimit, entries: Vec<Meta>) -> Result<Self, MetaError> {
        let map = Self { entries: entries.into_iter().collect(), version: 0, limit };
        map.check(map.size(), map.entries.len())?;
        Ok(map)
    }

    /// Sets or removes `key`; returns the new version.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        if_version: Option<u64>,
    ) -> Result<u64, MetaError> {
        if if_version.is_some_and(|expected| expected != self.version) {
            return Err(MetaError::Conflict { current: self.version });
        }
        match value {
            Some(value) => {
                let old = self.entries.get(key).map(|old| key.len() + old.len());
                let size = self.size() - old.unwrap_or(0) + key.len() + value.len();
                self.check(size, self.entries.len() + usize::from(old.is_none()))?;
                self.entries.insert(key.to_owned(), value.to_owned());
            }
            None => {
                self.entries.remove(key);
            }
        }
        self.version += 1;
        Ok(self.version)
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The entries, sorted by key.
    pub(super) fn to_vec(&self) -> Vec<Meta> {
        self.entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn size(&self) -> usize {
        self.entries.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    fn check(&self, bytes: usize, entries: usize) -> Result<(), MetaError> {
        let MetaLimit { bytes: max_bytes, entries: max_entries } = self.limit;
        if bytes > max_bytes || entries > max_entries {
            return Err(MetaError::TooLarge { max_bytes, max_entries });
        }
        Ok(())
    }
}

impl MetaLimit {
    pub(super) const ROOM: Self = Self { bytes: 16 * 1024, entries: 64 };
    pub(super) const CLIENT: Self = Self { bytes: 2 * 1024, entries: 32 };
}

impl MetaError {
    pub(super) fn as_refusal(&self) -> Refusal {
        match self {
            Self::TooLarge { max_bytes, max_entries } => Refusal::MetaTooLarge {
                max_bytes: clamp_u32(*max_bytes),
                max_entries: clamp_u32(*max_entries),
            },
            Self::Conflict { current } => Refusal::MetaConflict { current: *current },
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

    const LIMIT: MetaLimit = MetaLimit { bytes: 10, entries: 2 };

    #[test]
    fn a_change_with_an_old_version_is_refused_and_changes_nothing() {
        let mut map = MetaMap::new(LIMIT);
        assert_eq!(map.set("a", Some("1"), Some(0)), Ok(1));
        assert_eq!(map.set("a", Some("2"), Some(0)), Err(MetaError::Conflict { current: 1 }));
        assert_eq!(map.to_vec(), [("a".into(), "1".into())]);
    }

    #[test]
    fn limits_hold_at_their_edges_and_replacing_frees_the_old_value() {
        let mut map = MetaMap::new(LIMIT);
        assert_eq!(map.set("a", Some("123456789"), None), Ok(1));
        let too_large = MetaError::TooLarge { max_bytes: 10, max_entries: 2 };
        assert_eq!(map.set("b", Some(""), None), Err(too_large.clone()));
        assert_eq!(map.set("a", Some("1"), None), Ok(2));
        assert_eq!(map.set("b", Some("2"), None), Ok(3));
        assert_eq!(map.set("c", Some("3"), None), Err(too_large));
        assert_eq!(map.set("a", None, None), Ok(4));
        assert_eq!(map.set("c", Some("3"), None), Ok(5));
    }
}
