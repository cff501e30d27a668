//! A load generator: bots that talk in rooms, and what came of that.
//!
//! ```text
//! cargo run --release --bin loadtest -- --rooms 4 --members 16 --rate 60
//! cargo run --release --bin loadtest -- 127.0.0.1:7777 --scenario bots128 --json
//! ```
//!
//! It speaks the wire protocol itself, below the client, so that one core can
//! take what a relay gives. Exit codes: 0, or 1 if something was lost without a
//! word, disconnected or could not be tested at all, or 2 for bad usage.

mod args;
mod dial;
mod dialect;
mod hear;
mod member;
mod pace;
mod plan;
mod process;
mod report;
mod run;
mod socket;
mod speech;
mod target;
mod worker;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use args::Args;
use clap::{CommandFactory, Parser};
use ghost_sync_tools::{chain, descriptors, signals};
use report::{Report, Summary};
use run::RunError;
use target::Target;

fn main() -> ExitCode {
    // Sleeps are as exact as the system allows; on Linux that must be asked for, and
    // threads started from here on inherit it. Elsewhere there is no such file.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1000");
    let args = Args::parse();
    let plans = args.plans().unwrap_or_else(|complaint| {
        Args::command().error(clap::error::ErrorKind::ValueValidation, complaint).exit()
    });
    match test(&args, &plans) {
        Ok(ok) if ok => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("error: {}", chain(&error)));
            if let Some(hint) = error.hint() {
                note(&format!("hint: {hint}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn test(args: &Args, plans: &[plan::Plan]) -> Result<bool, RunError> {
    let stop = signals::watch();
    let clients = plans.iter().map(plan::Plan::connections).max().unwrap_or(0);
    if let Err(error) = descriptors::allow(clients, clients) {
        note(&chain(&error));
    }
    let target = Target::find(args, clients)?;
    let mut reports = Vec::new();
    for plan in plans {
        let report = run::run(plan, &target, &stop)?;
        if !args.json {
            print(&report.table())?;
        }
        let interrupted = report.interrupted;
        reports.push(report);
        if interrupted {
            break;
        }
    }
    let ok = reports.iter().all(|report| report.ok);
    if args.json {
        print(&json(args, reports))?;
    }
    Ok(ok)
}

/// One object: the report of the only run, or a scenario's with all of them.
fn json(args: &Args, mut reports: Vec<Report>) -> String {
    let text = match (args.scenario, reports.pop()) {
        (None, Some(report)) => serde_json::to_string_pretty(&report),
        (scenario, last) => {
            reports.extend(last);
            let ok = reports.iter().all(|report| report.ok);
            let scenario = scenario.map(args::Scenario::name);
            serde_json::to_string_pretty(&Summary { scenario, ok, runs: reports })
        }
    };
    text.expect("reports have text keys and finite numbers") + "\n"
}

fn print(text: &str) -> Result<(), RunError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(RunError::Output)
}

/// Says something that is not the result.
fn note(text: &str) {
    // Standard error may be gone; there is nobody else to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
