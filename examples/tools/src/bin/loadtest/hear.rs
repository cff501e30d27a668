//! What a member does with what it hears.

use crate::{
    member::{Meter, Tally},
    speech::Stamp,
};

/// Where a dialect says what came.
#[derive(Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) tally: &'a mut Tally,
    meter: &'a mut Meter,
    /// The member's index in its room.
    index: u16,
    /// What is read late on purpose says nothing about the server.
    late: bool,
    own: u64,
    reply: Vec<u8>,
}

impl<'a> Heard<'a> {
    /// For the member `index`; `late`: it did not read when it should have.
    pub(crate) fn new(tally: &'a mut Tally, meter: &'a mut Meter, index: u16, late: bool) -> Self {
        Self { tally, meter, index, late, own: 0, reply: Vec::new() }
    }

    /// A message came.
    pub(crate) fn broadcast(&mut self, payload: &[u8]) {
        self.tally.received += 1;
        let Some(stamp) = Stamp::of(payload) else { return };
        self.own += u64::from(stamp.index == self.index);
        let window = self.meter.window.0..self.meter.window.1;
        if !self.late && window.contains(&stamp.due) {
            let latency = self.meter.now.saturating_sub(stamp.due);
            self.meter.latency.saturating_record(latency);
        }
    }

    /// The server wants to hear this.
    pub(crate) fn reply(&mut self, frame: &[u8]) {
        self.reply.extend_from_slice(frame);
    }

    /// Own messages that came back.
    pub(crate) fn own(&self) -> u64 {
        self.own
    }

    /// What the server wants to hear.
    pub(crate) fn into_reply(self) -> Vec<u8> {
        self.reply
    }
}
