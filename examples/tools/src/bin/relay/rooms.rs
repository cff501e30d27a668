//! Which rooms there are from the start.

use std::{collections::HashSet, fs, io, path::PathBuf};

use ghost_sync_core::{InvalidRoomName, RoomName};

use crate::args::Args;

/// The room of a relay that was told nothing about rooms.
const LOBBY: &str = "lobby";

/// Why a file gave no rooms.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoomsFileError {
    /// It cannot be read as text.
    #[error("cannot read the rooms file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A line names no room.
    #[error("{} line {line}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: InvalidRoomName,
    },
}

/// The rooms that `args` and their file name, each once, in their order.
pub(crate) fn of(args: &Args) -> Result<Vec<RoomName>, RoomsFileError> {
    let mut rooms = args.rooms.clone();
    if let Some(path) = &args.rooms_file {
        let text = fs::read_to_string(path)
            .map_err(|source| RoomsFileError::Unreadable { path: path.clone(), source })?;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let room = RoomName::new(line).map_err(|source| {
                let path = path.clone();
                RoomsFileError::Name { path, line: number, source }
            })?;
            rooms.push(room);
        }
    }
    let mut seen = HashSet::new();
    rooms.retain(|room| seen.insert(room.clone()));
    if rooms.is_empty() && !args.create_on_join {
        tracing::info!("no --room and no --create-on-join: there is one room, {LOBBY:?}");
        rooms.extend(RoomName::new(LOBBY));
    }
    Ok(rooms)
}
