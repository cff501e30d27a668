//! Ghost Sync beside other servers: the same load, in one run.
//!
//! ```text
//! cargo build --release -p ghost_sync_tools --bins
//! target/release/compare --quick
//! target/release/compare w1 w2 --json results.json
//! target/release/compare table results.json --into BENCHMARKS.md
//! target/release/compare plot results.json --out assets/pictures
//! ```
//!
//! Exit codes: 0, or 1 if nothing could be measured, or 2 for bad usage.

mod args;
mod machine;
mod measure;
mod page;
mod pin;
mod plot;
mod results;
mod scripts;
mod server;
mod table;
mod workload;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use args::{Args, Command};
use clap::Parser;
use ghost_sync_tools::{chain, descriptors, signals};
use plot::PlotError;
use results::{FileError, Results};
use server::Kind;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error("cannot put the tables into the page")]
    Page(#[source] io::Error),
    #[error("cannot write the tables")]
    Output(#[source] io::Error),
    #[error("nothing was measured")]
    Nothing,
}

/// Sockets that a server and its load may need, each.
const SOCKETS: usize = 12_000;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        None => compare(&args),
        Some(Command::Table { files, into }) => show(files, into.as_deref()),
        Some(Command::Plot { files, out }) => draw(files, out),
    };
    if let Err(error) = done {
        note(&format!("error: {}", chain(&error)));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn show(files: &[PathBuf], into: Option<&Path>) -> Result<(), CompareError> {
    let results = Results::read(files)?;
    let tables = machine::text(&results) + "\n" + &table::all(&results);
    match into {
        None => print(&tables),
        Some(path) => page::put(path, &tables).map_err(CompareError::Page),
    }
}

fn draw(files: &[PathBuf], out: &Path) -> Result<(), CompareError> {
    for name in plot::all(&Results::read(files)?, out)? {
        note(&format!("{}", out.join(name).display()));
    }
    Ok(())
}

fn compare(args: &Args) -> Result<(), CompareError> {
    if let Err(error) = descriptors::allow(SOCKETS, SOCKETS) {
        note(&chain(&error));
    }
    let (servers, missing): (Vec<_>, Vec<_>) =
        args.servers().into_iter().partition(|kind| kind.program().is_some());
    for kind in missing {
        note(&format!("{} is not installed: {}", kind.name(), kind.remedy()));
    }
    let machine = machine::describe();
    if !machine.pinned {
        note("server and load share the cores: this system cannot keep them apart");
    }
    let stop = signals::watch();
    let runs = measure::all(&args.cases(), &servers, args.rounds(), &stop);
    if runs.is_empty() {
        return Err(CompareError::Nothing);
    }
    let version = |&kind: &Kind| Some((kind, kind.version()?));
    let versions = servers.iter().filter_map(version).collect();
    let results = Results { machine, versions, runs };
    if let Some(path) = &args.json {
        results.write(path)?;
    }
    print(&(machine::text(&results) + "\n" + &table::all(&results)))
}

fn print(text: &str) -> Result<(), CompareError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CompareError::Output)
}

/// Says something that is not the result.
fn note(text: &str) {
    // Standard error may be gone; there is nobody else to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
