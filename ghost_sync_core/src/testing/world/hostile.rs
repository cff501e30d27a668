//! Peers that keep to no rule, and peers that want somebody else's session.

use bytes::{BufMut, BytesMut};

use super::{Mark, World};
use crate::client::Request;
use crate::relay::AuthPolicy;
use crate::testing::oracle::Stay;
use crate::wire::{
    ClientId, ClientMessage, CloseReason, Delivery, Hello, JoinOptions, MAGIC, MAX_OVERHEAD,
    MAX_TOKEN, MessageType, Progress, Replay, Resume, ResumeFailure, RoomId, Secret, SendFlags,
    ServerMessage, SessionTicket, Token, VERSIONS,
};

impl World {
    /// Whether a link is that of a session, or of somebody who greets.
    pub(super) fn speaks_for_session(&self, serial: u32) -> bool {
        let conn = self.links.get(&serial).and_then(|link| self.relay.conn_on(link.id));
        conn.is_some_and(|conn| self.relay.clients().any(|(known, _)| known == conn))
    }

    /// A hostile peer does something.
    pub(super) fn attack(&mut self, who: u32) {
        let known: Vec<u32> = self
            .links
            .iter()
            .filter(|(_, link)| link.player.is_none() && !link.stale && link.served && link.held)
            .map(|(serial, _)| *serial)
            .collect();
        let serial = match known.get(who as usize % (known.len() + 1)) {
            Some(serial) => *serial,
            None => {
                let Some(serial) = self.open_link(None) else { return };
                if self.rng.bool() {
                    self.say_hostile(serial, &hello());
                }
                serial
            }
        };
        match self.rng.u32(..16) {
            15 => self.greet_unsorted(),
            14 => {
                // A byte more than there may be.
                let id = self.links.get(&serial).map(|link| link.client_id).unwrap_or_default();
                self.deliver_up(serial, usize::MAX);
                let anonymous = self.swarm.relay.host.auth == AuthPolicy::Anonymous;
                let token = if anonymous { 0 } else { MAX_TOKEN };
                let most = self.swarm.relay.max_payload.max(token) + MAX_OVERHEAD;
                let len = u32::try_from(most + 1).unwrap_or(u32::MAX);
                if self
                    .links
                    .get(&serial)
                    .is_some_and(|link| link.up.bytes.is_empty() && link.clean)
                {
                    self.push_hostile(serial, &len.to_le_bytes());
                    self.deliver_up(serial, usize::MAX);
                    // A session that has lost this link meanwhile is none of its business.
                    if self.oracle.is_alive(id) && self.speaks_for_session(serial) {
                        self.oracle.fail("I12", format!("a frame of {len} bytes is awaited"));
                    }
                }
            }
            0 => {
                let len = self.rng.usize(1..64);
                let bytes: Vec<u8> = (0..len).map(|_| self.rng.u8(..)).collect();
                self.push_hostile(serial, &bytes);
            }
            1 | 2 => self.say_hostile(serial, &hello()),
            3 => self.push_hostile(serial, &u32::MAX.to_le_bytes()),
            4 => {
                let hello = ClientMessage::Hello(Hello { magic: *b"HTTP", ..Hello::default() });
                self.say_hostile(serial, &hello);
            }
            5..8 => {
                let name = self.rng.u32(..);
                let name = self.room_name(name);
                let join = ClientMessage::Join {
                    request: 1,
                    room: &name,
                    options: JoinOptions {
                        replay: Replay::Last(self.rng.u32(..20)),
                        ..JoinOptions::default()
                    },
                };
                self.say_hostile(serial, &join);
            }
            8 => self.say_hostile(serial, &ClientMessage::Received { count: u64::MAX }),
            9 => {
                let mut bytes = BytesMut::new();
                bytes.put_u32_le(2);
                bytes.put_u8(self.rng.u8(12..));
                bytes.put_u8(1);
                self.push_hostile(serial, &bytes);
            }
            10 => {
                let broadcast = ClientMessage::Broadcast {
                    room: RoomId(9999),
                    delivery: Delivery::Reliable,
                    flags: SendFlags::NONE,
                    message_type: MessageType::RAW,
                    payload: b"never",
                };
                self.say_hostile(serial, &broadcast);
            }
            11 => {
                if let Some(link) = self.links.get_mut(&serial) {
                    link.down.stalled = true;
                }
                for nonce in 0..60 {
                    self.say_hostile(serial, &ClientMessage::Ping { nonce });
                }
            }
            12 => {
                // A frame that never becomes whole.
                self.push_hostile(serial, &[9, 0, 0, 0, 1]);
            }
            _ => {
                if let Some(link) = self.links.get_mut(&serial) {
                    link.held = false;
                    link.up.ended = true;
                }
            }
        }
        self.deliver_up(serial, usize::MAX);
    }

    /// A hello whose metadata is in no order, or has a key twice.
    fn greet_unsorted(&mut self) {
        let Some(serial) = self.open_link(None) else { return };
        let first = if self.rng.bool() { "b" } else { "a" };
        let meta = [first, "a"].map(|key| (key.to_owned(), String::new())).into();
        let hello = ClientMessage::Hello(Hello { meta, ..Hello::default() });
        self.say_hostile(serial, &hello);
        let id = self.links.get(&serial).map(|link| link.client_id).unwrap_or_default();
        self.deliver_up(serial, usize::MAX);
        if self.oracle.is_alive(id) {
            self.oracle.fail("I26", "a hello with metadata that is not sorted is taken");
        }
    }

    /// Somebody asks for the session of a client whose secret it does not have.
    pub(super) fn steal(&mut self, at: usize) {
        let player = &self.players[at];
        let client_id = self.oracle.authors[player.author].client_id;
        if client_id == ClientId::nil() {
            return;
        }
        let rooms = self.oracle.authors[player.author].stays.values();
        let place = |stay: &Stay| Progress { room: stay.key.1, last: stay.next - 1, own: 0 };
        let rooms: Vec<_> = rooms.map(place).collect();
        let mut secret = Secret(u128::from(self.rng.u64(..)).to_le_bytes());
        if let Some(old) = self.old_secret(at) {
            secret = old;
        }
        let epoch = self.players[at].epoch;
        let Some(serial) = self.open_link(None) else { return };
        let alive = self.oracle.is_alive(client_id);
        let received = self.rng.u64(..3);
        let resume = ClientMessage::Resume(Resume {
            token: Token::default(),
            magic: MAGIC,
            versions: VERSIONS,
            epoch,
            session: SessionTicket { client_id, secret },
            attempt: u32::MAX,
            received,
            rooms,
        });
        self.say_hostile(serial, &resume);
        self.deliver_up(serial, usize::MAX);
        if alive != self.oracle.is_alive(client_id) {
            self.oracle.fail("I15", format!("{client_id} is ended by a thief"));
        }
    }

    /// A client asks for its own session and lies about where it was: about events of before
    /// its stay. It gets none, and its session is over.
    pub(super) fn lie(&mut self, at: usize) {
        let author = self.players[at].author;
        let state = &self.oracle.authors[author];
        let (client_id, secret) = (state.client_id, state.secret());
        let place = |stay: &Stay| Progress { room: stay.key.1, last: stay.next - 1, own: 0 };
        let mut rooms: Vec<_> = state.stays.values().map(place).collect();
        let Some(first) = state.stays.values().map(Stay::first).next() else { return };
        if first < 2 || self.players[at].over || !self.oracle.is_alive(client_id) {
            return;
        }
        rooms[0].last = self.rng.u64(..first - 1);
        let (epoch, received) = (self.players[at].epoch, state.received());
        let Some(serial) = self.open_link(None) else { return };
        let resume = ClientMessage::Resume(Resume {
            token: Token::default(),
            magic: MAGIC,
            versions: VERSIONS,
            epoch,
            session: SessionTicket { client_id, secret },
            attempt: u32::MAX,
            received,
            rooms,
        });
        self.say_hostile(serial, &resume);
        if let Some(link) = self.links.get_mut(&serial) {
            link.author = Some(author);
        }
        self.deliver_up(serial, usize::MAX);
        if let Some(link) = self.links.get_mut(&serial) {
            link.author = None;
        }
        self.oracle.mark(Mark::Hostile);
        // What becomes of the honest half of it is no matter.
        self.abandon(at);
        self.oracle.authors[author].over = true;
        self.players[at] = self.player();
    }

    /// The secret before the last, if the server knows that the client has the last.
    fn old_secret(&mut self, at: usize) -> Option<Secret> {
        let serial = self.players[at].link?;
        let author = self.players[at].author;
        self.oracle.authors[author].old_secret?;
        let link = self.links.get(&serial).filter(|link| !link.dead && !link.up.stalled)?;
        if self.players[at].resuming || link.up.ended || !self.oracle.is_linked(author, link.id) {
            return None;
        }
        self.ask(at, Request::ListRooms);
        self.flush(at);
        while self.links.get(&serial).is_some_and(|link| !link.up.bytes.is_empty()) {
            self.deliver_up(serial, usize::MAX);
        }
        let link = self.links.get(&serial)?;
        let there = self.players[at].writing.is_empty() && self.oracle.is_linked(author, link.id);
        if there { self.oracle.authors[author].old_secret } else { None }
    }

    /// Takes what a hostile peer is told.
    pub(super) fn hear_hostile(&mut self, serial: u32, mut bytes: &[u8]) -> bool {
        let Some(link) = self.links.get_mut(&serial) else { return false };
        while let Ok(Some(body)) = link.tap.next_frame(&mut bytes) {
            if link.closed {
                self.oracle.fail("I27", "a frame after the last one");
                return true;
            }
            match ServerMessage::decode(body) {
                Ok(ServerMessage::Close { reason }) => {
                    link.closed = true;
                    if reason == CloseReason::TakenOver {
                        self.oracle.mark(Mark::TakenOverTold);
                    }
                    if matches!(reason, CloseReason::Protocol { .. }) {
                        self.oracle.mark(Mark::Hostile);
                    }
                }
                Ok(ServerMessage::Resumed { .. }) if !link.stale => {
                    self.oracle.fail("I15", "a thief has a session");
                    return true;
                }
                Ok(ServerMessage::ResumeFailed { reason: ResumeFailure::Denied }) => {
                    self.oracle.mark(Mark::ResumeDenied);
                }
                Ok(_) => {}
                Err(error) => {
                    self.oracle.fail("I26", error.to_string());
                    return true;
                }
            }
        }
        if link.down.ended && link.down.bytes.is_empty() {
            link.held = false;
            link.up.ended = true;
            return true;
        }
        false
    }

    pub(super) fn say_hostile(&mut self, serial: u32, message: &ClientMessage<'_>) {
        let Some(link) = self.links.get_mut(&serial) else { return };
        message.encode(&mut link.up.bytes);
    }

    fn push_hostile(&mut self, serial: u32, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&serial) else { return };
        link.clean = false;
        link.up.bytes.extend_from_slice(bytes);
    }
}

fn hello() -> ClientMessage<'static> {
    ClientMessage::Hello(Hello::default())
}
