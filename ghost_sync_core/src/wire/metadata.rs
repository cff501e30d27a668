//! Metadata: what may be a key, and the one order in which entries are sent.

/// A metadata entry: key and value.
pub type MetadataEntry = (String, String);

/// The longest key of metadata, in bytes.
pub const MAX_METADATA_KEY: usize = 64;

/// The most metadata that a client may have: bytes of keys and values, and entries.
pub const MAX_METADATA_BYTES: usize = 2 * 1024;
/// As [`MAX_METADATA_BYTES`].
pub const MAX_METADATA_ENTRIES: usize = 32;

/// Why a text is no key of metadata.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadataKey {
    /// Give at least one character.
    #[error("a key of metadata needs at least one character")]
    Empty,
    /// Shorten it.
    #[error("a key of metadata of {len} bytes is too long: at most {MAX_METADATA_KEY} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Leave out line breaks, tabs, NUL and the like.
    #[error("a key of metadata must not hold control characters")]
    ControlCharacter,
}

/// Checks a key of metadata: 1 to [`MAX_METADATA_KEY`] bytes of UTF-8 without control
/// characters. Keys are compared byte by byte.
///
/// # Errors
/// [`InvalidMetadataKey`], which says what is wrong.
pub fn check_metadata_key(key: &str) -> Result<(), InvalidMetadataKey> {
    if key.is_empty() {
        return Err(InvalidMetadataKey::Empty);
    }
    if key.len() > MAX_METADATA_KEY {
        return Err(InvalidMetadataKey::TooLong { len: key.len() });
    }
    if key.chars().any(char::is_control) {
        return Err(InvalidMetadataKey::ControlCharacter);
    }
    Ok(())
}

/// Whether entries are in rising order of their keys, each key once.
pub(super) fn is_sorted(meta: &[MetadataEntry]) -> bool {
    meta.is_sorted_by(|(before, _), (after, _)| before < after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_what_may_be_a_key() {
        assert_eq!(check_metadata_key(""), Err(InvalidMetadataKey::Empty));
        assert_eq!(check_metadata_key(&"k".repeat(MAX_METADATA_KEY)), Ok(()));
        let len = MAX_METADATA_KEY + 1;
        assert_eq!(check_metadata_key(&"k".repeat(len)), Err(InvalidMetadataKey::TooLong { len }));
        for bad in ["a\nb", "\0", "\u{7f}", "\u{85}"] {
            assert_eq!(check_metadata_key(bad), Err(InvalidMetadataKey::ControlCharacter));
        }
        assert_eq!(check_metadata_key("größe 🎮"), Ok(()));
    }

    #[test]
    fn entries_are_sorted_only_if_every_key_comes_once_and_in_order() {
        let meta = |keys: &[&str]| -> Vec<MetadataEntry> {
            keys.iter().map(|key| ((*key).to_owned(), String::new())).collect()
        };
        assert!(is_sorted(&meta(&[])) && is_sorted(&meta(&["a", "b"])));
        assert!(!is_sorted(&meta(&["b", "a"])) && !is_sorted(&meta(&["a", "a"])));
    }
}
