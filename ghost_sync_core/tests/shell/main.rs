//! Server and client together, over streams in memory and a stopped clock; over
//! loopback where only sockets show the behaviour.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails where it meets what it does not expect"
)]

mod access;
mod anew;
mod client;
mod cuts;
mod errors;
mod finding;
mod handle;
mod handler;
mod lifecycle;
mod restarts;
mod resume;
mod rooms;
mod slow;
mod sockets;
mod streams;
mod support;
mod traps;
mod trust;
mod validator;
mod weather;
