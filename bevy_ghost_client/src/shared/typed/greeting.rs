//! What newcomers are told: typed messages that are said before their numbers are known.

use std::any::{TypeId, type_name};

use bevy::log::error;
use bytes::Bytes;
use ghost_sync_core::wire::MessageType;

use super::{directions::Side, message::GhostMessage, registry::MessageRegistry};

/// Typed messages as bytes, in the order in which they were said.
#[derive(Clone, Debug, Default)]
pub struct Greeting(Vec<Encoded>);

#[derive(Clone, Debug)]
struct Encoded {
    rust_type: TypeId,
    rust_name: &'static str,
    payload: Bytes,
}

impl Greeting {
    /// Adds a message. One that cannot be encoded is left out, and the log says so.
    pub fn add<T: GhostMessage>(&mut self, message: &T) {
        let (rust_type, rust_name) = (TypeId::of::<T>(), type_name::<T>());
        match wincode::serialize(message) {
            Ok(payload) => self.0.push(Encoded { rust_type, rust_name, payload: payload.into() }),
            Err(error) => error!("cannot encode a {rust_name}: {error}"),
        }
    }

    /// Adds what comes after it.
    pub fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    /// What the payloads are, and their bytes, as the server says them. Those of types that
    /// `registry` does not know, or that clients alone say, are left out, and the log says so.
    pub fn numbered(self, registry: &mut MessageRegistry) -> Vec<(MessageType, Bytes)> {
        let number = |message: Encoded| {
            let message_type = registry.number_of(message.rust_type);
            if message_type.is_none() {
                error!("cannot send a {}: it is not registered", message.rust_name);
            }
            let message_type = message_type?;
            registry.may_say(message_type, Side::Server).then_some((message_type, message.payload))
        };
        self.0.into_iter().filter_map(number).collect()
    }
}
