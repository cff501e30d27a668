//! Rooms as the host is told of them, and who is there.

use std::collections::BTreeMap;

use crate::{
    relay::{ConnId, CreateOnJoin, RelayMode},
    testing::{
        oracle::{
            About, Cause, Direct, Mark, Oracle, SessionView,
            room::{Arrival, Member, Present, RoomLog, What},
        },
        swarm::NOWHERE,
    },
    wire::{ClientId, LeaveReason, RoomId, RoomName, Seat},
};

impl Oracle {
    pub(super) fn created(&mut self, cause: &Cause, room: RoomId, name: RoomName) {
        let mode = self.next_mode();
        self.check_maker(cause, &name);
        let never = self.swarm.relay.create_on_join == CreateOnJoin::Never;
        if name.as_str().starts_with(NOWHERE) || (never && !matches!(cause, Cause::Host)) {
            self.fail("I33", format!("{name:?} is made by a join that makes none"));
        }
        let log = RoomLog::new(name, &self.swarm.room, mode);
        if self.rooms.insert((self.era, room), log).is_some() || room <= self.last_room {
            self.fail("I17", format!("{room:?} is made twice"));
        }
        self.last_room = room;
        let open = self.open_rooms();
        if open > self.swarm.relay.max_rooms {
            self.fail("I18", format!("there are {open} rooms"));
        }
    }

    /// Rooms that can be joined.
    pub(in crate::testing::oracle) fn open_rooms(&self) -> usize {
        let of_era = self.rooms.range((self.era, RoomId(0))..);
        of_era.filter(|(_, room)| room.deleted.is_none()).count()
    }

    pub(super) fn deleted(&mut self, room: RoomId, message: &str) {
        let now = self.now;
        if message == "nobody was in it" {
            self.mark(Mark::EmptyRoomRemoved);
        }
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else {
            return self.fail("I17", format!("{room:?} is deleted and was not there"));
        };
        if found.deleted.is_none() {
            found.deleted = Some(now);
            found.append(What::Deleted { message: message.to_owned() }, message.len() + 64, now);
        }
    }

    pub(super) fn room_emptied(&mut self, room: RoomId) {
        let key = (self.era, room);
        if self.rooms.get(&key).is_none_or(|found| !found.members.is_empty()) {
            self.fail("I7", format!("{room:?} is said to be empty and is not"));
        }
    }

    pub(super) fn told_full(&mut self, room: RoomId, is_full: bool) {
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        if std::mem::replace(&mut found.told_full, is_full) == is_full {
            self.fail("I7", format!("it is said twice that {room:?} is full: {is_full}"));
        }
    }

    pub(super) fn joined(
        &mut self,
        cause: &Cause,
        room: RoomId,
        seat: Seat,
        conn: ConnId,
        client_id: ClientId,
    ) {
        let key = (self.era, room);
        let now = self.now;
        let asked = match cause {
            Cause::Answer {
                conn: asked, about: About::Join(about), accepted: true, words, ..
            } if *asked == conn && *about == room => Some(words.clone()),
            _ => None,
        };
        if self.swarm.relay.host.ask_join && asked.is_none() {
            self.fail("I19", format!("{client_id} joined without the host's yes: {cause:?}"));
        }
        self.outcomes += usize::from(asked.is_some());
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I16", format!("{client_id} joins after its end"));
        };
        let away = session.away.is_some();
        let most = self.swarm.relay.rooms_per_client;
        let too_many = session.seats.len() >= most;
        let twice = session.seats.insert(room, seat).is_some();
        session.last_room = room;
        let Some(found) = self.rooms.get_mut(&key) else {
            return self.fail("I17", format!("{client_id} joins {room:?}, which is not there"));
        };
        let over = found.capacity > 0 && found.members.len() >= found.capacity as usize;
        let reused = seat <= found.last_seat;
        let gone = found.deleted.is_some();
        found.last_seat = seat;
        found.owners.insert(seat, client_id);
        let seq = found.append(What::Joined { seat }, 400 + self.swarm.meta, now);
        found.members.insert(seat, Member { conn, client_id, away });
        let arrival = arrival(found, &self.sessions, self.swarm.relay.show_users);
        found.arrivals.insert(seq, arrival);
        for counter in asked.into_iter().flatten() {
            let direct = Direct { counter, room: Some((key, 0)) };
            self.directs.entry(client_id).or_default().push_back(direct);
        }
        if over {
            self.fail("I18", format!("{client_id} takes a seat too many in {room:?}"));
        }
        if too_many {
            self.fail("I18", format!("{client_id} is in more than {most} rooms"));
        }
        if reused || twice {
            self.fail("I5", format!("{seat:?} of {room:?} is taken twice"));
        }
        if gone {
            self.fail("I17", format!("{client_id} joins {room:?} after its end"));
        }
    }

    pub(super) fn abandoned(&mut self, cause: &Cause, conn: ConnId) {
        self.mark(Mark::JoinAbandoned);
        self.outcomes += 1;
        let asked = matches!(cause, Cause::Answer { conn: asked, about: About::Join(_), accepted: true, .. } if *asked == conn);
        if !asked {
            self.fail("I19", "a join is abandoned that was not accepted");
        }
    }

    pub(super) fn left(
        &mut self,
        room: RoomId,
        seat: Seat,
        conn: ConnId,
        client_id: ClientId,
        reason: LeaveReason,
    ) {
        let now = self.now;
        if matches!(reason, LeaveReason::NotAllowed) {
            self.mark(Mark::NotAllowed);
            if self.is_arriving(conn)
                && let Some(author) = self.owners.get(&client_id)
            {
                // It is not told of it.
                self.authors[*author].seats_before.remove(&room);
            }
        }
        let acts = self.acts;
        if let Some(session) = self.sessions.get_mut(&conn) {
            let was_away = session.away.is_some();
            session.left_act = acts;
            if session.seats.remove(&room) != Some(seat) {
                self.fail("I9", format!("{client_id} leaves {room:?} and was not there"));
            }
            match &reason {
                LeaveReason::RoomDeleted { .. } if was_away => self.mark(Mark::DeletedWhileAway),
                LeaveReason::Kicked { .. } if was_away => self.mark(Mark::RemovedWhileAway),
                LeaveReason::Moved => self.mark(Mark::RoomMoved),
                _ => {}
            }
        } else {
            self.fail("I9", format!("{client_id} leaves {room:?} after its end"));
        }
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        if found.members.remove(&seat).is_none() {
            return self.fail("I9", format!("{seat:?} of {room:?} is left twice"));
        }
        found.latest.remove(&seat);
        if found.deleted.is_none() {
            if let LeaveReason::RoomDeleted { message } = reason {
                found.deleted = Some(now);
                let size = message.len() + 64;
                found.append(What::Deleted { message }, size, now);
            } else {
                found.append(What::Left { seat, reason }, 128, now);
            }
        }
    }

    pub(super) fn went_away(&mut self, room: RoomId, seat: Seat, conn: ConnId) {
        let now = self.now;
        if self.sessions.get(&conn).is_none_or(|session| session.away.is_none()) {
            self.fail("I9", format!("{conn:?} is away in {room:?} and has a link"));
        }
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        let deleted = found.deleted.is_some();
        let Some(member) = found.members.get_mut(&seat) else {
            return self.fail("I9", format!("{seat:?} of {room:?} is away and was not there"));
        };
        if std::mem::replace(&mut member.away, true) {
            self.mark(Mark::JoinedWhileAway);
        } else if !deleted {
            found.append(What::Away { seat }, 64, now);
        }
    }

    pub(super) fn came_back(&mut self, room: RoomId, seat: Seat, conn: ConnId) {
        let now = self.now;
        if self.sessions.get(&conn).is_none_or(|session| session.away.is_some()) {
            self.fail("I9", format!("{conn:?} is back in {room:?} and has no link"));
        }
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        let deleted = found.deleted.is_some();
        match found.members.get_mut(&seat) {
            Some(member) if member.away => {
                member.away = false;
                if !deleted {
                    found.append(What::Back { seat }, 64, now);
                }
            }
            _ => self.fail("I9", format!("{seat:?} of {room:?} is back and was not away")),
        }
    }

    /// A new process is told a room as it is after its last event.
    pub(super) fn arrived_anew(&mut self, room: RoomId, seat: Seat) {
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        let mut arrival = arrival(found, &self.sessions, self.swarm.relay.show_users);
        let known = arrival.retained.len();
        arrival.retained.retain(|seq| !found.leaves_out(*seq, seat));
        if arrival.retained.len() < known {
            self.marks.reach(Mark::LeftOutOfRetained);
        }
        found.arrivals.insert(found.head(), arrival);
    }

    /// A room's metadata changed.
    pub(super) fn described(
        &mut self,
        room: RoomId,
        version: u64,
        key: String,
        value: Option<String>,
    ) {
        let now = self.now;
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        let right = version == found.meta_version + 1 && found.deleted.is_none();
        found.meta_version = version;
        match &value {
            Some(value) => found.meta.insert(key.clone(), value.clone()),
            None => found.meta.remove(&key),
        };
        let size = key.len() + value.as_ref().map_or(0, String::len) + 64;
        found.append(What::RoomMetadata { version, key, value }, size, now);
        if !right {
            self.fail("I17", format!("metadata of {room:?} jumps to version {version}"));
        }
    }

    pub(super) fn next_mode(&mut self) -> RelayMode {
        self.made.take().unwrap_or_else(|| {
            if self.swarm.relay.create_on_join == CreateOnJoin::Never {
                RelayMode::AtOnce
            } else {
                self.swarm.relay.room_defaults.mode
            }
        })
    }
}

/// What a room looks like to who comes now.
fn arrival(room: &RoomLog, sessions: &BTreeMap<ConnId, SessionView>, show_users: bool) -> Arrival {
    let roster = room.members.iter().filter_map(|(seat, member)| {
        let session = sessions.get(&member.conn)?;
        Some(Present {
            seat: *seat,
            client_id: member.client_id,
            user: session.user().filter(|_| show_users).map(ToString::to_string),
            away: member.away,
            meta_version: session.meta_version,
            meta: session.meta.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        })
    });
    let values = room.latest.values().flat_map(|values| values.values());
    let mut retained: Vec<u64> = values.map(|(seq, _)| *seq).collect();
    retained.sort_unstable();
    Arrival {
        roster: roster.collect(),
        retained,
        meta_version: room.meta_version,
        meta: room.meta.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}
