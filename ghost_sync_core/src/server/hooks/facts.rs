//! What a handler is told.

use std::sync::Arc;

use crate::server::extensions::{Extensions, Owner};

use super::lane::{Fact, Lane};

/// What a handler is to be told, taken as it hears it: what it has not heard can still be
/// taken back.
pub(super) struct Facts {
    lane: Arc<Lane>,
    extensions: Arc<Extensions>,
    /// Whose end was told last.
    ended: Option<Owner>,
}

impl Facts {
    pub(super) fn new(lane: Arc<Lane>, extensions: Arc<Extensions>) -> Self {
        Self { lane, extensions, ended: None }
    }

    pub(super) fn next(&mut self) -> Option<Fact> {
        self.drop_ended();
        let fact = self.lane.next()?;
        self.ended = fact.ended();
        Some(fact)
    }

    /// The extensions of whoever is gone were wanted until that was told.
    fn drop_ended(&mut self) {
        if let Some(owner) = self.ended.take() {
            self.extensions.drop_of(&[owner]);
        }
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        self.drop_ended();
    }
}
