//! Where this is.

use std::{fs, num::NonZeroUsize, thread::available_parallelism};

use crate::{pin::Core, results::Machine};

/// As far as the system tells.
pub(crate) fn describe() -> Machine {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.map(|name| name.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        processor: name.unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: available_parallelism().map_or(1, NonZeroUsize::get),
        system: format!("{} {}", std::env::consts::OS, kernel.trim()).trim().to_owned(),
        pinned: Core::two().is_some(),
    }
}
