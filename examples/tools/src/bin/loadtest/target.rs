//! Which server is tested: one that runs, or one started for the test.

use std::{
    env,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    process::{Child, Command, Stdio},
};

use ghost_sync_core::{CreateOnJoin, Limits, Server};

use crate::{args::Args, note, process, run::RunError};

/// A server to test.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// Its process, if that is known.
    pub(crate) pid: Option<u32>,
    _own: Own,
}

/// A server that ends with the test.
#[derive(Debug)]
enum Own {
    None,
    Child(Child),
    Inside { _runtime: tokio::runtime::Runtime },
}

impl Target {
    /// Finds the server that is asked for, or starts one for so many `clients`.
    pub(crate) fn find(args: &Args, clients: usize) -> Result<Self, RunError> {
        let Some(address) = &args.address else {
            return Self::start(clients).map_err(RunError::Server);
        };
        let wrong = |source| RunError::Address { address: address.clone(), source };
        let mut found = address.to_socket_addrs().map_err(wrong)?;
        let addr = found.next().ok_or_else(|| wrong(io::ErrorKind::NotFound.into()))?;
        let pid = args.pid.or_else(|| process::listening(addr));
        Ok(Self { addr, pid, _own: Own::None })
    }

    fn start(clients: usize) -> io::Result<Self> {
        let clients = clients + SPARE_CLIENTS;
        let name = format!("relay{}", env::consts::EXE_SUFFIX);
        let relay = env::current_exe()?.with_file_name(name);
        if relay.exists() {
            return Self::start_relay(&relay, clients);
        }
        note("no relay beside this program: the server runs inside it, and takes from its CPU");
        let runtime = tokio::runtime::Runtime::new()?;
        let server = Server::builder()
            .bind("127.0.0.1:0")
            .max_clients(clients)
            .create_on_join(CreateOnJoin::Always)
            .limits(Limits::none())
            .build();
        let handle = runtime.block_on(server.run()).map_err(io::Error::other)?;
        let addr = handle.local_addr().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { addr, pid: None, _own: Own::Inside { _runtime: runtime } })
    }

    fn start_relay(relay: &Path, clients: usize) -> io::Result<Self> {
        let mut child = Command::new(relay)
            .args(["--bind", "127.0.0.1:0", "--create-on-join", "--limits", "none"])
            .args(["--log", "warn", "--max-clients"])
            .arg(clients.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let pid = Some(child.id());
        let stdout = child.stdout.take();
        let own = Own::Child(child);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let addr = line.trim_end().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        let target = Self { addr: ([127, 0, 0, 1], 0).into(), pid, _own: own };
        match addr {
            Some(addr) => Ok(Self { addr, ..target }),
            None => Err(io::Error::other("the relay did not start")),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Self::Child(child) = self {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Seats for connections of the last run that are still closing.
const SPARE_CLIENTS: usize = 1024;
