//! What a client says of itself when a session begins.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::wire::{
    ClientMessage, HEADER_LEN, MAGIC, MAX_HELLO, Protocol, Refusal, SessionTicket, VERSION,
};

use super::ConnectError;

/// The most metadata that a server takes from a client.
const MAX_META_BYTES: u32 = 2 * 1024;
const MAX_META_ENTRIES: u32 = 32;

/// The contents of a hello.
#[derive(Clone, Debug, Default)]
pub(crate) struct Introduction {
    pub(crate) protocol: Protocol,
    pub(crate) data: Bytes,
    pub(crate) meta: BTreeMap<String, String>,
    /// The session of an earlier process that is to go on.
    pub(crate) session: Option<SessionTicket>,
}

impl Introduction {
    /// The hello, one whole frame.
    pub(crate) fn hello(&self) -> Result<BytesMut, ConnectError> {
        let mut hello = BytesMut::new();
        let entry = |(key, value): (&String, &String)| (key.clone(), value.clone());
        ClientMessage::Hello {
            magic: MAGIC,
            version: VERSION,
            protocol: self.protocol.hash(),
            data: &self.data,
            meta: self.meta.iter().map(entry).collect(),
            session: self.session,
        }
        .encode(&mut hello);
        let len = hello.len() - HEADER_LEN;
        if len > MAX_HELLO { Err(ConnectError::HelloTooLarge { len }) } else { Ok(hello) }
    }

    /// Changes the metadata, unless that would keep the client from introducing itself.
    pub(crate) fn change(&mut self, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        let Some(value) = value else {
            self.meta.remove(key);
            return Ok(());
        };
        let old = self.meta.insert(key.to_owned(), value.to_owned());
        let bytes: usize = self.meta.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes <= MAX_META_BYTES as usize
            && self.meta.len() <= MAX_META_ENTRIES as usize
            && self.hello().is_ok()
        {
            return Ok(());
        }
        match old {
            Some(old) => self.meta.insert(key.to_owned(), old),
            None => self.meta.remove(key),
        };
        Err(Refusal::MetaTooLarge { max_bytes: MAX_META_BYTES, max_entries: MAX_META_ENTRIES })
    }
}
