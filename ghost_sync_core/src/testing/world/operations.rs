//! What each operation does.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use super::{Cause, Mark, World, clients::LONG};
use crate::{
    client::{Request, RequestKind},
    relay::{Announcement, MetadataError, Relay, ServerSendError},
    testing::{
        ops::{Op, OpKind},
        oracle::Message,
        stamp::{Stamp, mix},
        swarm::{NOWHERE, SERVERS_TYPE},
    },
    wire::{
        CloseReason, Delivery, DisconnectReason, IfMissing, JoinOptions, MessageType, Replay,
        RoomId, RoomName, Seat, SendFlags,
    },
};

impl World {
    /// Carries one operation out.
    pub(in crate::testing) fn step(&mut self, op: Op) {
        self.rng = Rng::with_seed(op.draw);
        self.oracle.trace = mix(self.oracle.trace, op.kind as u64);
        let at = op.who as usize % self.players.len();
        match op.kind {
            OpKind::Deliver => self.deliver(op.who),
            OpKind::Flow => self.flow(),
            OpKind::Broadcast => self.broadcast(at),
            OpKind::Burst => {
                for _ in 0..self.rng.u32(5..40) {
                    self.broadcast(at);
                }
            }
            OpKind::ToServer => self.to_server(at),
            OpKind::Join => self.join(at),
            OpKind::Leave => {
                if let Some(room) = self.some_room(at) {
                    self.ask(at, Request::Leave { room });
                }
                self.flush(at);
            }
            OpKind::SetMetadata => {
                let key = ["a", "b", "score", "name"][self.rng.usize(..4)].to_owned();
                let value = (self.rng.u32(..3) > 0).then(|| "v".repeat(self.rng.usize(..40)));
                self.ask(at, Request::SetMetadata { key, value });
                self.flush(at);
            }
            OpKind::ListRooms => {
                self.ask(at, Request::ListRooms);
                self.flush(at);
            }
            OpKind::Ping => {
                self.ask(at, Request::Ping);
                self.flush(at);
            }
            OpKind::Connect => {
                self.connect(at);
                if self.rng.bool() {
                    self.flow();
                }
            }
            OpKind::Goodbye => self.goodbye(at),
            OpKind::NewProcess => self.begin_anew(at),
            OpKind::Cut => self.cut(op.who),
            OpKind::Storm => {
                let serials: Vec<u32> = self.links.keys().copied().collect();
                for serial in serials {
                    self.reset(serial, true, true);
                }
            }
            OpKind::Abandon => self.abandon(at),
            OpKind::HalfClose => {
                // The client says that it is done and reads on, or the other way round.
                if let Some(serial) = self.players[at].link
                    && let Some(link) = self.links.get_mut(&serial)
                {
                    link.up.ended = true;
                }
            }
            OpKind::Blackhole => {
                if let Some(link) = self.pick_link(op.who).and_then(|s| self.links.get_mut(&s)) {
                    link.dead = true;
                }
            }
            OpKind::Stall => {
                let down = self.rng.u32(..3) > 0;
                if let Some(link) = self.pick_link(op.who).and_then(|s| self.links.get_mut(&s)) {
                    if down { link.down.stalled = true } else { link.up.stalled = true }
                }
            }
            OpKind::Unstall => {
                if let Some(link) = self.pick_link(op.who).and_then(|s| self.links.get_mut(&s)) {
                    (link.up.stalled, link.down.stalled) = (false, false);
                }
            }
            OpKind::Wait => {
                let longest = [100, 1000, 3000, 20_000, 40_000][self.rng.usize(..5)];
                let time = Duration::from_millis(self.rng.u64(1..longest));
                self.advance(time, true);
            }
            OpKind::Pass => {
                let time = Duration::from_millis(self.rng.u64(1..400));
                self.advance(time, false);
            }
            OpKind::Sleep => self.sleep(),
            OpKind::Answer => {
                if !self.asks.is_empty() {
                    let at = self.rng.usize(..self.asks.len());
                    self.answer(self.asks[at].ask);
                }
            }
            OpKind::HostBroadcast => self.host_broadcast(op.who),
            OpKind::HostDirect => {
                // Now and then the whole state of a game.
                let (times, len) = if self.rng.u32(..5) == 0 { (12, 900) } else { (1, 20) };
                (0..times).for_each(|_| self.host_direct(op.who, false, len));
            }
            OpKind::HostAll => self.host_direct(op.who, true, 20),
            OpKind::HostRoomMetadata => {
                let name = self.room_name(op.who);
                let value = (self.rng.u32(..3) > 0).then_some("value");
                let version = (self.rng.u32(..4) == 0).then(|| self.rng.u64(..4));
                let set = self.act(&Cause::Host, |relay, now, out| {
                    relay.set_room_metadata(now, &name, "map", value, version, out)
                });
                if matches!(set, Err(MetadataError::Conflict { .. })) {
                    self.oracle.mark(Mark::MetadataConflict);
                }
            }
            OpKind::HostClientMetadata => {
                if let Some(conn) = self.some_conn(op.who) {
                    let value = (self.rng.u32(..3) > 0).then_some("7");
                    let version = (self.rng.u32(..4) == 0).then(|| self.rng.u64(..4));
                    let key = if self.rng.u32(..3) == 0 { "a" } else { "score" };
                    self.act(&Cause::Host, |relay, now, out| {
                        let _ = relay.set_client_metadata(now, conn, key, value, version, out);
                    });
                }
            }
            OpKind::CreateRoom => self.create_room(op.who as usize % self.swarm.names),
            OpKind::DeleteRoom => {
                let name = self.room_name(op.who);
                self.act(&Cause::Host, |relay, now, out| {
                    let _ = relay.delete_room(now, &name, "over", out);
                });
            }
            OpKind::CloseRoom => {
                let name = self.room_name(op.who);
                self.act(&Cause::Host, |relay, now, out| {
                    let _ = relay.close_room(now, &name, "gone", out);
                });
            }
            OpKind::ConfigureRoom => self.configure(op.who),
            OpKind::Disconnect => {
                if let Some(conn) = self.some_conn(op.who) {
                    let done = self.act(&Cause::Disconnect(conn), |relay, now, out| {
                        relay.disconnect(now, conn, "out", out)
                    });
                    if done.is_ok() && self.oracle.conns().any(|left| left == conn) {
                        self.oracle.fail("I16", format!("{conn:?} is there after its end"));
                    }
                }
            }
            OpKind::Kick => {
                let conn = self.some_conn(op.who).unwrap_or_default();
                let room = self.relay.rooms_of(conn).next().map(|(room, _)| room);
                if let Some(room) = room {
                    self.act(&Cause::Host, |relay, now, out| {
                        let _ = relay.kick(now, conn, room, "removed", out);
                    });
                }
            }
            OpKind::Restart => self.restart(),
            OpKind::Hostile => self.attack(op.who),
            OpKind::Thief => self.steal(at),
            OpKind::Liar => self.lie(at),
            OpKind::AtGrace => self.race_grace(at),
        }
        if self.rng.u32(..8) >= self.swarm.lazy {
            self.turn();
            self.oracle.check(&self.relay, self.rng.u32(..8) == 0);
        }
    }

    fn deliver(&mut self, who: u32) {
        let Some(serial) = self.pick_link(who) else { return };
        let most = match self.rng.u32(..4) {
            0 => 1,
            1 => self.rng.usize(1..20),
            2 => self.rng.usize(1..300),
            _ => usize::MAX,
        };
        let Some(link) = self.links.get(&serial).filter(|link| !link.dead) else { return };
        let up = self.rng.bool();
        if up && !link.up.stalled {
            self.deliver_up(serial, most);
        } else if !up && !link.down.stalled {
            self.deliver_down(serial, most);
        }
    }

    fn broadcast(&mut self, at: usize) {
        let delivery = match self.rng.u32(..8) {
            _ if self.swarm.volatile => Delivery::Volatile,
            0..4 => Delivery::Reliable,
            4 | 5 => Delivery::Volatile,
            _ => Delivery::Latest(self.rng.u32(..self.swarm.keys)),
        };
        let last = matches!(delivery, Delivery::Latest(_)) && self.rng.u32(..5) == 0;
        let echo = self.rng.u32(..6) == 0;
        let ack = self.rng.u32(..4) == 0;
        let mut flags = SendFlags::NONE;
        if echo {
            flags = flags.with(SendFlags::ECHO);
        }
        if ack {
            flags = flags.with(SendFlags::ACK);
        }
        if last {
            flags = flags.with(SendFlags::FORGET);
        }
        let Some(name) = self.some_room(at) else { return };
        let author = self.players[at].author;
        // Of two rooms of that name, the client means the one that it joined last.
        let stays = &self.oracle.authors[author].stays;
        let key = stays.values().filter(|stay| self.oracle.is_called(stay.key, &name));
        let Some(key) = key.max_by_key(|stay| stay.order).map(|stay| stay.key) else { return };
        let counter = self.oracle.authors[author].messages.len();
        let len = self.length();
        let payload = stamp(author, counter, key.1).payload(len);
        let message_type = self.message_type();
        let session = &mut self.players[at].session;
        let said = session.broadcast(Some(name.as_str()), delivery, flags, message_type, &payload);
        if let Ok(reference) = said {
            let floor = if key.0 == self.oracle.era { self.oracle.head(key) } else { 0 };
            let mut message =
                Message::new(Some(key), Some(delivery), message_type, floor, payload.len());
            (message.echo, message.ack, message.last) = (echo, ack, last);
            message.open = self.players[at].session.is_open();
            message.losses = self.oracle.authors[author].losses;
            self.oracle.says(author, reference, message);
        }
        self.flush(at);
    }

    fn to_server(&mut self, at: usize) {
        let author = self.players[at].author;
        let counter = self.oracle.authors[author].messages.len();
        let len = self.length();
        let payload = stamp(author, counter, RoomId(0)).payload(len);
        let message_type = self.message_type();
        if let Ok(reference) = self.players[at].session.to_server(None, message_type, &payload) {
            let message = Message::new(None, None, message_type, 0, payload.len());
            self.oracle.says(author, reference, message);
        }
        self.flush(at);
    }

    pub(super) fn join(&mut self, at: usize) {
        let name = self.rng.u32(..);
        let name = self.room_name(name);
        let replay = match self.rng.u32(..4) {
            0 | 1 => Replay::Nothing,
            2 => Replay::Last(self.rng.u32(..50)),
            _ => {
                let known = self.oracle.epoch_of(&name);
                let epoch = known.unwrap_or_else(|| self.rng.u64(..));
                Replay::Since { epoch, seq: self.rng.u64(..40) }
            }
        };
        let (name, if_missing) = match self.rng.u32(..16) {
            // Of these rooms there is none, and nobody asks for one.
            0 => (format!("{NOWHERE}{name}"), IfMissing::Refuse),
            1 => (name, IfMissing::Refuse),
            2 | 3 => (name, IfMissing::Create { options: Bytes::from_static(b"small") }),
            _ => (name, IfMissing::Default),
        };
        let options = JoinOptions {
            data: Bytes::from_static(b"please"),
            replay,
            if_missing,
            ..JoinOptions::default()
        };
        let room = RoomName::new(&name).expect("names are short");
        self.ask(at, Request::Join { room, options, if_nowhere: false });
        self.flush(at);
    }

    /// Makes a request, and notes what the client is owed for it.
    pub(super) fn ask(&mut self, at: usize, request: Request) {
        let player = &mut self.players[at];
        if player.session.request(self.now, &request).is_err() {
            return;
        }
        let author = &mut self.oracle.authors[player.author];
        match request.kind() {
            RequestKind::Join => author.joins_owed += 1,
            RequestKind::ListRooms => author.lists_owed += 1,
            _ => {}
        }
    }

    pub(super) fn goodbye(&mut self, at: usize) {
        let reason = self.players[at].session.close(CloseReason::Requested);
        self.client_loses(at, &reason);
        self.players[at].over = true;
        let author = self.players[at].author;
        self.oracle.authors[author].over = true;
    }

    /// Ends a link anywhere in what is on its way; both sides are told, or one.
    fn cut(&mut self, who: u32) {
        let Some(serial) = self.pick_link(who) else { return };
        let (up, down) = (self.rng.usize(..200), self.rng.usize(..200));
        if self.rng.bool() && self.links.get(&serial).is_some_and(|link| !link.dead) {
            self.deliver_up(serial, up);
            self.turn();
            self.deliver_down(serial, down);
        }
        let told = self.rng.u32(..4);
        self.reset(serial, told != 1, told != 2);
    }

    pub(super) fn reset(&mut self, serial: u32, server: bool, client: bool) {
        let Some(link) = self.links.get_mut(&serial) else { return };
        let player = link.player;
        link.up.bytes.clear();
        link.down.bytes.clear();
        if !server || !client {
            link.dead = true;
        }
        if client {
            match player {
                Some(at) if self.players[at].link == Some(serial) => {
                    self.client_loses(at, &DisconnectReason::ConnectionReset);
                }
                _ => link.held = false,
            }
        }
        if server {
            self.server_loses(serial, DisconnectReason::ConnectionReset);
        }
        self.links.retain(|_, link| !link.is_over());
    }

    /// The server's process stands still for a while.
    fn sleep(&mut self) {
        let longest = [5_000, 60_000, LONG.as_millis() as u64][self.rng.usize(..3)];
        let time = Duration::from_millis(self.rng.u64(2500..longest));
        self.set_now(self.now + time);
        if self.rng.bool() {
            self.notice_silence();
        }
        self.tick();
        self.turn();
        self.notice_silence();
    }

    fn restart(&mut self) {
        let serials: Vec<u32> = self.links.keys().copied().collect();
        for serial in serials {
            if self.rng.bool() {
                let most = self.rng.usize(..100);
                self.deliver_down(serial, most);
            }
            if let Some(link) = self.links.get_mut(&serial) {
                link.served = false;
            }
            self.reset(serial, false, true);
        }
        self.links.clear();
        self.by_id.clear();
        self.asks.clear();
        self.prompt.clear();
        self.writable.clear();
        let mut config = self.swarm.relay.clone();
        config.host.seed = self.unique();
        self.relay = Relay::new(config);
        self.oracle.restarted();
        for name in 0..self.swarm.names {
            self.create_room(name);
        }
    }

    /// A client comes back in the instant in which its session ends.
    fn race_grace(&mut self, at: usize) {
        let author = self.players[at].author;
        if self.players[at].link.is_some() || self.players[at].over {
            return;
        }
        let Some(away) = self.oracle.away(author) else { return };
        let left = away.earliest.saturating_duration_since(self.now);
        if left.is_zero() || left > Duration::from_secs(60) {
            return;
        }
        self.advance(left - Duration::from_nanos(1), true);
        if self.players[at].link.is_some() || self.oracle.away(author).is_none() {
            return;
        }
        self.connect(at);
        self.set_now(away.earliest);
        self.oracle.mark(Mark::ResumeAtGrace);
        let serial = self.players[at].link;
        if self.rng.bool() {
            self.tick();
        }
        if let Some(serial) = serial {
            self.deliver_up(serial, usize::MAX);
        }
        self.tick();
    }

    pub(super) fn create_room(&mut self, name: usize) {
        let name = format!("room-{name}");
        let mode = self.swarm.modes[self.rng.usize(..self.swarm.modes.len())];
        let config = self.swarm.room.clone().mode(mode);
        let epoch = self.unique();
        self.oracle.made = Some(mode);
        let room = RoomName::new(&name).expect("names are short");
        let made = self
            .act(&Cause::Host, |relay, now, out| relay.create_room(now, room, epoch, config, out));
        self.oracle.made = None;
        if made.is_ok() {
            self.oracle.check(&self.relay, true);
        }
    }

    fn configure(&mut self, who: u32) {
        let name = self.room_name(who);
        let Some(room) = self.relay.room_id(&name) else { return };
        let capacity = [0, 1, 2, 5][self.rng.usize(..4)];
        let retain = [0, 1, 64][self.rng.usize(..3)];
        let mode = self.oracle.mode_of(room);
        let config = self.swarm.room.clone().mode(mode).capacity(capacity).retain(retain);
        self.act(&Cause::Host, |relay, now, _| {
            let _ = relay.configure_room(now, &name, config);
        });
        self.oracle.configured(room, capacity, retain);
    }

    fn host_broadcast(&mut self, who: u32) {
        let name = self.room_name(who);
        let Some(room) = self.relay.room_id(&name) else { return };
        let counter = self.words;
        let len = self.length();
        let payload = self.say(room, len);
        let delivery = match self.rng.u32(..4) {
            _ if self.swarm.volatile => Delivery::Volatile,
            0 | 1 => Delivery::Reliable,
            2 => Delivery::Volatile,
            _ => Delivery::Latest(self.rng.u32(..self.swarm.keys)),
        };
        let last = if let Delivery::Latest(key) = delivery { Some(key) } else { None };
        let last = last.filter(|_| self.rng.u32(..5) == 0);
        let message_type = self.message_type();
        let last = last.is_some();
        let mut except: Vec<_> = Vec::new();
        if self.rng.bool() {
            let share = self.rng.u32(1..8);
            except.extend(self.oracle.conns().filter(|_| self.rng.u32(..8) < share));
        }
        let left_out = self.oracle.left_out(&except, room);
        let (except, payload) = (&except[..], &payload[..]);
        let words = Announcement { delivery, last, except, message_type, payload };
        let said = self.act(&Cause::Host, |relay, now, _| relay.say(now, &name, words));
        match said {
            Ok(seq) => {
                let mut seats = [Seat::SERVER; 4];
                seats.iter_mut().zip(&left_out).for_each(|(place, seat)| *place = *seat);
                let said = (delivery, last, message_type);
                self.oracle.host_said(room, counter, seq, said, seats, payload.len());
                if left_out.len() > seats.len() {
                    self.oracle.fail("I10", format!("{left_out:?} are left out"));
                }
            }
            Err(ServerSendError::TooManyLeftOut { max }) if left_out.len() > max => {}
            Err(error) => self.oracle.fail("I10", format!("{error}: {left_out:?}")),
        }
    }

    /// What a payload is said to be; honest clients know nothing of directions.
    fn message_type(&mut self) -> MessageType {
        match self.rng.u32(..16) {
            0 => MessageType::of(SERVERS_TYPE),
            other => MessageType(other % 3),
        }
    }

    fn host_direct(&mut self, who: u32, all: bool, len: usize) {
        let conns: Vec<_> = self.oracle.conns().collect();
        if conns.is_empty() {
            return;
        }
        let counter = self.words;
        let name = self.room_name(who);
        let room = if self.rng.bool() && !all { self.relay.room_id(&name) } else { None };
        let payload = self.say(room.unwrap_or_default(), len);
        if all {
            let told = self
                .act(&Cause::Host, |relay, _, _| relay.broadcast_all(MessageType::RAW, &payload));
            return self.oracle.host_told(&conns, None, counter, told.unwrap_or(0));
        }
        let to: Vec<_> = conns.iter().copied().filter(|_| self.rng.bool()).collect();
        let about = room.map(|_| name.as_str());
        let delivery = match self.rng.u32(..6) {
            0..3 => Delivery::Reliable,
            3 => Delivery::Volatile,
            _ => Delivery::Latest(self.rng.u32(..self.swarm.keys)),
        };
        let told = self.act(&Cause::Host, |relay, _, _| {
            relay.direct(&to, about, delivery, MessageType::RAW, &payload)
        });
        let told = told.unwrap_or(0);
        match delivery {
            Delivery::Reliable => self.oracle.host_told(&to, room, counter, told),
            Delivery::Volatile | Delivery::Latest(_) => {
                self.oracle.host_told_aside(&to, room, counter, delivery, told);
            }
        }
    }

    /// The server program's next payload.
    pub(super) fn say(&mut self, room: RoomId, len: usize) -> Vec<u8> {
        let counter = self.words;
        self.words += 1;
        Stamp { author: Stamp::HOST, counter, room }.payload(len)
    }

    fn length(&mut self) -> usize {
        match self.rng.u32(..40) {
            0 => self.rng.usize(..3000),
            _ => self.rng.usize(..self.swarm.payload),
        }
    }

    /// One of the rooms that a client is in.
    fn some_room(&mut self, at: usize) -> Option<RoomName> {
        let rooms: Vec<_> = self.players[at].session.rooms().collect();
        if rooms.is_empty() {
            return None;
        }
        Some(rooms[self.rng.usize(..rooms.len())].clone())
    }

    fn some_conn(&self, who: u32) -> Option<crate::relay::ConnId> {
        let conns: Vec<_> = self.oracle.conns().collect();
        if conns.is_empty() { None } else { Some(conns[who as usize % conns.len()]) }
    }

    pub(super) fn room_name(&self, who: u32) -> String {
        format!("room-{}", who as usize % self.swarm.names)
    }
}

fn stamp(author: usize, counter: usize, room: RoomId) -> Stamp {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX - 1);
    Stamp { author: number(author), counter: number(counter), room }
}
