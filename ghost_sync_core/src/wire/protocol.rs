//! What two programs must agree on beyond the wire: the typed messages they know.

/// The number of a typed message: a hash of its name, so that it does not
/// depend on the order in which types are registered.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    wincode::SchemaRead,
    wincode::SchemaWrite,
)]
pub struct MessageType(pub u32);

impl MessageType {
    /// Bytes whose meaning the game alone knows.
    pub const RAW: Self = Self(0);

    /// The number of the type called `name`; never [`RAW`](Self::RAW).
    pub fn of(name: &str) -> Self {
        let hash = fnv1a(FNV_START, name.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "folding the hash is the point")]
        let folded = (hash ^ (hash >> 32)) as u32;
        Self(folded.max(1))
    }
}

/// One typed message as both sides must know it.
#[derive(
    Clone, Debug, Eq, Ord, PartialEq, PartialOrd, wincode::SchemaRead, wincode::SchemaWrite,
)]
pub struct ProtocolType {
    /// The name that both sides use.
    pub name: String,
    /// A fingerprint of its encoding; two sides that differ here share a name only.
    pub shape: u64,
}

/// The set of typed messages a program knows; compared in the handshake.
///
/// A program without types (the default) speaks with everybody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Protocol {
    types: Vec<ProtocolType>,
}

impl Protocol {
    /// Adds a type; the order of calls does not matter.
    pub fn add(&mut self, name: &str, shape: u64) {
        let new = ProtocolType { name: name.to_owned(), shape };
        if let Err(at) = self.types.binary_search(&new) {
            self.types.insert(at, new);
        }
    }

    /// The types, sorted by name.
    pub fn types(&self) -> &[ProtocolType] {
        &self.types
    }

    /// One number for the whole set; 0 for the empty set.
    pub fn hash(&self) -> u64 {
        if self.types.is_empty() {
            return 0;
        }
        let hash = self.types.iter().fold(FNV_START, |hash, known| {
            let hash = fnv1a(hash, known.name.as_bytes());
            fnv1a(fnv1a(hash, &[0]), &known.shape.to_le_bytes())
        });
        hash.max(1)
    }

    /// Names of the types that only one side has, or that differ in shape.
    pub fn differences(&self, other: &[ProtocolType]) -> Vec<String> {
        let only_here = self.types.iter().filter(|known| !other.contains(known));
        let only_there = other.iter().filter(|known| !self.types.contains(known));
        let mut names: Vec<_> = only_here.chain(only_there).map(|t| t.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo): stable across machines and compilers,
/// which the standard library's hashers do not promise.
fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_registration() {
        let (mut a, mut b) = (Protocol::default(), Protocol::default());
        a.add("Chat", 1);
        a.add("Move", 2);
        b.add("Move", 2);
        b.add("Chat", 1);
        assert_eq!(a.hash(), b.hash());
        assert_ne!(a.hash(), Protocol::default().hash());
    }

    #[test]
    fn differences_name_missing_and_changed_types_once() {
        let (mut a, mut b) = (Protocol::default(), Protocol::default());
        a.add("Chat", 1);
        a.add("Same", 9);
        b.add("Chat", 2);
        b.add("Same", 9);
        b.add("New", 3);
        assert_eq!(a.differences(b.types()), ["Chat", "New"]);
        assert_ne!(a.hash(), b.hash());
    }

    #[test]
    fn a_message_type_is_a_stable_number() {
        assert_eq!(MessageType::of("Chat"), MessageType::of("Chat"));
        assert_ne!(MessageType::of("Chat"), MessageType::of("chat"));
        assert_eq!(fnv1a(FNV_START, b"foobar"), 0x8594_4171_f739_67e8, "published test vector");
    }
}
