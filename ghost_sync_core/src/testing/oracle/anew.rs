//! New processes that go on with the sessions of earlier ones.

use std::{ops::Range, time::Instant};

use super::{Direct, Mark, Oracle};
use crate::{
    relay::{ConnId, LinkId},
    wire::{ClientId, RoomId},
};

impl Oracle {
    /// The host is asked what a new process is told first in a room.
    pub(in crate::testing) fn asked_how_to_greet(
        &mut self,
        link: LinkId,
        conn: ConnId,
        room: RoomId,
        deadline: Instant,
    ) {
        self.greetings.insert((link, room), None);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I16", format!("{conn:?} is to be greeted after its end"));
        };
        if !session.seats.contains_key(&room) {
            self.fail("I16", format!("{conn:?} is to be greeted in {room:?}, where it is not"));
        } else if let Some(away) = &mut session.away {
            // It is held while the host thinks.
            away.latest = away.latest.max(deadline);
        }
    }

    /// The host has said in time what a new process is told first.
    pub(in crate::testing) fn greets(&mut self, link: LinkId, room: RoomId, words: Range<u32>) {
        self.greetings.insert((link, room), Some(words));
    }

    /// A new process goes on with a session: what was on its way to the earlier one is not
    /// for it, and it is told its rooms as they are now.
    pub(super) fn inherited(&mut self, link: LinkId, author: usize, client_id: ClientId) {
        self.mark(Mark::NewProcess);
        let before = self.owners.insert(client_id, author);
        if let Some(before) = before.and_then(|before| self.authors.get(before)) {
            // What the session may ask for is what it was.
            self.authors[author].offered = before.offered.clone();
        }
        self.lanes.remove(&client_id);
        self.directs.remove(&client_id);
        self.asides.remove(&client_id);
        self.authors[author].inherited.insert(client_id);
        let session = self.sessions.values().find(|session| session.client_id == client_id);
        let rooms: Vec<_> = session.into_iter().flat_map(|it| it.seats.keys().copied()).collect();
        let mut seats = std::collections::BTreeMap::new();
        for room in rooms {
            let log = self.rooms.get(&(self.era, room));
            if log.is_none_or(|log| log.deleted.is_some()) {
                continue;
            }
            let greeting = self.greetings.remove(&(link, room));
            if self.swarm.relay.host.ask_join && greeting.is_none() {
                self.fail("I6", format!("the host is not asked how to greet in {room:?}"));
            }
            seats.insert(room, greeting.flatten().unwrap_or(0..0));
        }
        self.greetings.retain(|(of, _), _| *of != link);
        self.authors[author].seats_before = seats;
    }

    /// A client is welcomed, and told where it has seats already.
    pub(super) fn told_seats(&mut self, author: usize, era: u32, rooms: &[String]) {
        let state = &mut self.authors[author];
        let log = |room| self.rooms.get(&(era, room)).map(|log| log.name.to_string());
        let mut due: Vec<_> = state.seats_before.keys().filter_map(|room| log(*room)).collect();
        let mut told = rooms.to_vec();
        due.sort();
        told.sort();
        state.joins_owed += i64::try_from(told.len()).unwrap_or(0);
        if due != told {
            self.fail("I6", format!("{author} is told of seats in {told:?}, and has {due:?}"));
        }
    }

    /// A new process is told a room: the words of the host come next.
    pub(super) fn greeted(&mut self, author: usize, era: u32, room: RoomId) {
        let state = &mut self.authors[author];
        let Some(words) = state.seats_before.remove(&room) else {
            return self.fail("I6", format!("{author} is told {room:?} again"));
        };
        let client_id = state.client_id;
        if !words.is_empty() {
            self.mark(Mark::NewProcessGreeted);
        }
        let directs = self.directs.entry(client_id).or_default();
        for counter in words.rev() {
            directs.push_front(Direct { counter, room: Some(((era, room), 0)) });
        }
    }
}
