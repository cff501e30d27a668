//! How many sessions are held for those who lost their links, and who makes room for others.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use slotmap::SecondaryMap;

use super::{
    Relay,
    event::{ConnId, Output},
};

/// Connections without a link, by address: however many there are, it is known at once who
/// goes first.
#[derive(Debug, Default)]
pub(super) struct Away {
    places: SecondaryMap<ConnId, (Holder, u64)>,
    /// Of each holder, those away longest first.
    held: BTreeMap<Holder, BTreeMap<u64, ConnId>>,
    /// How many each holder has, and which of them is away longest.
    counts: BTreeSet<(usize, Reverse<u64>, Holder)>,
    last: u64,
}

/// For whom a session is held.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Holder {
    Address(IpAddr),
    /// From outside of the gate: each stands for itself.
    Alone(u64),
}

impl Away {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds one that comes from `address`; `None`: from outside of the gate.
    fn add(&mut self, conn: ConnId, address: Option<IpAddr>) {
        self.last += 1;
        let number = self.last;
        let holder = address.map_or(Holder::Alone(number), Holder::Address);
        self.places.insert(conn, (holder, number));
        self.change(holder, |held| held.insert(number, conn));
    }

    fn remove(&mut self, conn: ConnId) {
        if let Some((holder, number)) = self.places.remove(conn) {
            self.change(holder, |held| held.remove(&number));
        }
    }

    /// How many are held for that address, and the one away longest.
    fn of(&self, address: IpAddr) -> (usize, Option<ConnId>) {
        let held = self.held.get(&Holder::Address(address));
        held.map_or((0, None), |held| (held.len(), held.values().next().copied()))
    }

    /// The one away longest of those whose holder has most.
    fn first_to_go(&self) -> Option<ConnId> {
        let (.., holder) = self.counts.last()?;
        self.held.get(holder)?.values().next().copied()
    }

    fn change<T>(&mut self, holder: Holder, change: impl FnOnce(&mut BTreeMap<u64, ConnId>) -> T) {
        let count = |held: &BTreeMap<u64, ConnId>| {
            held.keys().next().map(|oldest| (held.len(), Reverse(*oldest), holder))
        };
        let held = self.held.entry(holder).or_default();
        let before = count(held);
        change(held);
        let after = count(held);
        if held.is_empty() {
            self.held.remove(&holder);
        }
        before.inspect(|before| {
            self.counts.remove(before);
        });
        self.counts.extend(after);
    }
}

impl Relay {
    /// A session is held from now on.
    pub(super) fn now_away(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.get(conn) {
            self.away.add(conn, self.gate.key(connection.addr));
        }
    }

    /// A session is no longer held, if it was.
    pub(super) fn no_longer_away(&mut self, conn: ConnId) {
        self.away.remove(conn);
    }

    /// Ends what is held past the limits: of one address its oldest, of all the oldest of
    /// the address that most are held for, so that a flood puts out its own.
    pub(super) fn bound_away(&mut self, now: Instant, from: SocketAddr, out: &mut Vec<Output>) {
        if planted!("any-number-away") {
            return;
        }
        if let Some(address) = self.gate.key(from)
            && let (count, Some(oldest)) = self.away.of(address)
            && count > self.config.gate.away
        {
            self.end_away(now, oldest, out);
        }
        let most = (self.config.max_clients / 4).max(MIN_AWAY);
        while self.away.len() > most
            && let Some(first) = self.first_to_go()
        {
            self.end_away(now, first, out);
        }
    }

    fn first_to_go(&self) -> Option<ConnId> {
        if planted!("away-flood-evicts-others") {
            let longest = self.away.places.iter().min_by_key(|(_, (_, number))| *number);
            return longest.map(|(conn, _)| conn);
        }
        self.away.first_to_go()
    }

    fn end_away(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let reason = self.away_reason(conn);
        self.end_session(now, conn, reason, out);
    }
}

/// Clients that may be away, at least.
const MIN_AWAY: usize = 16;

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn of_the_address_that_has_most_the_one_away_longest_goes_first() {
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let mut away = Away::default();
        let mut add = |away: &mut Away, address: Option<u8>| {
            let conn = conns.insert(());
            away.add(conn, address.map(|last| IpAddr::from([10, 0, 0, last])));
            conn
        };
        let alone = add(&mut away, None);
        let _alone_too = add(&mut away, None);
        let [one, other] = [1, 2].map(|last| add(&mut away, Some(last)));
        assert_eq!(away.first_to_go(), Some(alone), "they have one each");
        let [later_other, later_one] = [2, 1].map(|last| add(&mut away, Some(last)));
        assert_eq!(away.first_to_go(), Some(one), "of two with as many");
        away.remove(one);
        assert_eq!(away.first_to_go(), Some(other));
        away.remove(other);
        away.remove(other);
        away.remove(alone);
        assert_eq!(away.of(IpAddr::from([10, 0, 0, 1])), (1, Some(later_one)));
        for conn in [later_one, later_other] {
            away.remove(conn);
        }
        assert_eq!(away.of(IpAddr::from([10, 0, 0, 2])), (0, None));
        assert_eq!((away.len(), away.held.len(), away.counts.len()), (1, 1, 1));
    }
}
