//! How friends join: the address of this machine, as far as it can be told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use bevy::prelude::*;

/// What a host tells friends.
#[derive(Clone, Debug, PartialEq, Resource)]
pub(crate) struct Invitation {
    /// In one line.
    pub(crate) line: String,
    /// What has to be so for that to work.
    pub(crate) provided: String,
}

impl Invitation {
    /// For a server that listens there.
    pub(crate) fn to(listening: SocketAddr) -> Self {
        Self::new(listening, lan_address(listening.is_ipv6()))
    }

    fn new(listening: SocketAddr, lan: Option<IpAddr>) -> Self {
        let port = listening.port();
        let ip = if listening.ip().is_unspecified() { lan } else { Some(listening.ip()) };
        match ip {
            Some(ip) if ip.is_loopback() => Self {
                line: format!("join on this machine with: arena client {listening}"),
                provided: "nobody else can: it listens on this machine's own address only; \
                           --bind 0.0.0.0:7777 lets friends in"
                    .to_owned(),
            },
            Some(ip) => Self {
                line: format!("friends join with: arena client {}", SocketAddr::new(ip, port)),
                provided: format!(
                    "TCP port {port} of this machine must be reachable: a firewall has to let it \
                     in, and a router has to pass it on to friends elsewhere"
                ),
            },
            None => Self {
                line: format!("join on this machine with: arena client 127.0.0.1:{port}"),
                provided: format!(
                    "no network address of this machine was found; friends who know one use it, \
                     and port {port}"
                ),
            },
        }
    }
}

/// The address that this machine has towards others. A UDP socket that is "connected" sends
/// nothing: the system looks only at which way it would.
fn lan_address(v6: bool) -> Option<IpAddr> {
    // Addresses of documentation: nobody's, and so behind the way that leads anywhere.
    let far = [
        SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 9)),
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    ];
    let towards = |far: &SocketAddr| {
        let any: IpAddr = match far {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(far).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
    };
    far.iter().take(if v6 { 2 } else { 1 }).find_map(towards)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(listening: &str, lan: Option<[u8; 4]>) -> String {
        Invitation::new(listening.parse().unwrap(), lan.map(IpAddr::from)).line
    }

    #[test]
    fn friends_are_told_the_address_of_this_machine() {
        let lan = Some([192, 168, 1, 5]);
        let told = "friends join with: arena client 192.168.1.5:7777";
        assert_eq!(line("0.0.0.0:7777", lan), told);
        assert_eq!(line("[::]:7777", lan), told);
        assert_eq!(line("10.0.0.7:80", lan), "friends join with: arena client 10.0.0.7:80");
    }

    #[test]
    fn nobody_is_told_an_address_that_leads_nowhere() {
        let own = "join on this machine with: arena client 127.0.0.1:7777";
        assert_eq!(line("0.0.0.0:7777", None), own);
        assert_eq!(line("127.0.0.1:7777", Some([192, 168, 1, 5])), own);
    }
}
