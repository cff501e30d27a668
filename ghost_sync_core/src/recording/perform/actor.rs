//! One player of a performance.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;

use crate::{
    client::{Client, RequestKind, ServerEvent},
    wire::{DisconnectReason, Refusal, Seat},
};

/// One player.
pub(super) struct Actor {
    pub(super) client: Client,
    pub(super) seat: Option<Seat>,
    /// The answer to its join, or its leave.
    pub(super) answer: Option<Result<(), Refusal>>,
    /// Messages that were not answered, by their references, with their places.
    pub(super) said: VecDeque<(u64, u64)>,
    /// Changes of metadata that were not answered, by their places.
    pub(super) changes: VecDeque<u64>,
    pub(super) refused: Vec<(u64, Refusal)>,
    pub(super) ended: Option<DisconnectReason>,
}

impl Actor {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            seat: None,
            answer: None,
            said: VecDeque::new(),
            changes: VecDeque::new(),
            refused: Vec::new(),
            ended: None,
        }
    }

    /// Takes what the client was told.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>) {
        while self.ended.is_none() {
            match Pin::new(&mut self.client).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(event))) => self.take(event),
                Poll::Ready(Some(Err(reason))) => self.ended = Some(reason),
                Poll::Ready(None) => self.ended = Some(DisconnectReason::ConnectionClosed),
            }
        }
    }

    fn take(&mut self, event: ServerEvent) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest answers nothing")]
        match event {
            ServerEvent::Joined { seat, .. } => {
                self.seat = Some(seat);
                self.answer = Some(Ok(()));
            }
            ServerEvent::Left { .. } => {
                self.seat = None;
                self.answer = Some(Ok(()));
            }
            ServerEvent::Ack { reference, .. } => {
                self.answered(reference);
            }
            ServerEvent::PlayerMetadata { seat, .. } if self.seat == Some(seat) => {
                self.changes.pop_front();
            }
            ServerEvent::Refused(error) => match (error.request, error.reference) {
                (RequestKind::Broadcast, Some(reference)) => {
                    let seq = self.answered(reference);
                    self.refused.extend(seq.map(|seq| (seq, error.reason)));
                }
                (RequestKind::SetMetadata, _) => {
                    let seq = self.changes.pop_front();
                    self.refused.extend(seq.map(|seq| (seq, error.reason)));
                }
                _ => self.answer = Some(Err(error.reason)),
            },
            _ => {}
        }
    }

    /// A message was answered; returns its place.
    fn answered(&mut self, reference: u64) -> Option<u64> {
        let at = self.said.iter().position(|(said, _)| *said == reference)?;
        self.said.remove(at).map(|(_, seq)| seq)
    }
}
