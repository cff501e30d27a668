//! Tokens: which are taken, which are not and why, and keys that change.

#![expect(clippy::unwrap_used, reason = "a test ends where it does not go on")]

mod corpus;
mod issuer;
mod keys;
mod mutations;
mod outside;
mod rotation;
mod support;
