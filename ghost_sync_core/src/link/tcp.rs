//! TCP: how a socket is tuned, listened on and dialled.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

#[cfg(feature = "server")]
use {
    std::net::{IpAddr, Ipv6Addr},
    tokio::net::{TcpListener, TcpSocket},
};

/// Bytes that the kernel may hold back unsent. What waits longer waits with
/// us, where it can still be replaced or skipped.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_LIMIT: u32 = 16 * 1024;

/// Connections that may wait to be taken, as far as the operating system allows. Each that finds
/// no place there tries again a second later: after a restart a thousand players come at once.
#[cfg(feature = "server")]
const BACKLOG: u32 = 4096;

/// Prepares a socket for small messages that must not wait.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_LIMIT)?;
    Ok(())
}

/// Listens on `addr`; on `[::]`, for IPv4 as well.
#[cfg(feature = "server")]
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Elsewhere it would mean that others may take the port as well.
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && let Err(error) = socket2::SockRef::from(&socket).set_only_v6(false)
    {
        // Some systems never serve both families with one socket.
        tracing::warn!(%addr, %error, "who has only IPv4 cannot connect");
    }
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Connects to this address.
#[cfg(feature = "client")]
pub(crate) async fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    tune(&stream)?;
    Ok(stream)
}
