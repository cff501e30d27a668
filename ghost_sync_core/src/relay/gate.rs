//! Who may come in at all, by address: before anything is known of a connection.

mod config;

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use config::GateConfig;

use super::{plants, prefix::household};
use crate::wire::{Bucket, Rate};

/// What the addresses that connections come from have used up.
#[derive(Debug)]
pub(super) struct Gate {
    config: GateConfig,
    holders: HashMap<IpAddr, Holder>,
    /// Addresses that nobody is connected from, by when they were last heard of.
    idle: BTreeMap<u64, IpAddr>,
    last_use: u64,
    turned_away: u64,
}

#[derive(Debug, Default)]
struct Holder {
    links: usize,
    /// Links that have not said who they are, or are being decided about.
    half_open: usize,
    attempts: Bucket,
    rooms: Bucket,
    /// Tokens that were not good.
    failures: Bucket,
    bar: Bar,
    /// Its place among the idle.
    used: Option<u64>,
}

/// Until when somebody may not come in.
#[derive(Debug, Default)]
pub(super) struct Bar {
    until: u64,
    /// The end of the last one for asking too much.
    struck: u64,
    /// Those that came soon one after the other.
    strikes: u32,
}

impl Bar {
    /// Begins with the length `first`, or a longer one if the last bar ended not long ago.
    pub(super) fn strike(&mut self, now: u64, first: Duration) {
        if self.struck > now {
            return;
        }
        if now - self.struck > STRIKES_LAST {
            self.strikes = 0;
        }
        let first = nanos(first);
        let longer = 1_u64.checked_shl(self.strikes).unwrap_or(u64::MAX);
        self.strikes = self.strikes.saturating_add(1);
        let longest = LONGEST_BAR.max(first);
        self.struck = now.saturating_add(first.saturating_mul(longer).min(longest));
        self.until = self.until.max(self.struck);
    }

    /// Lasts so long at least.
    pub(super) fn raise(&mut self, now: u64, by: Duration) {
        self.until = self.until.max(now.saturating_add(nanos(by)));
    }

    /// How long it lasts, if there is one.
    pub(super) fn left(&self, now: u64) -> Option<Duration> {
        let left = plants::bar(self.until.saturating_sub(now));
        (left > 0).then(|| Duration::from_nanos(left))
    }
}

impl Gate {
    pub(super) fn new(config: GateConfig) -> Self {
        Self { config, holders: HashMap::new(), idle: BTreeMap::new(), last_use: 0, turned_away: 0 }
    }

    /// What stands for an address; `None`: it is outside of the gate.
    pub(super) fn key(&self, addr: SocketAddr) -> Option<IpAddr> {
        let GateConfig { enabled, loopback, exempt, .. } = &self.config;
        let ip = addr.ip().to_canonical();
        // No socket has port 0: those of this process have.
        let outside = !enabled
            || addr.port() == 0
            || ip.is_loopback() && !loopback
            || exempt.iter().any(|prefix| prefix.contains(ip));
        (!outside).then(|| household(ip))
    }

    /// Whether another connection from `addr` may be taken.
    pub(super) fn admits(&mut self, now: u64, addr: SocketAddr) -> bool {
        let Some(key) = self.key(addr) else { return true };
        let GateConfig { connections, half_open, attempts, .. } = self.config;
        let holder = self.holder(key);
        let admitted = holder.links < connections
            && holder.half_open < half_open
            && holder.attempts.check(now, attempts, 1).is_ok();
        self.used(key);
        self.turned_away += u64::from(!admitted);
        admitted
    }

    /// Connections that were not admitted.
    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// There is a link from `addr` that has not said who it is.
    pub(super) fn connected(&mut self, addr: SocketAddr) {
        self.change(addr, |holder| {
            holder.links += 1;
            holder.half_open += 1;
        });
    }

    /// A link is no longer half open.
    pub(super) fn greeted(&mut self, addr: SocketAddr) {
        self.change(addr, |holder| holder.half_open = holder.half_open.saturating_sub(1));
    }

    /// A link is gone.
    pub(super) fn disconnected(&mut self, addr: SocketAddr) {
        self.change(addr, |holder| holder.links = holder.links.saturating_sub(1));
    }

    /// Whether a join from `addr` may make a room; if not, how long it has to wait.
    pub(super) fn may_make_room(
        &mut self,
        now: u64,
        addr: SocketAddr,
        rate: Option<Rate>,
    ) -> Result<(), Duration> {
        let Some(key) = self.key(addr) else { return Ok(()) };
        let made = self.holder(key).rooms.check(now, rate, 1);
        self.used(key);
        made
    }

    /// Bars an address, for longer if that was done not long ago; returns for how long it
    /// is barred now, if it is.
    pub(super) fn strike(&mut self, now: u64, addr: SocketAddr) -> Option<Duration> {
        let key = self.key(addr)?;
        let first = self.config.bar;
        self.holder(key).bar.strike(now, first);
        self.used(key);
        self.barred_for(now, addr)
    }

    /// Bars an address for so long, if it is not for longer.
    pub(super) fn bar(&mut self, now: u64, addr: SocketAddr, by: Duration) {
        self.change(addr, |holder| holder.bar.raise(now, by));
    }

    /// For how long nobody from `addr` may come in.
    pub(super) fn barred_for(&self, now: u64, addr: SocketAddr) -> Option<Duration> {
        self.find(addr)?.bar.left(now)
    }

    /// Somebody from `addr` has shown a token that is not good; too many bar it.
    pub(super) fn token_failed(&mut self, now: u64, addr: SocketAddr) {
        let Some(key) = self.key(addr) else { return };
        let (failures, bar) = (self.config.failures, self.config.bar);
        let holder = self.holder(key);
        if holder.failures.check(now, failures, 1).is_err() {
            holder.bar.raise(now, bar);
        }
        self.used(key);
    }

    /// Forgets what was used up, but no bars.
    pub(super) fn refill(&mut self) {
        // In whatever order: each by itself.
        for holder in self.holders.values_mut() {
            (holder.attempts, holder.rooms) = (Bucket::default(), Bucket::default());
        }
    }

    fn find(&self, addr: SocketAddr) -> Option<&Holder> {
        self.holders.get(&self.key(addr)?)
    }

    fn holder(&mut self, key: IpAddr) -> &mut Holder {
        self.holders.entry(key).or_default()
    }

    fn change(&mut self, addr: SocketAddr, change: impl FnOnce(&mut Holder)) {
        let Some(key) = self.key(addr) else { return };
        change(self.holder(key));
        self.used(key);
    }

    /// An address was heard of: it is forgotten after others.
    fn used(&mut self, key: IpAddr) {
        self.last_use += 1;
        let Some(holder) = self.holders.get_mut(&key) else { return };
        if let Some(before) = holder.used.take() {
            self.idle.remove(&before);
        }
        if holder.links == 0 {
            holder.used = Some(self.last_use);
            self.idle.insert(self.last_use, key);
        }
        while self.holders.len() > self.config.entries
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.holders.remove(&oldest);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A bar that ended this long ago makes the next no longer: ten minutes.
const STRIKES_LAST: u64 = 600 * 1_000_000_000;

/// The longest bar, an hour, where the setting is not longer.
const LONGEST_BAR: u64 = 3600 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn addr(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1000)
    }

    fn gate(change: impl FnOnce(GateConfig) -> GateConfig) -> Gate {
        Gate::new(change(GateConfig::default()))
    }

    /// Connects as often as is admitted, at most a thousand times.
    fn flood(gate: &mut Gate, now: u64, from: SocketAddr) -> usize {
        let admitted = (0..1000).take_while(|_| {
            let admitted = gate.admits(now, from);
            if admitted {
                gate.connected(from);
                gate.greeted(from);
            }
            admitted
        });
        admitted.count()
    }

    #[test]
    fn one_address_has_so_many_connections_and_another_as_many() {
        let mut gate = gate(|config| config);
        assert_eq!(flood(&mut gate, 0, addr("1.1.1.1")), 64);
        assert_eq!(flood(&mut gate, 0, addr("1.1.1.2")), 64);
        assert_eq!(gate.turned_away(), 2);
        // It has to close one first, however long it waits.
        assert_eq!(flood(&mut gate, 900 * SECOND, addr("1.1.1.1")), 0);
        gate.disconnected(addr("1.1.1.1"));
        assert_eq!(flood(&mut gate, 900 * SECOND, addr("1.1.1.1")), 1);
    }

    #[test]
    fn who_does_not_say_who_it_is_takes_few_places() {
        let (mut gate, from) = (gate(|config| config), addr("1.1.1.1"));
        let admitted = (0..100).filter(|_| {
            let admitted = gate.admits(0, from);
            if admitted {
                gate.connected(from);
            }
            admitted
        });
        assert_eq!(admitted.count(), 16);
        gate.greeted(from);
        assert!(gate.admits(0, from));
    }

    #[test]
    fn who_comes_and_goes_is_admitted_so_often() {
        let (mut gate, from) = (gate(|config| config), addr("1.1.1.1"));
        let mut come_and_go = |now| {
            let admitted = gate.admits(now, from);
            if admitted {
                gate.connected(from);
                gate.greeted(from);
                gate.disconnected(from);
            }
            admitted
        };
        assert_eq!((0..200).filter(|_| come_and_go(0)).count(), 64);
        assert_eq!((0..200).filter(|_| come_and_go(SECOND)).count(), 10);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_within_it_another() {
        let mut gate = gate(|config| config.connections(2));
        assert_eq!(flood(&mut gate, 0, addr("2001:db8::1")), 2);
        assert_eq!(flood(&mut gate, 0, addr("2001:db8::ffff:2")), 0);
        assert_eq!(flood(&mut gate, 0, addr("2001:db8:0:1::1")), 2);
        assert_eq!(flood(&mut gate, 0, addr("1.1.1.1")), 2);
        assert_eq!(flood(&mut gate, 0, addr("::ffff:1.1.1.1")), 0);
    }

    #[test]
    fn loopback_exempt_addresses_and_this_process_are_outside() {
        let exempt = "10.0.0.0/8".parse().unwrap();
        let mut gate = gate(|config| config.connections(1).exempt([exempt]));
        for outside in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3"] {
            assert_eq!(flood(&mut gate, 0, addr(outside)), 1000, "{outside}");
            assert_eq!(gate.strike(0, addr(outside)), None);
        }
        let mut gate = self::gate(|config| config.connections(1).loopback(true));
        assert_eq!(flood(&mut gate, 0, addr("127.0.0.1")), 1);
        let of_this_process = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(flood(&mut gate, 0, of_this_process), 1000);
        let mut none = Gate::new(GateConfig::none());
        assert_eq!(flood(&mut none, 0, addr("1.1.1.1")), 1000);
    }

    #[test]
    fn a_bar_doubles_with_each_strike_soon_after_up_to_an_hour() {
        let (mut gate, from) = (gate(|config| config), addr("1.1.1.1"));
        let mut now = 5;
        for seconds in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            assert_eq!(gate.strike(now, from), Some(Duration::from_secs(seconds)));
            // The others from there that are put out at the same time make it no longer.
            assert_eq!(gate.strike(now, from), Some(Duration::from_secs(seconds)));
            assert_eq!(gate.barred_for(now, addr("1.1.1.2")), None);
            now += seconds * SECOND;
            assert_eq!(gate.barred_for(now - 1, from), Some(Duration::from_nanos(1)));
            assert_eq!(gate.barred_for(now, from), None);
        }
        now += STRIKES_LAST + 1;
        assert_eq!(gate.strike(now, from), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_shorter_bar_for_something_else_makes_no_strike_shorter() {
        let (mut gate, from) = (gate(|config| config), addr("1.1.1.1"));
        gate.bar(0, from, Duration::from_secs(10));
        assert_eq!(gate.strike(5 * SECOND, from), Some(Duration::from_secs(60)));
        gate.bar(64 * SECOND, from, Duration::from_secs(10));
        assert_eq!(gate.barred_for(65 * SECOND, from), Some(Duration::from_secs(9)));
        assert_eq!(gate.strike(65 * SECOND, from), Some(Duration::from_secs(120)));
    }

    #[test]
    fn extreme_bars_neither_overflow_nor_panic() {
        for bar in [Duration::ZERO, Duration::MAX] {
            let (mut gate, from) = (gate(|config| config.bar(bar)), addr("1.1.1.1"));
            for _ in 0..100 {
                assert_eq!(gate.strike(u64::MAX / 2, from).is_some(), !bar.is_zero());
            }
        }
    }

    #[test]
    fn addresses_without_connections_are_forgotten_when_there_are_too_many() {
        let mut gate = gate(|config| config.entries(100));
        let held = addr("9.9.9.9");
        gate.connected(held);
        let idle = |number: u32| SocketAddr::from((number.to_be_bytes(), 7));
        for number in 1..10_000 {
            assert!(gate.admits(0, idle(number)));
            gate.connected(idle(number));
            gate.disconnected(idle(number));
        }
        assert_eq!((gate.holders.len(), gate.idle.len()), (100, 99));
        assert_eq!(gate.find(held).map(|holder| holder.links), Some(1));
        assert!(gate.find(idle(9_999)).is_some() && gate.find(idle(9_000)).is_none());
    }
}
