//! Gives loads to servers, one after another.

use std::{
    io,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::sleep,
    time::Duration,
};

use ghost_sync_tools::chain;

use crate::{
    note,
    pin::Core,
    results::{Report, Run},
    server::{Kind, Server, StartError, beside},
    workload::{Case, Workload},
};

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot run loadtest, which should be beside this program")]
    Generator(#[source] io::Error),
    #[error("loadtest gave no result: {0}")]
    Result(String),
    #[error("interrupted")]
    Interrupted,
}

/// How often a run is looked after.
const TURN: Duration = Duration::from_millis(20);

/// All loads, each with all servers in turn, so many rounds of that; `stop` ends it early.
pub(crate) fn all(cases: &[Case], servers: &[Kind], rounds: u32, stop: &AtomicBool) -> Vec<Run> {
    let cores = Core::two();
    let mut runs = Vec::new();
    for case in cases {
        for round in 1..=rounds {
            for &kind in servers.iter().filter(|&&kind| suits(case, kind)) {
                match run(case, kind, cores, stop) {
                    Ok(report) => {
                        let rate = report.delivered_per_second;
                        let cpu = report.server.cpu_percent.unwrap_or(0.0);
                        note(&format!(
                            "{}, round {round}, {}: {rate:.0} deliveries/s, CPU {cpu:.1} %",
                            case.name,
                            kind.name()
                        ));
                        runs.push(Run {
                            workload: case.workload,
                            case: case.name.clone(),
                            server: kind,
                            connections: case.connections,
                            report,
                        });
                    }
                    Err(RunError::Interrupted) => return runs,
                    Err(error) => {
                        let why = chain(&error);
                        note(&format!("{}, round {round}, {}: {why}", case.name, kind.name()));
                    }
                }
            }
        }
    }
    runs
}

/// The floor stands beside loads that it can have; the system's own have nobody else.
fn suits(case: &Case, kind: Kind) -> bool {
    match kind {
        Kind::Floor => case.floor.is_some(),
        Kind::Ghost | Kind::Redis | Kind::Nats | Kind::Mosquitto | Kind::Ws | Kind::Socketio => {
            case.workload != Workload::Floor
        }
    }
}

fn run(
    case: &Case,
    kind: Kind,
    cores: Option<(Core, Core)>,
    stop: &AtomicBool,
) -> Result<Report, RunError> {
    let server = kind.start(case, cores.map(|(server, _)| server))?;
    let mut load = generator(case, kind, &server)?;
    let child = Core::run(cores.map(|(_, load)| load), || load.spawn());
    let output = wait(child.map_err(RunError::Generator)?, stop)?;
    // Losses are a result too; then the exit code is not 0.
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        RunError::Result(said.lines().last().unwrap_or("it said nothing").to_owned())
    })
}

/// Waits for the end; what it says until then fits into the pipes.
fn wait(mut child: Child, stop: &AtomicBool) -> Result<Output, RunError> {
    while child.try_wait().map_err(RunError::Generator)?.is_none() {
        if stop.load(Relaxed) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            return Err(RunError::Interrupted);
        }
        sleep(TURN);
    }
    // It hears Ctrl-C too, and ends early.
    if stop.load(Relaxed) {
        return Err(RunError::Interrupted);
    }
    child.wait_with_output().map_err(RunError::Generator)
}

fn generator(case: &Case, kind: Kind, server: &Server) -> Result<Command, RunError> {
    let program =
        beside("loadtest").ok_or_else(|| RunError::Generator(io::ErrorKind::NotFound.into()))?;
    let mut load = Command::new(program);
    load.arg(server.addr.to_string()).args(["--json", "--threads", "1"]);
    load.args(["--dialect", kind.dialect(), "--pid", &server.pid().to_string()]);
    load.args(["--seconds", &case.seconds.to_string()]);
    if kind == Kind::Floor {
        load.args(["--members", &case.connections.to_string()]);
    } else {
        load.args(&case.load);
    }
    load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(load)
}
