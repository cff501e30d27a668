//! What the host is told: the order of each room, and who is there.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    About, Away, Cause, Direct, Fate, Mark, Oracle, SessionView,
    room::{Arrival, Member, Present, RoomLog, Said, What},
};
use crate::{
    relay::{ConnId, CreateOnJoin, LinkId, RelayEvent, RelayMode},
    testing::{stamp::Stamp, swarm::NOWHERE},
    wire::{
        ClientId, CloseReason, DisconnectReason, LeaveReason, MessageType, RoomId, RoomName, Seat,
    },
};

impl Oracle {
    /// Takes what the relay tells its host, and what it was given just before.
    pub(in crate::testing) fn on_event(&mut self, cause: &Cause, event: RelayEvent) {
        match event {
            RelayEvent::ConnectionOpened { conn, client_id, meta, addr } => {
                self.came_in(client_id, addr);
                self.opened(cause, conn, client_id, meta, addr);
            }
            RelayEvent::ConnectionClosed { conn, client_id, reason } => {
                self.closed(cause, conn, client_id, &reason);
            }
            RelayEvent::ConnectionLost { conn, reason, .. } => self.lost(cause, conn, &reason),
            RelayEvent::ConnectionResumed { conn, client_id, addr, restarted: true } => {
                self.came_in(client_id, addr);
                match self.heir.take() {
                    Some((link, author)) => {
                        self.inherited(link, author, client_id);
                        self.linked(link, conn, client_id);
                    }
                    None => self.fail("I15", format!("{client_id} goes on as nobody")),
                }
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.addr = addr;
                }
            }
            RelayEvent::ConnectionResumed { conn, client_id, addr, restarted: false } => {
                self.came_in(client_id, addr);
                self.resumed(cause, conn, client_id);
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.addr = addr;
                }
            }
            RelayEvent::HandshakeFailed { reason, .. } => {
                if matches!(reason, DisconnectReason::Closed(CloseReason::MaxClientsReached { .. }))
                {
                    self.mark(Mark::Full);
                }
            }
            RelayEvent::RoomCreated { room, name } => self.created(cause, room, name),
            RelayEvent::RoomDeleted { room, message, .. } => self.deleted(room, &message),
            RelayEvent::RoomEmptied { room, .. } => {
                let key = (self.era, room);
                if self.rooms.get(&key).is_none_or(|found| !found.members.is_empty()) {
                    self.fail("I7", format!("{room:?} is said to be empty and is not"));
                }
            }
            RelayEvent::PlayerJoined { room, seat, conn, client_id, .. } => {
                self.joined(cause, room, seat, conn, client_id);
            }
            RelayEvent::PlayerLeft { room, seat, conn, client_id, reason, .. } => {
                self.left(room, seat, conn, client_id, reason);
            }
            RelayEvent::PlayerAway { room, seat, conn, .. } => self.went_away(room, seat, conn),
            RelayEvent::PlayerBack { room, seat, conn, restarted, .. } => {
                self.came_back(room, seat, conn);
                if restarted {
                    self.arrived_anew(room, seat);
                }
            }
            RelayEvent::JoinAbandoned { conn, .. } => {
                self.mark(Mark::JoinAbandoned);
                self.outcomes += 1;
                let asked = matches!(cause, Cause::Answer { conn: asked, about: About::Join(_), accepted: true, .. } if *asked == conn);
                if !asked {
                    self.fail("I19", "a join is abandoned that was not accepted");
                }
            }
            RelayEvent::Lagged { .. } | RelayEvent::Rtt { .. } => {}
            RelayEvent::Broadcast {
                room,
                seat,
                conn,
                client_id,
                seq,
                message_type,
                payload,
                ..
            } => {
                self.relayed(cause, room, seat, conn, client_id, seq, message_type, &payload);
            }
            RelayEvent::Message { conn, client_id, room, message_type, payload } => {
                let room = room.map(|(room, ..)| room);
                self.reported(cause, conn, client_id, room, message_type, &payload);
            }
            RelayEvent::RoomMetaChanged { room, version, key, value, .. } => {
                let now = self.now;
                let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
                let right = version == found.meta_version + 1 && found.deleted.is_none();
                found.meta_version = version;
                match &value {
                    Some(value) => found.meta.insert(key.clone(), value.clone()),
                    None => found.meta.remove(&key),
                };
                let size = key.len() + value.as_ref().map_or(0, String::len) + 64;
                found.append(What::RoomMeta { version, key, value }, size, now);
                if !right {
                    self.fail("I17", format!("metadata of {room:?} jumps to version {version}"));
                }
            }
            RelayEvent::ClientMetaChanged { conn, version, key, value, .. } => {
                self.renamed(cause, conn, version, key, value);
            }
        }
    }

    fn opened(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        client_id: ClientId,
        meta: Vec<(String, String)>,
        addr: SocketAddr,
    ) {
        let asked = matches!(cause, Cause::Answer { conn: asked, about: About::Connect, accepted: true, .. } if *asked == conn);
        if self.swarm.relay.ask_connect && !asked {
            self.fail("I19", format!("{conn:?} is open without the host's yes: {cause:?}"));
        }
        let link = if let Cause::Bytes(link) = cause { Some(*link) } else { None };
        let session = SessionView {
            client_id,
            addr,
            spent: Default::default(),
            link: link.or_else(|| self.asking.remove(&conn)),
            away: None,
            seats: Default::default(),
            meta: meta.into_iter().collect(),
            meta_version: 0,
            locked: Default::default(),
            wishes: Default::default(),
            last_room: RoomId(0),
        };
        let known = self.sessions.values().any(|known| known.client_id == client_id)
            || self.ended.contains(&client_id);
        if known || self.sessions.insert(conn, session).is_some() {
            self.fail("I15", format!("{client_id} is opened twice"));
        }
        if self.sessions.len() > self.swarm.relay.max_clients {
            self.fail("I18", format!("{} clients are open", self.sessions.len()));
        }
    }

    fn closed(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        client_id: ClientId,
        reason: &DisconnectReason,
    ) {
        match reason {
            DisconnectReason::Closed(CloseReason::IdleTimeout { .. }) => {
                self.mark(Mark::IdleTimeout)
            }
            DisconnectReason::Closed(CloseReason::PingTimeout { .. }) => {
                self.mark(Mark::PingTimeout)
            }
            DisconnectReason::Closed(CloseReason::SlowConsumer { .. }) => {
                self.mark(Mark::SlowConsumer);
            }
            _ => {}
        }
        let Some(session) = self.sessions.remove(&conn) else {
            return self.fail("I9", format!("{conn:?} is closed twice"));
        };
        // Of one that was away it is why it was.
        if session.away.is_none() {
            self.put_out(reason, session.addr);
        }
        if session.client_id != client_id || !session.seats.is_empty() {
            self.fail("I9", format!("{client_id} is closed and keeps {:?}", session.seats));
        }
        let kicked = matches!(reason, DisconnectReason::Closed(CloseReason::Kicked { .. }));
        let kicked_away = kicked && session.away.is_some();
        if kicked_away {
            self.mark(Mark::KickedWhileAway);
            if let Some(author) = self.owners.get(&client_id) {
                self.authors[*author].barred = true;
            }
        }
        self.ended.insert(client_id);
        let own = self.feeding.is_some() && self.owners.get(&client_id) == self.feeding.as_ref();
        let Some(away) = session.away else {
            if let Cause::Bytes(from) = cause
                && session.link.is_some_and(|link| link != *from)
                && !own
            {
                self.fail("I15", format!("{client_id} is ended by what somebody else says"));
            }
            return;
        };
        let most = (self.swarm.relay.max_clients / 4).max(16);
        let aways = self.sessions.values().filter(|other| other.away.is_some()).count();
        match cause {
            Cause::Tick if self.now >= away.earliest => self.mark(Mark::GraceExpired),
            Cause::Kick(kicked) if *kicked == conn => {}
            Cause::Shutdown => {}
            Cause::Bytes(_) if own => {}
            // Too much may wait for it, or it may make room.
            _ if matches!(reason, DisconnectReason::Closed(CloseReason::SlowConsumer { .. })) => {}
            _ if self.is_crowded(session.addr) => self.mark(Mark::AwayEvicted),
            _ if aways >= most => {
                self.mark(Mark::AwayEvicted);
                self.evicted(client_id, session.addr);
            }
            _ => self.fail(
                "I9",
                format!(
                    "{client_id} is ended {:?} before its grace is over, for {reason}, by {cause:?}",
                    away.earliest.saturating_duration_since(self.now)
                ),
            ),
        }
    }

    fn lost(&mut self, cause: &Cause, conn: ConnId, reason: &DisconnectReason) {
        if matches!(reason, DisconnectReason::Closed(CloseReason::SlowConsumer { .. })) {
            self.mark(Mark::SlowConsumer);
        }
        if let Some(session) = self.sessions.get(&conn) {
            self.put_out(reason, session.addr);
        }
        if matches!(reason, DisconnectReason::Closed(CloseReason::IdleTimeout { .. })) {
            self.mark(Mark::IdleTimeout);
        }
        if matches!(reason, DisconnectReason::Closed(CloseReason::PingTimeout { .. })) {
            self.mark(Mark::PingTimeout);
        }
        let (now, grace) = (self.now, self.swarm.relay.resume_grace);
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I9", format!("{conn:?} is lost and was not there: {cause:?}"));
        };
        let held = !session.seats.is_empty() && !grace.is_zero() && session.away.is_none();
        session.away = Some(Away { earliest: now + grace, latest: now + grace });
        session.link = None;
        if !held || self.stopping {
            self.fail("I9", format!("{conn:?} is held and must not be: {reason}"));
        }
    }

    fn resumed(&mut self, cause: &Cause, conn: ConnId, client_id: ClientId) {
        let Cause::Bytes(link) = cause else {
            return self.fail("I15", format!("{client_id} is resumed by {cause:?}"));
        };
        let mut kept: usize = 0;
        if let Some(author) = self.owners.get(&client_id)
            && let Some((first, lane)) = self.lanes.get_mut(&client_id)
        {
            let received = self.authors[*author].received;
            while *first <= received && lane.pop_front().is_some() {
                *first += 1;
            }
            kept = lane.iter().sum();
            lane.clear();
            *first = received + 1;
        }
        let most = self.swarm.relay.outbox_limit;
        if kept > most {
            self.fail("I12", format!("{kept} bytes were kept for {client_id}, of {most}"));
        }
        if let (Some(author), Some(session)) =
            (self.owners.get(&client_id), self.sessions.get(&conn))
        {
            let head = |room: &RoomId| self.rooms.get(&(self.era, *room)).map_or(0, RoomLog::head);
            let heads = session.seats.keys().map(|room| (*room, head(room)));
            self.authors[*author].resumed_at = heads.collect();
        }
        if let Some(author) = self.owners.get(&client_id)
            && std::mem::replace(&mut self.authors[*author].resumed_unseen, true)
        {
            self.marks.reach(Mark::OldSecret);
        }
        self.linked(*link, conn, client_id);
    }

    /// A session has another link.
    fn linked(&mut self, link: LinkId, conn: ConnId, client_id: ClientId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I14", format!("{client_id} is resumed after its end"));
        };
        session.link = Some(link);
        match session.away.take() {
            None => self.mark(Mark::TookOver),
            Some(away) if away.latest < now => {
                self.fail("I14", format!("{client_id} is resumed after its grace"));
            }
            Some(_) => {}
        }
    }

    fn created(&mut self, cause: &Cause, room: RoomId, name: RoomName) {
        let mode = self.next_mode();
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
    pub(super) fn open_rooms(&self) -> usize {
        let of_era = self.rooms.range((self.era, RoomId(0))..);
        of_era.filter(|(_, room)| room.deleted.is_none()).count()
    }

    fn deleted(&mut self, room: RoomId, message: &str) {
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

    fn joined(
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
        if self.swarm.relay.ask_join && asked.is_none() {
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
        let arrival = arrival(found, &self.sessions);
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

    fn left(
        &mut self,
        room: RoomId,
        seat: Seat,
        conn: ConnId,
        client_id: ClientId,
        reason: LeaveReason,
    ) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(&conn) {
            let was_away = session.away.is_some();
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

    fn went_away(&mut self, room: RoomId, seat: Seat, conn: ConnId) {
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

    fn came_back(&mut self, room: RoomId, seat: Seat, conn: ConnId) {
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
    fn arrived_anew(&mut self, room: RoomId, seat: Seat) {
        let Some(found) = self.rooms.get_mut(&(self.era, room)) else { return };
        let mut arrival = arrival(found, &self.sessions);
        let known = arrival.retained.len();
        arrival.retained.retain(|seq| !found.leaves_out(*seq, seat));
        if arrival.retained.len() < known {
            self.marks.reach(Mark::LeftOutOfRetained);
        }
        found.arrivals.insert(found.head(), arrival);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn relayed(
        &mut self,
        cause: &Cause,
        room: RoomId,
        seat: Seat,
        conn: ConnId,
        client_id: ClientId,
        seq: u64,
        message_type: MessageType,
        payload: &[u8],
    ) {
        let key = (self.era, room);
        self.check_direction(message_type);
        let Some(stamp) = Stamp::read(payload) else {
            return self.fail("I2", format!("event {seq} of {room:?} was sent by nobody"));
        };
        self.check_sender(cause, conn, client_id, stamp);
        self.spends(cause, conn, payload.len());
        let head = self.head(key);
        let (stopping, era) = (self.stopping, self.era);
        let Some(found) = self.rooms.get_mut(&key) else {
            return self.fail("I17", format!("{stamp:?} goes to a room that is not there"));
        };
        let member = found.members.get(&seat).map(|member| member.client_id);
        let gone = found.deleted.is_some();
        let last = found.last_said.insert(stamp.author, stamp.counter);
        let moderated = found.mode == RelayMode::Moderated;
        let Some(message) = self
            .authors
            .get_mut(stamp.author as usize)
            .and_then(|author| author.messages.get_mut(stamp.counter as usize))
        else {
            return self.fail("I2", format!("{stamp:?} was never sent"));
        };
        let before = std::mem::replace(&mut message.fate, Fate::Accepted(seq));
        let said = Said {
            sender: seat,
            author: stamp.author,
            counter: stamp.counter,
            delivery: message.delivery.unwrap_or_default(),
            last: message.last,
            echo: message.echo,
            message_type: message.message_type,
            except: Default::default(),
        };
        found.say(said, payload.len(), self.now);
        let message = message.clone();
        if seq != head + 1 {
            self.fail("I1", format!("{stamp:?} is event {seq} after {head}"));
        }
        if before != Fate::Open {
            self.fail("I5", format!("{stamp:?} is event {seq}, and was {before:?} before"));
        }
        if message.room != Some((era, room)) || stamp.room != room {
            self.fail("I10", format!("{stamp:?} was sent to {:?}", message.room));
        }
        if message.message_type != message_type || message.len != payload.len() {
            self.fail("I2", format!("{stamp:?} was changed on its way"));
        }
        if member != Some(client_id) {
            self.fail("I8", format!("{stamp:?} comes from {seat:?} of {client_id}"));
        }
        if last.is_some_and(|last| last >= stamp.counter) {
            self.fail("I3", format!("{stamp:?} comes after {last:?} of its sender"));
        }
        if seq <= message.floor {
            self.fail("I25", format!("{stamp:?} is event {seq} and was said after it"));
        }
        if gone || stopping {
            self.fail("I17", format!("{stamp:?} is said after the end of {room:?}"));
        }
        if moderated && message.verdict != Some(true) {
            self.fail("I19", format!("{stamp:?} is relayed after {:?}", message.verdict));
        }
    }

    fn reported(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        client_id: ClientId,
        room: Option<RoomId>,
        message_type: MessageType,
        payload: &[u8],
    ) {
        self.check_direction(message_type);
        let Some(stamp) = Stamp::read(payload) else {
            return self.fail("I2", "the host gets a message that nobody sent");
        };
        self.check_sender(cause, conn, client_id, stamp);
        self.spends(cause, conn, payload.len());
        let key = room.map(|room| (self.era, room));
        let Some(message) = self
            .authors
            .get_mut(stamp.author as usize)
            .and_then(|author| author.messages.get_mut(stamp.counter as usize))
        else {
            return self.fail("I2", format!("{stamp:?} was never sent"));
        };
        let before = std::mem::replace(&mut message.fate, Fate::Reported);
        let (right, to_all) = (message.room == key, message.delivery.is_some());
        let same = message.message_type == message_type && message.len == payload.len();
        if before != Fate::Open {
            self.fail("I5", format!("{stamp:?} comes to the host, and was {before:?} before"));
        }
        if !right || !same {
            self.fail("I2", format!("{stamp:?} comes to the host for {room:?}"));
        }
        if to_all {
            self.mark(Mark::ServerMode);
            let mode = key.and_then(|key| self.rooms.get(&key)).map(|room| room.mode);
            if mode != Some(RelayMode::Server) {
                self.fail("I10", format!("{stamp:?} went to the host alone"));
            }
        }
    }

    fn check_sender(&mut self, cause: &Cause, conn: ConnId, client_id: ClientId, stamp: Stamp) {
        let Some(session) = self.sessions.get(&conn) else {
            return self.fail("I16", format!("{stamp:?} is accepted after its client's end"));
        };
        let (link, known) = (session.link, session.client_id == client_id);
        if self.owners.get(&client_id).is_none_or(|owner| *owner != stamp.author as usize) {
            self.fail("I2", format!("{stamp:?} is said to be of {client_id}"));
        }
        if !known {
            self.fail("I2", format!("{conn:?} is not {client_id}"));
        }
        if let Cause::Bytes(from) = cause
            && link != Some(*from)
            && link.is_some()
        {
            self.fail("I15", format!("{stamp:?} is accepted from a fenced link"));
        }
    }

    fn renamed(
        &mut self,
        cause: &Cause,
        conn: ConnId,
        version: u64,
        key: String,
        value: Option<String>,
    ) {
        let (now, era) = (self.now, self.era);
        self.check_owner(cause, conn, &key, value.as_deref());
        let Some(session) = self.sessions.get_mut(&conn) else {
            return self.fail("I16", format!("{conn:?} changes its metadata after its end"));
        };
        let right = version == session.meta_version + 1;
        session.meta_version = version;
        match &value {
            Some(value) => session.meta.insert(key.clone(), value.clone()),
            None => session.meta.remove(&key),
        };
        let fenced =
            matches!(cause, Cause::Bytes(from) if session.link.is_some_and(|link| link != *from));
        let seats: Vec<_> = session.seats.iter().map(|(room, seat)| (*room, *seat)).collect();
        for (room, seat) in seats {
            let Some(found) = self.rooms.get_mut(&(era, room)) else { continue };
            if found.deleted.is_none() {
                let size = key.len() + value.as_ref().map_or(0, String::len) + 64;
                let (key, value) = (key.clone(), value.clone());
                found.append(What::PlayerMeta { seat, version, key, value }, size, now);
            }
        }
        if !right {
            self.fail("I5", format!("metadata of {conn:?} jumps to version {version}"));
        }
        if fenced {
            self.fail("I15", format!("metadata of {conn:?} is changed over a fenced link"));
        }
    }

    fn next_mode(&mut self) -> RelayMode {
        self.made.take().unwrap_or_else(|| {
            if self.swarm.relay.create_on_join == CreateOnJoin::Never {
                RelayMode::Relay
            } else {
                self.swarm.relay.room_defaults.mode
            }
        })
    }
}

/// What a room looks like to who comes now.
fn arrival(room: &RoomLog, sessions: &BTreeMap<ConnId, SessionView>) -> Arrival {
    let roster = room.members.iter().filter_map(|(seat, member)| {
        let session = sessions.get(&member.conn)?;
        Some(Present {
            seat: *seat,
            client_id: member.client_id,
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
