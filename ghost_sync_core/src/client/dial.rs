//! Finds the way to a server's machine: looks its name up and calls its addresses, one after the
//! other and side by side (RFC 8305). Knows no protocol.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::sleep,
};

use crate::link::tcp;

use super::{
    ConnectError,
    address::{Place, ServerAddr},
};

/// How long an attempt is waited for before the next begins beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// Connects over TCP, within that time.
pub(super) async fn dial(addr: &ServerAddr, within: Duration) -> Result<TcpStream, ConnectError> {
    let mut late = pin!(sleep(within));
    let addrs = match addr.place() {
        Place::At(addrs) => addrs.clone(),
        Place::Named { host, port } => tokio::select! {
            biased;
            found = look_up(host, *port) => found?,
            () = &mut late => return Err(ConnectError::TimedOut { after: within }),
        },
    };
    race(addrs, tcp::dial, late).await.map_err(|error| {
        if error.kind() == io::ErrorKind::TimedOut {
            ConnectError::TimedOut { after: within }
        } else {
            ConnectError::from_io(error)
        }
    })
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let unknown =
        |error| ConnectError::NameNotFound { host: host.to_owned(), why: Arc::new(error) };
    let found = interleave(lookup_host((host, port)).await.map_err(unknown)?);
    if found.is_empty() { Err(unknown(io::ErrorKind::NotFound.into())) } else { Ok(found) }
}

/// Each address once, IPv6 and IPv4 in turns: one family may lead nowhere.
fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut addrs = Vec::new();
    loop {
        let turn = [six.next(), four.next()];
        if turn == [None, None] {
            return addrs;
        }
        for addr in turn.into_iter().flatten() {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
}

/// The first of `addrs` that connects, or the most telling error. The next is tried
/// [`STAGGER`] after the last, at once if one fails; when one connects or `late` is there, the
/// others are dropped.
async fn race<F, S>(
    addrs: Vec<SocketAddr>,
    mut dial: impl FnMut(SocketAddr) -> F,
    mut late: impl Future<Output = ()> + Unpin,
) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    let mut waiting = addrs.into_iter();
    let mut running = Vec::new();
    let mut told: Option<io::Error> = None;
    loop {
        if let Some(addr) = waiting.next() {
            running.push(Box::pin(dial(addr)));
        } else if running.is_empty() {
            return Err(told.unwrap_or_else(|| io::ErrorKind::NotFound.into()));
        }
        let more = waiting.len() > 0;
        let failure = tokio::select! {
            biased;
            result = first(&mut running) => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            },
            () = &mut late => return Err(more_telling(told, io::ErrorKind::TimedOut.into())),
            () = sleep(STAGGER), if more => continue,
        };
        told = Some(more_telling(told, failure));
    }
}

/// The result of the first attempt that has one, which is taken out.
async fn first<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|cx| {
        for at in 0..running.len() {
            if let Poll::Ready(result) = running[at].as_mut().poll(cx) {
                drop(running.remove(at));
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    })
    .await
}

/// Of two errors the one that says more about the server; the first of two that say as much.
fn more_telling(told: Option<io::Error>, other: io::Error) -> io::Error {
    match told {
        Some(told) if rank(&told) <= rank(&other) => told,
        Some(_) | None => other,
    }
}

fn rank(error: &io::Error) -> u8 {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest says as much as one another")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 0,
        io::ErrorKind::TimedOut => 1,
        // Often that there is no network of the address's family here at all.
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
