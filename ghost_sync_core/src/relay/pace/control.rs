//! How long messages wait for company, from what was measured.

use std::time::{Duration, Instant};

use super::company::{Company, STEPS, wait};

/// Chooses the shortest wait with which the core has time left.
///
/// Reading costs the kernel about as much as writing, so the measured time of a write
/// says what both take together; how many writes each wait would leave, [`Company`] knows.
#[derive(Debug)]
pub(super) struct Control {
    step: usize,
    start: Option<Instant>,
    window: Option<Window>,
    /// Windows in a row in which there was too much to do.
    crowded: u32,
    trial: Option<Trial>,
    /// No longer wait is tried before then, and how long that was put off the last time.
    rests: Option<Instant>,
    rest: Duration,
    /// What a write costs, in seconds.
    each: f64,
    /// Time from one message to the next, lately.
    gap: Duration,
}

/// What was measured since a moment.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    busy: Duration,
    reads: u64,
    writes: u64,
    /// Those of `writes` that tell a room what was said in it, and how many of them there
    /// would be with each wait.
    told: u64,
    would: [u32; STEPS],
    /// Messages to rooms without a tick.
    said: u64,
    /// Rooms whose time was up, and rooms that left earlier because nothing more came.
    timely: u64,
    quiet: u64,
}

/// A longer wait, until it is known whether people go on talking; after that was in vain,
/// none at all, until it is known whether they talk again.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// Messages a second before.
    before: f64,
    said: u64,
    passed: Duration,
    windows: u32,
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            step: 0,
            start: None,
            window: None,
            crowded: 0,
            trial: None,
            rests: None,
            rest: REST,
            each: f64::INFINITY,
            gap: Duration::ZERO,
        }
    }

    /// Which of the waits is the present one.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// How long a room waits for company.
    pub(super) fn delay(&self) -> Duration {
        wait(self.step)
    }

    /// Time from one message to the next, lately.
    pub(super) fn gap(&self) -> Duration {
        self.gap
    }

    /// Something was said to `members` of a room without a tick.
    pub(super) fn said(&mut self, now: Instant, company: &mut Company, members: usize) {
        let start = *self.start.get_or_insert(now);
        let window = self.window.get_or_insert_with(|| Window::from(now));
        window.said += 1;
        #[expect(clippy::cast_possible_truncation, reason = "wrapping is meant")]
        let micros = now.saturating_duration_since(start).as_micros() as u32;
        company.said(micros);
        // Not while there is nothing to decide.
        if self.step > 0 || self.crowded > 0 {
            company.count(members, &mut window.would);
        }
    }

    /// What was said in a room is to be written to `members`.
    pub(super) fn flushed(&mut self, company: &mut Company, members: usize) {
        let writes = company.flushed(members);
        self.count(|window| window.told += writes as u64);
    }

    /// Bytes came from a connection.
    pub(super) fn read(&mut self) {
        self.count(|window| window.reads += 1);
    }

    /// Bytes went to a connection.
    pub(super) fn sent(&mut self) {
        self.count(|window| window.writes += 1);
    }

    /// So many rooms left since their time was up.
    pub(super) fn timely(&mut self, rooms: usize) {
        self.count(|window| window.timely += rooms as u64);
    }

    /// So many rooms left before that, since nothing more came.
    pub(super) fn quiet(&mut self, rooms: usize) {
        self.count(|window| window.quiet += rooms as u64);
    }

    /// Writing took from `began` to `ended`.
    pub(super) fn wrote(&mut self, began: Instant, ended: Instant) {
        let least = WINDOW.max(self.delay() * 4);
        let window = self.window.get_or_insert_with(|| Window::from(began));
        window.busy += ended.saturating_duration_since(began);
        let passed = ended.saturating_duration_since(window.since);
        let enough = window.said >= ENOUGH || passed >= LONG;
        if passed < least || !enough {
            return;
        }
        let window = std::mem::replace(window, Window::from(ended));
        self.gap = passed.div_f64(window.said.max(1) as f64);
        self.decide(ended, passed, &window);
    }

    fn decide(&mut self, now: Instant, passed: Duration, window: &Window) {
        if let Some(trial) = &mut self.trial {
            trial.said += window.said;
            trial.passed += passed;
            trial.windows += 1;
        }
        if self.step > 0 && (window.quiet > window.timely || self.is_in_vain()) {
            return self.give_up(now, window.said as f64 / passed.as_secs_f64());
        }
        if window.writes > 0 {
            // Somebody else had the core for a while: that says nothing about writes.
            let each = window.busy.as_secs_f64() / window.writes as f64;
            self.each = each.min(self.each * DEARER);
        }
        let each = self.each.min(1.0) / passed.as_secs_f64();
        let load = each * (window.reads + window.writes) as f64;
        let present = self.step;
        let with = |step| each * (window.reads + window.with(step, present)) as f64;
        if load <= FULL {
            self.crowded = 0;
            let enough = |step| with(step) <= ROOMY || with(step) <= with(self.step) * SAME;
            if let Some(less) = (0..self.step).find(|step| enough(*step)) {
                self.step = less;
                // What is on trial stays so for as long as there is a wait.
                self.trial = self.trial.filter(|_| less > 0);
            }
            return;
        }
        self.crowded += 1;
        if self.crowded < TWICE || self.is_resting(now) {
            return;
        }
        let least = with(STEPS - 1);
        let without = if self.step == 0 { load } else { with(0) };
        // Where nobody would meet, nobody waits.
        let useless = least > without * USELESS;
        let wanted = (0..STEPS).find(|step| useless || with(*step) <= TARGET.max(least * SAME));
        // Who waits for an answer is not kept for long until that is known.
        let unproven = self.step == 0 || self.trial.is_some();
        let most = if unproven { LONGEST_TRIED } else { STEPS - 1 };
        let wanted = wanted.unwrap_or(STEPS - 1).min(most);
        if wanted > self.step {
            let before = window.said as f64 / passed.as_secs_f64();
            let before = self.trial.map_or(before, |trial| trial.before);
            self.change(wanted, Some(before));
        } else if wanted == 0 {
            self.change(0, None);
        }
    }

    /// Takes another wait, on trial if people talked so much `before`.
    fn change(&mut self, step: usize, before: Option<f64>) {
        self.step = step;
        let trial = |before| Trial { before, said: 0, passed: Duration::ZERO, windows: 0 };
        self.trial = before.map(trial);
    }

    /// Whether people talk less since they wait for longer: because they wait for an answer.
    fn is_in_vain(&mut self) -> bool {
        let Some(trial) = self.trial.filter(|trial| trial.windows >= TRIAL) else { return false };
        let in_vain = trial.is_less();
        if !in_vain {
            self.trial = None;
            self.rest = REST;
        }
        in_vain
    }

    /// Waits no more for a while, in which people should talk more than they did, which was
    /// so much a second.
    fn give_up(&mut self, now: Instant, rate: f64) {
        self.rests = Some(now + self.rest);
        let rate = self.trial.map_or(rate, |trial| trial.said as f64 / trial.passed.as_secs_f64());
        self.change(0, Some(rate * (1.0 + LESS * 2.0)));
    }

    /// Whether it is too early to try again what was in vain.
    fn is_resting(&mut self, now: Instant) -> bool {
        let Some(rests) = self.rests else { return false };
        if now < rests {
            return true;
        }
        self.rests = None;
        let chance = self.trial.take().is_some_and(|trial| trial.is_less());
        self.rest = if chance { REST } else { (self.rest * 2).min(LONGEST_REST) };
        false
    }

    fn count(&mut self, count: impl FnOnce(&mut Window)) {
        if let Some(window) = &mut self.window {
            count(window);
        }
    }
}

impl Trial {
    /// Whether people talk less than before, and not by chance.
    fn is_less(&self) -> bool {
        let usual = self.before * self.passed.as_secs_f64();
        (self.said as f64) < usual - (usual * LESS).max(usual.sqrt() * 2.0)
    }
}

impl Window {
    fn from(since: Instant) -> Self {
        Self {
            since,
            busy: Duration::ZERO,
            reads: 0,
            writes: 0,
            told: 0,
            would: [0; STEPS],
            said: 0,
            timely: 0,
            quiet: 0,
        }
    }

    /// The writes that there would be with the wait of `step` instead of that of `present`.
    fn with(&self, step: usize, present: usize) -> u64 {
        let [mut told, expected] = [step, present].map(|step| u64::from(self.would[step]));
        if step > 0 && present > 0 && self.told < expected {
            // Waits turn out to save more than is certain.
            told = told * self.told / expected;
        }
        self.writes.saturating_sub(self.told) + told
    }
}

/// The share of the core above which messages wait for company, the one that waits are
/// chosen for, and the one at which shorter ones will do.
const FULL: f64 = 0.85;
const TARGET: f64 = 0.8;
const ROOMY: f64 = 0.78;

/// A wait that leaves more than this part of the load is useless, and so is a longer one
/// that saves no more than this compared to a shorter.
const USELESS: f64 = 0.9;
const SAME: f64 = 1.03;

/// By how much a write may have become dearer from one window to the next.
const DEARER: f64 = 1.1;

/// What is measured at least before anything is decided, and what suffices where little
/// is said.
const WINDOW: Duration = Duration::from_millis(20);
const ENOUGH: u64 = 64;
const LONG: Duration = Duration::from_millis(250);

/// Once might have been a hiccup.
const TWICE: u32 = 2;

/// Windows for which a longer wait is on trial, and the share of the messages that may be
/// missing then.
const TRIAL: u32 = 3;
const LESS: f64 = 0.05;

/// The longest wait (6 ms) that is tried before it is known whether people go on talking.
const LONGEST_TRIED: usize = 15;

/// How long nothing is tried after a wait was in vain, for the first time and at most.
const REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(3);
