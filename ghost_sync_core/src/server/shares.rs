//! Each client's share of what waits for a program that takes it later: who says too
//! much loses its own words, and nobody else's.

use slotmap::SecondaryMap;

use crate::{relay::ConnId, wire::ClientId};

/// Bytes that each client may have waiting, whatever the others have.
const ASSURED: usize = 16 << 10;

/// What waits, by client. Knows only what it costs.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Bytes that may wait together, where clients have more than they are assured of.
    limit: usize,
    bytes: usize,
    /// How often everything was taken. A share of an earlier round is empty.
    round: u64,
    shares: SecondaryMap<ConnId, Share>,
    /// Who misses something in this round.
    missing: Vec<(ConnId, ClientId)>,
}

/// What waits of a client.
#[derive(Debug, Default)]
struct Share {
    round: u64,
    /// Bytes, by part.
    parts: [Filled; 2],
    missed: u64,
}

/// Bytes that wait.
#[derive(Clone, Copy, Debug)]
enum Filled {
    To(usize),
    /// Something did not fit. What comes after it does not either, so that what is there
    /// has no holes.
    Over,
}

/// The parts of a share. Each is as large as the other, and one leaves the other alone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// What a client says.
    Words,
    /// What changes about a client.
    Changes,
}

impl Shares {
    /// Together at most `limit` bytes, and an eighth of it for one client, beside what
    /// each is assured of.
    pub(crate) fn new(limit: usize) -> Self {
        let (shares, missing) = (SecondaryMap::new(), Vec::new());
        Self { limit, bytes: 0, round: 0, shares, missing }
    }

    /// Whether something of that cost may wait; counts it, or that it is missing.
    pub(crate) fn admit(
        &mut self,
        conn: ConnId,
        client_id: ClientId,
        part: Part,
        cost: usize,
    ) -> bool {
        let Some(entry) = self.shares.entry(conn) else { return false };
        let share = entry.or_default();
        if share.round != self.round {
            *share = Share { round: self.round, ..Share::default() };
        }
        let part = &mut share.parts[part as usize];
        if let Filled::To(bytes) = *part {
            let filled = bytes.saturating_add(cost);
            let together = self.bytes.saturating_add(cost);
            if filled <= ASSURED || filled <= self.limit / 8 && together <= self.limit {
                *part = Filled::To(filled);
                self.bytes = together;
                return true;
            }
            *part = Filled::Over;
        }
        if share.missed == 0 {
            self.missing.push((conn, client_id));
        }
        share.missed += 1;
        false
    }

    /// Whether anybody may have more waiting than it is assured of.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < self.limit
    }

    /// Forgets a client that is gone; returns how much of it is missing, if something is.
    pub(crate) fn forget(&mut self, conn: ConnId) -> Option<u64> {
        let share = self.shares.remove(conn)?;
        (share.round == self.round && share.missed > 0).then_some(share.missed)
    }

    /// Everything was taken. Tells who misses how much of it, but for those who are
    /// forgotten, in the order in which they began to.
    pub(crate) fn settle(&mut self, mut tell: impl FnMut(ConnId, ClientId, u64)) {
        for (conn, client_id) in self.missing.drain(..) {
            if let Some(share) = self.shares.get(conn) {
                tell(conn, client_id, share.missed);
            }
        }
        self.bytes = 0;
        self.round += 1;
    }
}

impl Default for Filled {
    fn default() -> Self {
        Self::To(0)
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    const ITEM: usize = 100;

    fn clients(count: usize) -> Vec<ConnId> {
        let mut conns = SlotMap::with_key();
        (0..count).map(|_| conns.insert(())).collect()
    }

    fn say(shares: &mut Shares, conn: ConnId) -> bool {
        shares.admit(conn, ClientId::nil(), Part::Words, ITEM)
    }

    fn settle(shares: &mut Shares) -> Vec<(ConnId, u64)> {
        let mut missed = Vec::new();
        shares.settle(|conn, _, count| missed.push((conn, count)));
        missed
    }

    #[test]
    fn who_says_too_much_loses_its_own_words_and_is_heard_again_in_the_next_round() {
        let [loud, quiet] = clients(2)[..] else { panic!() };
        let mut shares = Shares::new(8 << 20);
        let heard = (0..100_000).filter(|_| say(&mut shares, loud)).count();
        assert_eq!(heard, (1 << 20) / ITEM);
        assert!((0..1000).all(|_| say(&mut shares, quiet)));
        assert_eq!(settle(&mut shares), [(loud, 100_000 - heard as u64)]);
        assert!(say(&mut shares, loud));
        assert_eq!(settle(&mut shares), []);
    }

    #[test]
    fn a_crowd_that_says_too_much_leaves_everybody_what_it_is_assured_of() {
        let conns = clients(100);
        let mut shares = Shares::new(8 << 20);
        for conn in &conns[1..] {
            while say(&mut shares, *conn) {}
        }
        assert!(!shares.has_room());
        assert_eq!((0..1000).filter(|_| say(&mut shares, conns[0])).count(), ASSURED / ITEM);
        assert!(shares.bytes < (8 << 20) + 100 * ASSURED, "{}", shares.bytes);
    }

    #[test]
    fn what_is_there_of_a_client_has_no_holes() {
        let conn = clients(1)[0];
        let mut shares = Shares::new(8 << 20);
        assert!(!shares.admit(conn, ClientId::nil(), Part::Words, usize::MAX));
        assert!(!say(&mut shares, conn), "a short word after one that was too long");
        assert!(shares.admit(conn, ClientId::nil(), Part::Changes, ITEM), "another part");
        assert_eq!(settle(&mut shares), [(conn, 2)]);
    }

    #[test]
    fn what_is_missing_of_one_who_goes_is_told_once() {
        let conn = clients(1)[0];
        let mut shares = Shares::new(0);
        while say(&mut shares, conn) {}
        assert_eq!(shares.forget(conn), Some(1));
        assert_eq!(shares.forget(conn), None);
        assert_eq!(settle(&mut shares), []);
    }
}
