//! Behaviour of both plugins, between a server app and client apps in one thread.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bans;
mod client;
mod components;
mod exits;
mod frames;
mod histories;
mod hooks;
mod identity;
mod listen;
mod names;
mod order;
mod paused;
mod players;
mod restarts;
mod rooms;
mod runner;
mod sessions;
mod setup;
mod surface;
mod trust;
mod typed;
mod wishes;
