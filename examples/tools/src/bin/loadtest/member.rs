//! One bot: takes what comes, and counts.

use std::{io, sync::Arc};

use hdrhistogram::Histogram;

use crate::{dialect::Session, hear::Heard, socket::Socket, speech::Speech};

/// A member of a room, or a connection without one.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) socket: Arc<Socket>,
    pub(crate) session: Box<dyn Session>,
    /// Read during the handshake, but not taken.
    pub(crate) rest: Vec<u8>,
    /// Index of its room.
    pub(crate) room: u32,
    /// Index in its room.
    pub(crate) index: u16,
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

/// Latencies from a microsecond to a minute, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("the bounds are valid")
}

impl Meter {
    /// Has measured nothing, and does not until its window is known.
    pub(crate) fn new() -> Self {
        let window = (u64::MAX, u64::MAX);
        Self { latency: histogram(), window, now: 0, delivered: 0, sending: true }
    }
}

impl Member {
    /// Takes bytes from the server.
    pub(crate) fn take(&mut self, input: &[u8], meter: &mut Meter) {
        let before = self.tally.received;
        let mut heard = Heard::new(&mut self.tally, meter, self.index, self.stalled);
        let ended = self.session.hear(input, &mut heard);
        let own = heard.own();
        let reply = heard.into_reply();
        if let Err(reason) = ended {
            return self.finish(reason);
        }
        if (meter.window.0..meter.window.1).contains(&meter.now) {
            meter.delivered += self.tally.received - before;
        }
        if !reply.is_empty()
            && let Err(error) = self.socket.send(&reply)
        {
            return self.lost(&error);
        }
        if own > 0 && meter.sending {
            self.answer(own, meter.now);
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

    fn answer(&mut self, count: u64, now: u64) {
        let Some(speech) = &mut self.echo else { return };
        let times = usize::try_from(count).expect("they all came in one read");
        let frames = speech.at(now).repeat(times);
        self.tally.answers += count;
        if let Err(error) = self.socket.send(&frames) {
            self.lost(&error);
        }
    }
}
