//! How friends join: the address of this machine, as far as it can be told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use bevy::prelude::*;

/// What a host tells friends.
#[derive(Clone, Debug, PartialEq, Resource)]
pub(crate) struct Invitation {
    /// Who can join how, as a title.
    pub(crate) title: &'static str,
    pub(crate) command: String,
    /// What has to be so for that to work.
    pub(crate) provided: String,
    /// What to do about that.
    pub(crate) advice: String,
}

impl Invitation {
    /// For a server that listens there.
    pub(crate) fn to(listening: SocketAddr) -> Self {
        Self::new(listening, lan_address(listening.is_ipv6()))
    }

    fn new(listening: SocketAddr, lan: Option<IpAddr>) -> Self {
        let port = listening.port();
        let any = listening.ip().is_unspecified();
        let command = |ip| format!("arena client {}", SocketAddr::new(ip, port));
        let (friends, here) = ("friends join with", "join on this machine with");
        let (title, command, provided, advice) = match if any { lan } else { Some(listening.ip()) }
        {
            Some(ip) if ip.is_loopback() => (
                here,
                command(ip),
                "nobody else reaches this address".to_owned(),
                "to let friends in: --bind 0.0.0.0:7777".to_owned(),
            ),
            Some(ip) => (
                friends,
                command(ip),
                format!("TCP port {port} must be reachable"),
                "a firewall has to let it in, and a router has to pass it on to friends elsewhere"
                    .to_owned(),
            ),
            None => (
                here,
                command(Ipv4Addr::LOCALHOST.into()),
                "no network address of this machine was found".to_owned(),
                format!("friends who know one join there, at port {port}"),
            ),
        };
        Self { title, command, provided, advice }
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
        let invitation = Invitation::new(listening.parse().unwrap(), lan.map(IpAddr::from));
        format!("{}: {}", invitation.title, invitation.command)
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
