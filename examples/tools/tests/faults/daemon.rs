//! The relay as a child process.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up; far more than it should.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is killed at the end of the test.
pub(crate) struct Process(pub(crate) Child);

/// A relay on loopback.
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
}

impl Relay {
    /// On a free port, with nobody to read what it logs.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(command("127.0.0.1:0", args).stderr(Stdio::null()))
    }

    /// `command` is a relay's; its standard output is taken.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = Process(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on ").expect("it listens");
        Self { addr: addr.parse().unwrap(), process }
    }
}

/// A relay with a lobby, listening there.
pub(crate) fn command(bind: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.args(["--bind", bind, "--room", "lobby"]).args(args);
    command
}

/// The same, started by a shell after it has run `before`.
pub(crate) fn command_after(before: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_relay")]);
    command.args(["--bind", "127.0.0.1:0", "--room", "lobby"]).args(args);
    command
}

/// The load generator at work in the room `load-0`.
pub(crate) fn load(relay: &Relay, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg(relay.addr.to_string()).args(["--room-prefix", "load-", "--rooms", "1"]);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    Process(command.spawn().unwrap())
}

impl Process {
    /// Sends a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(format!("-{name}")).arg(pid).status().unwrap().success());
    }

    /// Its exit code, once it has ended; `None` if a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kilobytes of memory in use; `None` where that cannot be found out.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Time on a processor so far, in hundredths of a second; `None` where that
    /// cannot be found out.
    pub(crate) fn processor_time(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        // The second field is a name in brackets; user and system time are 14 and 15.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
