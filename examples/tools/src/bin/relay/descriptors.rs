//! Sees to it that as many sockets can be open as there may be clients.

/// Descriptors that are no clients: listener, standard streams, the runtime's own.
const OTHERS: u64 = 64;

/// Raises the limit of open files towards what `clients` need, and warns if the
/// system does not allow that many.
#[cfg(unix)]
pub(crate) fn allow(clients: usize) {
    let needed = u64::try_from(clients).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let enough = rlimit::Resource::NOFILE.get_soft().is_ok_and(|soft| soft >= needed);
    if enough {
        return;
    }
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit >= needed => {}
        Ok(limit) => tracing::warn!(
            "only {limit} files may be open, {needed} are needed for {clients} clients: \
             later ones will have to wait; raise the limit (ulimit -n) or lower --max-clients"
        ),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files to {needed}"),
    }
}

/// Elsewhere sockets are not limited by process.
#[cfg(not(unix))]
pub(crate) fn allow(_clients: usize) {
    let _ = OTHERS;
}
