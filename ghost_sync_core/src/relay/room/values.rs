//! Newest values and changes: which events they replace, and which of them newcomers are told.

use bytes::Bytes;

use super::{MIN_NEWEST, Room};
use crate::{
    relay::{
        latest::Value,
        log::{Class, Origin},
    },
    wire::{Delivery, Seat},
};

impl Room {
    /// Event `seq` changed `key` of a member's metadata, or of the room's: earlier changes
    /// of it need not be told any more to those who have not heard of them.
    pub(in crate::relay) fn changed(&mut self, of: Seat, key: &str, seq: u64) {
        if let Some(older) = self.changes.insert((of, key.to_owned()), seq) {
            self.log.supersede(older);
            self.reliable.supersede(older);
        }
        if self.changes.len() > self.changes_limit {
            let oldest = self.oldest_kept();
            self.changes.retain(|_, seq| *seq >= oldest);
            self.changes_limit = MIN_NEWEST.max(self.changes.len() * 2);
        }
    }

    /// Whether a newer event says all that event `seq`, a value of that sender and key, says.
    pub(in crate::relay) fn is_superseded(&self, sender: Seat, key: u32, seq: u64) -> bool {
        let retained = self.latest.get(sender, key).map(|value| value.seq);
        self.newest.get(&(sender, key)).copied().max(retained).is_some_and(|newest| newest > seq)
    }

    /// A copy of an event's frame, shared until the next flush.
    pub(in crate::relay) fn copy(&mut self, seq: u64) -> Bytes {
        let Self { copies, log, .. } = self;
        copies.entry(seq).or_insert_with(|| Bytes::copy_from_slice(log.bytes(seq))).clone()
    }

    /// The newest values that the log has forgotten, from event `from` on, in no order.
    pub(in crate::relay) fn latest_since(&self, from: u64) -> impl Iterator<Item = (u64, Origin)> {
        let first = self.log.first();
        let values = self.latest.values().filter(move |(.., it)| (from..first).contains(&it.seq));
        values.map(|(sender, key, value)| {
            let class = Class::Message(Delivery::Latest(key));
            (value.seq, Origin { sender, class, spared: value.spared })
        })
    }

    /// The frame of a newest value that the log has forgotten.
    pub(in crate::relay) fn latest_frame(&self, origin: Origin) -> Option<Bytes> {
        let Class::Message(Delivery::Latest(key)) = origin.class else { return None };
        self.latest.get(origin.sender, key)?.said()
    }

    /// The newest values, as frames for the member in `seat` that knows nothing yet, in the
    /// order they were said.
    pub(in crate::relay) fn retained(&self, seat: Seat) -> Vec<Bytes> {
        self.latest.frames(&self.log, seat)
    }

    /// Event `seq` is the newest value of its sender and key, or the last of it, which
    /// newcomers are not told of.
    pub(in crate::relay) fn remember(&mut self, sender: Seat, key: u32, seq: u64, is_last: bool) {
        if is_last {
            return self.latest.forget(sender, key);
        }
        let Some(entry) = self.log.entry(seq) else { return };
        let (len, spared) = (self.log.bytes(seq).len(), entry.origin.spared);
        self.latest.said(sender, key, Value::new(seq, len, spared), self.config.retain);
    }
}
