//! What is said to one client and may be lost, while it waits.
//!
//! It waits apart from what must arrive, and joins it when the socket takes bytes: which of
//! it is newest is known then. What was given up is counted, and told with the next one.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;

use super::{
    plants,
    session::{SeatRef, Threshold},
};
use crate::wire::{HEADER_LEN, RoomId, Seat};

/// Words that wait for one client, each of which may be given up.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// In the order in which they were said; `None` where one was replaced.
    waiting: VecDeque<Option<Aside>>,
    /// Where the one of each room and key is, counted from the first that ever waited.
    latest: FxHashMap<(RoomId, u32), u64>,
    /// The number of the first that waits.
    first: u64,
    len: usize,
    bytes: usize,
    /// How many were given up since the last one that was sent.
    missed: u32,
}

/// Words for one client that may be lost.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    pub(super) about: About,
    /// As the client gets it, but for how many it missed.
    pub(super) frame: Bytes,
}

/// What they are about, and which others they replace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct About {
    /// The seat that they are for; room 0: any.
    pub(super) room: RoomId,
    pub(super) seat: Seat,
    /// The key, if they are the newest value of one.
    pub(super) key: Option<u32>,
}

impl Asides {
    /// Takes another one. The oldest give way if more would wait than may.
    pub(super) fn push(&mut self, aside: Aside, most: Threshold) {
        let About { room, key, .. } = aside.about;
        if let Some(key) = key {
            let next = self.first + self.waiting.len() as u64;
            if let Some(older) = self.latest.insert((room, key), next) {
                self.give_up(older);
            }
        }
        self.len += 1;
        self.bytes += aside.frame.len();
        self.waiting.push_back(Some(aside));
        while self.len > most.frames || self.bytes > most.bytes {
            self.give_up_oldest();
        }
        // Replaced ones must not pile up behind one that nothing replaces.
        if self.waiting.len() > 2 * self.len + SPARE {
            self.compact();
        }
    }

    /// So many more were given up.
    pub(super) fn miss(&mut self, count: u32) {
        self.missed = self.missed.saturating_add(plants::missed(count));
    }

    /// Gives up those that are not the newest value of anything.
    pub(super) fn give_up_effects(&mut self) {
        for at in 0..self.waiting.len() {
            let is_effect = |aside: &Aside| aside.about.key.is_none();
            if self.waiting[at].as_ref().is_some_and(is_effect) {
                self.give_up(self.first + at as u64);
            }
        }
    }

    /// Takes all that wait, but for those about seats that the client does not have any
    /// more; the first says how many were missed.
    pub(super) fn take(&mut self, seats: &[SeatRef]) -> Vec<(Aside, u32)> {
        let mut taken = Vec::with_capacity(self.len);
        while let Some(front) = self.pop_front() {
            let About { room, seat, .. } = front.about;
            let is_there = |held: &SeatRef| (held.room, held.seat) == (room, seat);
            if room == RoomId(0) || seats.iter().any(is_there) {
                taken.push(front);
            } else {
                self.miss(1);
            }
        }
        if self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
            self.latest = FxHashMap::default();
        }
        let mut missed = if taken.is_empty() { 0 } else { std::mem::take(&mut self.missed) };
        let each = taken.into_iter().map(|aside| {
            let missed = std::mem::take(&mut missed);
            let frame = with_missed(aside.frame, missed);
            (Aside { frame, ..aside }, missed)
        });
        each.collect()
    }

    /// Puts some that were taken back in front of the others.
    pub(super) fn put_back(&mut self, taken: Vec<Aside>, most: Threshold) {
        let mut newer = std::mem::take(self);
        self.missed = newer.missed;
        for aside in taken {
            self.push(aside, most);
        }
        while let Some(aside) = newer.pop_front() {
            self.push(aside, most);
        }
    }

    /// Whether nothing waits, and nothing is to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.missed == 0
    }

    fn give_up(&mut self, number: u64) {
        let at = usize::try_from(number.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(aside) = self.waiting.get_mut(at).and_then(Option::take) {
            self.len -= 1;
            self.bytes -= aside.frame.len();
            self.miss(1);
        }
    }

    fn give_up_oldest(&mut self) {
        if self.pop_front().is_some() {
            self.miss(1);
        }
    }

    fn pop_front(&mut self) -> Option<Aside> {
        while let Some(front) = self.waiting.pop_front() {
            let number = self.first;
            self.first += 1;
            let Some(aside) = front else { continue };
            let About { room, key, .. } = aside.about;
            if let Some(key) = key
                && self.latest.get(&(room, key)) == Some(&number)
            {
                self.latest.remove(&(room, key));
            }
            self.len -= 1;
            self.bytes -= aside.frame.len();
            return Some(aside);
        }
        None
    }

    fn compact(&mut self) {
        self.waiting.retain(Option::is_some);
        for (at, aside) in self.waiting.iter().enumerate() {
            if let Some(Aside { about: About { room, key: Some(key), .. }, .. }) = aside {
                self.latest.insert((*room, *key), self.first + at as u64);
            }
        }
    }
}

/// The frame of an aside that says how many were missed before it.
fn with_missed(frame: Bytes, missed: u32) -> Bytes {
    let place = MISSED..MISSED + size_of::<u32>();
    if frame.get(place.clone()).is_none_or(|told| *told == missed.to_le_bytes()) {
        return frame;
    }
    let mut told = BytesMut::from(&frame[..]);
    told[place].copy_from_slice(&missed.to_le_bytes());
    told.freeze()
}

/// Where the count is in a frame: after its kind and its room.
const MISSED: usize = HEADER_LEN + 1 + 4;

/// Places of replaced ones that are kept beside as many as wait.
const SPARE: usize = 16;

/// Places whose memory is kept while nothing waits.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{MessageType, ServerMessage};

    const MOST: Threshold = Threshold { frames: 100, bytes: 100_000 };

    fn aside(room: u32, key: Option<u32>, text: &str) -> Aside {
        let about = About { room: RoomId(room), seat: Seat(1), key };
        let (message_type, payload) = (MessageType::RAW, text.as_bytes());
        let said = ServerMessage::Aside { room: about.room, missed: 0, message_type, payload };
        Aside { about, frame: said.to_frame() }
    }

    fn taken(asides: &mut Asides) -> Vec<(String, u32)> {
        let seats = [SeatRef { room: RoomId(7), seat: Seat(1) }];
        let taken = asides.take(&seats).into_iter().map(|(aside, missed)| {
            let Ok(ServerMessage::Aside { missed: told, payload, .. }) =
                ServerMessage::decode(&aside.frame[HEADER_LEN..])
            else {
                panic!("{aside:?}");
            };
            assert_eq!(told, missed);
            (String::from_utf8(payload.to_vec()).unwrap(), told)
        });
        taken.collect()
    }

    fn told(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
        expected.iter().map(|(text, missed)| ((*text).to_owned(), *missed)).collect()
    }

    #[test]
    fn a_newer_value_replaces_one_of_its_room_and_key_and_the_next_says_so() {
        let mut asides = Asides::default();
        for (room, key, text) in
            [(0, Some(1), "a"), (7, Some(1), "b"), (0, None, "c"), (0, Some(1), "d")]
        {
            asides.push(aside(room, key, text), MOST);
        }
        assert_eq!(taken(&mut asides), told(&[("b", 1), ("c", 0), ("d", 0)]));
        assert!(asides.is_empty());
    }

    #[test]
    fn the_oldest_give_way_and_what_is_given_up_is_counted_until_it_is_told() {
        let mut asides = Asides::default();
        let most = Threshold { frames: 2, bytes: 100_000 };
        for text in ["a", "b", "c", "d"] {
            asides.push(aside(0, None, text), most);
        }
        asides.give_up_effects();
        assert_eq!(taken(&mut asides), []);
        assert!(!asides.is_empty());
        asides.push(aside(0, Some(3), "e"), most);
        assert_eq!(taken(&mut asides), told(&[("e", 4)]));
        asides.push(aside(0, Some(3), &"long".repeat(100)), Threshold { frames: 2, bytes: 50 });
        asides.push(aside(0, Some(3), "f"), most);
        assert_eq!(taken(&mut asides), told(&[("f", 1)]));
    }

    #[test]
    fn what_is_about_a_seat_that_was_given_up_is_given_up_too() {
        let mut asides = Asides::default();
        asides.push(aside(8, Some(1), "elsewhere"), MOST);
        asides.push(aside(7, Some(1), "here"), MOST);
        assert_eq!(taken(&mut asides), told(&[("here", 1)]));
    }

    #[test]
    fn what_is_put_back_comes_first_and_is_replaced_by_what_came_meanwhile() {
        let mut asides = Asides::default();
        asides.push(aside(0, Some(1), "old"), MOST);
        asides.push(aside(0, Some(2), "other"), MOST);
        let back = asides.take(&[]).into_iter().map(|(aside, _)| aside).collect();
        asides.push(aside(0, Some(1), "new"), MOST);
        asides.put_back(back, MOST);
        assert_eq!(taken(&mut asides), told(&[("other", 1), ("new", 0)]));
    }

    #[test]
    fn values_that_were_replaced_take_no_memory() {
        let mut asides = Asides::default();
        asides.push(aside(0, None, "stays"), MOST);
        for _ in 0..10_000 {
            asides.push(aside(0, Some(1), "again"), MOST);
        }
        assert!(asides.waiting.len() < 32, "{} places", asides.waiting.len());
        assert_eq!(taken(&mut asides), told(&[("stays", 9999), ("again", 0)]));
    }
}
