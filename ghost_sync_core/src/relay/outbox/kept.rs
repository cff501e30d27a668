//! Numbered frames that were written: they are kept until the client confirms them, so that its
//! session can go on over another link.

use std::collections::VecDeque;

use super::{
    Outbox,
    item::{Item, ItemKind},
};
use crate::relay::{plants, session::Threshold};

impl Outbox {
    /// The client has `count` numbered frames. `false`: so many were never sent.
    pub(in crate::relay) fn confirm(&mut self, count: u64) -> bool {
        if count > self.gone + self.kept.len() as u64 {
            return false;
        }
        while self.gone < count && !self.kept.is_empty() {
            self.give_up_kept();
        }
        true
    }

    /// Numbered frames that can no longer be sent again.
    pub(in crate::relay) fn gone(&self) -> u64 {
        self.gone
    }

    /// Everything numbered that the client has not got, to be sent again, in
    /// order; events and the rest are dropped. Confirm first.
    pub(in crate::relay) fn rewind(&mut self, most: Threshold) -> Vec<Item> {
        self.take_back(most);
        let mut kept = std::mem::take(&mut self.kept);
        if plants::message_lost_at_resume() {
            kept.pop_back();
        }
        self.kept_bytes = 0;
        let waiting = self.take();
        let numbered = kept.into_iter().chain(waiting).filter(|item| item.kind.is_numbered());
        // What is sent again is not owed for a request of this link.
        let requeued = numbered.map(|item| {
            let kind = if item.kind == ItemKind::Reply { ItemKind::Message } else { item.kind };
            Item { kind, ..item }
        });
        let mut items: Vec<Item> = Vec::new();
        for item in requeued {
            let mut at = items.len();
            if let ItemKind::Spared { room, seat, .. } = item.kind {
                let after = items.iter().position(|other| other.kind.is_after(room, seat));
                at = after.unwrap_or(at);
            }
            items.insert(at, item);
        }
        items
    }

    /// Keeps nothing for another link any more: there will be none.
    pub(in crate::relay) fn forget_kept(&mut self) {
        self.gone += self.kept.len() as u64;
        (self.kept, self.kept_bytes, self.keep) = (VecDeque::new(), 0, 0);
    }

    /// Drops what would mean nothing on another link.
    pub(in crate::relay) fn lose_link(&mut self, most: Threshold) {
        self.take_partial();
        self.take_back(most);
        for item in self.take() {
            if item.kind.is_numbered() {
                self.push(item.kind, item.frame);
            }
        }
    }

    pub(super) fn give_up_kept(&mut self) {
        if let Some(item) = self.kept.pop_front() {
            self.kept_bytes -= item.cost();
            self.gone += 1;
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }

    /// Bytes that may be kept of what was written.
    pub(in crate::relay) fn keep(&self) -> usize {
        self.keep
    }

    /// Bytes of memory that numbered frames take which were written and not confirmed.
    pub(in crate::relay) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}
