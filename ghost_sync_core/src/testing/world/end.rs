//! The end of a simulation: first all is healed, then everybody goes.

use std::time::Duration;

use super::{Cause, Mark, World};
use crate::wire::DisconnectReason;

impl World {
    /// Heals the network and gives everybody time; then nothing may be missing.
    pub(in crate::testing) fn finish(&mut self) {
        if self.swarm.ends_with_shutdown && self.rng.bool() {
            // In the middle of everything.
            self.healed = true;
            self.shut_down();
            return self.oracle.emptied(&self.relay);
        }
        self.healed = true;
        self.answer_all();
        for link in self.links.values_mut() {
            (link.up.stalled, link.down.stalled) = (false, false);
            if !link.held {
                link.up.ended = true;
            }
        }
        let dead: Vec<u32> =
            self.links.iter().filter(|(_, link)| link.dead).map(|(serial, _)| *serial).collect();
        for serial in dead {
            if let Some(link) = self.links.get_mut(&serial) {
                link.down.ended = true;
                link.up.bytes.clear();
                link.down.bytes.clear();
            }
            self.server_loses(serial, DisconnectReason::ConnectionReset);
            match self.links.get(&serial).and_then(|link| link.player) {
                Some(at) if self.players[at].link == Some(serial) => {
                    self.client_loses(at, &DisconnectReason::ConnectionReset);
                }
                _ => {}
            }
            self.links.remove(&serial);
        }
        let full: Vec<u32> = self.links.keys().copied().collect();
        self.writable.extend(full);
        for _ in 0..8 {
            for at in 0..self.players.len() {
                if !self.players[at].over {
                    self.connect(at);
                }
                self.flush(at);
            }
            self.turn();
            self.flow();
            self.advance(Duration::from_millis(300), true);
            if self.oracle.failure.is_some() {
                return;
            }
        }
        self.oracle.check(&self.relay, true);
        self.oracle.settled();
        if self.oracle.failure.is_some() {
            return;
        }
        if self.swarm.ends_with_shutdown {
            self.shut_down()
        } else {
            self.all_leave()
        }
        self.oracle.emptied(&self.relay);
    }

    fn all_leave(&mut self) {
        for at in 0..self.players.len() {
            self.goodbye(at);
        }
        for link in self.links.values_mut() {
            link.held = false;
            link.up.ended = true;
        }
        self.turn();
        self.flow();
        let config = &self.swarm.relay;
        let longest =
            config.resume_grace + config.idle_timeout + config.linger.max(config.write_timeout);
        // Those whose programs gave up are away until their grace is over.
        self.advance(longest * 2 + Duration::from_secs(5), true);
    }

    fn shut_down(&mut self) {
        let grace = Duration::from_secs(1);
        self.oracle.stopping = true;
        if self.oracle.conns().next().is_some() {
            self.oracle.mark(Mark::Shutdown);
        }
        self.act(&Cause::Shutdown, |relay, now, out| relay.shutdown(now, "bye", grace, out));
        let left = self.oracle.conns().next();
        if let Some(conn) = left {
            self.oracle.fail("I21", format!("{conn:?} is there after the shutdown"));
        }
        let told = self.rng.bool();
        for _ in 0..3 {
            self.turn();
            if told {
                self.flow();
            }
            self.advance(grace, told);
        }
        if told {
            let waits = self.players.iter().find(|player| {
                let link = player.link.and_then(|serial| self.links.get(&serial));
                link.is_some_and(|link| !link.dead && !link.down.stalled) && !player.over
            });
            if let Some(player) = waits {
                let seen = format!("{} is not told of the shutdown", player.author);
                self.oracle.fail("I21", seen);
            }
        }
    }

    fn answer_all(&mut self) {
        while let Some(open) = self.asks.last() {
            let ask = open.ask;
            self.answer(ask);
        }
        while let Some(open) = self.tokens.last() {
            let ask = open.ask;
            self.verify(ask);
        }
    }
}
