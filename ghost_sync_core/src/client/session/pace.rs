//! Keeps to what the server allows, so that it never refuses for too much what a client of ours
//! asks for.

use std::time::{Duration, Instant};

use super::Session;
use crate::{
    client::SendError,
    wire::{Bucket, Cost, Rate},
};

/// What was asked for of late, by the server's limits.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The first moment that it was told of, and the last.
    clock: Option<(Instant, Instant)>,
    messages: Bucket,
    bytes: Bucket,
    fan_out: Bucket,
    requests: Bucket,
    pings: Bucket,
}

impl Session {
    /// From here on what is asked for is held to the server's limits, by this clock.
    pub(crate) fn paced_at(&mut self, now: Instant) {
        let (first, _) = *self.pace.clock.get_or_insert((now, now));
        self.pace.clock = Some((first, now));
    }

    /// Takes what something costs out of what may be asked for now, all of it or nothing.
    pub(super) fn spend(&mut self, cost: Cost) -> Result<(), SendError> {
        let (Some((first, now)), Some(greeted)) = (self.pace.clock, self.greeted) else {
            return Ok(());
        };
        let since = now.saturating_duration_since(first).as_nanos();
        let now = u64::try_from(since).unwrap_or(u64::MAX);
        let Pace { messages, bytes, fan_out, requests, pings, .. } = &mut self.pace;
        let rates = greeted.rates;
        let all = [
            (messages, rates.messages, cost.messages),
            (bytes, rates.bytes, cost.bytes),
            (fan_out, rates.fan_out, cost.fan_out),
            (requests, rates.requests, cost.requests),
            (pings, rates.pings, cost.pings),
        ];
        let checked = all.map(|(bucket, rate, cost)| {
            let mut after = *bucket;
            let taken = after.check(now, rate.map(Rate::half_burst), cost);
            (bucket, after, taken)
        });
        let wait = checked.iter().filter_map(|(.., taken)| taken.err()).max();
        if let Some(retry_after) = wait {
            let retry_after = retry_after.max(SHORTEST);
            return Err(SendError::Paced { retry_after });
        }
        for (bucket, after, _) in checked {
            *bucket = after;
        }
        Ok(())
    }
}

/// Timers count milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);
