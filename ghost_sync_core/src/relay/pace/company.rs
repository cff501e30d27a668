//! Which of a room's messages would leave together, for each wait that there is.

use std::time::Duration;

/// How many waits there are to choose from; the first is none.
pub(super) const STEPS: usize = 20;

/// The waits, in microseconds, each a fifth longer than the last: from the shortest that
/// is worth a timer to the longest with which everybody still hears all others once a frame
/// of 60 Hz. Without one, what comes in the same moment still leaves together.
const WAITS: [u32; STEPS] = [
    50, 467, 561, 673, 808, 969, 1163, 1395, 1674, 2009, 2411, 2894, 3472, 4167, 5000, 6000, 7200,
    8640, 10_368, 12_442,
];

/// How much of each wait there is in any case, since rooms leave early with others.
const SURELY: [u32; STEPS] = {
    let mut surely = WAITS;
    let mut step = 0;
    while step < STEPS {
        surely[step] -= surely[step] / SOON;
        step += 1;
    }
    surely
};

/// A room leaves early with others when its wait is over in this part of it.
pub(super) const SOON: u32 = 4;

/// How long a room waits for company at this step.
pub(super) fn wait(step: usize) -> Duration {
    let micros = if step == 0 { 0 } else { WAITS[step.min(STEPS - 1)] };
    Duration::from_micros(micros.into())
}

/// What was said in a room lately, as far as it says who would have met whom.
///
/// Times are in microseconds of the relay's clock, which wraps: in more than an hour of
/// silence, somebody may once be expected who does not come.
#[derive(Debug, Default)]
pub(in crate::relay) struct Company {
    last: u32,
    /// Time from the last message but one to the last.
    gap: u32,
    /// Messages that nobody was told to write yet.
    unsent: u32,
    /// When the wait of each step began.
    began: [u32; STEPS],
    /// Whether more than one message would wait at each step.
    met: [u32; STEPS],
}

impl Company {
    /// Something was said at `now`.
    pub(super) fn said(&mut self, now: u32) {
        self.gap = now.wrapping_sub(self.last);
        self.last = now;
        self.unsent = self.unsent.saturating_add(1);
    }

    /// Adds to `writes` how many more the last message, to `members`, makes at each step.
    pub(super) fn count(&mut self, members: usize, writes: &mut [u32; STEPS]) {
        let now = self.last;
        let unheard = u32::try_from(members.saturating_sub(1)).unwrap_or(u32::MAX);
        // Without a branch, for this is done for each message: many steps at once.
        for step in 0..STEPS {
            let most = SURELY[step];
            let meets = now.wrapping_sub(self.began[step]) < most;
            // The first sender hears the second.
            let more = if meets { 1 - self.met[step] } else { unheard };
            writes[step] = writes[step].wrapping_add(more);
            self.met[step] = u32::from(meets);
            let began = if self.gap < most { now } else { now.wrapping_sub(LONG_AGO) };
            self.began[step] = if meets { self.began[step] } else { began };
        }
    }

    /// Whether others may be expected while the last message waits at this step.
    pub(super) fn is_expected(&self, step: usize) -> bool {
        step > 0 && self.gap < SURELY[step.min(STEPS - 1)]
    }

    /// All of it is to be written to `members`; returns how many writes that takes.
    pub(super) fn flushed(&mut self, members: usize) -> usize {
        let unheard = members.saturating_sub(1);
        match std::mem::take(&mut self.unsent) {
            0 => 0,
            1 => unheard,
            _ => members,
        }
    }
}

/// When no wait began that still goes on.
const LONG_AGO: u32 = u32::MAX / 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes to a room of 16 at each step, of messages with `gap` microseconds between.
    fn writes(messages: u32, gap: u32) -> [u32; STEPS] {
        let (mut company, mut writes) = (Company::default(), [0; STEPS]);
        for at in 0..messages {
            // The clock may wrap meanwhile.
            company.said((at * gap).wrapping_sub(500_000));
            company.count(16, &mut writes);
        }
        writes
    }

    #[test]
    fn messages_that_are_further_apart_than_a_wait_do_not_meet() {
        let writes = writes(1000, 1050);
        let meet = SURELY.partition_point(|&wait| wait <= 1050);
        assert_eq!(writes[..meet], vec![15_000; meet]);
        assert!((8000..8100).contains(&writes[meet]), "{writes:?}");
    }

    #[test]
    fn what_comes_at_the_same_moment_leaves_together_without_a_wait() {
        let writes = writes(16, 1);
        assert_eq!(writes, [15 + 16; STEPS]);
    }

    #[test]
    fn two_who_talk_to_each_other_save_nothing_by_waiting_for_one_another() {
        let (mut company, mut writes) = (Company::default(), [0; STEPS]);
        for round in 1..=1000 {
            for at in [0, 300].map(|at| round * 20_000 + at) {
                company.said(at);
                company.count(2, &mut writes);
            }
        }
        assert_eq!(writes, [2000; STEPS]);
    }
}
