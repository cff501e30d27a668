//! When what was said leaves: at once while there is time for that, in batches that are
//! large enough when there is not, once a tick where a room asks for it.
//!
//! A write costs about the same for one message as for fifty, so a relay that waits
//! until the core is full before it batches is late by then. This one measures what its
//! writes cost and how many of them each wait would save, and lets messages wait, together,
//! no longer than keeps some of the core free ([`Control`]).

mod company;
mod control;

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

pub(super) use company::Company;
use company::SOON;
use control::Control;

use crate::wire::RoomId;

/// Whether a room has something to send, and when.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Pending {
    #[default]
    Nothing,
    /// It is listed as waiting until then.
    Until(Instant),
    /// It is listed as due.
    Due,
}

/// The rooms that have something to send, and how long they may wait.
#[derive(Debug)]
pub(super) struct Pace {
    /// Rooms that are due, as they were listed.
    due: Vec<(RoomId, Pending)>,
    /// Rooms that wait for company, in the order in which they began to.
    delayed: VecDeque<(Instant, RoomId)>,
    /// Rooms that wait for their tick.
    ticking: BTreeSet<(Instant, RoomId)>,
    control: Control,
    /// When something was last added to a room that waits for company.
    grown: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            due: Vec::new(),
            delayed: VecDeque::new(),
            ticking: BTreeSet::new(),
            control: Control::new(),
            grown: None,
        }
    }

    /// When a room with a tick, last flushed at `last`, is to be flushed.
    pub(super) fn at_tick(now: Instant, tick: Duration, last: Option<Instant>) -> Pending {
        let at = last.map_or(now, |last| last + tick);
        if at <= now { Pending::Due } else { Pending::Until(at) }
    }

    /// When a room without a tick is to be flushed in which something was [said](Self::said).
    pub(super) fn in_company(&self, now: Instant, company: &Company) -> Pending {
        // In a quiet room nobody would come along.
        let expected = company.is_expected(self.control.step());
        if expected { Pending::Until(now + self.control.delay()) } else { Pending::Due }
    }

    /// Lists a room.
    pub(super) fn list(&mut self, now: Instant, room: RoomId, pending: Pending, ticks: bool) {
        match pending {
            Pending::Nothing => {}
            Pending::Due => self.due.push((room, pending)),
            Pending::Until(at) if ticks => {
                self.ticking.insert((at, room));
            }
            Pending::Until(at) => {
                self.delayed.push_back((at, room));
                self.grown = Some(now);
            }
        }
    }

    /// A room that was listed as waiting until `at` is to be listed anew.
    pub(super) fn unlist(&mut self, at: Instant, room: RoomId) {
        // Among those that wait for company it is passed over when its time has come.
        self.ticking.remove(&(at, room));
    }

    /// More was added to a room that waits for company.
    pub(super) fn grew(&mut self, now: Instant) {
        self.grown = Some(now);
    }

    /// When the next room is due that is not yet.
    pub(super) fn next(&self) -> Option<Instant> {
        let company = self.delayed.front().map(|(at, _)| (*at).min(self.quiet_at(*at)));
        let tick = self.ticking.first().map(|(at, _)| *at);
        company.into_iter().chain(tick).min()
    }

    /// Whether a room is due.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Looks at the clock.
    ///
    /// Who would be due soon comes along: it saves a wake-up.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some((at, room)) = self.ticking.first().copied().filter(|(at, _)| *at <= now) {
            self.ticking.remove(&(at, room));
            self.due.push((room, Pending::Until(at)));
        }
        let Some((first, _)) = self.delayed.front().copied() else { return };
        let quiet = self.quiet_at(first) <= now;
        if first > now && !quiet {
            return;
        }
        let soon = now + self.control.delay() / SOON;
        let before = self.due.len();
        while let Some((at, room)) = self.delayed.pop_front_if(|(at, _)| *at <= soon || quiet) {
            self.due.push((room, Pending::Until(at)));
        }
        let left = self.due.len() - before;
        if first > now { self.control.quiet(left) } else { self.control.timely(left) }
    }

    /// Takes the rooms that are due, as they were listed; some may have left since.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(RoomId, Pending)> {
        self.tick(now);
        std::mem::take(&mut self.due)
    }

    /// Gives an empty list back, for the next.
    pub(super) fn reuse(&mut self, list: Vec<(RoomId, Pending)>) {
        if self.due.is_empty() {
            self.due = list;
        }
    }

    /// When rooms that wait for company leave without, since nothing comes any more.
    fn quiet_at(&self, first: Instant) -> Instant {
        let patience = (self.control.delay() / QUIET).max(self.control.gap() * GAPS);
        self.grown.map_or(first, |grown| grown + patience)
    }

    /// Something was said to `members` of a room without a tick.
    pub(super) fn said(&mut self, now: Instant, company: &mut Company, members: usize) {
        self.control.said(now, company, members);
    }

    /// What was said in a room without a tick is to be written to `members`.
    pub(super) fn flushed(&mut self, company: &mut Company, members: usize) {
        self.control.flushed(company, members);
    }

    /// Bytes came from a connection.
    pub(super) fn read(&mut self) {
        self.control.read();
    }

    /// Bytes went to a connection.
    pub(super) fn sent(&mut self) {
        self.control.sent();
    }

    /// Writing took from `began` to `ended`.
    pub(super) fn wrote(&mut self, began: Instant, ended: Instant) {
        self.control.wrote(began, ended);
    }

    /// How long a room waits for company.
    pub(super) fn delay(&self) -> Duration {
        self.control.delay()
    }
}

/// Nothing new in this part of the delay, and for so many times as long as it usually takes:
/// nothing more comes.
const QUIET: u32 = 2;
const GAPS: u32 = 3;

#[cfg(test)]
mod tests;
