//! Says when who talks.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    thread::sleep,
    time::Duration,
};

use crate::{socket::Socket, speech::Speech, worker::Shared};

/// A member that talks.
#[derive(Debug)]
pub(crate) struct Voice {
    pub(crate) room: u32,
    pub(crate) index: u16,
    pub(crate) socket: Arc<Socket>,
    pub(crate) speech: Speech,
    /// Messages that left.
    pub(crate) sent: u64,
    /// Whether its socket is broken.
    pub(crate) broken: bool,
}

/// The longest sleep before looking whether to go on.
const TURN: Duration = Duration::from_millis(50);

impl Voice {
    /// Says something that was due at `due`.
    pub(crate) fn say(&mut self, due: u64) {
        if self.broken {
            return;
        }
        match self.socket.send(self.speech.at(due)) {
            Ok(()) => self.sent += 1,
            Err(_) => self.broken = true,
        }
    }
}

/// Has every voice talk `rate` times a second until the clock shows `end`.
/// Nobody is skipped when the thread is late: the time that counts is the one
/// at which a message was due.
pub(crate) fn pace(
    voices: &mut [Voice],
    (rate, burst): (f64, bool),
    (start, end): (u64, u64),
    shared: &Shared,
    stop: &AtomicBool,
) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1e12")]
    let interval = (1e9 / rate) as u64;
    let count = voices.len() as u64;
    for round in (0..).take_while(|_| count > 0) {
        for (at, voice) in (0..).zip(voices.iter_mut()) {
            let phase = if burst { 0 } else { interval * at / count };
            let due = start + round * interval + phase;
            if due >= end || !wait(due, shared, stop) {
                return;
            }
            voice.say(due);
        }
    }
}

/// Waits until the clock shows `time`; `false` if there is no point in going on.
pub(crate) fn wait(time: u64, shared: &Shared, stop: &AtomicBool) -> bool {
    loop {
        if stop.load(Relaxed) || shared.alive.load(Relaxed) == 0 {
            return false;
        }
        let left = Duration::from_nanos(time.saturating_sub(shared.now()));
        if left.is_zero() {
            return true;
        }
        sleep(left.min(TURN));
    }
}
