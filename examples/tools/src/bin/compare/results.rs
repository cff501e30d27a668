//! What was measured, as it is kept in files.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    server::Kind,
    workload::{Length, Workload},
};

/// Runs, and where they were made.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// Versions of the servers.
    pub(crate) versions: BTreeMap<Kind, String>,
    pub(crate) runs: Vec<Run>,
}

/// Where it was.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    /// Whether server and load had a core each.
    pub(crate) pinned: bool,
}

/// One run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    pub(crate) workload: Workload,
    pub(crate) case: String,
    pub(crate) server: Kind,
    pub(crate) connections: u32,
    pub(crate) report: Report,
}

/// What the load generator reports, as far as it is needed.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) joining_seconds: f64,
    pub(crate) offered_per_second: Option<f64>,
    pub(crate) delivered_per_second: f64,
    pub(crate) latency_us: Latency,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) announced_losses: u64,
    pub(crate) unannounced_losses: u64,
    pub(crate) missed_by_disconnected: u64,
    pub(crate) disconnected: BTreeMap<String, u64>,
    pub(crate) stalled: Option<Stalled>,
    pub(crate) server: Usage,
    pub(crate) generator_cpu_percent: Option<f64>,
}

/// Microseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// What members that never read were told when they did at last.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Stalled {
    pub(crate) received: u64,
    pub(crate) announced_losses: u64,
    pub(crate) ended: BTreeMap<String, u64>,
}

/// The server's process.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Usage {
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) cpu_ns_per_delivery: Option<f64>,
    pub(crate) memory_bytes_before: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) memory_bytes_per_connection: Option<u64>,
}

/// Why there are no results.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The file is not there, or cannot be written.
    #[error("cannot open {path}")]
    Io {
        /// Which.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something else is in it.
    #[error("{path} was not written by compare")]
    Content {
        /// Which.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Results {
    /// Reads files; runs of the same load count as rounds of it.
    pub(crate) fn read(paths: &[impl AsRef<Path>]) -> Result<Self, FileError> {
        let mut all = Self::default();
        for path in paths {
            let path = path.as_ref();
            let name = || path.display().to_string();
            let text = fs::read_to_string(path);
            let text = text.map_err(|source| FileError::Io { path: name(), source })?;
            let more = serde_json::from_str(&text);
            let more: Self = more.map_err(|source| FileError::Content { path: name(), source })?;
            all.machine = more.machine;
            all.versions.extend(more.versions);
            all.runs.extend(more.runs);
        }
        Ok(all)
    }

    /// Writes all of it.
    pub(crate) fn write(&self, path: &Path) -> Result<(), FileError> {
        let text = serde_json::to_string_pretty(self).expect("text keys and finite numbers") + "\n";
        let failed = |source| FileError::Io { path: path.display().to_string(), source };
        fs::write(path, text).map_err(failed)
    }

    /// The loads of a series, in their usual order.
    pub(crate) fn cases(&self, workload: Workload) -> Vec<&str> {
        let mut cases = Vec::new();
        for run in self.runs.iter().filter(|run| run.workload == workload) {
            if !cases.contains(&run.case.as_str()) {
                cases.push(run.case.as_str());
            }
        }
        let usual = workload.cases(Length::Full);
        cases.sort_by_key(|name| usual.iter().position(|case| case.name == *name));
        cases
    }

    /// The servers that had a load.
    pub(crate) fn servers(&self, case: &str) -> Vec<Kind> {
        let ran = |kind: &Kind| self.runs.iter().any(|run| run.case == case && run.server == *kind);
        Kind::ALL.iter().copied().filter(ran).collect()
    }

    /// The median over all rounds of what `of` says about a run.
    pub(crate) fn median(
        &self,
        case: &str,
        server: Kind,
        of: impl Fn(&Run) -> Option<f64>,
    ) -> Option<f64> {
        let rounds = self.runs.iter().filter(|run| run.case == case && run.server == server);
        let mut values: Vec<f64> = rounds.filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = values[(values.len() - 1) / 2];
        Some(f64::midpoint(lower, upper))
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Results, Run};
    use crate::{server::Kind, workload::Workload};

    fn results(rates: &[f64]) -> Results {
        let run = |&rate: &f64| Run {
            workload: Workload::W1,
            case: "a".to_owned(),
            server: Kind::Redis,
            connections: 2,
            report: Report { delivered_per_second: rate, ..Report::default() },
        };
        Results { runs: rates.iter().map(run).collect(), ..Results::default() }
    }

    #[test]
    fn one_bad_round_does_not_move_the_median() {
        let rate = |run: &Run| Some(run.report.delivered_per_second);
        let median = |rates| results(rates).median("a", Kind::Redis, rate);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1e9, 2.0]), Some(3.0));
        assert_eq!(median(&[4.0, 2.0]), Some(3.0));
        assert_eq!(results(&[1.0]).median("a", Kind::Ghost, rate), None);
    }

    #[test]
    fn what_is_written_is_read_again_and_files_add_up() {
        let path = std::env::temp_dir().join(format!("results-{}.json", std::process::id()));
        results(&[1.0, 2.0]).write(&path).unwrap();
        let read = Results::read(&[&path, &path]).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.runs.len(), 4);
        assert_eq!((read.cases(Workload::W1), read.servers("a")), (vec!["a"], vec![Kind::Redis]));
    }
}
