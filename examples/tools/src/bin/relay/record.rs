//! Records every room to a file of its own.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use ghost_sync_core::{RoomInfo, RoomName, ServerHandle};
use tokio::{task::JoinSet, time::sleep};

/// Why rooms cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// There is no such directory, and it cannot be made.
    #[error("cannot record to {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Sees to it that there is a directory.
pub(crate) fn prepare(path: &Path) -> Result<(), RecordError> {
    fs::create_dir_all(path)
        .map_err(|source| RecordError::Directory { path: path.to_owned(), source })
}

/// Records every room, but `most` at once, until the server has stopped and all of it is
/// written. Who may make rooms must not take all files that this process can open.
pub(crate) async fn all(server: ServerHandle, dir: PathBuf, most: usize) {
    let mut recorders = JoinSet::new();
    let mut newest = 0;
    let (mut too_many, mut failing) = (false, false);
    while server.is_running() {
        let rooms = server.rooms();
        // Numbers of rooms rise, and are never used again.
        while recorders.try_join_next().is_some() {}
        for room in rooms.iter().filter(|room| room.id.0 > newest) {
            let full = recorders.len() >= most;
            if full && !std::mem::replace(&mut too_many, true) {
                tracing::error!(most, room = %room.name, "too many rooms: no more are recorded");
            }
            if full {
                continue;
            }
            too_many = false;
            match start(&server, &dir, room, &mut recorders) {
                Ok(()) => failing = false,
                Err(_) if std::mem::replace(&mut failing, true) => {}
                Err(error) => {
                    let dir = dir.display();
                    tracing::error!(room = %room.name, %dir, %error, "rooms are not recorded");
                }
            }
        }
        newest = rooms.iter().map(|room| room.id.0).fold(newest, u32::max);
        sleep(POLL).await;
    }
    while recorders.join_next().await.is_some() {}
}

fn start(
    server: &ServerHandle,
    dir: &Path,
    room: &RoomInfo,
    recorders: &mut JoinSet<()>,
) -> io::Result<()> {
    let path = dir.join(file_name(&room.name, room.epoch));
    let file = File::create(&path)?;
    // It may have been deleted since.
    let Ok(recorder) = server.record(room.name.as_str(), file) else { return Ok(()) };
    tracing::info!(room = %room.name, path = %path.display(), "recording");
    let name = room.name.clone();
    recorders.spawn(async move {
        match recorder.finished().await {
            Ok(summary) => tracing::info!(room = %name, ?summary, "recorded"),
            Err(error) => tracing::error!(room = %name, %error, "no longer recorded"),
        }
    });
    Ok(())
}

/// A name that is good on every file system; the epoch makes it unique.
fn file_name(room: &RoomName, epoch: u64) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let plain = room.as_str().chars().map(|c| if is_plain(c) { c } else { '_' });
    let plain: String = plain.take(LONGEST_NAME).collect();
    format!("{plain}-{epoch:016x}.ghostrec")
}

/// Time between two looks for new rooms.
const POLL: Duration = Duration::from_millis(200);

/// Characters of a room's name that a file's name repeats.
const LONGEST_NAME: usize = 64;
