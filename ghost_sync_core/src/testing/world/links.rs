//! What moves between the clients and the server, and how links begin and end there.

use std::{io::IoSlice, net::SocketAddr};

use super::{Cause, Mark, World};
use crate::{
    relay::{Input, LinkId},
    testing::{network::Link, stamp::mix_bytes},
    wire::{ClientId, DisconnectReason, Secret},
};

impl World {
    /// The relay is done with a link.
    pub(super) fn dropped(&mut self, id: LinkId) {
        let Some(serial) = self.by_id.remove(&id) else {
            return self.oracle.fail("I15", format!("{id:?} is dropped twice"));
        };
        if let Some(link) = self.links.get_mut(&serial) {
            link.served = false;
            link.down.ended = true;
            link.up.bytes.clear();
        }
    }

    /// Writes to a socket what it takes.
    pub(super) fn write(&mut self, serial: u32) {
        if let Some(id) = self.links.get(&serial).filter(|link| link.served).map(|link| link.id) {
            self.act(&Cause::Write, |relay, now, out| relay.catch_up(now, id, out));
        }
        loop {
            let Some(link) = self.links.get_mut(&serial).filter(|link| link.served) else { return };
            let id = link.id;
            let mut slices = [IoSlice::new(&[]); 8];
            let offer = self.relay.transmit(id, &mut slices);
            if offer.slices == 0 {
                link.behind = false;
                return;
            }
            let pipe = if self.healed { 1 << 22 } else { self.swarm.pipe };
            let mut room = pipe.saturating_sub(link.down.bytes.len()).min(self.swarm.write);
            // The first may have been chosen before it was full.
            let mut chosen = link.behind && link.wrote.partial_len() == 0;
            let mut taken = 0;
            for slice in &slices[..offer.slices] {
                let len = slice.len().min(room);
                let mut whole = &slice[..len];
                while let Ok(Some(body)) = link.wrote.next_frame(&mut whole) {
                    self.oracle.wrote(id, body);
                    if chosen {
                        self.oracle.wrote_behind(id, body);
                    }
                    chosen = link.behind;
                }
                if link.held {
                    link.down.bytes.extend_from_slice(&slice[..len]);
                }
                room -= len;
                taken += len;
            }
            let given: usize = slices[..offer.slices].iter().map(|slice| slice.len()).sum();
            if taken > 0 && taken < given {
                self.oracle.mark(Mark::PartialWrite);
            }
            if taken == 0 {
                (link.full, link.behind) = (true, true);
                self.oracle.mark(Mark::Blocked);
                return self.act(&Cause::Write, |relay, now, out| relay.blocked(now, id, out));
            }
            self.act(&Cause::Write, |relay, now, out| relay.sent(now, id, offer, taken, out));
        }
    }

    /// Gives the server up to `most` bytes of a link.
    pub(super) fn deliver_up(&mut self, serial: u32, most: usize) -> bool {
        let Some(link) = self.links.get_mut(&serial) else { return false };
        let bytes = link.up.take(most);
        let (id, served, player, stale) = (link.id, link.served, link.player, link.stale);
        let author = link.author;
        if served && !bytes.is_empty() {
            self.oracle.trace = mix_bytes(self.oracle.trace, &bytes);
            self.oracle.feeding = author;
            if stale || player.is_some_and(|player| self.players[player].link != Some(serial)) {
                self.oracle.mark(Mark::StaleBytes);
            }
            let bytes = &bytes[..];
            let mut whole = bytes;
            if author.is_some() {
                while let Ok(Some(body)) = link.fed.next_frame(&mut whole) {
                    self.oracle.fed(id, body);
                }
            }
            self.oracle.tell(|| format!("  link {serial} to server: {} bytes", bytes.len()));
            self.act(&Cause::Bytes(id), |relay, now, out| {
                relay.handle(now, Input::Bytes { link: id, bytes }, out);
            });
            self.oracle.feeding = None;
        }
        if let Some(player) = player {
            self.flush(player);
        }
        let Some(link) = self.links.get_mut(&serial) else { return true };
        if link.served && link.up.bytes.is_empty() && link.up.ended {
            self.server_loses(serial, DisconnectReason::ConnectionClosed);
            return true;
        }
        !bytes.is_empty()
    }

    /// The server is told that a link is gone.
    pub(super) fn server_loses(&mut self, serial: u32, reason: DisconnectReason) {
        let Some(link) = self.links.get_mut(&serial).filter(|link| link.served) else { return };
        link.served = false;
        link.down.ended = true;
        link.up.bytes.clear();
        let id = link.id;
        self.by_id.remove(&id);
        self.act(&Cause::Lost, |relay, now, out| {
            relay.handle(now, Input::Disconnected { link: id, reason }, out);
        });
    }

    /// Everything that can arrive does.
    pub(super) fn flow(&mut self) {
        let mut serials: Vec<u32> = Vec::new();
        for _ in 0..64 {
            serials.clear();
            serials.extend(self.links.keys());
            let mut moved = false;
            for serial in &serials {
                let Some(link) = self.links.get(serial).filter(|link| !link.dead) else { continue };
                let (up, down) = (!link.up.stalled, !link.down.stalled);
                if up {
                    moved |= self.deliver_up(*serial, usize::MAX);
                }
                self.turn();
                if down {
                    moved |= self.deliver_down(*serial, usize::MAX);
                }
            }
            self.turn();
            if !moved || self.oracle.failure.is_some() {
                break;
            }
        }
        self.links.retain(|_, link| !link.is_over());
    }

    /// A socket between a client and the server.
    ///
    /// `None`: too many come from where it does.
    pub(super) fn open_link(&mut self, player: Option<usize>) -> Option<u32> {
        let addr = self.address(player);
        if !self.relay.admits(self.now, addr) {
            self.oracle.mark(Mark::TurnedAway);
            if let Some(player) = player {
                self.oracle.authors[self.players[player].author].turned_away = true;
            }
            return None;
        }
        self.last_link += 1;
        let serial = self.last_link;
        let client_id = ClientId::from_u64_pair(self.unique(), serial.into());
        let secret = Secret((u128::from(self.unique()) << 64 | u128::from(serial)).to_le_bytes());
        if let Some(player) = player {
            self.oracle.owns(client_id, self.players[player].author);
        }
        self.links.insert(serial, Link::new(self.oracle.era, player, client_id));
        // What comes of it is looked at once the link is known.
        let mut out = Vec::new();
        let id = self.relay.connect(self.now, addr, client_id, secret, &mut out);
        self.by_id.insert(id, serial);
        let author = player.map(|player| self.players[player].author);
        if let Some(link) = self.links.get_mut(&serial) {
            (link.id, link.author) = (id, author);
        }
        self.act(&Cause::Host, |_, _, given| given.append(&mut out));
        Some(serial)
    }

    /// Where a client comes from: many share an address, and hostile peers have few.
    pub(super) fn address(&self, player: Option<usize>) -> SocketAddr {
        let last = match player {
            Some(player) => [1, 1, 1, 2, 3][self.players[player].author % 5],
            None => 64 + self.last_link.to_le_bytes()[0] % 3,
        };
        SocketAddr::from(([10, 0, 0, last], 1000))
    }

    /// The `at`-th link there is.
    pub(super) fn pick_link(&self, at: u32) -> Option<u32> {
        if self.links.is_empty() {
            return None;
        }
        self.links.keys().nth(at as usize % self.links.len()).copied()
    }
}
