//! Behaviour of both plugins, between a server app and client apps in one thread.

mod client;
mod hooks;
mod listen;
mod players;
mod rooms;
mod typed;
