//! What a client need not say any more once its link was lost.

use super::{Author, Message, Oracle};
use crate::wire::Delivery;

impl Author {
    /// Whether a message that the server never got may have been left out.
    pub(super) fn may_leave_out(&self, at: usize) -> bool {
        let Some(message) = self.messages.get(at) else { return false };
        let waited = !message.open || self.losses > message.losses;
        match message.delivery {
            Some(Delivery::Volatile) => waited && !message.ack,
            Some(Delivery::Latest(_)) => {
                waited
                    && !message.ack
                    && self.messages[at + 1..].iter().any(|it| it.replaces(message))
            }
            Some(Delivery::Reliable) | None => false,
        }
    }
}

impl Message {
    /// Whether it is a newer value of the same key.
    fn replaces(&self, other: &Self) -> bool {
        self.room == other.room
            && matches!(self.delivery, Some(Delivery::Latest(_)))
            && self.delivery == other.delivery
    }

    /// Whether a program is told that it may be lost.
    pub(super) fn is_missed(&self) -> bool {
        self.ack || matches!(self.delivery, None | Some(Delivery::Reliable))
    }
}

impl Oracle {
    /// The server gets a message: not one that was out of date before there was a link.
    pub(super) fn check_stale(&mut self, author: usize, at: usize) {
        let messages = &self.authors[author].messages;
        let message = &messages[at];
        let waited = |it: &Message| !it.open && it.losses == message.losses;
        let stale = waited(message)
            && !message.ack
            && match message.delivery {
                Some(Delivery::Volatile) => true,
                Some(Delivery::Latest(_)) => {
                    messages[at + 1..].iter().any(|it| waited(it) && it.replaces(message))
                }
                Some(Delivery::Reliable) | None => false,
            };
        if stale {
            self.fail("I13", format!("message {at} of {author} is said, out of date"));
        }
    }
}
