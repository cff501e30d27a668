//! What each operation does.

use std::time::Duration;

use fastrand::Rng;

use super::{Cause, Mark, World};
use crate::{
    client::Request,
    relay::MetadataError,
    testing::{
        ops::{Op, OpKind},
        stamp::mix,
        swarm::SERVERS_TYPE,
    },
    wire::MessageType,
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
            OpKind::ToServer => self.send_to_server(at),
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
            OpKind::Renew => {
                // What it asked for just before may be decided after that.
                if self.rng.u32(..3) == 0 {
                    self.join(at);
                }
                self.renew(at);
            }
            OpKind::Verify => {
                if !self.tokens.is_empty() {
                    let at = self.rng.usize(..self.tokens.len());
                    self.verify(self.tokens[at].ask);
                }
            }
            OpKind::Ban => self.ban(op.who),
            OpKind::Unban => self.unban(),
            OpKind::Revoke => self.revoke(op.who),
            OpKind::Impostor if self.rng.u32(..2) == 0 => self.come_back_bare(at),
            OpKind::Impostor => self.impersonate(at),
            OpKind::Forger => self.forge(op.who),
        }
        if self.rng.u32(..8) >= self.swarm.lazy {
            self.turn();
            self.oracle.check(&self.relay, self.rng.u32(..8) == 0);
        }
    }

    /// What a payload is said to be; honest clients know nothing of directions.
    pub(super) fn message_type(&mut self) -> MessageType {
        match self.rng.u32(..16) {
            0 => MessageType::of(SERVERS_TYPE),
            other => MessageType(other % 3),
        }
    }

    pub(super) fn length(&mut self) -> usize {
        match self.rng.u32(..40) {
            0 => self.rng.usize(..3000),
            _ => self.rng.usize(..self.swarm.payload),
        }
    }

    pub(super) fn room_name(&self, who: u32) -> String {
        format!("room-{}", who as usize % self.swarm.names)
    }
}
