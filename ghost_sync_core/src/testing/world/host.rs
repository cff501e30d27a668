//! What the server program does by itself.

use super::{Cause, World};
use crate::{
    relay::{Announcement, ConnId, ServerSendError},
    testing::stamp::Stamp,
    wire::{Delivery, MessageType, RoomId, RoomName, Seat},
};

impl World {
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

    pub(super) fn configure(&mut self, who: u32) {
        let name = self.room_name(who);
        let Some(room) = self.relay.room_id(&name) else { return };
        let capacity = [0, 1, 2, 5][self.rng.usize(..4)];
        let retain = [0, 1, 64][self.rng.usize(..3)];
        let mode = self.oracle.mode_of(room);
        let config = self.swarm.room.clone().mode(mode).capacity(capacity).retain(retain);
        self.act(&Cause::Host, |relay, now, out| {
            let _ = relay.configure_room(now, &name, config, out);
        });
        self.oracle.configured(room, capacity, retain);
    }

    pub(super) fn host_broadcast(&mut self, who: u32) {
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

    pub(super) fn host_direct(&mut self, who: u32, all: bool, len: usize) {
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

    pub(super) fn some_conn(&self, who: u32) -> Option<ConnId> {
        let conns: Vec<_> = self.oracle.conns().collect();
        if conns.is_empty() { None } else { Some(conns[who as usize % conns.len()]) }
    }
}
