//! Who was kicked stays out for a while: of the room, or of the server.

use std::{net::IpAddr, time::Instant};

use super::{Relay, deadlines::millis, event::ConnId, plants, room::Room, session::Connection};
use crate::wire::{ClientId, Refusal, RoomId, UserId};

/// As what somebody who was kicked is known when it comes back.
#[derive(Debug, Eq, PartialEq)]
enum Known {
    User(UserId),
    /// Where it comes from.
    Address(IpAddr),
    /// One that comes from where everybody may come from.
    Client(ClientId),
}

/// Those who were kicked from a room of late.
#[derive(Debug, Default)]
pub(super) struct Kicked(Vec<(Known, Instant)>);

impl Kicked {
    fn add(&mut self, now: Instant, known: Known, until: Instant) {
        self.0.retain(|(other, until)| *until > now && *other != known);
        if self.0.len() >= MAX_KICKED {
            self.0.remove(0);
        }
        self.0.push((known, until));
    }

    fn until(&self, now: Instant, known: &Known) -> Option<Instant> {
        let found = self.0.iter().find(|(other, until)| other == known && *until > now);
        found.map(|(_, until)| *until)
    }
}

impl Relay {
    fn known_as(&self, connection: &Connection) -> Known {
        match (connection.identity(), self.gate.key(connection.addr)) {
            (Some(identity), _) => Known::User(identity.user.clone()),
            (None, Some(address)) => Known::Address(address),
            (None, None) => Known::Client(connection.client_id),
        }
    }

    /// Keeps a client that was kicked out of a room.
    pub(super) fn bar_from_room(&mut self, now: Instant, conn: ConnId, room: RoomId) {
        let Some(connection) = self.conns.get(conn) else { return };
        let (known, until) = (self.known_as(connection), now + self.config.kick_bar);
        if let Some(found) = self.rooms.get_mut(&room)
            && plants::kicked_stay_out()
        {
            found.kicked.add(now, known, until);
        }
    }

    /// Keeps a client that was disconnected out of the server: its user, or its address.
    pub(super) fn bar_from_server(&mut self, now: Instant, conn: ConnId) {
        let at = self.clock(now);
        let Some(connection) = self.conns.get(conn) else { return };
        let key = connection.signed.as_ref().and_then(|signed| signed.key);
        match key.and_then(|key| self.users.get_mut(key)) {
            Some(user) => user.bar.raise(at, self.config.kick_bar),
            None => self.gate.bar(at, connection.addr, self.config.kick_bar),
        }
    }

    /// Whether a client may join again a room that it was kicked from.
    pub(super) fn check_kicked(
        &self,
        now: Instant,
        connection: &Connection,
        room: &Room,
    ) -> Result<(), Refusal> {
        if room.kicked.0.is_empty() {
            return Ok(());
        }
        match room.kicked.until(now, &self.known_as(connection)) {
            Some(until) => {
                let left = millis(until.saturating_duration_since(now));
                Err(Refusal::RateLimited { retry_after_ms: left.max(1) })
            }
            None => Ok(()),
        }
    }
}

/// Those of one room that are remembered.
const MAX_KICKED: usize = 256;
