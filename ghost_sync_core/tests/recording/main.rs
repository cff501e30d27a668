//! Rooms are recorded, and recordings are read, watched and performed.

#![expect(clippy::unwrap_used, reason = "a test ends where it does not go on")]

mod files;
mod perform;
mod record;
mod support;
mod watch;
