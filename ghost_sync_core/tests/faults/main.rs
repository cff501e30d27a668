//! What a server on real sockets must survive, by the numbers of `RELIABILITY.md`.
//! While each fault goes on, honest clients talk and check what they hear.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails where it meets what it does not expect"
)]

mod floods;
mod framing;
mod lifecycle;
mod lines;
mod names;
mod peer;
mod proxy;
mod rig;
mod rooms;
mod silence;
mod simulated;
