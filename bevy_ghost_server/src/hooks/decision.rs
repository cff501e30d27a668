//! How many observers come to one verdict, now or later.

use std::collections::BTreeSet;

use bevy_ghost_client::{GhostMessage, typed::Greeting};
use crossbeam_channel::Sender;

use crate::AskId;

/// The state of one question while its observers run.
#[derive(Debug)]
pub(crate) struct Decision {
    ask: AskId,
    /// Sorted, so that the reason does not depend on the order of observers.
    reasons: BTreeSet<String>,
    tickets: usize,
    replies: Sender<Reply>,
}

/// What the observers came to.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Accept,
    Reject(String),
    /// So many tickets must be accepted.
    Deferred(usize),
}

/// What one ticket says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) ask: AskId,
    pub(crate) verdict: Result<Greeting, String>,
}

impl Decision {
    pub(crate) fn new(ask: AskId, replies: Sender<Reply>) -> Self {
        Self { ask, reasons: BTreeSet::new(), tickets: 0, replies }
    }

    pub(crate) fn reject(&mut self, reason: String) {
        self.reasons.insert(reason);
    }

    pub(crate) fn defer(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket { ask: self.ask, greeting: Greeting::default(), replies: Some(self.replies.clone()) }
    }

    pub(crate) fn is_rejected(&self) -> bool {
        !self.reasons.is_empty()
    }

    pub(crate) fn outcome(self) -> Outcome {
        if self.is_rejected() {
            Outcome::Reject(Vec::from_iter(self.reasons).join("; "))
        } else if self.tickets > 0 {
            Outcome::Deferred(self.tickets)
        } else {
            Outcome::Accept
        }
    }
}

/// The right to answer a request later, from any thread.
///
/// Dropping it is a no.
#[derive(Debug)]
#[must_use = "a ticket that is dropped rejects the request"]
pub struct Ticket {
    ask: AskId,
    greeting: Greeting,
    replies: Option<Sender<Reply>>,
}

impl Ticket {
    /// As [`GreetRequest::greet_with`](crate::GreetRequest::greet_with), with what only the
    /// ticket's holder knows: it comes after what is said there, and not again when a
    /// player's program is started anew. Other requests than joins have nobody to greet.
    pub fn greet_with<T: GhostMessage>(&mut self, message: &T) {
        self.greeting.add(message);
    }

    /// Grants the request, as far as this ticket goes.
    pub fn accept(mut self) {
        let greeting = std::mem::take(&mut self.greeting);
        self.reply(Ok(greeting));
    }

    /// Refuses the request; the reason reaches the client.
    pub fn reject(mut self, reason: impl Into<String>) {
        self.reply(Err(reason.into()));
    }

    fn reply(&mut self, verdict: Result<Greeting, String>) {
        if let Some(replies) = self.replies.take() {
            // A server that is gone needs no answer.
            replies.send(Reply { ask: self.ask, verdict }).ok();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.reply(Err("nobody decided".to_owned()));
    }
}
