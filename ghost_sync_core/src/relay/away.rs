//! Sessions without a link: they are held for a while. How many may be held, and which of them
//! end first when there are more.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use slotmap::SecondaryMap;

use super::{
    Relay,
    event::{ConnId, DisconnectReason, Output, RelayEvent},
    log::Origin,
    metadata::clamp_u32,
    plants, prefix,
    session::{Connection, SeatRef, Secrets, Session, Threshold},
};
use crate::{
    identity::Identity,
    wire::{ClientId, CloseReason, Decoder, MAX_HELLO, ServerMessage},
};

/// Connections without a link, by where they come from: however many there are, it is known
/// at once who goes first.
#[derive(Debug, Default)]
pub(super) struct Away {
    places: SecondaryMap<ConnId, (Option<IpAddr>, u64)>,
    /// Of each address, those away longest first.
    addresses: BTreeMap<IpAddr, Line>,
    /// Of each site, likewise.
    sites: BTreeMap<Site, Line>,
    /// How many each site has, and which of them is away longest.
    counts: BTreeSet<(usize, Reverse<u64>, Site)>,
    last: u64,
}

/// Connections by when they were lost.
type Line = BTreeMap<u64, ConnId>;

/// Who may have made many of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Site {
    Known(IpAddr),
    /// From outside of the gate, all together: a flood from there puts out its own kind, not
    /// those whose addresses are known.
    Outside,
}

/// A session that was ended while it was away, with what it is to be told.
#[derive(Debug)]
pub(super) struct EndedAway {
    pub(super) client_id: ClientId,
    pub(super) secrets: Secrets,
    pub(super) reason: CloseReason,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) addr: IpAddr,
}

impl Away {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds one that comes from `address`; `None`: from outside of the gate.
    pub(super) fn add(&mut self, conn: ConnId, address: Option<IpAddr>) {
        self.last += 1;
        let number = self.last;
        self.places.insert(conn, (address, number));
        if let Some(address) = address {
            self.addresses.entry(address).or_default().insert(number, conn);
        }
        self.change(address, |line| line.insert(number, conn));
    }

    pub(super) fn remove(&mut self, conn: ConnId) {
        let Some((address, number)) = self.places.remove(conn) else { return };
        if let Some(address) = address
            && let Some(line) = self.addresses.get_mut(&address)
        {
            line.remove(&number);
            if line.is_empty() {
                self.addresses.remove(&address);
            }
        }
        self.change(address, |line| line.remove(&number));
    }

    /// How many are held for that address, and the one away longest.
    pub(super) fn of(&self, address: IpAddr) -> (usize, Option<ConnId>) {
        let line = self.addresses.get(&address);
        line.map_or((0, None), |line| (line.len(), line.values().next().copied()))
    }

    /// The one away longest of those whose site has most.
    fn first_to_go(&self) -> Option<ConnId> {
        let (.., site) = self.counts.last()?;
        self.sites.get(site)?.values().next().copied()
    }

    pub(super) fn change<T>(
        &mut self,
        address: Option<IpAddr>,
        change: impl FnOnce(&mut Line) -> T,
    ) {
        let site = address.map_or(Site::Outside, |address| Site::Known(prefix::site(address)));
        let count =
            |line: &Line| line.keys().next().map(|oldest| (line.len(), Reverse(*oldest), site));
        let line = self.sites.entry(site).or_default();
        let before = count(line);
        change(line);
        let after = count(line);
        if line.is_empty() {
            self.sites.remove(&site);
        }
        before.inspect(|before| {
            self.counts.remove(before);
        });
        self.counts.extend(after);
    }
}

impl Relay {
    /// A session is held from now on.
    fn now_away(&mut self, conn: ConnId) {
        if let Some(connection) = self.conns.get(conn) {
            self.away.add(conn, self.gate.key(connection.addr));
        }
    }

    /// A session is no longer held, if it was.
    pub(super) fn no_longer_away(&mut self, conn: ConnId) {
        self.away.remove(conn);
    }

    /// Ends what is held past the limits: of one address its oldest, of all the oldest of
    /// the site that most are held for, so that a flood puts out its own.
    fn bound_away(&mut self, now: Instant, from: SocketAddr, out: &mut Vec<Output>) {
        if plants::any_number_away() {
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
        if plants::flood_evicts_others() {
            let longest = self.away.places.iter().min_by_key(|(_, (_, number))| *number);
            return longest.map(|(conn, _)| conn);
        }
        self.away.first_to_go()
    }

    fn end_away(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let reason = self.away_reason(conn);
        self.end_session(now, conn, reason, out);
    }

    /// Whether the session of a connection that loses its link is held.
    pub(super) fn is_held(&self, conn: ConnId, reason: &DisconnectReason) -> bool {
        let seated = |connection: &Connection| connection.is_open() && !connection.seats.is_empty();
        self.refusing.is_none()
            && !self.config.resume_grace.is_zero()
            && reason.may_resume()
            && self.conns.get(conn).is_some_and(seated)
    }

    /// Holds the session of a connection that has lost its link.
    pub(super) fn go_away(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        let until = now + plants::grace(self.config.resume_grace);
        self.unblock(conn);
        self.set_behind(conn, false);
        let Some(connection) = self.conns.get_mut(conn) else { return };
        connection.outbox.lose_link(Threshold::of(&self.config));
        connection.session = Session::Away { until, reason: reason.clone() };
        connection.decoder = Decoder::new(MAX_HELLO);
        connection.recount_at = self.config.outbox_limit;
        connection.liveness.ping = None;
        connection.liveness.missed = 0;
        connection.liveness.partial = None;
        let client_id = connection.client_id;
        self.schedule(conn);
        self.now_away(conn);
        let from = self.conns[conn].addr;
        out.push(Output::Event(RelayEvent::ConnectionLost { conn, client_id, reason }));
        for at in 0..self.conns[conn].seats.len() {
            self.mark_away(now, conn, self.conns[conn].seats[at], out);
        }
        self.end_if_overfull(now, conn, out);
        self.bound_away(now, from, out);
    }

    /// Tells a room that a member's connection is lost.
    pub(super) fn mark_away(
        &mut self,
        now: Instant,
        conn: ConnId,
        held: SeatRef,
        out: &mut Vec<Output>,
    ) {
        let SeatRef { room, seat } = held;
        let Some(found) = self.rooms.get_mut(&room) else { return };
        found.set_away(seat, true);
        let (name, deleted) = (found.name.clone(), found.deleted);
        if !deleted && plants::away_is_told() {
            self.append(now, room, Origin::of(seat), 32, |buf, seq| {
                ServerMessage::PlayerAway { room, seq, seat }.encode(buf);
            });
        }
        self.trim_later(room);
        let client_id = self.conns[conn].client_id;
        out.push(Output::Event(RelayEvent::PlayerAway { room, name, seat, conn, client_id }));
    }

    /// Ends a session that has no link.
    pub(super) fn end_session(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: DisconnectReason,
        out: &mut Vec<Output>,
    ) {
        self.no_longer_away(conn);
        self.part(now, conn, reason, out);
        self.forget(conn, out);
    }

    /// Ends a session without a link for which more waits than may.
    pub(super) fn end_if_overfull(&mut self, now: Instant, conn: ConnId, out: &mut Vec<Output>) {
        let Some(connection) = self.conns.get(conn).filter(|found| found.is_away()) else { return };
        let queued = connection.outbox.cost() + connection.outbox.kept_bytes();
        let max = self.config.outbox_limit;
        if queued > max {
            let (queued, max) = (clamp_u32(queued), clamp_u32(max));
            let reason = CloseReason::SlowConsumer { queued, max };
            self.end_session(now, conn, DisconnectReason::Closed(reason), out);
        }
    }

    /// Remembers what a session that is ended while it is away is to be told.
    pub(super) fn note_ended_away(&mut self, conn: ConnId, reason: CloseReason) {
        let Some(connection) = self.conns.get(conn) else { return };
        let (client_id, secrets) = (connection.client_id, connection.secrets);
        let (identity, addr) = (connection.identity().cloned(), connection.addr.ip());
        self.ended_away.push_back(EndedAway { client_id, secrets, reason, identity, addr });
        if self.ended_away.len() > MAX_ENDED_AWAY {
            self.ended_away.pop_front();
        }
    }

    /// Why a session is without a link.
    pub(super) fn away_reason(&self, conn: ConnId) -> DisconnectReason {
        if let Some(connection) = self.conns.get(conn)
            && let Session::Away { reason, .. } = &connection.session
        {
            return reason.clone();
        }
        DisconnectReason::ConnectionClosed
    }
}

/// Clients that may be away, at least.
const MIN_AWAY: usize = 16;

/// Ended sessions whose ends are remembered.
const MAX_ENDED_AWAY: usize = 256;

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
        let outside = add(&mut away, None);
        let [one, other] = [1, 2].map(|last| add(&mut away, Some(last)));
        assert_eq!(away.first_to_go(), Some(outside), "they have one each");
        let outside_too = add(&mut away, None);
        assert_eq!(away.first_to_go(), Some(outside), "these are of one kind");
        away.remove(outside);
        away.remove(outside_too);
        let [later_other, later_one] = [2, 1].map(|last| add(&mut away, Some(last)));
        assert_eq!(away.first_to_go(), Some(one), "of two with as many");
        away.remove(one);
        assert_eq!(away.first_to_go(), Some(other));
        away.remove(other);
        away.remove(other);
        assert_eq!(away.of(IpAddr::from([10, 0, 0, 1])), (1, Some(later_one)));
        for conn in [later_one, later_other] {
            away.remove(conn);
        }
        assert_eq!(away.of(IpAddr::from([10, 0, 0, 2])), (0, None));
        assert_eq!((away.len(), away.sites.len(), away.counts.len()), (0, 0, 0));
        assert!(away.addresses.is_empty());
    }

    #[test]
    fn the_networks_of_one_site_are_one_holder() {
        let mut conns: SlotMap<ConnId, ()> = SlotMap::with_key();
        let mut away = Away::default();
        let mut add = |away: &mut Away, address: &str| {
            let conn = conns.insert(());
            away.add(conn, Some(address.parse().expect("it is one")));
            conn
        };
        let honest = add(&mut away, "2001:db8:1::");
        let first = add(&mut away, "2001:db8:2:1::");
        let _second = add(&mut away, "2001:db8:2:2::");
        assert_eq!(away.first_to_go(), Some(first));
        assert_eq!(away.of("2001:db8:2:1::".parse().expect("it is one")), (1, Some(first)));
        assert_eq!(away.of("2001:db8:1::".parse().expect("it is one")), (1, Some(honest)));
    }
}
