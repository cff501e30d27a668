//! What a program says before somebody can hear it.

use std::collections::VecDeque;

use crate::{
    embed::ClientCommand,
    wire::{Delivery, Refusal, RoomName, SendFlags},
};

/// Messages and questions that wait: for the first connection, or for the rooms that it was
/// asked for before them.
#[derive(Debug, Default)]
pub(super) struct Held {
    commands: VecDeque<ClientCommand>,
    bytes: usize,
}

/// Bytes that may wait.
const MOST: usize = 1 << 20;

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Keeps a command. Of values that replace each other the newest is kept; what is lost
    /// with a link, and what is too much, is refused.
    pub(super) fn keep(&mut self, command: &ClientCommand) -> Result<(), Refusal> {
        if let ClientCommand::Broadcast { room, delivery, flags, .. } = command
            && !flags.contains(SendFlags::ACK)
        {
            match delivery {
                Delivery::Reliable => {}
                Delivery::Volatile => return Err(Refusal::NotConnected),
                Delivery::Latest(key) => self.replace(room.as_ref(), *key),
            }
        }
        let cost = command.cost();
        if self.bytes + cost > MOST {
            let message = format!("{} bytes wait: at most {MOST} are allowed", self.bytes);
            return Err(Refusal::Rejected { message });
        }
        self.bytes += cost;
        self.commands.push_back(command.clone());
        Ok(())
    }

    /// Everything that waits, in the order in which it was said.
    pub(super) fn take(&mut self) -> VecDeque<ClientCommand> {
        self.bytes = 0;
        std::mem::take(&mut self.commands)
    }

    fn replace(&mut self, to: Option<&RoomName>, by: u32) {
        let older = self.commands.iter().position(|command| {
            matches!(
                command,
                ClientCommand::Broadcast { room, delivery: Delivery::Latest(key), flags, .. }
                    if room.as_ref() == to && *key == by && !flags.contains(SendFlags::ACK)
            )
        });
        if let Some(older) = older.and_then(|older| self.commands.remove(older)) {
            self.bytes -= older.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::MessageType;

    fn said(delivery: Delivery, payload: &'static [u8]) -> ClientCommand {
        let (flags, message_type) = (SendFlags::NONE, MessageType::RAW);
        let payload = Bytes::from_static(payload);
        ClientCommand::Broadcast { room: None, delivery, flags, message_type, payload }
    }

    fn payloads(held: &mut Held) -> Vec<Bytes> {
        let commands = held.take().into_iter();
        let payload = |command| {
            let ClientCommand::Broadcast { payload, .. } = command else { panic!("{command:?}") };
            payload
        };
        commands.map(payload).collect()
    }

    #[test]
    fn the_newest_of_each_key_waits_and_everything_reliable_in_its_order() {
        let mut held = Held::default();
        for (delivery, payload) in [
            (Delivery::Latest(1), &b"old"[..]),
            (Delivery::Reliable, b"a"),
            (Delivery::Latest(2), b"other"),
            (Delivery::Reliable, b"b"),
            (Delivery::Latest(1), b"new"),
        ] {
            held.keep(&said(delivery, payload)).expect("it waits");
        }
        let lost = held.keep(&said(Delivery::Volatile, b"flash"));
        assert_eq!(lost, Err(Refusal::NotConnected));
        assert_eq!(payloads(&mut held), ["a", "other", "b", "new"]);
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn no_more_waits_than_the_limit() {
        static LARGE: [u8; 300 << 10] = [0; 300 << 10];
        let mut held = Held::default();
        let kept = (0..9).filter(|_| held.keep(&said(Delivery::Reliable, &LARGE)).is_ok()).count();
        assert_eq!(kept, 3);
        for _ in 0..100 {
            held.keep(&said(Delivery::Latest(1), &LARGE[..100 << 10])).expect("it replaces");
        }
    }
}
