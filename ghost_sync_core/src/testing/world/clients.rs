//! Honest clients: the real session, and a program that watches it.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::{Link, Mark, Player, World};
use crate::{
    client::{OwnHello, Reconnect, ServerEvent, Session},
    testing::stamp::mix_bytes,
    wire::{
        CloseReason, DisconnectReason, HEADER_LEN, ServerMessage, SessionTicket, UserId, Welcome,
    },
};

impl World {
    /// A client that never had a link.
    pub(super) fn player(&mut self) -> Player {
        let user = self.pick_user();
        self.process(None, user)
    }

    /// A process that goes on with the session of an earlier one, if there is one to go on with.
    fn process(&mut self, session: Option<SessionTicket>, user: Option<UserId>) -> Player {
        let author = self.oracle.author();
        let mut hello = OwnHello { session, ..OwnHello::default() };
        let mut expires = None;
        if let Some(user) = &user {
            hello.token = self.issue(user);
            expires = self.expiry(&hello.token);
        }
        if self.swarm.meta > 0 {
            hello.meta.insert("name".to_owned(), "n".repeat(self.swarm.meta));
        }
        let rejoin = author % 4 != 3;
        let reconnect = Reconnect { rejoin, ..Reconnect::default() };
        let session = Session::new(hello, reconnect).expect("the hello is short");
        Player {
            session,
            author,
            link: None,
            writing: BytesMut::new(),
            heard: self.now,
            fresh: true,
            resuming: false,
            over: false,
            epoch: 0,
            user,
            expires,
        }
    }

    /// What comes after a client that is over: if its token was at fault, its program goes on
    /// with a fresh one, mostly.
    fn successor(&mut self, at: usize) -> Player {
        let player = &self.players[at];
        let expired = player.expires.is_some_and(|expires| expires <= self.now);
        match (player.session.ticket(), player.user.clone()) {
            (Some(ticket), Some(user)) if expired && self.rng.u32(..4) > 0 => {
                self.process(Some(ticket), Some(user))
            }
            _ => self.player(),
        }
    }

    /// Gives a client without a link one; a new one takes the place of a client
    /// that is over.
    pub(super) fn connect(&mut self, at: usize) {
        if self.players[at].link.is_some() {
            return;
        }
        if self.players[at].over {
            self.players[at] = self.successor(at);
        }
        if !self.players[at].fresh {
            self.renew_if_expired(at);
        }
        let Some(serial) = self.open_link(Some(at)) else { return };
        let now = self.now;
        let player = &mut self.players[at];
        player.link = Some(serial);
        player.heard = now;
        player.writing.clear();
        if !std::mem::replace(&mut player.fresh, false) {
            player.session.reopen();
            player.resuming = true;
        }
        self.flush(at);
    }

    /// A client's process dies, and another one goes on in its place.
    pub(super) fn begin_anew(&mut self, at: usize) {
        let Some(ticket) = self.players[at].session.ticket() else { return };
        if self.players[at].over {
            return;
        }
        match self.players[at].link {
            Some(serial) if self.rng.bool() => self.reset(serial, true, true),
            _ => self.abandon(at),
        }
        self.oracle.authors[self.players[at].author].over = true;
        let user = self.players[at].user.clone();
        self.players[at] = self.process(Some(ticket), user);
        self.connect(at);
    }

    /// Moves what a client has to say into its socket.
    pub(super) fn flush(&mut self, at: usize) {
        let player = &mut self.players[at];
        let Some(link) = player.link.and_then(|serial| self.links.get_mut(&serial)) else { return };
        loop {
            if player.writing.is_empty() {
                player.writing = player.session.take_outbox();
            }
            let pipe = if self.healed { 1 << 22 } else { self.swarm.pipe };
            let room = pipe.saturating_sub(link.up.bytes.len()).min(player.writing.len());
            if room == 0 {
                return;
            }
            link.up.bytes.extend_from_slice(&player.writing[..room]);
            player.writing.advance(room);
        }
    }

    /// Gives a client up to `most` bytes of its link.
    pub(super) fn deliver_down(&mut self, serial: u32, most: usize) -> bool {
        let Some(link) = self.links.get_mut(&serial) else { return false };
        let bytes = link.down.take(most);
        if link.full && !bytes.is_empty() {
            link.full = false;
            self.writable.push(serial);
        }
        if !link.held {
            return !bytes.is_empty();
        }
        let moved = !bytes.is_empty();
        let Some(at) = link.player else { return self.hear_hostile(serial, &bytes) || moved };
        if moved {
            self.oracle.trace = mix_bytes(self.oracle.trace, &bytes);
            let was_resuming = self.players[at].resuming;
            self.tap(serial, at, &bytes);
            let mut told = std::mem::take(&mut self.told);
            let now = self.now;
            let player = &mut self.players[at];
            player.heard = now;
            let author = player.author;
            let result = player.session.receive(now, bytes, &mut told);
            self.oracle.on_told(author, &told);
            let expires = told.iter().any(|it| matches!(it, ServerEvent::TokenExpiring { .. }));
            told.clear();
            self.told = told;
            if let Err(reason) = result {
                let closed = self.links.get(&serial).is_some_and(|link| link.closed);
                if !closed {
                    self.oracle.fail("I4", format!("{author} sees a violation: {reason}"));
                }
                self.client_loses(at, &reason);
                return true;
            }
            let before = self.links.get(&serial).map_or(0, |link| link.up.bytes.len());
            self.flush(at);
            if expires && (self.healed || self.rng.u32(..4) > 0) {
                self.renew(at);
            }
            let link = self.links.get(&serial);
            let first = link.and_then(|link| link.up.bytes.get(before + HEADER_LEN..));
            if was_resuming
                && first.is_some_and(|body| body.first().is_some_and(|kind| (1..=4).contains(kind)))
            {
                self.oracle.mark(Mark::Resubmitted);
            }
        }
        let Some(link) = self.links.get(&serial) else { return true };
        if link.held && link.down.ended && link.down.bytes.is_empty() {
            self.client_loses(at, &DisconnectReason::ConnectionClosed);
            return true;
        }
        moved
    }

    /// Shows the oracle the frames that a client is about to get.
    fn tap(&mut self, serial: u32, at: usize, mut bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&serial) else { return };
        let player = &mut self.players[at];
        let Link { tap, closed, era, .. } = link;
        loop {
            let body = match tap.next_frame(&mut bytes) {
                Ok(Some(body)) => body,
                Ok(None) => return,
                Err(error) => return self.oracle.fail("I26", error.to_string()),
            };
            if *closed {
                return self.oracle.fail("I27", "a frame after the last one");
            }
            let message = match ServerMessage::decode(body) {
                Ok(message) => message,
                Err(error) => return self.oracle.fail("I26", error.to_string()),
            };
            let author = player.author;
            self.oracle.tell(|| format!("  link {serial} to client {author}: {message:?}"));
            match message {
                ServerMessage::Welcome(Welcome { epoch, .. }) => player.epoch = epoch,
                ServerMessage::Resumed { .. } | ServerMessage::ResumeFailed { .. } => {
                    player.resuming = false;
                }
                ServerMessage::Close { .. } => *closed = true,
                _ => {}
            }
            self.oracle.on_frame(player.author, *era, &message);
        }
    }

    /// A client's link is gone, as far as it knows.
    pub(super) fn client_loses(&mut self, at: usize, reason: &DisconnectReason) {
        self.flush(at);
        let player = &mut self.players[at];
        let Some(serial) = player.link.take() else { return };
        let author = player.author;
        self.oracle.tell(|| format!("  client {author} loses link {serial}: {reason}"));
        if player.resuming {
            self.oracle.mark(Mark::SecondResume);
        }
        player.resuming = false;
        player.over = !player.session.link_lost(reason);
        let author = &mut self.oracle.authors[player.author];
        author.over = player.over;
        author.losses += 1;
        if let Some(link) = self.links.get_mut(&serial) {
            link.held = false;
            link.up.ended = true;
            link.down.bytes.clear();
            if link.full {
                link.full = false;
                self.writable.push(serial);
            }
            if link.tap.partial_len() > 0 {
                self.oracle.mark(Mark::PartialAtCut);
            }
        }
    }

    /// Clients that heard nothing for too long give their links up.
    pub(super) fn notice_silence(&mut self) {
        for at in 0..self.players.len() {
            let player = &self.players[at];
            let silence = player.session.greeted().and_then(|greeted| greeted.silence);
            let Some(silence) = silence.filter(|_| player.link.is_some()) else { continue };
            if player.heard + silence <= self.now {
                self.oracle.mark(Mark::Silence);
                let after_ms = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
                let reason = DisconnectReason::Closed(CloseReason::IdleTimeout { after_ms });
                self.client_loses(at, &reason);
            }
        }
    }

    /// A client's link is gone and the server is not told.
    pub(super) fn abandon(&mut self, at: usize) {
        let Some(serial) = self.players[at].link else { return };
        let unread = self.links.get(&serial).map(|link| link.down.bytes.clone());
        self.client_loses(at, &DisconnectReason::ConnectionLost(std::io::ErrorKind::NetworkDown));
        if let Some(link) = self.links.get_mut(&serial) {
            link.up.ended = false;
            if self.rng.bool() {
                // A copy of the client still has the socket.
                (link.held, link.stale, link.player) = (true, true, None);
                link.down.bytes = unread.unwrap_or_default();
            }
        }
    }
}

/// So long a client sleeps at most in one operation.
pub(super) const LONG: Duration = Duration::from_secs(3 * 3600);
