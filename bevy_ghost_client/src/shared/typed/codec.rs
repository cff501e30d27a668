//! Payloads as bytes: wincode for registered types, nothing at all for [`Raw`].

use bevy::reflect::Reflect;
use bytes::{Bytes, BytesMut};
use ghost_sync_core::wire::MessageType;
use wincode::{ReadError, WriteError, config::DefaultConfig};

use super::message::GhostMessage;

/// Bytes that no registered type stands for.
///
/// Read it in the envelopes like a type (`MessageReader<FromRoom<Raw>>`), and
/// write it to say something that only the game understands.
#[derive(Clone, Debug, PartialEq, Reflect)]
#[reflect(opaque)]
pub struct Raw {
    /// What the sender says the bytes are; [`MessageType::RAW`] for nothing in particular.
    pub message_type: MessageType,
    /// What only the game understands; nothing is added on the wire.
    pub data: Bytes,
}

impl Raw {
    /// Bytes of no type.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { message_type: MessageType::RAW, data: data.into() }
    }
}

/// How one payload type becomes bytes and back.
pub(super) trait Codec: Send + Sync + Sized + 'static {
    fn encode(
        &self,
        registered: MessageType,
        buffer: &mut Buffer,
    ) -> Result<(MessageType, Bytes), WriteError>;
    fn decode(message_type: MessageType, payload: &Bytes) -> Result<Self, ReadError>;
}

/// Memory that the payloads of a frame share, instead of an allocation for each.
#[derive(Default)]
pub(super) struct Buffer {
    /// The message that is being written: a type may fail halfway.
    message: Vec<u8>,
    chunk: BytesMut,
}

impl Buffer {
    fn encode<T: GhostMessage>(&mut self, message: &T) -> Result<Bytes, WriteError> {
        self.message.clear();
        wincode::serialize_into(&mut self.message, message)?;
        if self.chunk.capacity() < self.message.len() {
            self.chunk = BytesMut::with_capacity(CHUNK.max(self.message.len()));
        }
        self.chunk.extend_from_slice(&self.message);
        Ok(self.chunk.split().freeze())
    }
}

impl<T: GhostMessage> Codec for T {
    fn encode(
        &self,
        registered: MessageType,
        buffer: &mut Buffer,
    ) -> Result<(MessageType, Bytes), WriteError> {
        Ok((registered, buffer.encode(self)?))
    }

    fn decode(_: MessageType, payload: &Bytes) -> Result<Self, ReadError> {
        wincode::config::deserialize_exact(payload, DefaultConfig::default())
    }
}

impl Codec for Raw {
    fn encode(&self, _: MessageType, _: &mut Buffer) -> Result<(MessageType, Bytes), WriteError> {
        Ok((self.message_type, self.data.clone()))
    }

    fn decode(message_type: MessageType, payload: &Bytes) -> Result<Self, ReadError> {
        Ok(Self { message_type, data: payload.clone() })
    }
}

/// Bytes that are allocated at once for payloads.
const CHUNK: usize = 16 * 1024;
