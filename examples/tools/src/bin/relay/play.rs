//! Shows a recording.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use ghost_sync_core::{PlaybackOptions, Recording, RecordingError};
use tokio::net::TcpListener;

use crate::{RelayError, args::PlayArgs, signals::Signals};

/// Why a recording is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlayError {
    /// The file is no good.
    #[error("cannot play {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordingError,
    },
    /// The address is no good.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address.
        addr: String,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Shows a recording until a signal comes.
pub(crate) async fn serve(args: &PlayArgs) -> Result<(), RelayError> {
    let signals = Signals::new().map_err(RelayError::Signals)?;
    let PlayArgs { file: files, bind, speed, from } = args;
    let file = newest(files);
    let recording =
        Recording::open(file).map_err(|source| PlayError::File { path: file.into(), source })?;
    let failed = |source| PlayError::Bind { addr: bind.clone(), source };
    let listener = TcpListener::bind(bind).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let mut stdout = io::stdout();
    // Whoever started the relay may have closed its end; that is no reason to stop.
    let _ = writeln!(stdout, "listening on {addr}").and_then(|()| stdout.flush());
    tracing::info!(
        %addr,
        file = %file.display(),
        room = %recording.room(),
        first = recording.first_seq(),
        last = recording.last_seq(),
        duration = ?recording.duration(),
        ending = ?recording.ending(),
        "ready"
    );
    let options = PlaybackOptions { speed: *speed, from: *from, ..PlaybackOptions::default() };
    let playback = recording.serve(options);
    tokio::select! {
        () = playback.listen(listener) => {}
        signal = signals.wait_and_quit_on_second() => tracing::info!(signal, "stopped"),
    }
    Ok(())
}

/// The file that was written last: a pattern such as `matches/arena-*` means many, once there
/// are many.
fn newest(files: &[PathBuf]) -> &Path {
    let written = |file: &&PathBuf| file.metadata().and_then(|file| file.modified()).ok();
    files.iter().max_by_key(written).map_or_else(|| Path::new(""), PathBuf::as_path)
}
