//! What must be true of a relay at every step, and of everybody once all is healed.

use super::{Fate, Oracle, RoomKey};
use crate::relay::{Relay, RoomInfo};

impl Oracle {
    /// Checks a relay that has written what it could.
    pub(in crate::testing) fn check(&mut self, relay: &Relay, thoroughly: bool) {
        let config = &self.swarm.relay;
        let aways = self.sessions.values().filter(|session| session.away.is_some()).count();
        let most = (config.max_clients / 4).max(16);
        if relay.away_count() != aways || aways > most {
            let seen =
                format!("{} are away, {aways} were lost; at most {most}", relay.away_count());
            self.fail("I12", seen);
        }
        if relay.client_count() != self.sessions.len() {
            let seen = format!("{} clients, {} opened", relay.client_count(), self.sessions.len());
            self.fail("I9", seen);
        }
        let late = self
            .sessions
            .values()
            .find(|session| session.away.is_some_and(|away| away.latest + SLACK < self.now));
        if let Some(late) = late {
            self.fail("I9", format!("{} is away for longer than its grace", late.client_id));
        }
        if self.swarm.guard.is_some() {
            self.check_users(relay);
            self.check_bars(relay);
        }
        if !thoroughly {
            return;
        }
        self.check_crowds();
        let config = &self.swarm.relay;
        let (limit, frame) = (config.outbox_limit, config.max_payload + 1024);
        let mut idle = true;
        let mut over = None;
        let now = self.now;
        for (conn, session) in &mut self.sessions {
            let waits = relay.queue_len(*conn);
            if waits.frames == 0 && session.link.is_some() {
                session.quiet_since = now;
            }
            idle &= waits.frames == 0;
            let mut slices = [std::io::IoSlice::new(&[]); 1];
            let to_write =
                relay.link_of(*conn).map_or(1, |link| relay.transmit(link, &mut slices).slices);
            // Own events that were not passed over yet are nothing that waits, nor is what the
            // socket was not offered yet.
            if waits.bytes > limit + frame && to_write > 0 && !relay.is_dirty() {
                over = Some(format!("{} bytes wait for {conn:?}, at most {limit}", waits.bytes));
            }
        }
        self.judge("I12", over);
        let (history, most) = (relay.history_bytes(), self.swarm.relay.history_limit as u64);
        if idle && history > most && !relay.is_dirty() && !relay.is_waiting() {
            self.fail("I12", format!("{history} bytes of history, at most {most}"));
        }
        let open = self.open_rooms();
        if relay.room_count() != open {
            self.fail("I17", format!("{} rooms instead of {open}", relay.room_count()));
        }
        let infos: Vec<RoomInfo> = relay.rooms().collect();
        for info in infos {
            self.check_room(&info);
        }
    }

    fn check_room(&mut self, info: &RoomInfo) {
        let key: RoomKey = (self.era, info.id);
        let Some(found) = self.rooms.get_mut(&key) else {
            return self.fail("I17", format!("{:?} was never made", info.id));
        };
        let fresh = found.epoch.is_none();
        let known = *found.epoch.get_or_insert(info.epoch);
        let (head, members) = (found.head(), found.members.len());
        if known != info.epoch || (fresh && !self.epochs.insert(info.epoch)) {
            self.fail("I17", format!("epoch {} of {:?} was there before", info.epoch, info.id));
        }
        if head != info.seq {
            self.fail("I1", format!("{:?} is at {}, and {head} were told", info.id, info.seq));
        }
        if members != info.players {
            self.fail("I7", format!("{:?} has {} players, not {members}", info.id, info.players));
        }
    }

    /// Everything is healed, everybody had time: nobody may miss anything.
    pub(in crate::testing) fn settled(&mut self) {
        for author in 0..self.authors.len() {
            if self.authors[author].over || self.authors[author].client_id.is_nil() {
                continue;
            }
            if self.authors[author].turned_away || self.authors[author].throttled {
                continue;
            }
            let Some(session) = self.session_of(author) else {
                self.fail("I20", format!("{author} has no session in the end"));
                continue;
            };
            if session.away.is_some() {
                self.fail("I20", format!("{author} is away in the end"));
                continue;
            }
            let seats: Vec<_> = session.seats.iter().map(|(room, seat)| (*room, *seat)).collect();
            self.check_seats(author, &seats);
            let state = &self.authors[author];
            let open = state.messages.iter().enumerate().skip(state.base).find(|(at, message)| {
                let fed = message.fed && !message.doubtful;
                message.fate == Fate::Open && (fed || !state.may_leave_out(*at))
                    || (message.ack && !message.acked && matches!(message.fate, Fate::Accepted(_)))
            });
            let seen = open.map(|(at, message)| format!("message {at} waits: {message:?}"));
            let words = self.directs.get(&state.client_id).and_then(|due| due.front());
            let words = words.map(|due| format!("{author} did not get {due:?}"));
            let (joins, lists, tokens) = (state.joins_owed, state.lists_owed, state.tokens_owed);
            let joins = if state.went_on { 0 } else { joins };
            self.judge("I20", seen);
            self.judge("I20", words);
            if joins != 0 || lists != 0 || tokens != 0 {
                let seen =
                    format!("{author} waits for {joins} joins, {lists} lists, {tokens} tokens");
                self.fail("I20", seen);
            }
        }
    }

    fn check_seats(&mut self, author: usize, seats: &[(crate::wire::RoomId, crate::wire::Seat)]) {
        let state = &mut self.authors[author];
        if state.stays.len() != seats.len() {
            let stays: Vec<_> = state.stays.keys().collect();
            let seen = format!("{author} knows of {stays:?}, and has {seats:?}");
            return self.fail("I20", seen);
        }
        let mut seen = Vec::new();
        for (room, seat) in seats {
            let Some(stay) = state.stays.get_mut(room).filter(|stay| stay.seat == *seat) else {
                seen.push(("I20", format!("{author} does not know of {seat:?} in {room:?}")));
                continue;
            };
            let Some(log) = self.rooms.get(&stay.key) else { continue };
            stay.pass(log, log.head() + 1);
            if stay.next != log.head() + 1 {
                let (next, head) = (stay.next, log.head());
                let missed = log.entry(next).map(|entry| &entry.what);
                let text =
                    format!("{author} waits for event {next} of {room:?}, of {head}: {missed:?}");
                seen.push(("I20", text));
            }
            let members = log.members.iter().map(|(seat, member)| (*seat, member.away));
            if log.deleted.is_none() && !members.eq(stay.roster.iter().map(|(s, a)| (*s, *a))) {
                let text =
                    format!("{author} sees {:?} in {room:?}: {:?}", stay.roster, log.members);
                seen.push(("I7", text));
            }
        }
        for (invariant, seen) in seen {
            self.fail(invariant, seen);
        }
    }

    /// Everybody left: nothing may be left of them.
    pub(in crate::testing) fn emptied(&mut self, relay: &Relay) {
        let invariant = if self.stopping { "I21" } else { "I20" };
        let (conns, away) = (relay.connection_count(), relay.away_count());
        if conns > 0 || away > 0 || relay.client_count() > 0 {
            self.fail(invariant, format!("{conns} connections are left, {away} away"));
        }
        if let Some(session) = self.sessions.values().next() {
            self.fail(invariant, format!("{} is there in the end", session.client_id));
        }
        let of_era = self.rooms.range((self.era, crate::wire::RoomId(0))..);
        let left = of_era.filter(|(_, room)| !room.members.is_empty()).map(|(key, _)| *key).next();
        if let Some(key) = left {
            self.fail(invariant, format!("members are left in {key:?}"));
        }
    }
}

/// How late a relay may look at a deadline.
const SLACK: std::time::Duration = std::time::Duration::from_secs(3);
