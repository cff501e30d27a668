//! What the fuzzers do with the bytes that they are given: everything that reads
//! bytes from a peer, over the public API of the pure layers alone.
//!
//! Each target takes any bytes and panics where a promise is broken. The same
//! bodies run under libFuzzer (`fuzz_targets`) and, on stable, in
//! `tests/fuzz.rs`.

#[path = "targets/decoder.rs"]
mod decoder;
#[path = "targets/dice.rs"]
mod dice;
#[path = "targets/handshake.rs"]
mod handshake;
#[path = "targets/model.rs"]
mod model;
#[path = "targets/resume.rs"]
mod resume;
#[path = "targets/session.rs"]
mod session;
#[path = "targets/tokens.rs"]
mod tokens;
#[path = "targets/world.rs"]
mod world;

pub use decoder::decoder;
pub use handshake::handshake;
pub use resume::resume;
pub use session::session;

/// A target and its name, which is that of its corpus too.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
// A pure client session belongs here as soon as it is public: arbitrary bytes
// of a server, in any chunks.
pub const TARGETS: [Target; 4] =
    [("decoder", decoder), ("handshake", handshake), ("session", session), ("resume", resume)];
