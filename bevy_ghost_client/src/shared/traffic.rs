//! How much was said.

use std::ops::AddAssign;

use bevy::prelude::*;

/// An amount of messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Reflect)]
pub struct Traffic {
    /// How many.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl Traffic {
    /// Counts one more message.
    pub fn count(&mut self, payload: &[u8]) {
        self.messages += 1;
        self.bytes += payload.len() as u64;
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}
