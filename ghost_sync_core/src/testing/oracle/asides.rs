//! What the server says to one client and may be lost.

use std::collections::BTreeSet;

use super::{Expected, Mark, Oracle};
use crate::{
    relay::{ConnId, LinkId},
    testing::stamp::Stamp,
    wire::{Delivery, RoomId, Seat},
};

/// What was said to one session and may be lost.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// In the order in which it was said.
    said: Vec<Aside>,
    /// Which of it was written to a link, and which arrived.
    written: BTreeSet<u32>,
    arrived: BTreeSet<u32>,
    /// What was written, and what was said to be missed there.
    told: usize,
}

#[derive(Clone, Copy, Debug)]
struct Aside {
    counter: u32,
    room: RoomId,
    delivery: Delivery,
}

impl Asides {
    fn place(&self, counter: u32) -> Option<usize> {
        self.said.binary_search_by_key(&counter, |aside| aside.counter).ok()
    }

    /// Whether a later one has replaced it.
    fn is_replaced(&self, at: usize) -> bool {
        let Aside { room, delivery, .. } = self.said[at];
        self.said[at + 1..].iter().any(|it| (it.room, it.delivery) == (room, delivery))
    }
}

impl Oracle {
    /// The server program said something to some clients that may be lost; `told` is how many
    /// it was told are there.
    pub(in crate::testing) fn host_told_aside(
        &mut self,
        conns: &[ConnId],
        room: Option<RoomId>,
        counter: u32,
        delivery: Delivery,
        told: usize,
    ) {
        let mut count = 0;
        for conn in conns {
            let Some(session) = self.sessions.get(conn) else { continue };
            if room.is_some_and(|room| !session.seats.contains_key(&room)) {
                continue;
            }
            count += 1;
            let aside = Aside { counter, room: room.unwrap_or_default(), delivery };
            self.asides.entry(session.client_id).or_default().said.push(aside);
        }
        if count != told {
            self.fail("I10", format!("{told} clients get words that are for {count}"));
        }
    }

    /// Who is left out of what is said to a room: the seats of those who are in it.
    pub(in crate::testing) fn left_out(&self, conns: &[ConnId], room: RoomId) -> BTreeSet<Seat> {
        let seat = |conn: &ConnId| self.sessions.get(conn)?.seats.get(&room).copied();
        conns.iter().filter_map(seat).collect()
    }

    /// All of it was written to a link.
    pub(super) fn wrote_aside(&mut self, link: LinkId, missed: u32, payload: &[u8]) {
        let mut sessions = self.sessions.values();
        let Some(session) = sessions.find(|session| session.link == Some(link)) else { return };
        let client_id = session.client_id;
        let Some(counter) = Stamp::read(payload).map(|stamp| stamp.counter) else {
            return self.fail("I2", format!("{client_id} is told what nobody said"));
        };
        let asides = self.asides.entry(client_id).or_default();
        let Some(at) = asides.place(counter) else {
            return self.fail("I10", format!("{client_id} gets words {counter} of others"));
        };
        let fresh = asides.written.insert(counter);
        asides.told += 1 + missed as usize;
        let (told, all) = (asides.told, asides.said.len());
        if missed > 0 {
            self.mark(Mark::AsidesMissed);
        }
        if !fresh {
            self.fail("I5", format!("words {counter} are given to {client_id} twice"));
        }
        // Those before it were given or counted; after the last, all were, each once.
        if told < at + 1 || told > all || at + 1 == all && told != all {
            let seen = format!("{told} given or missed up to the {}th of {all}", at + 1);
            self.fail("I34", format!("{client_id}: {seen}"));
        }
    }

    /// It was chosen for a link whose socket was full.
    pub(super) fn wrote_aside_behind(&mut self, link: LinkId, payload: &[u8]) {
        let mut sessions = self.sessions.values();
        let Some(session) = sessions.find(|session| session.link == Some(link)) else { return };
        let Some(asides) = self.asides.get(&session.client_id) else { return };
        let place = Stamp::read(payload).and_then(|stamp| asides.place(stamp.counter));
        let Some(at) = place else { return };
        let aside = asides.said[at];
        if aside.delivery == Delivery::Volatile || asides.is_replaced(at) {
            self.fail("I32", format!("{aside:?} is sent late"));
        }
    }

    /// A client gets it.
    pub(super) fn on_aside(&mut self, author: usize, room: RoomId, missed: u32, payload: &[u8]) {
        let client_id = self.authors[author].client_id;
        let Some(stamp) = Stamp::read(payload) else {
            return self.fail("I2", format!("{author} is told what nobody said"));
        };
        let asides = self.asides.entry(client_id).or_default();
        let about = asides.place(stamp.counter).map(|at| asides.said[at].room);
        let fresh = asides.arrived.insert(stamp.counter);
        if about != Some(room) {
            self.fail("I10", format!("{author} gets {stamp:?} about {room:?}, not {about:?}"));
        }
        if !fresh {
            self.fail("I5", format!("{author} gets {stamp:?} again"));
        }
        self.expect(Expected::direct(stamp, Some(missed)));
    }

    /// A client is told that it is left out of some of what is said in a room.
    pub(super) fn on_spared(&mut self, author: usize, room: RoomId, count: u32) {
        let Some(stay) = self.authors[author].stays.get_mut(&room) else {
            return self.fail("I10", format!("{author} is left out in {room:?}, where it is not"));
        };
        stay.spared += u64::from(count);
        let Some(log) = self.rooms.get(&stay.key) else { return };
        let since = stay.first..=log.head();
        let due = since.filter(|seq| log.leaves_out(*seq, stay.seat)).count() as u64;
        if stay.spared > due {
            let seen = format!("{author} is left out of {} of {due} in {room:?}", stay.spared);
            self.fail("I10", seen);
        }
    }
}
