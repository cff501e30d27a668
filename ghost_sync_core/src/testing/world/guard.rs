//! Whom the host keeps out, and peers that show tokens which are not theirs.

use std::time::Duration;

use super::{Cause, Mark, World, users::user};
use crate::{
    identity::Revoke,
    relay::{AuthPolicy, ConnId, IpPrefix, Who},
    wire::{
        ClientMessage, Hello, JoinOptions, MAGIC, MAX_TOKEN, Progress, Resume, SessionTicket,
        Token, VERSIONS,
    },
};

impl World {
    /// The host bans somebody: who is there mostly.
    pub(super) fn ban(&mut self, who: u32) {
        let conn = self.some_conn(who).unwrap_or_default();
        let lasts = match self.rng.u32(..8) {
            0 => None,
            1 => Some(Duration::ZERO),
            _ => Some(Duration::from_millis(self.rng.u64(1..30_000))),
        };
        if self.rng.u32(..4) == 0 {
            self.oracle.bans_client(conn, lasts);
            let done = self.act(&Cause::Host, |relay, now, out| {
                relay.ban_client(now, conn, lasts, "banned", out)
            });
            return self.oracle.has_banned(done.ok());
        }
        let whom = if self.rng.u32(..3) == 0 {
            // Whether or not somebody is there.
            let last = [1, 2, 3, 64, 65, 66][self.rng.usize(..6)];
            Some(Who::Address(IpPrefix::new([10, 0, 0, last].into(), 32)))
        } else {
            self.somebody(conn)
        };
        let Some(whom) = whom else { return };
        self.oracle.bans(whom.clone(), lasts);
        self.act(&Cause::Host, |relay, now, out| {
            let _ = relay.ban(now, whom, lasts, "banned", out);
        });
    }

    /// As whom the host knows a client, in one of the ways in which it does.
    fn somebody(&mut self, conn: ConnId) -> Option<Who> {
        let identity = self.relay.identity_of(conn);
        let addr = self.relay.addr_of(conn)?.ip();
        Some(match (self.rng.u32(..3), identity) {
            (0, Some(identity)) => Who::User(identity.user.clone()),
            (1, Some(identity)) => Who::Token(identity.token_id.clone()?),
            _ => Who::Address(IpPrefix::new(addr, [32, 32, 31, 26][self.rng.usize(..4)])),
        })
    }

    pub(super) fn unban(&mut self) {
        let bans: Vec<_> = self.relay.bans(self.now).map(|ban| ban.who).collect();
        if bans.is_empty() {
            return;
        }
        let who = bans[self.rng.usize(..bans.len())].clone();
        let there = self.oracle.unbans(&who);
        if self.relay.unban(self.now, &who) != there {
            self.oracle.fail("I35", format!("a ban of {who:?} was in force: {there}"));
        }
    }

    /// The host calls tokens back: of somebody who is there mostly.
    pub(super) fn revoke(&mut self, who: u32) {
        let there = self.some_conn(who).and_then(|conn| self.relay.identity_of(conn));
        let issued = self.signer.issued();
        let identity = match there {
            Some(identity) => (*identity).clone(),
            None if issued.is_empty() => return,
            None => issued[who as usize % issued.len()].clone(),
        };
        let before = self.signer.clock(self.now - Duration::from_millis(self.rng.u64(1..5000)));
        let revoke = match self.rng.u32(..12) {
            0..6 => identity.token_id.as_deref().map(Revoke::token),
            6..9 => identity.session.as_deref().map(Revoke::session),
            9..11 => Some(Revoke::user(identity.user, before)),
            _ => {
                self.signer.key += 1;
                identity.key_id.as_deref().map(Revoke::key)
            }
        };
        let Some(revoke) = revoke else { return };
        self.oracle.revokes(revoke.clone());
        self.act(&Cause::Host, |relay, now, out| {
            let _ = relay.revoke(now, &revoke, out);
        });
    }

    /// Somebody who has learnt what takes a session up shows another user's token with it.
    pub(super) fn impersonate(&mut self, at: usize) {
        let author = self.players[at].author;
        let state = &self.oracle.authors[author];
        let (client_id, secret, received) = (state.client_id, state.secret(), state.received());
        let anonymous = self.swarm.relay.host.auth == AuthPolicy::Anonymous;
        if client_id.is_nil() || anonymous || !self.oracle.is_alive(client_id) {
            return;
        }
        let rooms = state.stays.values();
        let rooms = rooms.map(|stay| Progress { room: stay.key.1, last: stay.next - 1, own: 0 });
        let rooms: Vec<_> = rooms.collect();
        let token = self.issue(&user("mallory"));
        let epoch = self.players[at].epoch;
        let Some(serial) = self.open_link(None) else { return };
        let session = SessionTicket { client_id, secret };
        let message = if self.rng.bool() {
            ClientMessage::Resume(Resume {
                magic: MAGIC,
                versions: VERSIONS,
                epoch,
                session,
                attempt: u32::MAX,
                received,
                token: token.lend(),
                rooms,
            })
        } else {
            let (token, session) = (token.lend(), Some(session));
            ClientMessage::Hello(Hello { token, session, ..Hello::default() })
        };
        self.say_hostile(serial, &message);
        self.deliver_up(serial, usize::MAX);
        self.turn();
    }

    /// A program that goes on with its session shows no token, and is heard of no more.
    pub(super) fn come_back_bare(&mut self, at: usize) {
        let author = self.players[at].author;
        let state = &self.oracle.authors[author];
        let (client_id, secret, received) = (state.client_id, state.secret(), state.received());
        if client_id.is_nil() || self.players[at].over || !self.oracle.is_alive(client_id) {
            return;
        }
        let rooms = state.stays.values();
        let rooms = rooms.map(|stay| Progress { room: stay.key.1, last: stay.next - 1, own: 0 });
        let rooms = rooms.collect();
        let epoch = self.players[at].epoch;
        let Some(serial) = self.open_link(None) else { return };
        let resume = ClientMessage::Resume(Resume {
            magic: MAGIC,
            versions: VERSIONS,
            epoch,
            session: SessionTicket { client_id, secret },
            attempt: u32::MAX,
            received,
            token: Token::default(),
            rooms,
        });
        self.say_hostile(serial, &resume);
        if let Some(link) = self.links.get_mut(&serial) {
            (link.author, link.stale) = (Some(author), true);
        }
        self.deliver_up(serial, usize::MAX);
        self.abandon(at);
        self.oracle.authors[author].over = true;
        self.players[at] = self.player();
    }

    /// A hostile peer with tokens: its own, stolen ones, forged ones, and floods of them; and
    /// requests of times to come.
    pub(super) fn forge(&mut self, who: u32) {
        let known: Vec<u32> = self
            .links
            .iter()
            .filter(|(_, link)| link.player.is_none() && !link.stale && link.served && link.clean)
            .map(|(serial, _)| *serial)
            .collect();
        let serial = match known.get(who as usize % (known.len() + 1)) {
            Some(serial) => *serial,
            None => {
                let Some(serial) = self.open_link(None) else { return };
                let token = self.hostile_token();
                let token = token.lend();
                self.say_hostile(
                    serial,
                    &ClientMessage::Hello(Hello { token, ..Hello::default() }),
                );
                self.deliver_up(serial, usize::MAX);
                self.turn();
                serial
            }
        };
        if !self.speaks_for_session(serial) {
            return;
        }
        match self.rng.u32(..4) {
            0 => {
                let name = self.rng.u32(..);
                let name = self.room_name(name);
                let options = JoinOptions::default();
                let join = ClientMessage::Join { request: 1, room: &name, options };
                self.say_hostile(serial, &join);
                self.deliver_up(serial, usize::MAX);
            }
            1 => {
                for request in 0..self.rng.u32(1..20) {
                    let token = self.hostile_token();
                    let token = token.lend();
                    self.say_hostile(serial, &ClientMessage::Authenticate { request, token });
                }
                self.deliver_up(serial, usize::MAX);
            }
            _ => self.ask_for_the_unknown(serial),
        }
    }

    /// Requests that are not known yet are answered, and end nothing.
    fn ask_for_the_unknown(&mut self, serial: u32) {
        self.deliver_up(serial, usize::MAX);
        self.oracle.ended_last = None;
        for _ in 0..self.rng.u32(1..4) {
            let body = [self.rng.u8(13..128), self.rng.u8(..), self.rng.u8(..)];
            let Some(link) = self.links.get_mut(&serial) else { return };
            link.up.bytes.extend_from_slice(&[3, 0, 0, 0]);
            link.up.bytes.extend_from_slice(&body);
        }
        self.deliver_up(serial, usize::MAX);
        self.oracle.mark(Mark::UnknownRequest);
        self.oracle.unknown_requests_ended_nothing();
    }

    fn hostile_token(&mut self) -> Token {
        match self.rng.u32(..8) {
            0 => Token::from("forged"),
            1 => Token::from("x".repeat(MAX_TOKEN + 1)),
            2..4 => self.stolen_token(),
            _ => self.issue(&user("mallory")),
        }
    }
}
