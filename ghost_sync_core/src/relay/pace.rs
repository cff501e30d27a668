//! When what was said leaves: at once while there is time for that, in ever larger
//! batches as writing takes up the core, once a tick where a room asks for it.
//!
//! A write costs about the same for one message as for fifty, so a relay that waits
//! until the core is full before it batches is late by then. This one measures which
//! share of the time goes into writing, and lets messages wait, together, so long that
//! the share stays below [`BUSY`].

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

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
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Rooms that are due, as they were listed.
    due: Vec<(RoomId, Pending)>,
    /// Rooms that wait for company, in the order in which they began to.
    delayed: VecDeque<(Instant, RoomId)>,
    /// Rooms that wait for their tick.
    ticking: BTreeSet<(Instant, RoomId)>,
    /// How long a room waits for company.
    delay: Duration,
    /// When something was last added to a room that waits for company.
    grown: Option<Instant>,
    /// Time from one message to the next, lately.
    gap: Duration,
    window: Option<Window>,
}

/// What was measured since a moment.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    busy: Duration,
    /// Events of rooms without a tick, and those that came to a room which waited.
    said: u32,
    met: u32,
    /// Rooms whose time was up, and rooms that left earlier because nothing more came.
    timely: u32,
    quiet: u32,
}

impl Pace {
    /// When a room with something new at `now` is to be flushed.
    pub(super) fn due(
        &self,
        now: Instant,
        tick: Option<Duration>,
        last: Option<Instant>,
    ) -> Pending {
        let at = match (tick, last) {
            (_, None) => now,
            (Some(tick), Some(last)) => last + tick,
            // In a quiet room nobody would have come along lately either.
            (None, Some(last)) if now >= last + LONGEST => now,
            (None, Some(_)) => now + self.delay,
        };
        if at <= now { Pending::Due } else { Pending::Until(at) }
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
        if let Some(window) = &mut self.window {
            window.met = window.met.saturating_add(1);
        }
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
        let before = self.due.len();
        let soon = now + self.delay / SOON;
        while let Some((at, room)) = self.delayed.pop_front_if(|(at, _)| *at <= soon || quiet) {
            self.due.push((room, Pending::Until(at)));
        }
        if let Some(window) = &mut self.window {
            let count = u32::try_from(self.due.len() - before).unwrap_or(u32::MAX);
            let kind = if first > now { &mut window.quiet } else { &mut window.timely };
            *kind = kind.saturating_add(count);
        }
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
        let patience = (self.delay / QUIET).max(self.gap * GAPS);
        self.grown.map_or(first, |grown| grown + patience)
    }

    /// Writing took from `began` to `ended`.
    pub(super) fn wrote(&mut self, began: Instant, ended: Instant) {
        let window = self.window.get_or_insert_with(|| Window::from(began));
        window.busy += ended.saturating_duration_since(began);
        let passed = ended.saturating_duration_since(window.since);
        if passed < WINDOW.max(self.delay * 4) {
            return;
        }
        let share = window.busy.as_secs_f64() / passed.as_secs_f64();
        // Who waits for us says nothing meanwhile: then waiting gains nothing.
        let in_vain = window.quiet > window.timely;
        if share > BUSY && !in_vain {
            let factor = (share / BUSY).clamp(1.1, 1.5);
            self.delay = self.delay.mul_f64(factor).clamp(SHORTEST, LONGEST);
        } else if share < IDLE || in_vain || window.met < window.said / FEW {
            let less = if share < IDLE / 4.0 { Duration::ZERO } else { self.delay * 3 / 4 };
            self.delay = if less < SHORTEST { Duration::ZERO } else { less };
        }
        self.gap = passed / window.said.max(1);
        self.window = None;
    }

    /// Something was said in a room without a tick.
    pub(super) fn said(&mut self) {
        if let Some(window) = &mut self.window {
            window.said = window.said.saturating_add(1);
        }
    }

    /// How long a room waits for company.
    pub(super) fn delay(&self) -> Duration {
        self.delay
    }
}

impl Window {
    fn from(since: Instant) -> Self {
        Self { since, busy: Duration::ZERO, said: 0, met: 0, timely: 0, quiet: 0 }
    }
}

/// The share of the time that writing may take before messages wait for company,
/// and the share below which they wait less.
const BUSY: f64 = 0.48;
const IDLE: f64 = 0.3;

/// What is measured at least before anything is decided.
const WINDOW: Duration = Duration::from_millis(10);

/// The shortest wait that is worth a timer, and the longest that players do not feel.
const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(6);

/// Waiting so long that fewer than one message in these meets another is too short to help:
/// it ends unless there is so much to do that it has to become longer.
const FEW: u32 = 5;

/// A room leaves early with others when its wait is over in this part of the delay.
const SOON: u32 = 4;

/// Nothing new in this part of the delay, and for so many times as long as it usually takes:
/// nothing more comes.
const QUIET: u32 = 2;
const GAPS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rooms in which somebody speaks at even intervals, and what writing costs.
    struct Load {
        rooms: u32,
        interval: Duration,
        write: Duration,
    }

    /// The share of the last second's time that writing took, and the longest wait in it.
    fn settle(pace: &mut Pace, load: &Load) -> (f64, Duration) {
        let start = Instant::now();
        let mut now = start;
        let mut said = 0;
        let mut rooms = vec![(Pending::Nothing, start, None); load.rooms as usize];
        let (mut busy, mut longest) = (Duration::ZERO, Duration::ZERO);
        let measured = start + Duration::from_secs(2);
        while now < start + Duration::from_secs(3) {
            while start + load.interval / load.rooms * said <= now {
                let room = said % load.rooms;
                let slot = &mut rooms[room as usize];
                pace.said();
                if slot.0 == Pending::Nothing {
                    let due = start + load.interval / load.rooms * said;
                    (slot.0, slot.1) = (pace.due(now, None, slot.2), due);
                    pace.list(now, RoomId(room), slot.0, false);
                } else {
                    pace.grew(now);
                }
                said += 1;
            }
            let began = now;
            for (room, _) in pace.take(now) {
                rooms[room.0 as usize].2 = Some(began);
                now += load.write;
                if now > measured {
                    busy += load.write;
                    longest = longest.max(now - rooms[room.0 as usize].1);
                }
                rooms[room.0 as usize].0 = Pending::Nothing;
            }
            pace.wrote(began, now);
            if now == began {
                let next = start + load.interval / load.rooms * said;
                now = pace.next().map_or(next, |due| due.min(next)).max(now);
            }
        }
        (busy.as_secs_f64(), longest)
    }

    #[test]
    fn a_relay_with_little_to_write_does_not_wait() {
        let mut pace = Pace::default();
        let (interval, write) = (Duration::from_millis(1), Duration::from_micros(45));
        let (share, longest) = settle(&mut pace, &Load { rooms: 4, interval, write });
        assert_eq!(pace.delay(), Duration::ZERO);
        assert!((0.17..0.2).contains(&share), "{share}");
        assert!(longest <= write * 2, "{longest:?}");
    }

    #[test]
    fn a_crowd_in_one_room_waits_for_each_other_too() {
        let mut pace = Pace::default();
        let (interval, write) = (Duration::from_micros(650), Duration::from_micros(400));
        let (share, longest) = settle(&mut pace, &Load { rooms: 1, interval, write });
        assert!(share < BUSY, "{share}");
        assert!(longest < Duration::from_millis(3), "{longest:?}");
    }

    #[test]
    fn a_relay_with_much_to_write_waits_until_it_has_time_again() {
        for rooms in [12, 16, 32, 64] {
            let mut pace = Pace::default();
            let (interval, write) = (Duration::from_millis(1), Duration::from_micros(45));
            let (share, longest) = settle(&mut pace, &Load { rooms, interval, write });
            assert!(share < BUSY + 0.15, "{rooms} rooms: {share}");
            assert!(pace.delay() > Duration::from_micros(500), "{rooms} rooms: {:?}", pace.delay());
            assert!(longest < LONGEST * 2, "{rooms} rooms: {longest:?}");
        }
    }

    #[test]
    fn a_wait_that_brings_nobody_together_ends_when_there_is_less_to_do() {
        let mut pace = Pace { delay: SHORTEST, ..Pace::default() };
        let (interval, write) = (Duration::from_millis(1), Duration::from_micros(45));
        let (share, _) = settle(&mut pace, &Load { rooms: 8, interval, write });
        assert!((IDLE..BUSY).contains(&share), "{share}");
        assert_eq!(pace.delay(), Duration::ZERO);
    }

    #[test]
    fn rooms_where_few_speak_do_not_wait_for_nobody() {
        let mut pace = Pace::default();
        let (interval, write) = (Duration::from_millis(33), Duration::from_micros(16));
        let (share, longest) = settle(&mut pace, &Load { rooms: 1000, interval, write });
        assert!(share > BUSY, "{share}");
        assert!(longest < Duration::from_millis(1), "{longest:?}");
    }

    #[test]
    fn nobody_waits_in_vain_for_those_who_wait_for_an_answer() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let mut now = start;
        let mut last = None;
        // Everybody speaks when they have heard, and only then.
        for _ in 0..10_000 {
            let pending = pace.due(now, None, last);
            for room in 0..16 {
                pace.said();
                pace.list(now, RoomId(room), pending, false);
            }
            if let Some(next) = pace.next() {
                now = now.max(next);
            }
            let began = now;
            assert_eq!(pace.take(now).len(), 16);
            last = Some(now);
            now += Duration::from_micros(700);
            pace.wrote(began, now);
        }
        let round = (now - start) / 10_000;
        assert!(round < Duration::from_micros(900), "a round took {round:?}");
    }
}
