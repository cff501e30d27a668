//! Where this is.

use std::{fs, num::NonZeroUsize, thread::available_parallelism};

use crate::{
    pin::Core,
    results::{Machine, Results},
};

/// As far as the system tells.
pub(crate) fn describe() -> Machine {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.map(|name| name.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        processor: name.unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: available_parallelism().map_or(1, NonZeroUsize::get),
        system: format!("{} {}", std::env::consts::OS, release(&kernel)).trim().to_owned(),
        pinned: Core::two().is_some(),
    }
}

/// The version in front of what a distribution adds.
fn release(kernel: &str) -> &str {
    kernel.trim().split(['-', '+']).next().unwrap_or_default()
}

/// In a paragraph, for people.
pub(crate) fn text(results: &Results) -> String {
    let Machine { processor, cores, system, pinned } = &results.machine;
    let pinned = if *pinned { "server and load had a core each" } else { "nothing was pinned" };
    let versions = results.versions.iter();
    let versions = versions.map(|(kind, version)| format!("{} {version}", kind.name()));
    let versions = versions.collect::<Vec<_>>().join(", ");
    format!("Measured on {processor}, {cores} cores, {system}; {pinned}. {versions}.\n")
}
