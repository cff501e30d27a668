//! Why somebody does not come in, or is put out: for a reason that holds.

use std::{net::SocketAddr, time::Duration};

use super::{EndedAway, Known};
use crate::{
    relay::{DisconnectReason, ManyLinks},
    testing::oracle::{About, Cause, Mark, Oracle, SessionView},
    wire::{AuthError, CloseReason, UserId},
};

impl Oracle {
    /// Somebody does not come in: for a good reason.
    pub(in crate::testing::oracle) fn turned_away(
        &mut self,
        cause: &Cause,
        addr: SocketAddr,
        reason: &DisconnectReason,
    ) {
        self.ended_last = Some(reason.clone());
        let link = match cause {
            Cause::Bytes(link) | Cause::Token(link) => Some(*link),
            _ => None,
        };
        let shown = link.and_then(|link| self.shown_on(link)).cloned();
        if let Some(link) = link {
            self.forget_greeter(link);
        }
        let DisconnectReason::Closed(reason) = reason else { return };
        let now = self.now;
        match reason {
            CloseReason::MaxClientsReached { .. } => self.mark(Mark::Full),
            CloseReason::HandshakeTimeout { .. } if matches!(cause, Cause::Tick) => {
                self.mark(Mark::NeverVerified);
            }
            CloseReason::Banned { for_ms, .. } => {
                self.mark(Mark::BannedTurnedAway);
                let mut left = self.bars.left(now, addr.ip(), shown.as_deref());
                if link.is_none() {
                    left.extend(self.bars.bans.iter().map(|ban| {
                        ban.until.map(|until| until.saturating_duration_since(now).as_millis())
                    }));
                }
                for ended in self.bars.ended_away.values() {
                    let bans = self.bars.left(now, ended.addr, ended.identity.as_deref());
                    left.extend(bans);
                }
                self.check_told(*for_ms, &left);
            }
            CloseReason::TooManyLinks { max } => {
                self.mark(Mark::TooManyLinks);
                let user = shown.map(|identity| identity.user.clone());
                let user = user.or_else(|| self.asked_user(cause));
                // Who was to be greeted in its old rooms is not known by the answer.
                if matches!(cause, Cause::Answer { about: About::Greet(_), .. }) {
                    return;
                }
                let Some(user) = user else {
                    return self.fail("I35", "somebody without a token has too many links");
                };
                let mut sessions = self.sessions.values();
                let away = sessions.any(|it| it.user() == Some(&user) && it.away.is_some());
                let refuses = self.swarm.relay.many_links == ManyLinks::Refuse;
                let count = self.links_of(&user);
                if away || !refuses || count < *max as usize {
                    let seen = format!("{user} has {count} of {max} links, and may have no other");
                    self.fail("I35", seen);
                }
            }
            CloseReason::RateLimited { retry_after_ms } => {
                let known = shown.map(|identity| Known::User(identity.user.clone()));
                let known = known.unwrap_or_else(|| Known::at(addr));
                self.turned_away_for_a_while(&known, addr, *retry_after_ms, cause);
            }
            CloseReason::Unauthenticated { why: AuthError::Revoked } => {
                self.mark(Mark::RevokedTurnedAway);
            }
            // Nobody was asked about it.
            CloseReason::Unauthenticated { why: AuthError::Malformed }
                if matches!(cause, Cause::Bytes(_)) =>
            {
                self.token_failed(addr);
            }
            _ => {}
        }
    }

    fn asked_user(&self, cause: &Cause) -> Option<UserId> {
        let Cause::Answer { conn, .. } = cause else { return None };
        let link = self.asking.get(conn)?;
        Some(self.shown_on(*link)?.user.clone())
    }

    /// Somebody is told for how long it is banned.
    fn check_told(&mut self, for_ms: Option<u64>, left: &[Option<u128>]) {
        let told = for_ms.map(u128::from);
        let right = left.iter().any(|left| left.map(|ms| ms.max(1)) == told);
        if !right {
            self.fail("I36", format!("somebody is told of a ban for {told:?} ms, not {left:?}"));
        }
    }

    /// Somebody is to come back later, in a world in which nobody asks for too much.
    fn turned_away_for_a_while(
        &mut self,
        known: &Known,
        addr: SocketAddr,
        retry_after_ms: u32,
        cause: &Cause,
    ) {
        let limits = &self.swarm.relay.limits;
        let rates = [limits.requests, limits.messages, limits.user_messages];
        let free = rates.iter().all(Option::is_none);
        let failures = self.bars.failures.get(&addr.ip()).map_or(0, |(_, count)| *count);
        if !free || failures >= 2 {
            return;
        }
        self.mark(Mark::KickedTurnedAway);
        let owner = self.feeding.and_then(|author| self.session_of(author));
        let owner = owner.map(SessionView::known);
        let told = Duration::from_millis(retry_after_ms.into());
        let right = self.bars.disconnects.iter().any(|(who, until)| {
            let left = until.saturating_duration_since(self.now);
            let is_it = who == known || owner.as_ref() == Some(who) || self.feeding.is_none();
            is_it && left <= told && told <= left + Duration::from_millis(1)
        });
        if !right {
            let seen = format!("{known:?} is to come back in {told:?}, by {cause:?}");
            self.fail("I36", seen);
        }
    }

    /// A session is over: for a reason that holds.
    pub(in crate::testing::oracle) fn check_end(
        &mut self,
        cause: &Cause,
        session: &SessionView,
        why: &CloseReason,
    ) {
        let away = session.away.is_some();
        let now = self.now;
        match why {
            CloseReason::Banned { for_ms, .. } => {
                self.mark(if away { Mark::BannedWhileAway } else { Mark::Banned });
                let identity = session.identity().map(|identity| &**identity);
                let left = self.bars.left(now, session.addr.ip(), identity);
                self.check_told(*for_ms, &left);
            }
            CloseReason::Unauthenticated { why } if !matches!(cause, Cause::Token(_)) => {
                self.mark(Mark::Revoked);
                let identity = session.identity().map(|identity| &**identity);
                let malformed = *why == AuthError::Malformed;
                if malformed {
                    self.token_failed(session.addr);
                } else if !identity.is_some_and(|identity| self.is_revoked(identity)) {
                    self.fail("I36", format!("{} is ended: {why}", session.client_id));
                }
            }
            CloseReason::TokenExpired => self.check_expired(session),
            CloseReason::Kicked { .. } if matches!(cause, Cause::Disconnect(_)) => {
                let until = now + self.swarm.relay.kick_bar;
                self.bars.disconnects.push((session.known(), until));
            }
            _ => {}
        }
        if away
            && matches!(
                why,
                CloseReason::Kicked { .. }
                    | CloseReason::Banned { .. }
                    | CloseReason::Unauthenticated { .. }
            )
        {
            let identity = session.identity().cloned();
            let ended = EndedAway { reason: why.clone(), identity, addr: session.addr.ip() };
            self.bars.ended_away.insert(session.client_id, ended);
        }
    }

    /// A session's token has expired, and no earlier than that it has no link any more.
    pub(in crate::testing::oracle) fn check_expired(&mut self, session: &SessionView) {
        self.mark(Mark::TokenExpired);
        if session.away.is_some() {
            return;
        }
        if session.signed.as_ref().is_none_or(|signed| !signed.is_expired(self.now)) {
            let seen = format!("{} is ended for a token that is good", session.client_id);
            self.fail("I35", seen);
        }
        let may_hold = !self.swarm.relay.resume_grace.is_zero() && !self.stopping;
        if session.left_act == self.acts && may_hold {
            let seen = format!("{} loses its seats with its token", session.client_id);
            self.fail("I35", seen);
        }
    }
}
