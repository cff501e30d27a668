//! Makes a failing list of operations shorter.

use super::{Failure, Op, replay};

/// The fewest operations found, within so many runs, that still break the same
/// invariant in the world of `seed`, and what they break.
pub fn shrink(seed: u64, ops: &[Op], failure: &Failure, runs: usize) -> (Vec<Op>, Failure) {
    let mut best = (ops[..failure.step.min(ops.len())].to_vec(), failure.clone());
    let mut left = runs;
    let mut size = best.0.len().div_ceil(2);
    while size > 0 && left > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < best.0.len() && left > 0 {
            let mut fewer = best.0.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            left -= 1;
            match replay(seed, &fewer).failure {
                Some(found) if found.invariant == failure.invariant => {
                    fewer.truncate(found.step);
                    best = (fewer, found);
                    shorter = true;
                }
                _ => at += size,
            }
        }
        if !shorter {
            size /= 2;
        } else {
            size = size.min(best.0.len().div_ceil(2));
        }
        if size == 0 || best.0.is_empty() {
            break;
        }
    }
    best
}
