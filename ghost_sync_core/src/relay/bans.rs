//! Who is kept out, however it comes back, and until when.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Relay,
    deadlines::FOR_EVER,
    error::{BanClientError, ClientNotFound, TooManyBans},
    event::{ConnId, Output},
    plants,
    prefix::IpPrefix,
};
use crate::{
    identity::Identity,
    wire::{CloseReason, UserId},
};

/// Whom a ban keeps out.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Who {
    /// Everybody who comes from these addresses.
    Address(IpPrefix),
    /// A user, from wherever and with whatever token it comes.
    User(UserId),
    /// Whoever shows the token of this id (`jti`).
    Token(Arc<str>),
}

/// A ban that is in force.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ActiveBan {
    /// Whom it keeps out.
    pub who: Who,
    /// How long it lasts from now; `None`: for ever.
    pub left: Option<Duration>,
    /// What the banned are told.
    pub message: String,
}

#[derive(Debug, Default)]
pub(super) struct Bans {
    list: BTreeMap<Who, Ban>,
    /// How many of them are for addresses that begin with so many bits, of either kind.
    lengths: BTreeMap<(bool, u8), usize>,
}

#[derive(Clone, Debug)]
struct Ban {
    until: Option<Instant>,
    message: String,
}

impl Ban {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

impl Bans {
    fn add(&mut self, now: Instant, who: Who, ban: Ban) -> Result<(), TooManyBans> {
        if self.list.len() >= MAX_BANS && !self.list.contains_key(&who) {
            let over = self.list.iter().filter(|(_, ban)| ban.is_over(now));
            for who in over.map(|(who, _)| who.clone()).collect::<Vec<_>>() {
                self.remove(&who);
            }
            if self.list.len() >= MAX_BANS {
                return Err(TooManyBans { max: MAX_BANS });
            }
        }
        let length = who.length();
        if self.list.insert(who, ban).is_none()
            && let Some(length) = length
        {
            *self.lengths.entry(length).or_default() += 1;
        }
        Ok(())
    }

    fn remove(&mut self, who: &Who) -> Option<Ban> {
        let ban = self.list.remove(who)?;
        if let Some(length) = who.length()
            && let Some(count) = self.lengths.get_mut(&length)
        {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
        Some(ban)
    }

    fn find(&self, now: Instant, who: &Who) -> Option<&Ban> {
        self.list.get(who).filter(|ban| !ban.is_over(now))
    }

    /// The ban of the address that lasts longest.
    fn of_address(&self, now: Instant, addr: IpAddr) -> Option<&Ban> {
        let addr = addr.to_canonical();
        let lengths = self.lengths.keys().filter(|(is_ipv4, _)| *is_ipv4 == addr.is_ipv4());
        let found = lengths
            .filter_map(|(_, bits)| self.find(now, &Who::Address(IpPrefix::new(addr, *bits))));
        found.max_by_key(|ban| (ban.until.is_none(), ban.until))
    }

    /// Why somebody who comes from there is kept out, if it is.
    fn of(&self, now: Instant, identity: Option<&Identity>, addr: IpAddr) -> Option<&Ban> {
        if self.list.is_empty() {
            return None;
        }
        let user = identity.map(|identity| Who::User(identity.user.clone()));
        let token = identity.and_then(|identity| identity.token_id.clone()).map(Who::Token);
        let by_name = user.into_iter().chain(token).find_map(|who| self.find(now, &who));
        by_name.or_else(|| self.of_address(now, addr))
    }
}

impl Who {
    fn length(&self) -> Option<(bool, u8)> {
        match self {
            Self::Address(prefix) => Some((prefix.is_ipv4(), prefix.bits())),
            Self::User(_) | Self::Token(_) => None,
        }
    }
}

impl Relay {
    /// Keeps somebody out for so long (`None`: for ever); in place of an earlier ban of the same.
    /// Ends what they have now: they are told [`CloseReason::Banned`], sessions that are
    /// away end too, and rooms hear [`LeaveReason::Banned`](crate::LeaveReason::Banned).
    ///
    /// # Errors
    /// [`TooManyBans`] past 100,000.
    pub fn ban(
        &mut self,
        now: Instant,
        who: Who,
        lasts: Option<Duration>,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<(), TooManyBans> {
        let until = lasts.map(|lasts| now + lasts.min(FOR_EVER));
        self.bans.add(now, who, Ban { until, message: message.to_owned() })?;
        let mut conns: Vec<_> = self.conns.keys().collect();
        if plants::bans_spare_the_away() {
            conns.retain(|conn| !self.conns[*conn].is_away());
        }
        for conn in conns {
            if let Err(reason) = self.check_ban(now, conn) {
                self.close(now, conn, reason, out);
            }
        }
        Ok(())
    }

    /// Bans a client: its user, or, if it has none, the address that it comes from (the first 64
    /// bits of IPv6). Returns who is banned.
    ///
    /// # Errors
    /// When it is gone, has neither, or there are too many bans.
    pub fn ban_client(
        &mut self,
        now: Instant,
        conn: ConnId,
        lasts: Option<Duration>,
        message: &str,
        out: &mut Vec<Output>,
    ) -> Result<Who, BanClientError> {
        let who = self.who(conn)?;
        self.ban(now, who.clone(), lasts, message, out)?;
        Ok(who)
    }

    /// Whom a ban of that client is to keep out.
    fn who(&self, conn: ConnId) -> Result<Who, BanClientError> {
        let connection = self.conns.get(conn).ok_or(ClientNotFound)?;
        if let Some(identity) = connection.identity() {
            return Ok(Who::User(identity.user.clone()));
        }
        // Behind an address that is outside of the gate may be everybody: a proxy, say.
        let key = self.gate.key(connection.addr).ok_or(BanClientError::SharedAddress)?;
        Ok(Who::Address(IpPrefix::new(key, if key.is_ipv4() { 32 } else { 64 })))
    }

    /// Ends a ban; whether there was one.
    pub fn unban(&mut self, now: Instant, who: &Who) -> bool {
        self.bans.remove(who).is_some_and(|ban| !ban.is_over(now))
    }

    /// The bans that are in force.
    pub fn bans(&self, now: Instant) -> impl Iterator<Item = ActiveBan> {
        let bans = self.bans.list.iter().filter(move |(_, ban)| !ban.is_over(now));
        bans.map(move |(who, ban)| ActiveBan {
            who: who.clone(),
            left: ban.left(now),
            message: ban.message.clone(),
        })
    }

    /// Why a connection is kept out by a ban, if it is.
    pub(super) fn check_ban(&self, now: Instant, conn: ConnId) -> Result<(), CloseReason> {
        let Some(connection) = self.conns.get(conn) else { return Ok(()) };
        let identity = connection.identity().map(|identity| &**identity);
        self.check_ban_of(now, identity, connection.addr.ip())
    }

    /// Why somebody who comes from there is kept out by a ban, if it is.
    pub(super) fn check_ban_of(
        &self,
        now: Instant,
        identity: Option<&Identity>,
        addr: IpAddr,
    ) -> Result<(), CloseReason> {
        match self.bans.of(now, identity, addr) {
            Some(ban) => {
                let left = ban.left(now).map(|left| left.as_millis().max(1));
                let for_ms = left.map(|ms| u64::try_from(ms).unwrap_or(u64::MAX));
                Err(CloseReason::Banned { message: ban.message.clone(), for_ms })
            }
            None => Ok(()),
        }
    }
}

/// Bans at once.
const MAX_BANS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(until: Option<Instant>) -> Ban {
        Ban { until, message: String::new() }
    }

    fn address(text: &str) -> Who {
        Who::Address(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_found_in_whatever_prefix_it_was_banned() {
        let (now, mut bans) = (Instant::now(), Bans::default());
        for prefix in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/64"] {
            bans.add(now, address(prefix), ban(None)).unwrap();
        }
        let is_banned = |addr: &str| bans.of_address(now, addr.parse().unwrap()).is_some();
        for addr in ["10.255.0.1", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::ffff"] {
            assert!(is_banned(addr), "{addr}");
        }
        for addr in ["11.0.0.1", "192.0.2.8", "2001:db8:0:1::1", "::1"] {
            assert!(!is_banned(addr), "{addr}");
        }
    }

    #[test]
    fn of_two_bans_the_longer_counts_and_an_ended_one_does_not() {
        let (now, mut bans) = (Instant::now(), Bans::default());
        let later = |seconds| Some(now + Duration::from_secs(seconds));
        bans.add(now, address("10.0.0.0/8"), ban(later(10))).unwrap();
        bans.add(now, address("10.1.0.0/16"), ban(later(20))).unwrap();
        let until = |at| bans.of_address(at, "10.1.2.3".parse().unwrap()).map(|ban| ban.until);
        assert_eq!(until(now), Some(later(20)));
        assert_eq!(until(now + Duration::from_secs(20)), None);
        bans.remove(&address("10.1.0.0/16"));
        assert_eq!(bans.lengths.len(), 1);
    }

    #[test]
    fn past_the_limit_ended_bans_make_room_and_others_do_not() {
        let (now, mut bans) = (Instant::now(), Bans::default());
        let until = Some(now + Duration::from_secs(1));
        for number in 0..MAX_BANS {
            bans.add(now, Who::Token(number.to_string().into()), ban(until)).unwrap();
        }
        let one_more = || Who::Token("more".into());
        assert_eq!(bans.add(now, one_more(), ban(until)), Err(TooManyBans { max: MAX_BANS }));
        assert_eq!(bans.add(now, Who::Token("7".into()), ban(None)), Ok(()), "another end");
        assert_eq!(bans.add(now + Duration::from_secs(1), one_more(), ban(until)), Ok(()));
        assert_eq!(bans.list.len(), 2, "what was for ever, and the new one");
    }
}
