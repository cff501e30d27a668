//! What two programs must agree on beyond the wire: the typed messages they know.

use std::collections::{BTreeMap, BTreeSet};

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

/// Who may say a typed message.
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
pub enum Direction {
    /// The server and its clients.
    #[default]
    Both,
    /// The server alone: a client that says it is refused, and not heard.
    FromServer,
    /// Clients alone: what the server says of it is not heard.
    FromClients,
}

impl Direction {
    /// Whether the server may say it.
    pub fn allows_server(self) -> bool {
        self != Self::FromClients
    }

    /// Whether a client may say it.
    pub fn allows_clients(self) -> bool {
        self != Self::FromServer
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Both => "from both sides",
            Self::FromServer => "from the server",
            Self::FromClients => "from clients",
        })
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
    /// Who may say it.
    pub direction: Direction,
}

/// A typed message that two programs do not know alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TypeMismatch {
    /// Its name.
    pub name: String,
    /// What is different.
    pub how: Mismatch,
}

/// How what one program knows of a typed message differs from what another does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mismatch {
    /// The other side lacks it.
    OnlyHere,
    /// This side lacks it.
    OnlyThere,
    /// It is encoded in another way: its fields have changed.
    Shape,
    /// Other sides may say it.
    Direction {
        /// Who may say it, as this side knows it.
        here: Direction,
        /// Who may say it, as the other side knows it.
        there: Direction,
    },
}

/// The set of typed messages a program knows; compared in the handshake.
///
/// A program that is told of no set at all speaks with everybody; the empty set fits the
/// empty set only.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Protocol {
    types: Vec<ProtocolType>,
    /// Those that one side alone may say, by number.
    one_way: BTreeMap<MessageType, (String, Direction)>,
}

impl Protocol {
    /// Adds a type; the order of calls does not matter.
    pub fn add(&mut self, name: &str, shape: u64, direction: Direction) {
        let new = ProtocolType { name: name.to_owned(), shape, direction };
        if let Err(at) = self.types.binary_search(&new) {
            self.types.insert(at, new);
            if direction != Direction::Both {
                self.one_way.insert(MessageType::of(name), (name.to_owned(), direction));
            }
        }
    }

    /// The name of a type that clients may not say.
    pub fn denied_to_clients(&self, message_type: MessageType) -> Option<&str> {
        let (name, direction) = self.one_way.get(&message_type)?;
        (!direction.allows_clients()).then_some(name)
    }

    /// The name of a type that the server may not say.
    pub fn denied_to_server(&self, message_type: MessageType) -> Option<&str> {
        let (name, direction) = self.one_way.get(&message_type)?;
        (!direction.allows_server()).then_some(name)
    }

    /// The types, sorted by name.
    pub fn types(&self) -> &[ProtocolType] {
        &self.types
    }

    /// In place of a [`hash`](Self::hash): whatever the other side knows will do.
    pub const UNCHECKED: u64 = 0;

    /// One number for the whole set, never [`UNCHECKED`](Self::UNCHECKED).
    pub fn hash(&self) -> u64 {
        let hash = self.types.iter().fold(FNV_START, |hash, known| {
            let hash = fnv1a(hash, known.name.as_bytes());
            let hash = fnv1a(fnv1a(hash, &[0]), &known.shape.to_le_bytes());
            fnv1a(hash, &[known.direction as u8])
        });
        hash.max(1)
    }

    /// The types that only one side has, or that differ, in the order of their names. Of
    /// one that differs in shape and direction, the shape is named.
    pub fn differences(&self, other: &[ProtocolType]) -> Vec<TypeMismatch> {
        let only_here = self.types.iter().filter(|known| !other.contains(known));
        let only_there = other.iter().filter(|known| !self.types.contains(known));
        let (mut here, mut there) = (BTreeMap::new(), BTreeMap::new());
        here.extend(only_here.map(|known| (&known.name, known)));
        there.extend(only_there.map(|known| (&known.name, known)));
        let names: BTreeSet<_> = here.keys().chain(there.keys()).copied().collect();
        let of = |types: &BTreeMap<&String, &ProtocolType>, all: &[ProtocolType], name: &String| {
            let found = types.get(name).copied().cloned();
            found.or_else(|| all.iter().find(|known| known.name == *name).cloned())
        };
        let mismatch = |name: &String| {
            let how = match (of(&here, &self.types, name), of(&there, other, name)) {
                (Some(here), Some(there)) if here.shape == there.shape => {
                    Mismatch::Direction { here: here.direction, there: there.direction }
                }
                (Some(_), Some(_)) => Mismatch::Shape,
                (Some(_), None) => Mismatch::OnlyHere,
                (None, _) => Mismatch::OnlyThere,
            };
            TypeMismatch { name: name.clone(), how }
        };
        names.into_iter().map(mismatch).collect()
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
        a.add("Chat", 1, Direction::Both);
        a.add("Move", 2, Direction::Both);
        b.add("Move", 2, Direction::Both);
        b.add("Chat", 1, Direction::Both);
        assert_eq!(a.hash(), b.hash());
        assert_ne!(a.hash(), Protocol::default().hash());
        assert_eq!(Protocol::default().hash(), 0xcbf2_9ce4_8422_2325, "as PROTOCOL.md says");
    }

    #[test]
    fn differences_name_missing_and_changed_types_once() {
        let (mut a, mut b) = (Protocol::default(), Protocol::default());
        a.add("Chat", 1, Direction::Both);
        a.add("Same", 9, Direction::Both);
        b.add("Chat", 2, Direction::Both);
        b.add("Same", 9, Direction::Both);
        b.add("New", 3, Direction::Both);
        let told = |name: &str, how| TypeMismatch { name: name.to_owned(), how };
        let differing = [told("Chat", Mismatch::Shape), told("New", Mismatch::OnlyThere)];
        assert_eq!(a.differences(b.types()), differing);
        let differing = [told("Chat", Mismatch::Shape), told("New", Mismatch::OnlyHere)];
        assert_eq!(b.differences(a.types()), differing);
        assert_ne!(a.hash(), b.hash());
    }

    #[test]
    fn a_message_type_is_a_stable_number() {
        assert_eq!(MessageType::of("Chat"), MessageType::of("Chat"));
        assert_ne!(MessageType::of("Chat"), MessageType::of("chat"));
        assert_eq!(fnv1a(FNV_START, b"foobar"), 0x8594_4171_f739_67e8, "published test vector");
    }

    #[test]
    fn a_direction_is_part_of_the_protocol_and_a_difference_names_both() {
        let (mut here, mut there) = (Protocol::default(), Protocol::default());
        here.add("Score", 1, Direction::FromServer);
        there.add("Score", 1, Direction::Both);
        assert_ne!(here.hash(), there.hash());
        let how = Mismatch::Direction { here: Direction::FromServer, there: Direction::Both };
        let differing = [TypeMismatch { name: "Score".to_owned(), how }];
        assert_eq!(here.differences(there.types()), differing);
        let score = MessageType::of("Score");
        assert_eq!(here.denied_to_clients(score), Some("Score"));
        assert_eq!(here.denied_to_server(score), None);
        assert_eq!(there.denied_to_clients(score), None);
        here.add("Move", 1, Direction::FromClients);
        assert_eq!(here.denied_to_server(MessageType::of("Move")), Some("Move"));
        assert_eq!(here.denied_to_clients(MessageType::of("Move")), None);
    }
}
