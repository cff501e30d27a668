//! Metadata that a client cannot change.

use std::sync::Arc;

use crate::wire::{InvalidMetaKey, MAX_META_BYTES, MAX_META_ENTRIES, Meta, check_meta_key};

/// Metadata that was vouched for, sorted by key: at most [`MAX_META_ENTRIES`] entries of
/// [`MAX_META_BYTES`] together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LockedMeta(Arc<[Meta]>);

impl LockedMeta {
    /// Checks and sorts the entries.
    ///
    /// # Errors
    /// [`InvalidLockedMeta`] when one has no valid key, two have the same, or they are too
    /// much together.
    pub fn new<K: Into<String>, V: Into<String>>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, InvalidLockedMeta> {
        let entries = entries.into_iter().take(MAX_META_ENTRIES + 1);
        let mut entries: Vec<Meta> =
            entries.map(|(key, value)| (key.into(), value.into())).collect();
        for (key, _) in &entries {
            check_meta_key(key).map_err(|why| InvalidLockedMeta::Key {
                key: key.chars().take(32).collect(),
                why,
            })?;
        }
        let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        if entries.len() > MAX_META_ENTRIES || bytes > MAX_META_BYTES {
            return Err(InvalidLockedMeta::TooLarge);
        }
        entries.sort_unstable();
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(InvalidLockedMeta::Twice { key: pair[0].0.clone() });
        }
        Ok(Self(entries.into()))
    }

    /// The entries, in rising order of their keys.
    pub fn entries(&self) -> &[Meta] {
        &self.0
    }

    /// What is said of that key; `None` where the client may say it itself.
    pub fn value(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(one, _)| one.as_str().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }
}

/// Why entries cannot be [`LockedMeta`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLockedMeta {
    /// Choose another key.
    #[error("{key:?} is not a key of metadata")]
    Key {
        /// The text, cut to 32 characters.
        key: String,
        /// What is wrong with it.
        #[source]
        why: InvalidMetaKey,
    },
    /// Say each key once.
    #[error("the key {key:?} comes twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// Say less.
    #[error("metadata is limited to {MAX_META_BYTES} bytes and {MAX_META_ENTRIES} entries")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_found() {
        let meta = LockedMeta::new([("team", "red"), ("name", "Ada")]).unwrap();
        assert_eq!(meta.entries()[0].0, "name");
        assert_eq!((meta.value("team"), meta.value("colour")), (Some("red"), None));
    }

    #[test]
    fn what_no_client_could_have_is_refused() {
        let locked = |entries: &[(&str, String)]| LockedMeta::new(entries.iter().cloned());
        let short = || "x".to_owned();
        let twice = InvalidLockedMeta::Twice { key: "a".to_owned() };
        assert_eq!(locked(&[("a", short()), ("b", short()), ("a", short())]), Err(twice));
        assert!(matches!(locked(&[("", short())]), Err(InvalidLockedMeta::Key { .. })));
        assert!(locked(&[("k", "v".repeat(MAX_META_BYTES - 1))]).is_ok());
        let long = locked(&[("k", "v".repeat(MAX_META_BYTES))]);
        assert_eq!(long, Err(InvalidLockedMeta::TooLarge));
        let many = LockedMeta::new((0..=MAX_META_ENTRIES).map(|key| (key.to_string(), "")));
        assert_eq!(many, Err(InvalidLockedMeta::TooLarge));
    }
}
