//! Batches between the frame and the background: neither waits for the other.

mod commands;
mod updates;

pub use commands::Fence;
pub(super) use {
    commands::{Commands, Orders, commands},
    updates::{LastWord, Updates},
};
