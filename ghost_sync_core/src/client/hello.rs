//! What a client says of itself when a session begins.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::wire::{
    ClientMessage, Extension, HEADER_LEN, Hello, MAX_HELLO, MAX_METADATA_BYTES,
    MAX_METADATA_ENTRIES, Protocol, Refusal, SessionTicket, Token, check_metadata_key,
};

use super::ConnectError;

/// The contents of a hello.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnHello {
    /// The typed messages that the program knows, if it was told any set.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) data: Bytes,
    /// Who the client is, if it says so.
    pub(crate) token: Token,
    pub(crate) meta: BTreeMap<String, String>,
    /// What the program has changed since. The server may have refused it, so that it is
    /// no part of later hellos, which would be refused as a whole: it is asked for again.
    pub(crate) changes: BTreeMap<String, Option<String>>,
    /// What the program is, for the server's log; nothing is said if it is empty.
    pub(crate) user_agent: String,
    /// The session of an earlier process that is to go on.
    pub(crate) session: Option<SessionTicket>,
}

impl OwnHello {
    /// The hello, one whole frame.
    ///
    /// # Errors
    /// When the server would not take it, with the words that it would use.
    pub(crate) fn to_frame(&self) -> Result<BytesMut, ConnectError> {
        check_size(self.meta.iter()).map_err(ConnectError::InvalidMetadata)?;
        for key in self.meta.keys() {
            check_key(key).map_err(ConnectError::InvalidMetadata)?;
        }
        let mut hello = BytesMut::new();
        let said = Extension { id: Extension::USER_AGENT, data: self.user_agent.as_bytes() };
        let extensions = if said.data.is_empty() { Vec::new() } else { vec![said] };
        let entry = |(key, value): (&String, &String)| (key.clone(), value.clone());
        ClientMessage::Hello(Hello {
            protocol: self.protocol.as_ref().map_or(Protocol::UNCHECKED, Protocol::hash),
            data: &self.data,
            token: self.token.lend(),
            meta: self.meta.iter().map(entry).collect(),
            session: self.session,
            extensions,
            ..Hello::default()
        })
        .encode(&mut hello);
        let len = hello.len() - HEADER_LEN;
        if len > MAX_HELLO { Err(ConnectError::HelloTooLarge { len }) } else { Ok(hello) }
    }

    /// Notes a change of the metadata, unless it is one that the server would not take.
    pub(crate) fn change(&mut self, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        check_key(key)?;
        let old = self.changes.insert(key.to_owned(), value.map(str::to_owned));
        let unchanged = self.meta.iter().filter(|(key, _)| !self.changes.contains_key(*key));
        let set = self.changes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        // Keys that were set once and removed are remembered too, so they are bounded.
        let known = self.changes.len() <= 4 * MAX_METADATA_ENTRIES;
        let checked = check_size(unchanged.chain(set));
        if known && checked.is_ok() {
            return Ok(());
        }
        match old {
            Some(old) => self.changes.insert(key.to_owned(), old),
            None => self.changes.remove(key),
        };
        checked
    }

    /// What the program has changed, removals first: they make room.
    pub(crate) fn changes(&self) -> Vec<(String, Option<String>)> {
        let mut changes: Vec<_> = self.changes.clone().into_iter().collect();
        changes.sort_by_key(|(_, value)| value.is_some());
        changes
    }
}

/// Checks a key, with the words that the server would use.
pub(super) fn check_key(key: &str) -> Result<(), Refusal> {
    check_metadata_key(key).map_err(|why| Refusal::invalid_metadata_key(key, why))
}

fn check_size<'a>(meta: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), Refusal> {
    let (mut bytes, mut entries) = (0, 0);
    for (key, value) in meta {
        bytes += key.len() + value.len();
        entries += 1;
    }
    if bytes <= MAX_METADATA_BYTES && entries <= MAX_METADATA_ENTRIES {
        return Ok(());
    }
    Err(Refusal::metadata_too_large(MAX_METADATA_BYTES, MAX_METADATA_ENTRIES))
}
