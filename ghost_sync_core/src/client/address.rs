//! Where a server is: understood once, before anything is dialled. Knows no network.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::ConnectError;

/// Where a server is: `HOST:PORT`, where HOST is a name, an IPv4 address or an IPv6 address in
/// brackets, and PORT a number from 1 to 65535.
///
/// [`Client::connect`](super::Client::connect) makes one of what it is given: text, a
/// [`SocketAddr`], a host and a port, or several addresses of one server, in the order in which
/// they are to be tried. A program that lets its player type an address can
/// [parse](str::parse) it as soon as it is there.
///
/// ```
/// use ghost_sync_core::client::ServerAddr;
///
/// assert!("play.example.org:7777".parse::<ServerAddr>().is_ok());
/// assert!("[::1]:7777".parse::<ServerAddr>().is_ok());
/// let wrong = "http://play.example.org:7777".parse::<ServerAddr>().unwrap_err();
/// assert!(wrong.to_string().ends_with("write HOST:PORT without http://"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerAddr(Place);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// At one of these, in the order in which they are to be tried.
    At(Vec<SocketAddr>),
    /// Where a resolver says.
    Named { host: String, port: u16 },
}

/// What was given cannot be the address of a server. Somebody has to change it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{given:?} is not the address of a server: {fault}")]
#[non_exhaustive]
pub struct InvalidAddress {
    /// What was given, as it was given.
    pub given: String,
    /// What is wrong with it.
    pub fault: AddressFault,
}

/// What is wrong with an address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// There is nothing.
    #[error("it is empty; write HOST:PORT")]
    Empty,
    /// It holds spaces, line breaks or other characters that no address has.
    #[error("leave out white space and control characters")]
    WhiteSpace,
    /// It begins like the address of a web page.
    #[error("write HOST:PORT without {scheme}://")]
    Scheme {
        /// What is before `://`.
        scheme: String,
    },
    /// Nothing is before the port.
    #[error("the host is missing; write HOST:PORT")]
    NoHost,
    /// Nothing is behind the host.
    #[error("the port is missing; write HOST:PORT")]
    NoPort,
    /// What is behind the last colon is not digits.
    #[error("{port:?} is not a port; write a number from 1 to 65535")]
    NotAPort {
        /// What is there.
        port: String,
    },
    /// There are no ports of that number.
    #[error("the port {port} is above 65535")]
    PortTooLarge {
        /// The number.
        port: String,
    },
    /// Port 0 is for servers that listen: it means any port that is free.
    #[error("no server can be reached at port 0")]
    PortZero,
    /// It holds more colons than `HOST:PORT` has.
    #[error("it has too many colons; write HOST:PORT")]
    Colons,
    /// An IPv6 address without brackets: nobody can say where the port begins.
    #[error("an IPv6 address goes in brackets; write {instead}")]
    NoBrackets {
        /// What is probably meant.
        instead: String,
    },
    /// What is in brackets is not an IPv6 address, or the brackets are not closed.
    #[error("brackets are for IPv6 addresses, like [::1]:7777")]
    NotIpv6,
}

impl ServerAddr {
    pub(super) fn place(&self) -> &Place {
        &self.0
    }

    fn at(addrs: &[SocketAddr]) -> Result<Self, InvalidAddress> {
        let invalid = |given: String, fault| InvalidAddress { given, fault };
        if addrs.is_empty() {
            return Err(invalid(String::new(), AddressFault::Empty));
        }
        match addrs.iter().find(|addr| addr.port() == 0) {
            Some(addr) => Err(invalid(addr.to_string(), AddressFault::PortZero)),
            None => Ok(Self(Place::At(addrs.to_vec()))),
        }
    }
}

impl FromStr for ServerAddr {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        parse(text).map(Self).map_err(|fault| InvalidAddress { given: text.to_owned(), fault })
    }
}

impl TryFrom<&str> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from(text: &str) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl TryFrom<String> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl TryFrom<&String> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from(text: &String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl TryFrom<SocketAddr> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from(addr: SocketAddr) -> Result<Self, InvalidAddress> {
        Self::at(&[addr])
    }
}

impl TryFrom<&[SocketAddr]> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from(addrs: &[SocketAddr]) -> Result<Self, InvalidAddress> {
        Self::at(addrs)
    }
}

impl TryFrom<(IpAddr, u16)> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from(addr: (IpAddr, u16)) -> Result<Self, InvalidAddress> {
        Self::at(&[addr.into()])
    }
}

impl TryFrom<(&str, u16)> for ServerAddr {
    type Error = InvalidAddress;

    fn try_from((host, port): (&str, u16)) -> Result<Self, InvalidAddress> {
        if let Ok(addr) = host.parse::<IpAddr>() {
            return (addr, port).try_into();
        }
        format!("{host}:{port}").parse()
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::At(addrs) => {
                for (number, addr) in addrs.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    write!(f, "{comma}{addr}")?;
                }
                Ok(())
            }
            Place::Named { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Named { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// For [`Client::connect`](super::Client::connect), which takes a [`ServerAddr`] too.
impl From<Infallible> for ConnectError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn parse(text: &str) -> Result<Place, AddressFault> {
    if text.is_empty() {
        return Err(AddressFault::Empty);
    }
    if text.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err(AddressFault::WhiteSpace);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(AddressFault::Scheme { scheme: scheme.to_owned() });
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']').ok_or(AddressFault::NotIpv6)?;
        let port = parse_port(port.strip_prefix(':').ok_or(AddressFault::NoPort)?)?;
        let (addr, zone) = host.split_once('%').map_or((host, None), |(a, zone)| (a, Some(zone)));
        let addr: Ipv6Addr = addr.parse().map_err(|_| AddressFault::NotIpv6)?;
        // The name of a network card is known to the resolver only.
        return Ok(match zone {
            None => Place::At(vec![(addr, port).into()]),
            Some(_) => Place::Named { host: host.to_owned(), port },
        });
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressFault::NoPort)?;
    if host.contains(':') {
        return Err(if host.parse::<Ipv6Addr>().is_ok() {
            AddressFault::NoBrackets { instead: format!("[{host}]:{port}") }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            AddressFault::NoBrackets { instead: format!("[{text}]:PORT") }
        } else {
            AddressFault::Colons
        });
    }
    if host.is_empty() {
        return Err(AddressFault::NoHost);
    }
    let port = parse_port(port)?;
    Ok(match host.parse::<IpAddr>() {
        Ok(addr) => Place::At(vec![(addr, port).into()]),
        Err(_) => Place::Named { host: host.to_owned(), port },
    })
}

fn parse_port(text: &str) -> Result<u16, AddressFault> {
    if text.is_empty() {
        return Err(AddressFault::NoPort);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressFault::NotAPort { port: text.to_owned() });
    }
    match text.parse() {
        Ok(0) => Err(AddressFault::PortZero),
        Ok(port) => Ok(port),
        Err(_) => Err(AddressFault::PortTooLarge { port: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(given: &str) -> String {
        let error = given.parse::<ServerAddr>().unwrap_err();
        assert_eq!(error.given, given);
        let fault = error.fault.to_string();
        assert_eq!(error.to_string(), format!("{given:?} is not the address of a server: {fault}"));
        fault
    }

    #[test]
    fn an_address_that_can_never_work_is_told_with_what_is_wrong() {
        for (given, fault) in [
            ("", "it is empty; write HOST:PORT"),
            (" ", "leave out white space and control characters"),
            ("localhost:7777\n", "leave out white space and control characters"),
            ("http://localhost:7777", "write HOST:PORT without http://"),
            ("ws://localhost", "write HOST:PORT without ws://"),
            ("localhost", "the port is missing; write HOST:PORT"),
            ("localhost:", "the port is missing; write HOST:PORT"),
            ("127.0.0.1", "the port is missing; write HOST:PORT"),
            ("[::1]", "the port is missing; write HOST:PORT"),
            (":7777", "the host is missing; write HOST:PORT"),
            ("localhost:0", "no server can be reached at port 0"),
            ("127.0.0.1:0", "no server can be reached at port 0"),
            ("[::1]:0", "no server can be reached at port 0"),
            ("localhost:99999", "the port 99999 is above 65535"),
            ("[::1]:65536", "the port 65536 is above 65535"),
            ("localhost:game", "\"game\" is not a port; write a number from 1 to 65535"),
            ("localhost:+7777", "\"+7777\" is not a port; write a number from 1 to 65535"),
            ("localhost:7777/", "\"7777/\" is not a port; write a number from 1 to 65535"),
            ("::1:7777", "an IPv6 address goes in brackets; write [::1]:7777"),
            ("::1", "an IPv6 address goes in brackets; write [::1]:PORT"),
            ("localhost:80:7777", "it has too many colons; write HOST:PORT"),
            ("[localhost]:7777", "brackets are for IPv6 addresses, like [::1]:7777"),
            ("[::1:7777", "brackets are for IPv6 addresses, like [::1]:7777"),
        ] {
            assert_eq!(fault_of(given), fault, "{given:?}");
        }
    }

    #[test]
    fn addresses_and_names_are_told_apart() {
        let place = |text: &str| text.parse::<ServerAddr>().unwrap().0;
        for text in ["127.0.0.1:7777", "[::1]:7777", "[2001:db8::1]:65535"] {
            assert_eq!(place(text), Place::At(vec![text.parse().unwrap()]));
        }
        let named = |host: &str| Place::Named { host: host.to_owned(), port: 7777 };
        assert_eq!(place("localhost:7777"), named("localhost"));
        assert_eq!(place("[fe80::1%eth0]:7777"), named("fe80::1%eth0"));
        assert_eq!(place("größe.example:7777"), named("größe.example"));
    }

    #[test]
    fn whatever_an_address_is_made_of_is_checked_and_shown_alike() {
        let shown = |addr: Result<ServerAddr, InvalidAddress>| {
            addr.map(|addr| addr.to_string()).map_err(|error| error.fault)
        };
        let [one, two]: [SocketAddr; 2] = ["[::1]:1", "127.0.0.1:2"].map(|a| a.parse().unwrap());
        assert_eq!(shown([one, two].as_slice().try_into()), Ok("[::1]:1, 127.0.0.1:2".to_owned()));
        assert_eq!(shown(two.try_into()), Ok("127.0.0.1:2".to_owned()));
        assert_eq!(shown(("::1", 1).try_into()), Ok("[::1]:1".to_owned()));
        assert_eq!(shown(("localhost", 1).try_into()), Ok("localhost:1".to_owned()));
        assert_eq!(shown((two.ip(), 3).try_into()), Ok("127.0.0.1:3".to_owned()));
        let scoped = "[fe80::1%eth0]:7777".to_owned();
        assert_eq!(shown((&scoped).try_into()), Ok(scoped.clone()));
        assert_eq!(shown(scoped.clone().try_into()), Ok(scoped));

        assert_eq!(shown(("", 1).try_into()), Err(AddressFault::NoHost));
        assert_eq!(shown(("localhost", 0).try_into()), Err(AddressFault::PortZero));
        assert_eq!(shown((&[][..]).try_into()), Err(AddressFault::Empty));
        let zero = SocketAddr::new(two.ip(), 0);
        assert_eq!(shown([two, zero].as_slice().try_into()), Err(AddressFault::PortZero));
    }
}
