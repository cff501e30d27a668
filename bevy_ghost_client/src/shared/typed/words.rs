//! Typed messages that are said before their numbers are known.

use std::any::{TypeId, type_name};

use bevy::log::error;
use bytes::Bytes;
use ghost_sync_core::wire::MessageType;

use super::{GhostMessage, MessageRegistry, Side};

/// Typed messages as bytes, in the order in which they were said.
#[derive(Clone, Debug, Default)]
pub struct Words(Vec<Word>);

#[derive(Clone, Debug)]
struct Word {
    rust_type: TypeId,
    rust_name: &'static str,
    payload: Bytes,
}

impl Words {
    /// Adds a message. One that cannot be encoded is left out, and the log says so.
    pub fn say<T: GhostMessage>(&mut self, message: &T) {
        let (rust_type, rust_name) = (TypeId::of::<T>(), type_name::<T>());
        match wincode::serialize(message) {
            Ok(payload) => self.0.push(Word { rust_type, rust_name, payload: payload.into() }),
            Err(error) => error!("cannot encode a {rust_name}: {error}"),
        }
    }

    /// Adds what others say.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// What the payloads are, and their bytes, as the server says them. Those of types that
    /// `registry` does not know, or that clients alone say, are left out, and the log says so.
    pub fn numbered(self, registry: &mut MessageRegistry) -> Vec<(MessageType, Bytes)> {
        let number = |word: Word| {
            let message_type = registry.number_of(word.rust_type);
            if message_type.is_none() {
                error!("cannot send a {}: it is not registered", word.rust_name);
            }
            let message_type = message_type?;
            registry.may_say(message_type, Side::Server).then_some((message_type, word.payload))
        };
        self.0.into_iter().filter_map(number).collect()
    }
}
