//! One bot: takes what comes, and counts.

use std::{io, sync::Arc};

use bytes::BytesMut;
use ghost_sync_core::{
    ClientMessage, CloseReason, Decoder, Delivery, RoomId, Seat, SendFlags, ServerMessage,
};
use hdrhistogram::Histogram;

use crate::{plan::STAMP, socket::Socket};

/// A member of a room, or a connection without one.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) socket: Arc<Socket>,
    pub(crate) decoder: Decoder,
    /// Read during the handshake, but not taken.
    pub(crate) rest: Vec<u8>,
    /// Index of its room.
    pub(crate) room: u32,
    /// Index in its room.
    pub(crate) index: u32,
    pub(crate) seat: Seat,
    /// The number that the room's next event has.
    pub(crate) next: u64,
    /// Whether it does not read before the end.
    pub(crate) stalled: bool,
    /// What it says, if it answers its own messages with new ones.
    pub(crate) echo: Option<Speech>,
    pub(crate) tally: Tally,
    /// Why its connection ended, once it has.
    pub(crate) end: Option<String>,
}

/// What a member counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Broadcasts that came.
    pub(crate) received: u64,
    /// Broadcasts that a gap said would not come.
    pub(crate) announced: u64,
    /// Numbers that did not come without a word: own broadcasts, or losses.
    pub(crate) jumped: u64,
    /// Events whose number had been there already.
    pub(crate) disordered: u64,
    /// Own broadcasts that the server refused.
    pub(crate) refused: u64,
    /// Broadcasts sent because an own one came back.
    pub(crate) answers: u64,
}

/// What the members of one thread measured.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Latency in nanoseconds of messages that were due within the window.
    pub(crate) latency: Histogram<u64>,
    /// From when to when, in nanoseconds of the run's clock.
    pub(crate) window: (u64, u64),
    /// Now.
    pub(crate) now: u64,
    /// Deliveries within the window.
    pub(crate) delivered: u64,
    /// Whether senders go on.
    pub(crate) sending: bool,
}

/// A frame that only needs the time.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    frame: BytesMut,
}

impl Speech {
    /// What is said to `room`.
    pub(crate) fn new(room: RoomId, delivery: Delivery, echo: bool, payload: usize) -> Self {
        let mut frame = BytesMut::new();
        let flags = if echo { SendFlags::ECHO } else { SendFlags::NONE };
        let message_type = ghost_sync_core::MessageType::RAW;
        let payload = &vec![0x5a; payload];
        ClientMessage::Broadcast { room, delivery, flags, message_type, payload }
            .encode(&mut frame);
        let stamp = frame.len() - payload.len();
        // The payload is last; what the time overwrites is at its start.
        frame[stamp..stamp + STAMP].fill(0);
        Self { frame }
    }

    /// The frame with this time in it.
    pub(crate) fn at(&mut self, time: u64, payload: usize) -> &[u8] {
        let stamp = self.frame.len() - payload;
        self.frame[stamp..stamp + STAMP].copy_from_slice(&time.to_le_bytes());
        &self.frame
    }
}

impl Member {
    /// Takes bytes from the server.
    pub(crate) fn take(&mut self, mut input: &[u8], meter: &mut Meter, payload: usize) {
        let before = self.tally.received;
        let mut owed = 0;
        loop {
            let frame = match self.decoder.next_frame(&mut input) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return self.finish(error.to_string()),
            };
            match ServerMessage::decode(frame) {
                Ok(ServerMessage::Broadcast { seq, sender, payload, .. }) => {
                    self.tally.received += 1;
                    owed += usize::from(sender == self.seat);
                    advance(&mut self.next, &mut self.tally, seq, seq);
                    // What a stalled member reads at last says nothing about the server.
                    if let Some(stamp) = payload.first_chunk::<STAMP>()
                        && !self.stalled
                    {
                        let due = u64::from_le_bytes(*stamp);
                        if (meter.window.0..meter.window.1).contains(&due) {
                            meter.latency.saturating_record(meter.now.saturating_sub(due));
                        }
                    }
                }
                Ok(message) => {
                    if let Some(end) =
                        other(&message, &mut self.next, &mut self.tally, &self.socket)
                    {
                        return self.finish(end);
                    }
                }
                Err(error) => return self.finish(error.to_string()),
            }
        }
        if (meter.window.0..meter.window.1).contains(&meter.now) {
            meter.delivered += self.tally.received - before;
        }
        if owed > 0 && meter.sending {
            self.answer(owed, meter.now, payload);
        }
    }

    /// The connection ended; only the first reason counts.
    pub(crate) fn finish(&mut self, reason: String) {
        self.end.get_or_insert(reason);
    }

    /// The same, with an error as the reason.
    pub(crate) fn lost(&mut self, error: &io::Error) {
        self.finish(error.kind().to_string());
    }

    fn answer(&mut self, count: usize, now: u64, payload: usize) {
        let Some(speech) = &mut self.echo else { return };
        let frames = speech.at(now, payload).repeat(count);
        self.tally.answers += count as u64;
        if let Err(error) = self.socket.send(&frames) {
            self.lost(&error);
        }
    }
}

/// Counts events `from..=to`, which come next if nothing is missing.
fn advance(next: &mut u64, tally: &mut Tally, from: u64, to: u64) {
    match from.checked_sub(*next) {
        Some(jump) => {
            tally.jumped += jump;
            *next = to + 1;
        }
        None => tally.disordered += 1,
    }
}

/// Takes what is no broadcast; returns why the connection ends, if it does.
fn other(
    message: &ServerMessage<'_>,
    next: &mut u64,
    tally: &mut Tally,
    socket: &Socket,
) -> Option<String> {
    match message {
        ServerMessage::Gap { from, to, own, .. } => {
            advance(next, tally, *from, *to);
            tally.announced += to + 1 - from - u64::from(*own);
            tally.jumped += u64::from(*own);
        }
        ServerMessage::PlayerJoined { seq, .. }
        | ServerMessage::PlayerLeft { seq, .. }
        | ServerMessage::RoomMeta { seq, .. }
        | ServerMessage::PlayerMeta { seq, .. }
        | ServerMessage::PlayerAway { seq, .. }
        | ServerMessage::PlayerBack { seq, .. }
        | ServerMessage::RoomDeleted { seq, .. } => advance(next, tally, *seq, *seq),
        ServerMessage::Ping { nonce, .. } => {
            let mut pong = BytesMut::new();
            ClientMessage::Pong { nonce: *nonce, received: 0 }.encode(&mut pong);
            return socket.send(&pong).err().map(|error| error.to_string());
        }
        ServerMessage::Refused { .. } => tally.refused += 1,
        // Without the number that differs from one to the next, so that they can be counted.
        ServerMessage::Close { reason: CloseReason::SlowConsumer { max, .. } } => {
            return Some(format!("too slow: at most {max} bytes may wait"));
        }
        ServerMessage::Close { reason } => return Some(reason.to_string()),
        ServerMessage::Left { reason, .. } => return Some(format!("removed: {reason}")),
        ServerMessage::Broadcast { .. }
        | ServerMessage::Welcome { .. }
        | ServerMessage::Joined { .. }
        | ServerMessage::Roster { .. }
        | ServerMessage::JoinRefused { .. }
        | ServerMessage::Direct { .. }
        | ServerMessage::Ack { .. }
        | ServerMessage::Pong { .. }
        | ServerMessage::Rooms { .. }
        | ServerMessage::Retained { .. }
        | ServerMessage::Received { .. }
        | ServerMessage::Resumed { .. }
        | ServerMessage::ResumeFailed { .. } => {}
    }
    None
}
