//! Ranges of addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// All addresses that begin with the same bits, written like `10.0.0.0/8`, `2001:db8::/32`
/// or as one address. An IPv4 address within IPv6 is an IPv4 address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IpPrefix {
    addr: IpAddr,
    bits: u8,
}

/// The text is no address with a length after it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no range of addresses: write it like 10.0.0.0/8, 2001:db8::/32 or 10.1.2.3")]
pub struct InvalidIpPrefix(pub String);

impl IpPrefix {
    /// The addresses that have the first `bits` bits of `addr`; all 32 or 128 where there are
    /// not more.
    pub fn new(addr: IpAddr, bits: u8) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(addr) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self { addr: Ipv4Addr::from_bits(addr.to_bits() & mask).into(), bits }
            }
            IpAddr::V6(addr) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self { addr: Ipv6Addr::from_bits(addr.to_bits() & mask).into(), bits }
            }
        }
    }

    /// How many bits the addresses have in common.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Whether they are IPv4 addresses.
    pub fn is_ipv4(self) -> bool {
        self.addr.is_ipv4()
    }

    /// Whether it is one of them.
    pub fn contains(self, addr: IpAddr) -> bool {
        Self::new(addr, self.bits) == self
    }
}

/// What one household or machine usually has: an IPv4 address, or the first 64 bits of IPv6.
pub(super) fn household(addr: IpAddr) -> IpAddr {
    IpPrefix::new(addr, 64).addr
}

/// What one customer of a network may have: an IPv4 address, or the first 48 bits of IPv6
/// (RFC 6177 speaks of sites).
pub(super) fn site(addr: IpAddr) -> IpAddr {
    IpPrefix::new(addr, 48).addr
}

impl FromStr for IpPrefix {
    type Err = InvalidIpPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidIpPrefix(text.to_owned());
        let (addr, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let addr: IpAddr = addr.parse().map_err(|_| invalid())?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| invalid())?;
        if bits > most { Err(invalid()) } else { Ok(Self::new(addr, bits)) }
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(prefix: &str, addr: &str) -> bool {
        prefix.parse::<IpPrefix>().unwrap().contains(addr.parse().unwrap())
    }

    #[test]
    fn a_prefix_holds_what_begins_like_it() {
        assert!(holds("10.0.0.0/8", "10.255.1.2"));
        assert!(!holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("0.0.0.0/0", "255.255.255.255"));
        assert!(holds("1.2.3.4", "1.2.3.4"));
        assert!(!holds("1.2.3.4", "1.2.3.5"));
        assert!(holds("1.2.3.4/32", "::ffff:1.2.3.4"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::"));
        assert!(!holds("::/0", "1.2.3.4"));
    }

    #[test]
    fn what_is_no_prefix_is_refused_with_an_example() {
        for text in ["", "10", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "lobby"] {
            let error = text.parse::<IpPrefix>().unwrap_err();
            assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        }
    }

    #[test]
    fn a_household_is_one_ipv4_address_or_the_first_half_of_ipv6() {
        let of = |text: &str| household(text.parse().unwrap()).to_string();
        assert_eq!(of("1.2.3.4"), "1.2.3.4");
        assert_eq!(of("::ffff:1.2.3.4"), "1.2.3.4");
        assert_eq!(of("2001:db8:0:7:1:2:3:4"), "2001:db8:0:7::");
    }
}
