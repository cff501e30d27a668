//! What waits for the host's verdicts, in the order in which it was asked for.

use std::collections::VecDeque;

use super::event::AskId;
use crate::wire::Refusal;

/// Requests of one client that are not decided, or wait for earlier ones that are not.
#[derive(Debug)]
pub(super) struct Undecided<T>(VecDeque<UndecidedRequest<T>>);

/// A request of which the host was asked.
#[derive(Debug)]
pub(super) struct UndecidedRequest<T> {
    pub(super) ask: AskId,
    pub(super) what: T,
    pub(super) verdict: Option<Result<(), Refusal>>,
}

impl<T> Undecided<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, ask: AskId, what: T) {
        self.0.push_back(UndecidedRequest { ask, what, verdict: None });
    }

    /// Notes a verdict.
    pub(super) fn decide(&mut self, ask: AskId, verdict: Result<(), Refusal>) {
        if let Some(found) = self.find(ask) {
            found.verdict = Some(verdict);
        }
    }

    /// Changes a request of which the host was asked, or asks it once more.
    pub(super) fn find(&mut self, ask: AskId) -> Option<&mut UndecidedRequest<T>> {
        self.0.iter_mut().find(|request| request.ask == ask)
    }

    /// Takes the oldest if it is decided.
    pub(super) fn next_decided(&mut self) -> Option<(T, Result<(), Refusal>)> {
        let UndecidedRequest { what, verdict, .. } =
            self.0.pop_front_if(|request| request.verdict.is_some())?;
        Some((what, verdict.unwrap_or(Ok(()))))
    }

    /// Takes those of which `is_meant` holds, decided or not.
    pub(super) fn take(&mut self, is_meant: impl Fn(&T) -> bool) -> Vec<UndecidedRequest<T>> {
        let waiting = std::mem::take(&mut self.0).into_iter();
        let (taken, left): (Vec<_>, _) = waiting.partition(|request| is_meant(&request.what));
        self.0 = left.into();
        taken
    }
}

impl<T> Default for Undecided<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}
