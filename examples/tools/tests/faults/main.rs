//! The relay as a process, under what an operating system does to processes;
//! by the numbers of `RELIABILITY.md`.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where it does not go on"
)]

mod daemon;
mod exhaustion;
mod logs;
mod people;
mod signals;
