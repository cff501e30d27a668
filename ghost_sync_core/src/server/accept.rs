//! Takes connections from a listener, whatever errors that gives.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, lookup_host},
    time::Instant,
};

use crate::link::tcp;

use super::{connection, error::BindError, service::Service};

/// The wait after an error that another attempt at once would only repeat.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Where connections come from.
pub(crate) trait Listener {
    /// What a connection is.
    type Stream;

    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

/// Listens on `addr`, `host:port`; on `[::]`, for IPv4 as well.
pub(super) async fn bind(addr: &str) -> Result<TcpListener, BindError> {
    let found = lookup_host(addr).await.map_err(|source| {
        // A name that nobody knows and text without a port are the same mistake.
        BindError::InvalidAddress { addr: addr.to_owned(), source: Arc::new(source) }
    })?;
    let mut error = io::ErrorKind::InvalidInput.into();
    for candidate in found {
        match tcp::bind(candidate) {
            Ok(listener) => return Ok(listener),
            Err(other) => error = other,
        }
    }
    Err(BindError::new(addr, error))
}

/// Serves whoever connects until the server stops.
pub(super) async fn accept(listener: TcpListener, service: Arc<Service>) {
    let stopping = service.stopping();
    let serve = |stream: TcpStream, addr| {
        if !service.shard.admits(addr) {
            return;
        }
        if let Err(error) = tcp::tune(&stream) {
            // It is gone already; its reader finds out.
            tracing::debug!(%addr, %error, "cannot tune a socket");
        }
        connection::open_tcp(&service.shard, stream, addr);
    };
    tokio::select! {
        () = stopping => {}
        () = accept_all(listener, serve, || service.shard.drop_greeter()) => {}
    }
}

/// Serves whoever connects, for ever. `make_room` frees a socket that can be spared, if there
/// is one.
pub(crate) async fn accept_all<L: Listener, F: Future<Output = bool>>(
    mut listener: L,
    mut serve: impl FnMut(L::Stream, SocketAddr),
    mut make_room: impl FnMut() -> F,
) {
    let mut wait = SHORTEST_WAIT;
    let mut warned: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                wait = SHORTEST_WAIT;
                serve(stream, addr);
            }
            Err(error) if is_about_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                if make_room().await {
                    if warned.is_none_or(|warned| warned.elapsed() >= LONGEST_WAIT) {
                        tracing::warn!(%error, "who says nothing makes room for others");
                        warned = Some(Instant::now());
                    }
                    continue;
                }
                tracing::warn!(%error, ?wait, "cannot accept connections for now");
                tokio::time::sleep(wait).await;
                wait = LONGEST_WAIT.min(wait * 2);
            }
        }
    }
}

/// Whether the next connection may be fine. Otherwise this machine lacks
/// something: file descriptors, memory.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::VecDeque, future::ready};

    use super::*;

    const EMFILE: i32 = 24;
    const ECONNABORTED: i32 = 103;

    /// Fails with these errors, then never has a connection.
    struct Failing(VecDeque<io::Error>);

    impl Listener for &mut Failing {
        type Stream = TcpStream;

        async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
            match self.0.pop_front() {
                Some(error) => Err(error),
                None => std::future::pending().await,
            }
        }
    }

    async fn time_for(errors: impl IntoIterator<Item = io::Error>) -> Duration {
        let mut failing = Failing(errors.into_iter().collect());
        let start = Instant::now();
        let mut end = start;
        while !failing.0.is_empty() {
            let step = Duration::from_millis(1);
            let run = accept_all(&mut failing, |_, _| {}, || ready(false));
            let _ = tokio::time::timeout(step, run).await;
            end = Instant::now();
        }
        end - start
    }

    #[tokio::test(start_paused = true)]
    async fn an_aborted_connection_costs_no_wait() {
        let errors = || (0..100).map(|_| io::ErrorKind::ConnectionAborted.into());
        assert!(time_for(errors()).await <= Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_accepting_goes_on_after_ever_longer_waits() {
        let mut failing = Failing((0..10).map(|_| io::Error::from_raw_os_error(EMFILE)).collect());
        let run = accept_all(&mut failing, |_, _| {}, || ready(false));
        // 10 + 20 + 40 + .. + 640 + 1000 + 1000 ms, and the last wait of a second
        assert!(tokio::time::timeout(Duration::from_millis(3200), run).await.is_err());
        assert_eq!(failing.0.len(), 1);
        let run = accept_all(&mut failing, |_, _| {}, || ready(false));
        assert!(tokio::time::timeout(Duration::from_millis(1100), run).await.is_err());
        assert!(failing.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn while_somebody_can_be_spared_accepting_goes_on_at_once() {
        let mut failing = Failing((0..100).map(|_| io::Error::from_raw_os_error(EMFILE)).collect());
        let silent = Cell::new(100);
        let spare = || {
            silent.update(|count| count - 1);
            ready(true)
        };
        let run = accept_all(&mut failing, |_, _| {}, spare);
        assert!(tokio::time::timeout(Duration::from_millis(1), run).await.is_err());
        assert_eq!((failing.0.len(), silent.get()), (0, 0));
    }

    #[test]
    fn errors_are_told_apart() {
        let of = |code| is_about_one_connection(&io::Error::from_raw_os_error(code));
        if cfg!(target_os = "linux") {
            assert!(of(ECONNABORTED));
            assert!(!of(EMFILE));
        }
    }
}
