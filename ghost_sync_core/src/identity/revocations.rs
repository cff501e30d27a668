//! What was called back before its time was over.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{Identity, MAX_LIFE};
use crate::wire::{AuthError, UserId};

/// What is called back.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Revoke {
    /// One token, by its name (`jti`).
    Token(Arc<str>),
    /// All tokens of one login (`sid`).
    Session(Arc<str>),
    /// Tokens of a user that were issued by then. Those that do not say when are included.
    User {
        /// Whose.
        user: UserId,
        /// The last moment at which they were issued, by the clock of who signs.
        before: SystemTime,
    },
    /// All tokens that were signed with a key (`kid`).
    Key(Arc<str>),
}

impl Revoke {
    /// One token, by its name.
    pub fn token(id: &str) -> Self {
        Self::Token(id.into())
    }

    /// All tokens of one login.
    pub fn session(id: &str) -> Self {
        Self::Session(id.into())
    }

    /// Tokens of a user that were issued by then.
    pub fn user(user: UserId, before: SystemTime) -> Self {
        Self::User { user, before }
    }

    /// All tokens that were signed with a key.
    pub fn key(id: &str) -> Self {
        Self::Key(id.into())
    }

    /// Whether that one is called back by it.
    pub fn covers(&self, identity: &Identity) -> bool {
        match self {
            Self::Token(id) => identity.token_id.as_ref() == Some(id),
            Self::Session(id) => identity.session.as_ref() == Some(id),
            Self::User { user, before } => identity.user == *user && is_by(identity, *before),
            Self::Key(id) => identity.key_id.as_ref() == Some(id),
        }
    }
}

/// What was called back, for as long as any token of it could still be good: a day, and a
/// minute for clocks that differ. Keys are remembered for good, since whoever has a stolen one
/// goes on to sign with it. A program that checks who comes in by itself, and for longer than a
/// day, has to remember for longer too.
#[derive(Debug, Default)]
pub struct Revocations {
    tokens: Ends<Arc<str>>,
    sessions: Ends<Arc<str>>,
    users: BTreeMap<UserId, (SystemTime, Instant)>,
    keys: BTreeMap<Arc<str>, ()>,
    /// When those that had ended were last looked for.
    swept: Option<Instant>,
}

type Ends<K> = BTreeMap<K, Instant>;

impl Revocations {
    /// The most that is remembered: some 10 MB.
    pub const MAX: usize = 100_000;

    /// Calls that back from now on.
    ///
    /// # Errors
    /// [`RevocationsFull`] when [`Revocations::MAX`] are in force: it is not called back.
    pub fn revoke(&mut self, revoke: &Revoke, now: Instant) -> Result<(), RevocationsFull> {
        let is_due = self.swept.is_none_or(|swept| now >= swept + SWEEP);
        if is_due || self.len() >= Self::MAX {
            self.sweep(now);
        }
        if self.len() >= Self::MAX && !self.has(revoke) {
            return Err(RevocationsFull);
        }
        let end = now + MAX_LIFE + CLOCKS;
        match revoke {
            Revoke::Token(id) => drop(self.tokens.insert(id.clone(), end)),
            Revoke::Session(id) => drop(self.sessions.insert(id.clone(), end)),
            Revoke::User { user, before } => {
                let entry = self.users.entry(user.clone()).or_insert((*before, end));
                *entry = (entry.0.max(*before), end);
            }
            Revoke::Key(id) => drop(self.keys.insert(id.clone(), ())),
        }
        Ok(())
    }

    /// Refuses who was called back.
    ///
    /// # Errors
    /// [`AuthError::Revoked`].
    pub fn check(&self, identity: &Identity, now: Instant) -> Result<(), AuthError> {
        let in_force = |ends: &Ends<Arc<str>>, id: &Option<Arc<str>>| {
            id.as_deref().and_then(|id| ends.get(id)).is_some_and(|end| *end > now)
        };
        let user = self.users.get::<str>(identity.user.borrow());
        let is_revoked = in_force(&self.tokens, &identity.token_id)
            || in_force(&self.sessions, &identity.session)
            || user.is_some_and(|(before, end)| *end > now && is_by(identity, *before))
            || identity.key_id.as_deref().is_some_and(|id| self.keys.contains_key(id));
        if is_revoked { Err(AuthError::Revoked) } else { Ok(()) }
    }

    /// How many are remembered, including some that have ended.
    pub fn len(&self) -> usize {
        self.tokens.len() + self.sessions.len() + self.users.len() + self.keys.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets those that have ended.
    fn sweep(&mut self, now: Instant) {
        self.swept = Some(now);
        self.tokens.retain(|_, end| *end > now);
        self.sessions.retain(|_, end| *end > now);
        self.users.retain(|_, (_, end)| *end > now);
    }

    fn has(&self, revoke: &Revoke) -> bool {
        match revoke {
            Revoke::Token(id) => self.tokens.contains_key(id),
            Revoke::Session(id) => self.sessions.contains_key(id),
            Revoke::User { user, .. } => self.users.contains_key(user),
            Revoke::Key(id) => self.keys.contains_key(id),
        }
    }
}

/// Too much is called back at a time. Revoke users or keys instead of single tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many revocations: {} at most", Revocations::MAX)]
pub struct RevocationsFull;

/// Whether it was issued by then, as far as is known.
fn is_by(identity: &Identity, before: SystemTime) -> bool {
    identity.issued.is_none_or(|issued| issued <= before)
}

/// What a day of one clock may be longer by another: a token may come from a moment ahead, and
/// be taken a moment after its end.
const CLOCKS: Duration = Duration::from_secs(60);

/// How long what has ended may stay in memory.
const SWEEP: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Identity {
        Identity {
            session: Some("login".into()),
            token_id: Some("token".into()),
            key_id: Some("key".into()),
            issued: Some(at(100)),
            ..Identity::new(UserId::new("ada").unwrap())
        }
    }

    fn bob() -> Identity {
        Identity { issued: Some(at(100)), ..Identity::new(UserId::new("bob").unwrap()) }
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn each() -> [Revoke; 4] {
        [
            Revoke::token("token"),
            Revoke::session("login"),
            Revoke::user(ada().user, at(100)),
            Revoke::key("key"),
        ]
    }

    #[test]
    fn each_kind_calls_back_its_own_and_nobody_else() {
        let now = Instant::now();
        for revoke in each() {
            let mut list = Revocations::default();
            assert_eq!(list.check(&ada(), now), Ok(()));
            list.revoke(&revoke, now).unwrap();
            assert_eq!(list.check(&ada(), now), Err(AuthError::Revoked), "{revoke:?}");
            assert_eq!(list.check(&bob(), now), Ok(()), "{revoke:?}");
            assert!(revoke.covers(&ada()) && !revoke.covers(&bob()));
        }
    }

    #[test]
    fn what_a_user_is_issued_later_is_good_and_the_latest_moment_counts() {
        let (mut list, now) = (Revocations::default(), Instant::now());
        list.revoke(&Revoke::user(ada().user, at(99)), now).unwrap();
        assert_eq!(list.check(&ada(), now), Ok(()));
        list.revoke(&Revoke::user(ada().user, at(100)), now).unwrap();
        list.revoke(&Revoke::user(ada().user, at(50)), now).unwrap();
        assert_eq!(list.check(&ada(), now), Err(AuthError::Revoked));
        let undated = Identity { issued: None, ..ada() };
        assert_eq!(list.check(&undated, now), Err(AuthError::Revoked));
    }

    #[test]
    fn all_but_keys_end_with_the_tokens_that_they_block() {
        let (mut list, start) = (Revocations::default(), Instant::now());
        for revoke in each() {
            list.revoke(&revoke, start).unwrap();
        }
        let later = start + MAX_LIFE + CLOCKS;
        let keyless = Identity { key_id: None, ..ada() };
        assert!(list.check(&keyless, later - Duration::from_millis(1)).is_err());
        assert_eq!(list.check(&keyless, later), Ok(()));
        assert_eq!(list.check(&ada(), later), Err(AuthError::Revoked));
        list.revoke(&Revoke::key("key"), later).unwrap();
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn there_is_a_bound_and_what_has_ended_makes_room() {
        let (mut list, start) = (Revocations::default(), Instant::now());
        for id in 0..Revocations::MAX {
            list.revoke(&Revoke::token(&id.to_string()), start).unwrap();
        }
        assert_eq!(list.revoke(&Revoke::session("one more"), start), Err(RevocationsFull));
        assert_eq!(list.revoke(&Revoke::token("7"), start), Ok(()));
        let later = start + MAX_LIFE + CLOCKS;
        assert_eq!(list.revoke(&Revoke::session("one more"), later), Ok(()));
        assert_eq!(list.len(), 1);
    }
}
