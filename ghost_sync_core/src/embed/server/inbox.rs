//! What waits for the frame of a server, and how much of it may.

use std::{sync::Arc, time::Instant};

use crate::{
    embed::mailbox::Updates,
    relay::{AskId, Question, RelayEvent},
    server::{Part, Shares, Sink},
    wire::MetadataEntry,
};

use super::ServerUpdate;

/// Bytes of what clients say that may wait, beside what each may have waiting whatever
/// the others say. Of questions about connections as much again.
const LIMIT: usize = 8 << 20;

/// What waits for the frame.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Of questions in it, `expires_in` counts from `start`.
    pub(super) updates: Arc<Updates<ServerUpdate, Account>>,
    pub(super) start: Instant,
}

/// What the waiting updates cost.
#[derive(Debug)]
pub(super) struct Account {
    /// Of those in whose sessions something was said.
    shares: Shares,
    /// Bytes of questions about those who have no session yet.
    dials: usize,
    /// Bytes of facts about those who got none.
    failures: usize,
}

impl Account {
    fn new() -> Self {
        Self { shares: Shares::new(LIMIT), dials: 0, failures: 0 }
    }
}

impl Inbox {
    pub(super) fn new(start: Instant) -> Self {
        Self { updates: Updates::new(Account::new()), start }
    }

    pub(super) fn push(&self, update: ServerUpdate) {
        self.updates.push(update);
    }

    pub(super) fn take(&self, updates: &mut Vec<ServerUpdate>) {
        self.updates.take(updates, |waiting, account| {
            (account.dials, account.failures) = (0, 0);
            account.shares.settle(|conn, client_id, messages| {
                waiting.push(ServerUpdate::Missed { conn, client_id, messages });
            });
        });
    }
}

impl Sink for Inbox {
    fn event(&self, event: RelayEvent) {
        self.updates.change(|updates, account| {
            if let RelayEvent::ConnectionClosed { conn, client_id, .. } = event {
                // What it missed belongs before its end.
                if let Some(messages) = account.shares.forget(conn) {
                    updates.push(ServerUpdate::Missed { conn, client_id, messages });
                }
            }
            if account.admits(&event) {
                updates.push(ServerUpdate::Event(event));
            }
        });
    }

    fn ask(self: Arc<Self>, ask: AskId, question: Question, deadline: Instant) {
        self.updates.change(|updates, account| {
            // What is not asked nobody decides: the relay says no when the time is up.
            if account.admits_question(&question) {
                let expires_in = deadline.saturating_duration_since(self.start);
                updates.push(ServerUpdate::Ask { ask, question, expires_in });
            }
        });
    }
}

impl Account {
    /// Whether an event may wait. Those who the program has let in, and where they are,
    /// it must know whatever waits: only what clients say at will is left out.
    fn admits(&mut self, event: &RelayEvent) -> bool {
        let item = size_of::<ServerUpdate>();
        match event {
            RelayEvent::Broadcast { conn, client_id, payload, .. }
            | RelayEvent::Message { conn, client_id, payload, .. } => {
                self.shares.admit(*conn, *client_id, Part::Words, item + payload.len())
            }
            RelayEvent::ClientMetadataChanged { conn, client_id, key, value, .. } => {
                let cost = item + key.len() + value.as_ref().map_or(0, String::len);
                self.shares.admit(*conn, *client_id, Part::Changes, cost)
            }
            RelayEvent::Lagged { conn, client_id, .. } => {
                self.shares.admit(*conn, *client_id, Part::Changes, item)
            }
            // A program that stands still misses nothing by it.
            RelayEvent::Rtt { .. } => self.shares.has_room(),
            RelayEvent::HandshakeFailed { .. } => {
                self.failures += item;
                self.failures <= LIMIT
            }
            RelayEvent::ConnectionOpened { .. }
            | RelayEvent::TokenReplaced { .. }
            | RelayEvent::ConnectionClosed { .. }
            | RelayEvent::ConnectionLost { .. }
            | RelayEvent::ConnectionResumed { .. }
            | RelayEvent::RoomCreated { .. }
            | RelayEvent::RoomDeleted { .. }
            | RelayEvent::RoomFilled { .. }
            | RelayEvent::RoomHasSpace { .. }
            | RelayEvent::RoomEmptied { .. }
            | RelayEvent::PlayerJoined { .. }
            | RelayEvent::PlayerLeft { .. }
            | RelayEvent::PlayerAway { .. }
            | RelayEvent::PlayerBack { .. }
            | RelayEvent::JoinAbandoned { .. }
            | RelayEvent::RoomMetadataChanged { .. } => true,
        }
    }

    /// Whether a question may wait. A connection has one question about a seat at a time;
    /// what it wants to say counts as said.
    fn admits_question(&mut self, question: &Question) -> bool {
        let item = size_of::<ServerUpdate>();
        match question {
            Question::Connect { data, meta, .. } => {
                let entry = |(key, value): &MetadataEntry| {
                    size_of::<MetadataEntry>() + key.len() + value.len()
                };
                self.dials += item + data.len() + meta.iter().map(entry).sum::<usize>();
                self.dials <= LIMIT
            }
            Question::Join { .. } | Question::Greet { .. } | Question::CreateRoom { .. } => true,
            Question::Relay { conn, client_id, payload, .. } => {
                self.shares.admit(*conn, *client_id, Part::Words, item + payload.len())
            }
            Question::SetMetadata { conn, client_id, key, value } => {
                let cost = item + key.len() + value.as_ref().map_or(0, String::len);
                self.shares.admit(*conn, *client_id, Part::Changes, cost)
            }
        }
    }
}
