//! Rooms for multiplayer games.

pub mod wire;
