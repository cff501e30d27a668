//! Sees to it that as many sockets can be open as there may be.

use std::io;

/// Descriptors that nobody counts: listener, standard streams, the runtime's own.
#[cfg(unix)]
const OTHERS: u64 = 64;

/// Why fewer sockets can be open than are wanted.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The system allows fewer to this user.
    #[error(
        "only {limit} files may be open, {needed} are needed for {clients} clients and whoever \
         else connects; raise the limit (ulimit -n) or have fewer clients"
    )]
    TooLow {
        /// Files that may be open.
        limit: u64,
        /// Files that would be open.
        needed: u64,
        /// Clients that were wanted.
        clients: usize,
    },
    /// The limit cannot be changed.
    #[error("cannot raise the limit of open files to {needed}")]
    Fixed {
        /// Files that would be open.
        needed: u64,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Raises the limit of open files towards what `clients` need, which is `files` and a few.
#[cfg(unix)]
pub fn allow(clients: usize, files: usize) -> Result<(), LimitError> {
    let needed = u64::try_from(files).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let enough = rlimit::Resource::NOFILE.get_soft().is_ok_and(|soft| soft >= needed);
    if enough {
        return Ok(());
    }
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit >= needed => Ok(()),
        Ok(limit) => Err(LimitError::TooLow { limit, needed, clients }),
        Err(source) => Err(LimitError::Fixed { needed, source }),
    }
}

/// Elsewhere sockets are not limited by process.
#[cfg(not(unix))]
pub fn allow(_clients: usize, _files: usize) -> Result<(), LimitError> {
    Ok(())
}
