//! What goes wrong: links, processes and clocks.

use std::time::Duration;

use super::{Mark, World, clients::LONG};
use crate::{relay::Relay, wire::DisconnectReason};

impl World {
    pub(super) fn deliver(&mut self, who: u32) {
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

    /// Ends a link anywhere in what is on its way; both sides are told, or one.
    pub(super) fn cut(&mut self, who: u32) {
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
    pub(super) fn sleep(&mut self) {
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

    pub(super) fn restart(&mut self) {
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
        self.tokens.clear();
        self.prompt_tokens.clear();
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
    pub(super) fn race_grace(&mut self, at: usize) {
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
}
