//! Sockets of a simulation: two byte pipes that can be slow, cut or dead.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    relay::LinkId,
    wire::{ClientId, Decoder, MAX_SERVER_FRAME},
};

/// One connection between a client and the server.
#[derive(Debug)]
pub(super) struct Link {
    /// What the relay calls it.
    pub(super) id: LinkId,
    /// Which relay, if the server was restarted.
    pub(super) era: u32,
    /// Whose; `None`: a hostile peer's.
    pub(super) player: Option<usize>,
    /// The oracle's number for who opened it.
    pub(super) author: Option<usize>,
    /// The id that a session begun here has.
    pub(super) client_id: ClientId,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// Whether the server's end is open.
    pub(super) served: bool,
    /// Whether the client's end is open.
    pub(super) held: bool,
    /// Whether nothing arrives any more, and nobody is told.
    pub(super) dead: bool,
    /// Whether the relay knows that the socket is full.
    pub(super) full: bool,
    /// Whether it was full, and something waited ever since.
    pub(super) behind: bool,
    /// Reads along what the client gets.
    pub(super) tap: Decoder,
    /// Whether only whole frames were sent on it.
    pub(super) clean: bool,
    /// Reads along what the server gets.
    pub(super) fed: Decoder,
    /// Reads along what the server writes.
    pub(super) wrote: Decoder,
    /// Whether its client has forgotten it, and somebody still reads it.
    pub(super) stale: bool,
    /// Whether the last message came.
    pub(super) closed: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) bytes: BytesMut,
    pub(super) stalled: bool,
    /// Whether the writer closed its end.
    pub(super) ended: bool,
}

impl Link {
    pub(super) fn new(era: u32, player: Option<usize>, client_id: ClientId) -> Self {
        Self {
            id: LinkId::default(),
            era,
            player,
            author: None,
            client_id,
            up: Pipe::default(),
            down: Pipe::default(),
            served: true,
            held: true,
            dead: false,
            full: false,
            behind: false,
            tap: Decoder::new(MAX_SERVER_FRAME),
            fed: Decoder::new(MAX_SERVER_FRAME),
            wrote: Decoder::new(MAX_SERVER_FRAME),
            clean: true,
            stale: false,
            closed: false,
        }
    }

    /// Whether nothing can happen on it any more.
    pub(super) fn is_over(&self) -> bool {
        !self.served && !self.held
    }
}

impl Pipe {
    /// Up to `most` bytes out of it.
    pub(super) fn take(&mut self, most: usize) -> Bytes {
        let len = most.min(self.bytes.len());
        let taken = Bytes::copy_from_slice(&self.bytes[..len]);
        self.bytes.advance(len);
        taken
    }
}
