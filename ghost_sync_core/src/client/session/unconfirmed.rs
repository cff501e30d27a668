//! Requests that the server may not have.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};

use crate::wire::{ClientMessage, HEADER_LEN};

use super::Violation;

/// The frames of requests, from the first that the server has not confirmed.
#[derive(Debug, Default)]
pub(crate) struct Unconfirmed {
    /// How many were confirmed.
    confirmed: u64,
    frames: BytesMut,
    lens: VecDeque<usize>,
}

impl Unconfirmed {
    /// What a server takes at most before it confirms, and as much again on its
    /// way: bytes up to here say nothing about its pace.
    const USUAL: usize = 128 * 1024;

    /// Keeps a request.
    pub(crate) fn keep(&mut self, frame: &[u8]) {
        self.frames.extend_from_slice(frame);
        self.lens.push_back(frame.len());
    }

    /// The server has the first `count` requests of the session.
    pub(crate) fn confirm(&mut self, count: u64) -> Result<(), Violation> {
        let more = count.saturating_sub(self.confirmed);
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        if more > self.lens.len() {
            return Err(format!("request {count} was received before it was sent").into());
        }
        let bytes = self.lens.drain(..more).sum();
        self.frames.advance(bytes);
        self.confirmed = self.confirmed.max(count);
        if self.lens.is_empty() {
            // A burst must not be paid for in memory for the rest of the session.
            (self.frames, self.lens) = (BytesMut::new(), VecDeque::new());
        }
        Ok(())
    }

    /// How many requests were confirmed.
    pub(crate) fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// The frames, in order.
    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// What the frames mean, in order.
    pub(crate) fn messages(&self) -> impl Iterator<Item = ClientMessage<'_>> {
        let mut rest = &self.frames[..];
        self.lens.iter().filter_map(move |len| {
            let (frame, after) = rest.split_at_checked(*len)?;
            rest = after;
            ClientMessage::decode(frame.get(HEADER_LEN..)?).ok()
        })
    }

    /// How many requests are kept.
    pub(crate) fn len(&self) -> usize {
        self.lens.len()
    }

    /// Forgets those of the requests that `stale` says, by their places.
    pub(crate) fn leave_out(&mut self, stale: impl Fn(usize) -> bool) {
        let (frames, lens) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.lens));
        let mut rest = &frames[..];
        for (at, len) in lens.into_iter().enumerate() {
            let (frame, after) = rest.split_at(len);
            rest = after;
            if !stale(at) {
                self.keep(frame);
            }
        }
    }

    /// Bytes that wait for a server that does not keep up.
    pub(crate) fn excess(&self) -> usize {
        self.frames.len().saturating_sub(Self::USUAL)
    }
}
