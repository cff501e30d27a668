//! The relay over a virtual clock and virtual sockets.

mod backpressure;
mod handshake;
mod histories;
mod hooks;
mod liveness;
mod rooms;
mod world;
