//! The newest value of each sender and key in a room, for newcomers. Every sender has a
//! budget of its own, so that nobody's values keep out those of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use bytes::Bytes;

use super::{
    log::{Log, Spared},
    plants,
};
use crate::wire::{Delivery, HEADER_LEN, Seat, ServerMessage};

/// The newest values of a room.
#[derive(Debug, Default)]
pub(super) struct Latest {
    shares: BTreeMap<Seat, Share>,
    /// Bytes of all values.
    bytes: usize,
    /// Clients by the bytes of their values.
    holders: BTreeSet<(usize, Seat)>,
}

/// The values of one sender.
#[derive(Debug, Default)]
struct Share {
    values: BTreeMap<u32, Value>,
    bytes: usize,
}

/// The newest value of a sender and key.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) seq: u64,
    len: usize,
    /// Who does not hear it.
    pub(super) spared: Spared,
    /// Its frame for newcomers, made when the first of them comes or when the log forgets
    /// the event, whichever is earlier.
    frame: OnceLock<Bytes>,
}

impl Latest {
    /// `value` is the newest of its sender and key. A client may have `retain` values.
    pub(super) fn said(&mut self, sender: Seat, key: u32, value: Value, retain: usize) {
        let len = value.len;
        let (most, most_bytes) = if sender == Seat::SERVER {
            (SERVER_VALUES, SERVER_BYTES)
        } else {
            (retain, CLIENT_BYTES)
        };
        self.forget(sender, key);
        if most == 0 || len > most_bytes {
            return;
        }
        while let Some(share) = self.shares.get(&sender)
            && (share.values.len() >= most || share.bytes + len > most_bytes)
            && plants::shares_are_bounded()
        {
            self.forget_oldest(sender);
        }
        self.change(sender, |share| {
            share.bytes += len;
            share.values.insert(key, value);
        });
        while self.bytes > ROOM_BYTES
            && let Some((_, holder)) = self.holders.last().copied()
        {
            self.forget_oldest(holder);
        }
    }

    /// There is no value of that key any more.
    pub(super) fn forget(&mut self, sender: Seat, key: u32) {
        if self.shares.get(&sender).is_some_and(|share| share.values.contains_key(&key)) {
            self.change(sender, |share| {
                share.bytes -= share.values.remove(&key).map_or(0, |value| value.len);
            });
        }
    }

    /// There are no values of that sender any more.
    pub(super) fn forget_all(&mut self, sender: Seat) {
        self.change(sender, |share| *share = Share::default());
    }

    fn forget_oldest(&mut self, sender: Seat) {
        let oldest = self.shares.get(&sender).and_then(|share| {
            share.values.iter().min_by_key(|(_, value)| value.seq).map(|(key, _)| *key)
        });
        if let Some(key) = oldest {
            self.forget(sender, key);
        }
    }

    /// Changes what a sender has, and counts it.
    fn change(&mut self, sender: Seat, change: impl FnOnce(&mut Share)) {
        let share = self.shares.entry(sender).or_default();
        let before = share.bytes;
        change(share);
        let after = share.bytes;
        if share.values.is_empty() {
            self.shares.remove(&sender);
        }
        self.bytes = self.bytes - before + after;
        if sender != Seat::SERVER && before != after {
            self.holders.remove(&(before, sender));
            if after > 0 {
                self.holders.insert((after, sender));
            }
        }
    }

    /// The log is about to forget event `seq`: if that is a newest value, it is kept here.
    pub(super) fn keep(&self, sender: Seat, key: u32, seq: u64, log: &Log) {
        if let Some(value) = self.get(sender, key).filter(|value| value.seq == seq) {
            value.frame(log);
        }
    }

    /// The value of a sender and key.
    pub(super) fn get(&self, sender: Seat, key: u32) -> Option<&Value> {
        self.shares.get(&sender)?.values.get(&key)
    }

    /// The values with their senders and keys.
    pub(super) fn values(&self) -> impl Iterator<Item = (Seat, u32, &Value)> {
        self.shares
            .iter()
            .flat_map(|(seat, share)| share.values.iter().map(|(key, value)| (*seat, *key, value)))
    }

    /// The values as frames for who has just come into `seat`, in the order in which they
    /// were said. All newcomers share their memory.
    pub(super) fn frames(&self, log: &Log, seat: Seat) -> Vec<Bytes> {
        // A new process has lost its own values; what it was left out of is still not for it.
        let is_withheld = |(sender, _, value): &(Seat, u32, &Value)| {
            *sender == Seat::SERVER && value.spared.contains(seat) && plants::left_out_is_withheld()
        };
        let due = self.values().filter(|value| !is_withheld(value));
        let mut values: Vec<_> = due.map(|(.., value)| value).collect();
        values.sort_unstable_by_key(|value| value.seq);
        values.into_iter().map(|value| value.frame(log).clone()).collect()
    }
}

impl Value {
    /// The value that was said in event `seq`, whose frame has `len` bytes.
    pub(super) fn new(seq: u64, len: usize, spared: Spared) -> Self {
        Self { seq, len, spared, frame: OnceLock::new() }
    }

    /// The frame in which it was said, once the log has forgotten it.
    pub(super) fn said(&self) -> Option<Bytes> {
        let frame = self.frame.get()?;
        let Ok(ServerMessage::Retained { room, seq, sender, key, message_type, payload }) =
            ServerMessage::decode(frame.get(HEADER_LEN..)?)
        else {
            return None;
        };
        let delivery = Delivery::Latest(key);
        let said = ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload };
        Some(said.to_frame())
    }

    fn frame(&self, log: &Log) -> &Bytes {
        self.frame.get_or_init(|| {
            retained(log.bytes(self.seq)).expect("the log has what was said with `Latest`")
        })
    }
}

/// The frame for newcomers of a value that was said in this frame.
fn retained(said: &[u8]) -> Option<Bytes> {
    let Ok(ServerMessage::Broadcast {
        room,
        seq,
        sender,
        delivery: Delivery::Latest(key),
        message_type,
        payload,
    }) = ServerMessage::decode(said.get(HEADER_LEN..)?)
    else {
        return None;
    };
    Some(ServerMessage::Retained { room, seq, sender, key, message_type, payload }.to_frame())
}

/// Bytes of values of one client.
const CLIENT_BYTES: usize = 16 << 10;

/// Values of the server itself, and bytes of them.
const SERVER_VALUES: usize = 1024;
const SERVER_BYTES: usize = 256 << 10;

/// Bytes of values of a room; past it, the client that has most loses its oldest.
const ROOM_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        relay::log::{Class, Origin},
        wire::{MessageType, RoomId},
    };

    fn say(latest: &mut Latest, log: &mut Log, sender: Seat, key: u32) {
        let delivery = Delivery::Latest(key);
        let origin = Origin { sender, class: Class::Message(delivery), spared: Spared::NOBODY };
        let seq = log.append(origin, 0, 64, |buf, seq| {
            let (room, message_type, payload) = (RoomId(1), MessageType::RAW, &b"here"[..]);
            ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload }
                .encode(buf);
        });
        latest.said(sender, key, Value::new(seq, log.bytes(seq).len(), Spared::NOBODY), 64);
    }

    #[test]
    fn newcomers_share_the_memory_of_values_also_once_the_log_has_forgotten_them() {
        let (mut latest, mut log) = (Latest::default(), Log::new());
        say(&mut latest, &mut log, Seat(1), 7);
        say(&mut latest, &mut log, Seat::SERVER, 7);
        let first = latest.frames(&log, Seat(9));
        let said = Bytes::copy_from_slice(log.bytes(1));
        latest.keep(Seat(1), 7, 1, &log);
        latest.keep(Seat::SERVER, 7, 2, &log);
        log.trim(3);
        let second = latest.frames(&log, Seat(9));
        assert_eq!(latest.shares[&Seat(1)].values[&7].said(), Some(said));
        assert_eq!(first, second);
        assert!(first.iter().zip(&second).all(|(one, other)| one.as_ptr() == other.as_ptr()));
    }

    #[test]
    fn what_is_counted_is_what_is_kept() {
        let (mut latest, mut log) = (Latest::default(), Log::new());
        for key in 0..100 {
            say(&mut latest, &mut log, Seat(1), key % 70);
            say(&mut latest, &mut log, Seat(2), 0);
        }
        assert_eq!(latest.frames(&log, Seat(9)).len(), 65);
        latest.forget(Seat(2), 0);
        latest.forget(Seat(2), 0);
        assert_eq!(latest.bytes, latest.shares[&Seat(1)].bytes);
        assert_eq!(latest.holders, BTreeSet::from([(latest.bytes, Seat(1))]));
        latest.forget_all(Seat(1));
        assert_eq!(latest.bytes, 0);
        assert!(latest.shares.is_empty() && latest.holders.is_empty());
    }
}
