//! A deterministic simulation of a server, its clients and a bad network, and an
//! oracle that judges it. For tests.
//!
//! A seed decides everything: limits, faults, what programs do, when bytes
//! arrive. The clients are the real ones ([`Client`](crate::Client) without its
//! sockets), the server is the real [`Relay`](crate::Relay), time is virtual. The
//! oracle knows neither of their data structures: it writes down what the host
//! is told, and compares each frame that a client gets.
//!
//! ```
//! let report = ghost_sync_core::testing::simulate(42, 200);
//! assert_eq!(report.failure, None);
//! ```

#![expect(clippy::wildcard_enum_match_arm, reason = "an oracle looks at what it is about")]

mod marks;
mod network;
mod ops;
mod oracle;
mod plants;
mod shrink;
mod stamp;
mod swarm;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

pub use marks::{MARKS, Marks};
pub use ops::{Op, OpKind};
pub use oracle::Failure;
pub(crate) use plants::is_planted;
pub use plants::{PLANTS, UnknownPlant, plant};
pub use shrink::shrink;

use world::World;

/// What came of a simulation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// A hash of all bytes that were sent, and of when.
    pub trace: u64,
    /// The states that were reached.
    pub marks: Marks,
    /// What was wrong.
    pub failure: Option<Failure>,
}

/// Runs the simulation of `seed` with so many operations.
pub fn simulate(seed: u64, steps: usize) -> Report {
    replay(seed, &Op::list(seed, steps))
}

/// Runs the world of `seed` with these operations.
pub fn replay(seed: u64, ops: &[Op]) -> Report {
    replay_at(seed, ops, Duration::ZERO)
}

/// The same, and what happened in it, line by line.
pub fn tell(seed: u64, ops: &[Op]) -> (Report, Vec<String>) {
    let mut story = Some(Vec::new());
    let report = run(seed, ops, Duration::ZERO, &mut story);
    (report, story.unwrap_or_default())
}

/// The same, with clocks that started `later`, which must make no difference.
pub fn replay_at(seed: u64, ops: &[Op], later: Duration) -> Report {
    run(seed, ops, later, &mut None)
}

fn run(seed: u64, ops: &[Op], later: Duration, story: &mut Option<Vec<String>>) -> Report {
    let base = Instant::now() + later;
    let mut step = 0;
    let run = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, base, story.take());
        for op in ops {
            step += 1;
            world.oracle.step = step;
            world.oracle.tell(|| op.line());
            world.step(*op);
            if world.oracle.failure.is_some() {
                break;
            }
        }
        if world.oracle.failure.is_none() {
            world.oracle.step = ops.len() + 1;
            world.finish();
        }
        let oracle = world.oracle;
        *story = oracle.story;
        Report { trace: oracle.trace, marks: oracle.marks, failure: oracle.failure }
    }));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let seen = text.unwrap_or_else(|| "something".to_owned());
        let failure = Some(Failure { invariant: "panic", seen, step });
        Report { trace: 0, marks: Marks::default(), failure }
    })
}
