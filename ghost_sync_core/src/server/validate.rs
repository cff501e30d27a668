//! Validators at work: on the thread that has read a message, after the lock is free.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::shard::Shard;
use crate::{
    link,
    relay::{AskId, Input, Spoken, Validator, Verdict},
};

/// A broadcast that is to be checked.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) ask: AskId,
    pub(super) validator: Validator,
    pub(super) spoken: Spoken,
}

/// Validators that took so long that they are run where that harms nobody.
#[derive(Debug, Default)]
pub(super) struct SlowOnes(Mutex<BTreeSet<usize>>);

impl SlowOnes {
    fn has(&self, validator: &Validator) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&validator.id())
    }

    fn add(&self, validator: &Validator) -> bool {
        let mut slow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Rooms come and go, and with them their validators.
        if slow.len() >= MOST {
            slow.clear();
        }
        slow.insert(validator.id())
    }
}

impl Shard {
    /// Checks what was read, and tells the relay all of it at once.
    pub(super) fn validate(self: &Arc<Self>, checks: Vec<Check>) {
        if checks.is_empty() {
            return;
        }
        let (mut slow, mut verdicts) = (Vec::new(), Vec::with_capacity(checks.len()));
        for check in checks {
            if self.slow_validators.has(&check.validator) {
                slow.push(check);
                continue;
            }
            let began = link::now();
            verdicts.push((check.ask, check.run()));
            let took = link::now().saturating_duration_since(began);
            if took > LONG && self.slow_validators.add(&check.validator) {
                let room = &check.spoken.room;
                tracing::warn!(%room, ?took, "a validator is slow: it gets threads of its own");
            }
        }
        self.tell_verdicts(verdicts);
        if !slow.is_empty()
            && let Some(runtime) = self.runtime()
        {
            let shard = self.clone();
            runtime.spawn_blocking(move || {
                let verdicts = slow.iter().map(|check| (check.ask, check.run())).collect();
                shard.tell_verdicts(verdicts);
            });
        }
    }

    fn tell_verdicts(self: &Arc<Self>, verdicts: Vec<(AskId, Verdict)>) {
        if verdicts.is_empty() {
            return;
        }
        self.act(|relay, now, out| {
            for (ask, verdict) in verdicts {
                relay.handle(now, Input::Answer { ask, verdict }, out);
            }
        });
    }
}

impl Check {
    fn run(&self) -> Verdict {
        let check = AssertUnwindSafe(|| self.validator.check(&self.spoken));
        catch_unwind(check).unwrap_or_else(|_| {
            tracing::error!(room = %self.spoken.room, "a validator panicked: the answer is no");
            Verdict::reject("the server's rules failed")
        })
    }
}

/// What a validator may take.
const LONG: Duration = Duration::from_millis(1);

/// Slow validators that are remembered.
const MOST: usize = 4096;
