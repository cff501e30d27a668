//! Settings of the gate.

use std::time::Duration;

use crate::{relay::prefix::IpPrefix, wire::Rate};

/// How many connections may come from one address, which is an IPv4 address or the
/// first 64 bits of an IPv6 address.
///
/// Connections past these limits are dropped as they come, before anything is read or answered:
/// to their clients the server cannot be reached, and they try again. Whoever was
/// put out for [asking too much](super::super::Limits) is told
/// [`RateLimited`](crate::CloseReason::RateLimited) and when to come back.
///
/// Many players may share an address (an office, a mobile network), so the numbers are generous.
/// Behind a proxy all have the proxy's address: make that [`exempt`](Self::exempt).
/// Connections of this process and, unless [`loopback`](Self::loopback) says otherwise, of
/// this machine are outside of the gate.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GateConfig {
    /// Whether there is a gate. There is by default.
    pub enabled: bool,
    /// Connections at once. 64.
    pub connections: usize,
    /// New connections. 10 a second, 64 at once.
    pub attempts: Option<Rate>,
    /// Connections that have not said who they are, or are being decided about. 16.
    pub half_open: usize,
    /// Sessions that are held for clients which lost their connection; one more ends the
    /// oldest of that address. 8.
    pub away: usize,
    /// Time for which an address is barred when a client from there was put out for asking too
    /// much. 60 s; twice as long each time that this happens again within ten minutes, up to an
    /// hour. Zero: not at all.
    pub bar: Duration,
    /// Tokens that are not good. 10 a minute; past it the address is barred for `bar`.
    pub failures: Option<Rate>,
    /// Addresses that are remembered while nobody is connected from there. 65,536, which
    /// takes some 15 MiB.
    pub entries: usize,
    /// Whether this machine's own addresses are treated like others, to try that out. Not by
    /// default.
    pub loopback: bool,
    /// Addresses outside of the gate.
    pub exempt: Vec<IpPrefix>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            connections: 64,
            attempts: Some(Rate::per_second(10).burst(64)),
            half_open: 16,
            away: 8,
            bar: Duration::from_secs(60),
            failures: Some(Rate::per_minute(10)),
            entries: 65_536,
            loopback: false,
            exempt: Vec::new(),
        }
    }
}

impl GateConfig {
    /// No gate.
    pub fn none() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// With so many connections from one address at once.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// With this rate of new connections from one address; `None` for any.
    #[must_use]
    pub fn attempts(self, rate: impl Into<Option<Rate>>) -> Self {
        Self { attempts: rate.into(), ..self }
    }

    /// With so many connections from one address that have not said who they are.
    #[must_use]
    pub fn half_open(self, connections: usize) -> Self {
        Self { half_open: connections, ..self }
    }

    /// With so many sessions held for clients from one address.
    #[must_use]
    pub fn away(self, sessions: usize) -> Self {
        Self { away: sessions, ..self }
    }

    /// With addresses barred for so long the first time; zero: not at all.
    #[must_use]
    pub fn bar(self, bar: Duration) -> Self {
        Self { bar, ..self }
    }

    /// With this rate of tokens that are not good from one address; `None` for any.
    #[must_use]
    pub fn failures(self, rate: impl Into<Option<Rate>>) -> Self {
        Self { failures: rate.into(), ..self }
    }

    /// With so many addresses remembered.
    #[must_use]
    pub fn entries(self, addresses: usize) -> Self {
        Self { entries: addresses, ..self }
    }

    /// With this machine's own addresses treated like others, or not.
    #[must_use]
    pub fn loopback(self, loopback: bool) -> Self {
        Self { loopback, ..self }
    }

    /// With these addresses outside of it, beside those from before.
    #[must_use]
    pub fn exempt(mut self, prefixes: impl IntoIterator<Item = IpPrefix>) -> Self {
        self.exempt.extend(prefixes);
        self
    }
}
