//! What a side says beside the first messages' own fields: room for what comes later.

use wincode::{SchemaRead, SchemaWrite};

/// Something that a side can do, or says of itself, in its first message: an id, and bytes
/// that it defines.
///
/// Ids that a side does not know are skipped. From [`OWN`](Self::OWN) on they belong to the
/// program, below to the protocol (`PROTOCOL.md` lists those that are taken).
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Extension<'a> {
    /// Which.
    pub id: u16,
    /// What it says.
    pub data: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The program that a client is, as text for logs.
    pub const USER_AGENT: u16 = 5;

    /// The first id that the protocol does not use itself.
    pub const OWN: u16 = 32_768;

    /// What the list says about `id`.
    pub fn find(list: &[Self], id: u16) -> Option<&'a [u8]> {
        list.iter().find(|extension| extension.id == id).map(|extension| extension.data)
    }

    /// Whether the list is in the order of the ids, each once.
    pub(super) fn are_sorted(list: &[Self]) -> bool {
        list.is_sorted_by(|before, after| before.id < after.id)
    }
}
