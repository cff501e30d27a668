//! Servers to compare, each started as a process of its own.

use std::{
    env, fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{pin::Core, scripts, workload::Case};

/// What can be measured.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    ValueEnum,
    serde::Deserialize,
    serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Ghost Sync's relay
    Ghost,
    /// Redis, publish and subscribe
    Redis,
    /// NATS
    Nats,
    /// Mosquitto, an MQTT broker
    Mosquitto,
    /// A small relay on Node's ws
    Ws,
    /// A small relay on Socket.IO
    Socketio,
    /// One thread that only writes
    Floor,
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Its files cannot be written, or the program cannot be run.
    #[error("cannot start {kind}")]
    Io {
        /// Which.
        kind: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// It ended, or nobody could connect in time.
    #[error("{kind} did not start to listen")]
    Silent {
        /// Which.
        kind: &'static str,
    },
}

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
    dir: PathBuf,
}

/// Time that a server has to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that every server is told to expect.
const CLIENTS: usize = 12_000;

impl Kind {
    /// All there are.
    pub(crate) const ALL: &[Self] = &[
        Self::Ghost,
        Self::Redis,
        Self::Nats,
        Self::Mosquitto,
        Self::Ws,
        Self::Socketio,
        Self::Floor,
    ];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ghost => "Ghost Sync",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
            Self::Mosquitto => "Mosquitto",
            Self::Ws => "Node ws",
            Self::Socketio => "Socket.IO",
            Self::Floor => "floor",
        }
    }

    /// How the load generator calls the way to speak to it.
    pub(crate) fn dialect(self) -> &'static str {
        match self {
            Self::Ghost => "ghost",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Mosquitto => "mqtt",
            Self::Ws => "ws",
            Self::Socketio => "socketio",
            Self::Floor => "floor",
        }
    }

    /// How to get it, if it is not there.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Redis => "apt-get install redis-server",
            Self::Nats => "apt-get install nats-server",
            Self::Mosquitto => "apt-get install mosquitto",
            Self::Ws | Self::Socketio => "apt-get install nodejs npm",
            Self::Ghost | Self::Floor => "cargo build --release -p ghost_sync_tools --bins",
        }
    }

    /// Its program, if that is installed.
    pub(crate) fn program(self) -> Option<PathBuf> {
        match self {
            Self::Ghost => beside("relay"),
            Self::Floor => beside("floor"),
            Self::Redis => installed("redis-server"),
            Self::Nats => installed("nats-server"),
            Self::Mosquitto => installed("mosquitto"),
            Self::Ws | Self::Socketio => installed("npm").and_then(|_| installed("node")),
        }
    }

    /// What it says about its version.
    pub(crate) fn version(self) -> Option<String> {
        let flag = match self {
            Self::Ws | Self::Socketio => return scripts::version(self.dialect()),
            Self::Mosquitto => "-h",
            Self::Ghost | Self::Redis | Self::Nats | Self::Floor => "--version",
        };
        let output = Command::new(self.program()?).arg(flag).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let dotted = |word: &&str| word.contains('.') && word.contains(char::is_numeric);
        let word = text.lines().next()?.split([' ', '=']).find(dotted)?;
        Some(word.trim_start_matches('v').to_owned())
    }

    /// Starts it for `case`, on `core` if that is given.
    pub(crate) fn start(self, case: &Case, core: Option<Core>) -> Result<Server, StartError> {
        let kind = self.name();
        let failed = |source| StartError::Io { kind, source };
        let port = free_port().map_err(failed)?;
        let dir = env::temp_dir().join(format!("ghost-sync-compare-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir).map_err(failed)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = self.command(case, addr, &dir).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = Core::run(core, || command.spawn()).map_err(failed)?;
        let mut server = Server { child, addr, dir };
        if server.listens(self != Self::Floor) {
            Ok(server)
        } else {
            Err(StartError::Silent { kind })
        }
    }

    fn command(self, case: &Case, addr: SocketAddr, dir: &Path) -> io::Result<Command> {
        let program = self.program().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        let (port, clients) = (addr.port().to_string(), CLIENTS.to_string());
        match self {
            Self::Ghost => {
                command.args(["--create-on-join", "--log", "warn", "--bind", &addr.to_string()]);
                command.args(["--limits", "none", "--max-clients", &clients]);
                // As all the others.
                command.args(["--ping-interval", "13s", "--idle-timeout", "31s"]);
            }
            Self::Redis => {
                command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
                command.args(["--appendonly", "no", "--maxclients", &clients, "--dir"]).arg(dir);
            }
            Self::Nats => {
                let config = dir.join("nats.conf");
                // As often as our own server pings.
                let lines = format!("listen: {addr}\nping_interval: \"13s\"\n");
                fs::write(&config, lines + &format!("max_connections: {CLIENTS}\n"))?;
                command.arg("-c").arg(config);
            }
            Self::Mosquitto => {
                let config = dir.join("mosquitto.conf");
                let lines = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
                let rest = "set_tcp_nodelay true\npersistence false\nlog_type error\n";
                fs::write(&config, lines + rest)?;
                command.arg("-c").arg(config);
            }
            Self::Ws | Self::Socketio => {
                command.arg(scripts::install(self.dialect())?).arg(port);
            }
            Self::Floor => {
                let frames = case.floor.unwrap_or(1).to_string();
                let (sockets, payload) = (case.connections.to_string(), case.payload.to_string());
                command.args(["--bind", &addr.to_string(), "--sockets", &sockets]);
                command.args(["--frames", &frames, "--payload", &payload]);
            }
        }
        Ok(command)
    }
}

impl Server {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it takes connections; `probe`: one may try.
    fn listens(&mut self, probe: bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            // Where every connection counts, a port that cannot be bound is as good.
            let there = if probe {
                TcpStream::connect(self.addr).is_ok()
            } else {
                TcpListener::bind(self.addr).is_err()
            };
            if there {
                return true;
            }
            sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and what it wrote is of no use any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A tool that was built with this one.
pub(crate) fn beside(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    let path = env::current_exe().ok()?.with_file_name(name);
    path.exists().then_some(path)
}

/// A program of the system.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where servers are, which not every user's path has.
    let others = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(others).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// A port that is free now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
