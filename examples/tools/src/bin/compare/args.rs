//! What can be said on the command line.

use std::path::PathBuf;

use crate::{
    server::Kind,
    workload::{Case, Length, Workload},
};

/// Gives the same load to Ghost Sync and to other servers, side by side.
///
/// Each server runs as a process of its own on a free port, on one core; the
/// load comes from another core. Rounds take turns, medians are shown. In
/// brackets behind a peer's number: Ghost Sync's divided by it.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "compare", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// What to measure; all but floor, without any
    #[arg(value_enum)]
    workloads: Vec<Workload>,

    /// Fewer and shorter loads, and one round: a tendency
    #[arg(long)]
    quick: bool,

    /// Rounds; 3, or 1 with --quick
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,

    /// Only these servers; may be given many times
    #[arg(long = "server", value_enum)]
    servers: Vec<Kind>,

    /// Only loads whose name contains this, e.g. "16 x 16"
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,

    /// Measure each for so long, instead of what suits it
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,

    /// Keep all measurements in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What else the program can do.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows the tables of files that --json made
    Table {
        /// Several count as rounds
        #[arg(required = true)]
        files: Vec<PathBuf>,

        /// Put them into this file instead, between the lines that say so
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
    },
    /// Draws pictures of files that --json made
    Plot {
        /// Several count as rounds
        #[arg(required = true)]
        files: Vec<PathBuf>,

        /// Where the pictures go
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
}

impl Args {
    /// The loads that are asked for.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut workloads = self.workloads.clone();
        if workloads.is_empty() {
            let all = [Workload::W1, Workload::W2, Workload::W3];
            workloads = all.into_iter().chain([Workload::W4, Workload::W5, Workload::W6]).collect();
        }
        workloads.sort_unstable();
        workloads.dedup();
        let length = if self.quick { Length::Quick } else { Length::Full };
        let cases = workloads.into_iter().flat_map(|workload| workload.cases(length));
        let wanted = |case: &Case| self.case.as_ref().is_none_or(|text| case.name.contains(text));
        let cases = cases.filter(wanted);
        let timed = |case: Case| Case { seconds: self.seconds.unwrap_or(case.seconds), ..case };
        cases.map(timed).collect()
    }

    /// The servers that are asked for.
    pub(crate) fn servers(&self) -> Vec<Kind> {
        let wanted = |kind: &Kind| self.servers.is_empty() || self.servers.contains(kind);
        Kind::ALL.iter().copied().filter(wanted).collect()
    }

    /// How often each load is given to each.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        Ok(_) => Err("must be between 0.1 and 3600".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Args;

    fn names(args: &[&str]) -> Vec<String> {
        let args = Args::parse_from([&["compare"], args].concat());
        args.cases().into_iter().map(|case| case.name).collect()
    }

    #[test]
    fn loads_have_names_of_their_own() {
        let mut names = names(&["w1", "w2", "w3", "w4", "w5", "w6", "floor"]);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_is_not_named_is_not_measured() {
        assert_eq!(names(&["w1", "--quick", "--case", "16 x"]), ["W1 16 x 16, 64 B"]);
        assert_eq!(names(&["w6", "w6"]), ["W6 12 Hz", "W6 24 Hz", "W6 60 Hz"]);
        assert!(names(&[]).iter().all(|name| !name.starts_with("floor")));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [&["w9"][..], &["--rounds", "0"], &["--seconds", "0"], &["table"]] {
            assert!(Args::try_parse_from([&["compare"], args].concat()).is_err(), "{args:?}");
        }
    }
}
