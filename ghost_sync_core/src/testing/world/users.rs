//! Who clients are: whoever signs tokens, the host that verifies them, and programs that
//! fetch fresh ones.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use super::{Cause, Mark, World};
use crate::{
    client::Request,
    identity::{Identity, LockedMeta, RoomPatterns},
    relay::{AskId, AuthPolicy, ConnId, Input, LinkId},
    testing::oracle::Known,
    wire::{AuthError, ClientId, Token, UserId},
};

/// A token that the host is to verify.
#[derive(Clone, Debug)]
pub(super) struct OpenToken {
    pub(super) ask: AskId,
    link: LinkId,
    /// Whose it is: a session, or one that greets.
    conn: ConnId,
    addr: SocketAddr,
    deadline: Instant,
    /// What the host found at once and says later; `None`: it looks when it answers.
    found: Option<Result<Identity, AuthError>>,
    token: Token,
}

/// Whoever signs tokens.
#[derive(Debug)]
pub(super) struct Signer {
    /// When the simulation began, by the clock of the relay.
    start: Instant,
    /// What each token says, by its number.
    issued: Vec<Identity>,
    /// The key that is signed with: the next one after it was revoked.
    pub(super) key: u32,
}

impl Signer {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, issued: Vec::new(), key: 0 }
    }

    /// The clock of whoever signs.
    pub(super) fn clock(&self, now: Instant) -> SystemTime {
        SystemTime::UNIX_EPOCH + now.saturating_duration_since(self.start)
    }

    /// The token of that number.
    fn token(number: usize) -> Token {
        Token::from(format!("token-{number}"))
    }

    /// What a token says, if it is one of this signer's.
    fn read(&self, token: &Token) -> Option<&Identity> {
        let text = std::str::from_utf8(&token.0).ok()?;
        let number: usize = text.strip_prefix("token-")?.parse().ok()?;
        self.issued.get(number)
    }

    /// Tokens so far.
    pub(super) fn issued(&self) -> &[Identity] {
        &self.issued
    }
}

impl World {
    /// A fresh token of that user.
    pub(super) fn issue(&mut self, user: &UserId) -> Token {
        let number = self.signer.issued.len();
        let rng = &mut self.rng;
        let Some(guard) = &self.swarm.guard else { return Token::default() };
        let life = guard.lives[rng.usize(..guard.lives.len())];
        let life = if self.healed { Duration::ZERO } else { life };
        let rooms = if self.healed || rng.u32(..8) >= guard.narrow {
            RoomPatterns::any()
        } else {
            match rng.u32(..5) {
                0 => RoomPatterns::none(),
                1 => RoomPatterns::new(["room-*"]).expect("it is a pattern"),
                2 => RoomPatterns::new(["room-1", "room-2*"]).expect("they are patterns"),
                _ => RoomPatterns::new(["room-0"]).expect("it is a pattern"),
            }
        };
        let meta = match rng.u32(..6) {
            0 => LockedMeta::new([("name", user.as_str())]).expect("it is short"),
            1 => LockedMeta::new([("b", "vouched"), ("score", "9")]).expect("it is short"),
            _ => LockedMeta::default(),
        };
        let identity = Identity {
            session: Some(format!("login-{user}-{}", rng.u32(..3)).into()),
            token_id: Some(format!("id-{number}").into()),
            key_id: Some(format!("key-{}", self.signer.key).into()),
            rooms,
            create: rng.u32(..3) > 0,
            meta,
            issued: (rng.u32(..8) > 0).then(|| self.signer.clock(self.now)),
            expires: (!life.is_zero()).then(|| self.now + life),
            ..Identity::new(user.clone())
        };
        self.signer.issued.push(identity);
        Signer::token(number)
    }

    /// The user of a new program, if it has one.
    pub(super) fn pick_user(&mut self) -> Option<UserId> {
        let users = self.swarm.guard.as_ref()?.users;
        let without = match self.swarm.relay.host.auth {
            AuthPolicy::Required => self.rng.u32(..32) == 0,
            AuthPolicy::Optional => self.rng.u32(..3) == 0,
            AuthPolicy::Anonymous => self.rng.bool(),
        };
        (!without).then(|| user(&format!("user-{}", self.rng.usize(..users))))
    }

    /// When a token expires, as its user knows.
    pub(super) fn expiry(&self, token: &Token) -> Option<Instant> {
        self.signer.read(token)?.expires
    }

    /// A token that somebody else has, or had.
    pub(super) fn stolen_token(&mut self) -> Token {
        match self.signer.issued.len() {
            0 => Token::from("forged"),
            count => Signer::token(count - 1 - self.rng.usize(..count.min(8))),
        }
    }

    /// A program shows a fresh token, with a link or without one.
    pub(super) fn renew(&mut self, at: usize) {
        let Some(user) = self.players[at].user.clone() else { return };
        let token = self.issue(&user);
        let expires = self.expiry(&token);
        self.ask(at, Request::Authenticate { token });
        self.players[at].expires = expires;
        self.flush(at);
    }

    /// Before it connects again a program sees to its token, mostly.
    pub(super) fn renew_if_expired(&mut self, at: usize) {
        let expired = self.players[at].expires.is_some_and(|expires| expires <= self.now);
        if expired && (self.healed || self.rng.u32(..8) > 0) {
            self.renew(at);
        }
    }

    /// The relay wants to know whose token that is.
    pub(super) fn asked_for_identity(
        &mut self,
        cause: &Cause,
        ask: AskId,
        token: Token,
        (client_id, addr): (ClientId, SocketAddr),
    ) {
        let Some(link) = cause.link() else {
            return self.oracle.fail("I16", format!("{cause:?} makes the host look at a token"));
        };
        // A session may have lost its link by what came after its token.
        let conn = self.oracle.conn_of(client_id).or_else(|| self.relay.conn_on(link));
        let Some(conn) = conn.filter(|_| self.relay.is_asked(ask)) else { return };
        self.oracle.asked_for_identity(link, conn, Known::at(addr));
        let deadline = self.now + self.swarm.relay.ask_timeout;
        let mut open = OpenToken { ask, link, conn, addr, deadline, found: None, token };
        if self.swarm.guard.is_none() {
            return self.oracle.fail("I16", "a token is looked at where nobody has any");
        }
        if !self.healed && self.rng.u32(..4) == 0 {
            open.found = Some(self.look_at(&open.token.clone()));
        }
        let prompt = self.swarm.guard.as_ref().map_or(8, |guard| guard.prompt);
        self.tokens.push(open);
        if self.healed || self.rng.u32(..8) < prompt {
            self.prompt_tokens.push(ask);
        }
    }

    /// Whose token that is, as the host finds now.
    fn look_at(&mut self, token: &Token) -> Result<Identity, AuthError> {
        let errors = self.swarm.guard.as_ref().map_or(0, |guard| guard.errors);
        let error = self.rng.u32(..64) < errors && !self.healed;
        match self.signer.read(token) {
            None => Err(AuthError::BadSignature),
            Some(identity) if identity.expires.is_some_and(|at| at <= self.now) => {
                Err(AuthError::Expired)
            }
            Some(_) if error => Err(AuthError::ALL[self.rng.usize(1..AuthError::ALL.len())]),
            Some(identity) => Ok(identity.clone()),
        }
    }

    /// The host says whose token that is.
    pub(super) fn verify(&mut self, ask: AskId) {
        let Some(at) = self.tokens.iter().position(|open| open.ask == ask) else { return };
        let OpenToken { link, conn, addr, deadline, found, token, .. } = self.tokens.remove(at);
        let asked = self.relay.is_asked(ask);
        if asked && deadline < self.now {
            self.oracle.fail("I19", format!("{ask:?} waits after its deadline"));
        }
        let identity = found.unwrap_or_else(|| self.look_at(&token));
        self.oracle.mark(match &identity {
            _ if !asked => Mark::LateIdentity,
            Ok(_) => Mark::Verified,
            Err(_) => Mark::TokenRefused,
        });
        let serial = self.by_id.get(&link).copied();
        let author = serial.and_then(|serial| self.links.get(&serial)?.author);
        self.oracle.tell(|| format!("  host: token over {link:?} in time {asked}: {identity:?}"));
        if asked {
            self.oracle.verifies((link, conn, addr), author, &identity);
        }
        self.oracle.feeding = author;
        let mut outputs = 0;
        let input = identity.map(Box::new);
        self.act(&Cause::Token(link), |relay, now, out| {
            relay.handle(now, Input::Identity { ask, identity: input }, out);
            outputs = out.len();
        });
        self.oracle.feeding = None;
        if asked {
            self.oracle.has_verified();
        } else if outputs > 0 {
            self.oracle.fail("I19", "an identity that is found too late changes something");
        }
        // It may have expired meanwhile: that is found at once.
        if self.relay.next_deadline().is_some_and(|due| due <= self.now) {
            self.tick();
        }
    }
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).expect("names are short")
}
