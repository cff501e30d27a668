//! Worlds in which clients have users, and the host keeps some of them out.

use std::time::Duration;

use fastrand::Rng;

use super::{Swarm, pick};
use crate::{
    relay::{AuthPolicy, Limits, ManyLinks},
    wire::Rate,
};

/// Whether the clients of that seed show who they are. The other seeds stay as they were.
pub(in crate::testing) fn is_guarded(seed: u64) -> bool {
    seed % 4 == 1
}

/// Who is let in, and how the host and whoever signs tokens go about it.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Guard {
    /// Honest users: fewer than clients, mostly.
    pub(in crate::testing) users: usize,
    /// How long tokens are good for; zero: for ever.
    pub(in crate::testing) lives: Vec<Duration>,
    /// Of 8 tokens, how many are verified at once.
    pub(in crate::testing) prompt: u32,
    /// Of 64 verdicts about good tokens, how many are errors.
    pub(in crate::testing) errors: u32,
    /// Of 8 tokens, how many are for some rooms only.
    pub(in crate::testing) narrow: u32,
}

impl Guard {
    pub(super) fn set_up(seed: u64, swarm: &mut Swarm) {
        let mut rng = Rng::with_seed(seed ^ 0x1d3a);
        let relay = &mut swarm.relay;
        relay.host.auth = pick(
            &mut rng,
            &[
                AuthPolicy::Required,
                AuthPolicy::Required,
                AuthPolicy::Required,
                AuthPolicy::Optional,
                AuthPolicy::Optional,
                AuthPolicy::Anonymous,
            ],
        );
        relay.links_per_user = pick(&mut rng, &[8, 8, 8, 3, 2, 1]);
        relay.many_links = pick(&mut rng, &[ManyLinks::Refuse, ManyLinks::CloseOldest]);
        relay.kick_bar = Duration::from_secs(pick(&mut rng, &[10, 10, 60, 1, 0]));
        relay.show_users = rng.bool();
        relay.host.ask_join |= rng.u32(..4) == 0;
        if rng.u32(..3) == 0 {
            relay.limits = Limits::none();
        } else if rng.u32(..6) == 0 {
            relay.limits.user_messages = Some(Rate::per_second(2).burst(rng.u64(4..30)));
        }
        relay.gate.failures = pick(
            &mut rng,
            &[relay.gate.failures, Some(Rate::per_minute(2)), Some(Rate::per_minute(2)), None],
        );
        swarm.names = swarm.names.max(rng.usize(1..4));
        let lives: &[u64] = pick(&mut rng, &[&[0][..], &[0, 3600], &[10, 60, 600], &[2, 20]]);
        swarm.guard = Some(Self {
            users: rng.usize(1..4),
            lives: lives.iter().copied().map(Duration::from_secs).collect(),
            prompt: pick(&mut rng, &[8, 8, 7, 4]),
            errors: pick(&mut rng, &[0, 0, 1, 4]),
            narrow: pick(&mut rng, &[0, 1, 3, 6]),
        });
    }
}
