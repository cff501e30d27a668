//! Why a recording cannot be read.

use std::{io, sync::Arc};

use super::Recording;

/// Why bytes gave no [`Recording`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be opened or read. Check the path.
    #[error("cannot read the recording")]
    Io(#[source] Arc<io::Error>),
    /// These bytes do not begin like a recording. Give another file.
    #[error("not a recording")]
    NotARecording,
    /// Another version of this library wrote it. Read it with that one.
    #[error("a recording of version {found}; only version {} is known", Recording::VERSION)]
    UnknownVersion {
        /// The version found.
        found: u16,
    },
    /// It was cut off before it says what the room was like in the beginning, so
    /// that nothing of it is left.
    #[error("the recording is cut off after {offset} bytes, before its start is complete")]
    NoStart {
        /// Bytes that are there.
        offset: u64,
    },
    /// The bytes from there on are not what was written. What comes before is
    /// good: cut the file there to read it.
    #[error("the recording is damaged at byte {offset}: {what}")]
    Corrupt {
        /// The first byte of the record that is damaged.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// It is longer than [`Recording::MAX_LEN`]. Record in shorter pieces.
    #[error("a recording of more than {} bytes", Recording::MAX_LEN)]
    TooLong,
}

impl RecordingError {
    pub(super) fn corrupt(offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { offset, what: what.into() }
    }
}

impl From<io::Error> for RecordingError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
