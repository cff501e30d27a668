//! Runs simulations until one breaks an invariant, or until they are done.
#![expect(clippy::print_stdout, reason = "it is a program for the terminal")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use ghost_sync_core::testing::{Failure, MARKS, Marks, Op, PLANTS, plant, replay, shrink, tell};

/// Simulates a server, its clients and a bad network, and checks what they promise.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Operations of each simulation.
    #[arg(long, default_value_t = 500)]
    steps: usize,
    /// Plants a bug that must be found; `help` lists them.
    #[arg(long)]
    plant: Option<String>,
    /// Plants each bug in turn and says what finds it.
    #[arg(long)]
    plants: bool,
    /// Goes on until something breaks.
    #[arg(long)]
    forever: bool,
    /// Goes on after a failure and counts them.
    #[arg(long)]
    keep_going: bool,
    /// Runs that shortening a failure may take; 0: none.
    #[arg(long, default_value_t = 3000)]
    shrink: usize,
    /// Tells what happened in the shortened list.
    #[arg(long)]
    story: bool,
    /// Operations from a file, one on each line, instead of the seed's own.
    #[arg(long)]
    ops: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic is a finding like others.
    std::panic::set_hook(Box::new(|_| {}));
    if args.plants {
        return try_plants(&args);
    }
    if let Some(name) = &args.plant
        && plant(Some(name)).is_err()
    {
        println!("bugs that can be planted:");
        PLANTS.iter().for_each(|name| println!("  {name}"));
        return if name == "help" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let seeds = match args.seed {
        Some(seed) => seed..seed + 1,
        None if args.forever => args.from..u64::MAX,
        None => args.from..args.from.saturating_add(args.seeds),
    };
    run(&args, seeds)
}

fn run(args: &Args, seeds: std::ops::Range<u64>) -> ExitCode {
    let given = args.ops.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(Op::parse).collect::<Vec<_>>()
    });
    let (start, first) = (Instant::now(), seeds.start);
    let mut marks = Marks::default();
    let (mut failures, mut done, mut trace) = (0, 0, 0_u64);
    let mut told = Instant::now();
    for seed in seeds {
        let ops = given.clone().unwrap_or_else(|| Op::list(seed, args.steps));
        let report = replay(seed, &ops);
        marks.merge(report.marks);
        trace = trace.rotate_left(1) ^ report.trace;
        done = seed - first + 1;
        if let Some(failure) = report.failure {
            failures += 1;
            if args.keep_going {
                println!("seed {seed}: {failure}");
                continue;
            }
            explain(args, seed, &ops, &failure);
            return ExitCode::FAILURE;
        }
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            progress(done, start, marks);
        }
    }
    progress(done, start, marks);
    println!("trace {trace:016x}");
    let missing: Vec<_> = marks.missing().collect();
    if !missing.is_empty() {
        println!("not reached: {}", missing.join(", "));
    }
    if failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn progress(done: u64, start: Instant, marks: Marks) {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let pace = done as f64 / start.elapsed().as_secs_f64();
    let reached = marks.reached().count();
    println!("{done} seeds, {pace:.0} a second, {reached} of {} states reached", MARKS.len());
}

fn explain(args: &Args, seed: u64, ops: &[Op], failure: &Failure) {
    println!("seed {seed} breaks {failure}");
    let plant = args.plant.as_ref().map_or_else(String::new, |name| format!(" --plant {name}"));
    let steps = args.steps;
    println!(
        "replay: cargo run --release --features testing --bin simulate -- --seed {seed} --steps {steps}{plant}"
    );
    if args.shrink == 0 {
        return;
    }
    let (fewer, found) = shrink(seed, ops, failure, args.shrink);
    println!("shortened to {} operations, which break {found}", fewer.len());
    fewer.iter().for_each(|op| println!("  {}", op.line()));
    if args.story {
        let (_, story) = tell(seed, &fewer);
        story.iter().for_each(|line| println!("{line}"));
    }
}

fn try_plants(args: &Args) -> ExitCode {
    let mut missed = 0;
    for name in PLANTS {
        plant(Some(name)).expect("it is in the list");
        let found = (args.from..args.from + args.seeds).find_map(|seed| {
            let failure = replay(seed, &Op::list(seed, args.steps)).failure?;
            Some((seed - args.from + 1, failure))
        });
        match found {
            Some((seeds, failure)) => {
                let seen: String = failure.seen.chars().take(100).collect();
                println!("{name:36} {:6} {seeds:5} seeds  {seen}", failure.invariant);
            }
            None => {
                missed += 1;
                println!("{name:36} MISSED in {} seeds", args.seeds);
            }
        }
    }
    if missed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
