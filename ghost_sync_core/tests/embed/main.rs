//! The bridges for frame-polled programs, stepped by hand on a stopped clock.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails where it meets what it does not expect"
)]

mod anew;
mod cuts;
mod decisions;
mod ends;
mod limits;
mod refusals;
mod talk;
mod world;
