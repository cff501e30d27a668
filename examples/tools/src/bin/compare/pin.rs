//! Keeps processes on cores of their own, where the system can do that.

use std::io;

/// A core of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core(#[cfg_attr(not(target_os = "linux"), expect(dead_code))] usize);

impl Core {
    /// A core for the server and one for the load, if there are two.
    #[cfg(target_os = "linux")]
    pub(crate) fn two() -> Option<(Self, Self)> {
        let allowed = rustix::thread::sched_getaffinity(None).ok()?;
        let mut cores = (0..rustix::thread::CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        Some((Self(cores.next()?), Self(cores.next()?)))
    }

    /// Elsewhere processes run where they are put.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn two() -> Option<(Self, Self)> {
        None
    }

    /// Does `start`, which starts a process; that inherits the core.
    #[cfg(target_os = "linux")]
    pub(crate) fn run<T>(
        core: Option<Self>,
        start: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let Some(Self(core)) = core else { return start() };
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only)?;
        let result = start();
        sched_setaffinity(None, &before)?;
        result
    }

    /// Does `start`.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn run<T>(_: Option<Self>, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        start()
    }
}
