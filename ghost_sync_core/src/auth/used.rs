//! Tokens that are good for one use, and were used.

use std::collections::{BTreeSet, HashSet};

use ring::digest;

use crate::wire::AuthError;

/// Tokens that were used, until they end by themselves.
#[derive(Debug, Default)]
pub(super) struct Used {
    seen: HashSet<Name>,
    /// The same, by the second since 1970 in which they may be forgotten.
    ends: BTreeSet<(u64, Name)>,
    is_full: bool,
}

/// A token's key and name, as the first half of a SHA-256: names have any length.
type Name = [u8; 16];

impl Used {
    /// The most that is remembered: some 20 MB.
    pub(super) const MAX: usize = 262_144;

    /// Uses a token that ends at that second.
    ///
    /// # Errors
    /// [`AuthError::Revoked`] when it was used, or when nothing more can be remembered: a token
    /// that was let in and forgotten could be used twice.
    pub(super) fn take(
        &mut self,
        kid: &str,
        jti: &str,
        end: u64,
        now: u64,
    ) -> Result<(), AuthError> {
        while let Some((_, name)) = self.ends.first().filter(|(end, _)| *end < now) {
            self.seen.remove(name);
            self.ends.pop_first();
        }
        if self.seen.len() >= Self::MAX {
            if !self.is_full {
                tracing::error!(max = Self::MAX, "too many tokens of one use: none is let in");
            }
            self.is_full = true;
            return Err(AuthError::Revoked);
        }
        self.is_full = false;
        let name = name(kid, jti);
        if !self.seen.insert(name) {
            return Err(AuthError::Revoked);
        }
        self.ends.insert((end, name));
        Ok(())
    }
}

fn name(kid: &str, jti: &str) -> Name {
    // No name of a key has a NUL.
    let hash = digest::digest(&digest::SHA256, format!("{kid}\0{jti}").as_bytes());
    hash.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_and_forgotten_after_its_end() {
        let mut used = Used::default();
        assert_eq!(used.take("k", "a", 100, 50), Ok(()));
        assert_eq!(used.take("k", "a", 100, 100), Err(AuthError::Revoked));
        assert_eq!(used.take("k2", "a", 100, 50), Ok(()));
        assert_eq!(used.take("k", "b", 200, 101), Ok(()));
        assert_eq!((used.seen.len(), used.ends.len()), (1, 1));
    }

    #[test]
    fn a_full_memory_lets_nobody_in_until_something_ends() {
        let mut used = Used::default();
        for jti in 0..Used::MAX {
            used.take("k", &jti.to_string(), 100, 50).unwrap();
        }
        assert_eq!(used.take("k", "one more", 100, 50), Err(AuthError::Revoked));
        assert_eq!(used.take("k", "one more", 200, 101), Ok(()));
    }
}
