//! What the tools have in common.

pub mod descriptors;
pub mod signals;

use std::error::Error;

/// An error with everything that caused it, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
