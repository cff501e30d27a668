//! The relay over a virtual clock and virtual sockets.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails where it meets what it does not expect"
)]

mod asides;
mod backpressure;
mod bans;
mod behind;
mod demand;
mod edges;
mod flush;
mod handshake;
mod histories;
mod hooks;
mod left_out;
mod limits;
mod liveness;
mod renewals;
mod restarts;
mod rooms;
mod sessions;
mod tokens;
mod trust;
mod world;
