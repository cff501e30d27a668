//! Users whose tokens were verified: over which connections they are here, and what they have
//! used up over all of them. That outlives the connections, or who comes back had all of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use slotmap::SlotMap;

use super::{
    Relay,
    config::ManyLinks,
    event::{ConnId, Output},
    gate::Bar,
    limits::Limits,
    metadata::clamp_u32,
    plants,
};
use crate::wire::{Bucket, CloseReason, UserId};

slotmap::new_key_type! {
    pub(super) struct UserKey;
}

#[derive(Debug, Default)]
pub(super) struct Users {
    users: SlotMap<UserKey, User>,
    keys: BTreeMap<UserId, UserKey>,
    /// Users that are not here, by when they were last heard of.
    idle: BTreeMap<u64, UserKey>,
    last_use: u64,
}

#[derive(Debug)]
pub(super) struct User {
    id: UserId,
    /// Its connections, the oldest first.
    conns: Vec<ConnId>,
    /// Messages, and their bytes.
    pub(super) said: [Bucket; 2],
    pub(super) rooms: Bucket,
    pub(super) bar: Bar,
    /// Its place among the idle.
    used: Option<u64>,
}

impl Users {
    /// The user of that name, who is remembered from here on.
    pub(super) fn key(&mut self, id: &UserId) -> UserKey {
        if let Some(key) = self.keys.get(id) {
            return *key;
        }
        let (said, rooms, bar) = Default::default();
        let user = User { id: id.clone(), conns: Vec::new(), said, rooms, bar, used: None };
        let key = self.users.insert(user);
        self.keys.insert(id.clone(), key);
        self.used(key);
        key
    }

    /// A connection is the user's.
    fn enter(&mut self, key: UserKey, conn: ConnId) {
        if let Some(user) = self.users.get_mut(key) {
            user.conns.push(conn);
            self.used(key);
        }
    }

    /// A connection is the user's no longer.
    pub(super) fn leave(&mut self, key: UserKey, conn: ConnId) {
        if let Some(user) = self.users.get_mut(key) {
            user.conns.retain(|of| *of != conn);
            self.used(key);
        }
    }

    /// The connections of a user, the oldest first.
    pub(super) fn conns(&self, id: &UserId) -> &[ConnId] {
        let user = self.keys.get(id).and_then(|key| self.users.get(*key));
        user.map_or(&[], |user| &user.conns)
    }

    pub(super) fn get_mut(&mut self, key: UserKey) -> Option<&mut User> {
        self.users.get_mut(key)
    }

    /// For how long that user may not come in.
    pub(super) fn barred_for(&self, now: u64, id: &UserId) -> Option<Duration> {
        let user = self.users.get(*self.keys.get(id)?)?;
        user.bar.left(now)
    }

    /// Forgets what was used up, but no bars.
    pub(super) fn refill(&mut self) {
        for user in self.users.values_mut() {
            (user.said, user.rooms) = Default::default();
        }
    }

    /// A user was heard of: it is forgotten after others.
    fn used(&mut self, key: UserKey) {
        self.last_use += 1;
        let Some(user) = self.users.get_mut(key) else { return };
        if let Some(before) = user.used.take() {
            self.idle.remove(&before);
        }
        if user.conns.is_empty() {
            user.used = Some(self.last_use);
            self.idle.insert(self.last_use, key);
        }
        while self.idle.len() > MAX_IDLE
            && let Some((_, oldest)) = self.idle.pop_first()
            && let Some(user) = self.users.remove(oldest)
        {
            self.keys.remove(&user.id);
        }
    }
}

impl User {
    /// Takes a message of `len` bytes out of what the user may say over all its connections.
    pub(super) fn say(&mut self, now: u64, limits: &Limits, len: u64) -> Result<(), Duration> {
        let mut said = self.said;
        let taken = said[0].check(now, limits.user_messages, 1);
        let taken = taken.and_then(|()| said[1].check(now, limits.user_bytes, len));
        taken.inspect(|()| self.said = said)
    }
}

impl Relay {
    /// The connections of a user, those that are away included, the oldest first.
    pub fn conns_of_user(&self, user: &UserId) -> &[ConnId] {
        self.users.conns(user)
    }

    /// Counts a connection that is about to open as one of its user's, and makes room for it
    /// where that may be: those that are away go before it is refused.
    pub(super) fn enter_user(
        &mut self,
        now: Instant,
        conn: ConnId,
        out: &mut Vec<Output>,
    ) -> Result<(), CloseReason> {
        let Some(user) = self.conns.get(conn).and_then(|found| found.identity()) else {
            return Ok(());
        };
        let user = user.user.clone();
        let max = plants::links_per_user(self.config.links_per_user);
        while self.users.conns(&user).len() >= max {
            let conns = self.users.conns(&user);
            let away = conns.iter().find(|of| self.conns.get(**of).is_some_and(|it| it.is_away()));
            match (away.copied(), conns.first().copied(), self.config.many_links) {
                (Some(away), ..) => {
                    let reason = self.away_reason(away);
                    self.end_session(now, away, reason, out);
                }
                (None, Some(oldest), ManyLinks::CloseOldest) => {
                    self.close(now, oldest, CloseReason::TakenOver, out);
                }
                (None, ..) => return Err(CloseReason::TooManyLinks { max: clamp_u32(max) }),
            }
        }
        let key = self.users.key(&user);
        self.users.enter(key, conn);
        if let Some(signed) = self.conns.get_mut(conn).and_then(|found| found.signed.as_mut()) {
            signed.key = Some(key);
        }
        Ok(())
    }

    /// Counts a connection no longer as one of its user's.
    pub(super) fn leave_user(&mut self, conn: ConnId) {
        let signed = self.conns.get_mut(conn).and_then(|found| found.signed.as_mut());
        if let Some(key) = signed.and_then(|signed| signed.key.take()) {
            self.users.leave(key, conn);
        }
    }
}

/// Users that are remembered while they are not here.
const MAX_IDLE: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn users_that_are_not_here_are_forgotten_when_there_are_too_many() {
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let mut users = Users::default();
        let here = users.key(&id("here"));
        users.enter(here, conns.insert(()));
        for number in 0..MAX_IDLE + 10 {
            users.key(&id(&number.to_string()));
        }
        assert_eq!((users.users.len(), users.keys.len()), (MAX_IDLE + 1, MAX_IDLE + 1));
        assert_eq!(users.conns(&id("here")).len(), 1);
        assert!(!users.keys.contains_key(&id("9")) && users.keys.contains_key(&id("10")));
    }

    #[test]
    fn what_a_user_has_used_up_outlives_its_connections() {
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let mut users = Users::default();
        let limits = Limits::none().user_messages(crate::Rate::per_second(1).burst(2));
        let (key, conn) = (users.key(&id("ada")), conns.insert(()));
        users.enter(key, conn);
        let say = |users: &mut Users, key| users.get_mut(key).unwrap().say(0, &limits, 10);
        assert_eq!((say(&mut users, key), say(&mut users, key)), (Ok(()), Ok(())));
        users.leave(key, conn);
        assert_eq!(users.conns(&id("ada")), []);
        let again = users.key(&id("ada"));
        assert_eq!(say(&mut users, again), Err(Duration::from_secs(1)));
    }
}
