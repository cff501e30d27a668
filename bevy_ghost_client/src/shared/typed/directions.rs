//! Who may say which type, and what becomes of what the wrong side says.

use bevy::{
    log::{error, warn},
    platform::collections::HashMap,
};
use ghost_sync_core::wire::{Direction, MessageType};

/// The types that one side alone may say.
#[derive(Default)]
pub(super) struct Directions {
    one_way: HashMap<MessageType, OneWay>,
    misdirected: u64,
}

struct OneWay {
    name: String,
    direction: Direction,
    /// Whether the log has said that this app says it against its direction.
    told: bool,
}

/// Who says something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The server program.
    Server,
    /// A client.
    Client,
}

impl Directions {
    pub(super) fn of(&self, message_type: MessageType) -> Direction {
        self.one_way.get(&message_type).map_or(Direction::Both, |it| it.direction)
    }

    pub(super) fn set(&mut self, message_type: MessageType, name: &str, direction: Direction) {
        let known = self.of(message_type);
        assert!(
            known == Direction::Both || known == direction,
            "`{name}` is registered as a message {known}, and cannot be one {direction} as well",
        );
        let name = name.to_owned();
        self.one_way.insert(message_type, OneWay { name, direction, told: false });
    }

    pub(super) fn allow(&self, message_type: MessageType, side: Side) -> bool {
        if self.one_way.is_empty() {
            return true;
        }
        let direction = self.of(message_type);
        match side {
            Side::Server => direction.allows_server(),
            Side::Client => direction.allows_clients(),
        }
    }

    /// This app wants to say something that it may not.
    pub(super) fn blame(&mut self, message_type: MessageType) {
        let Some(it) = self.one_way.get_mut(&message_type) else { return };
        if !std::mem::replace(&mut it.told, true) {
            let OneWay { name, direction, .. } = it;
            error!("left out a {name}: it is registered as a message {direction}");
        }
    }

    /// Counts what others said and may not; the log has the first, the second, the fourth
    /// and so on.
    pub(super) fn count(&mut self, message_type: MessageType) {
        self.misdirected += 1;
        let count = self.misdirected;
        if count.is_power_of_two()
            && let Some(OneWay { name, direction, .. }) = self.one_way.get(&message_type)
        {
            warn!("left out a {name} of the wrong side, {count} by now: it comes {direction}");
        }
    }

    pub(super) fn misdirected(&self) -> u64 {
        self.misdirected
    }
}
