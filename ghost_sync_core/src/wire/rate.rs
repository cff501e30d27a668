//! So much in so much time: what a server tells its clients, and both count. Each bucket is one
//! number: when it will be full again (GCRA).

use std::time::Duration;

use wincode::{SchemaRead, SchemaWrite};

/// What one connection may ask for in how much time. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Rates {
    /// Broadcasts and messages to the server.
    pub messages: Option<Rate>,
    /// Bytes of their payloads, each counted as 64 at least.
    pub bytes: Option<Rate>,
    /// Bytes that broadcasts become: payload and 34 more, for each member of the room.
    pub fan_out: Option<Rate>,
    /// Requests: a join costs 1, a list of rooms 4, a change of metadata 2 and 1 more for each
    /// 256 bytes of it, another token 4.
    pub requests: Option<Rate>,
    /// Pings.
    pub pings: Option<Rate>,
}

/// So much in so much time, and how much of it at once.
///
/// ```
/// use ghost_sync_core::Rate;
/// let rate = Rate::per_second(30).burst(90);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, SchemaRead, SchemaWrite)]
pub struct Rate {
    amount: u64,
    /// Nanoseconds in which `amount` comes back.
    period: u64,
    burst: u64,
}

impl Rate {
    /// So much a second, and twice that at once.
    pub const fn per_second(amount: u64) -> Self {
        Self { amount, period: SECOND, burst: amount.saturating_mul(2) }
    }

    /// So much a minute, and as much at once.
    pub const fn per_minute(amount: u64) -> Self {
        Self { amount, period: 60 * SECOND, burst: amount }
    }

    /// With so much at once. What costs more than that is taken when nothing else was for
    /// as long as a burst takes to come back, and is paid for afterwards.
    #[must_use]
    pub const fn burst(self, burst: u64) -> Self {
        Self { burst, ..self }
    }

    /// With at least so much at once.
    pub(crate) fn at_least(self, burst: usize) -> Self {
        self.burst(self.burst.max(burst as u64))
    }

    /// With half as much at once: what is sent by this arrives within the whole, though a line
    /// delays some of it.
    pub(crate) fn half_burst(self) -> Self {
        self.burst((self.burst / 2).max(1))
    }

    /// How much a second, and how much at once.
    #[cfg(feature = "testing")]
    pub(crate) fn parts(self) -> (f64, f64) {
        (self.amount as f64 * SECOND as f64 / self.period as f64, self.burst as f64)
    }

    /// Nanoseconds in which `cost` comes back, rounded up; for ever where nothing does.
    pub(crate) fn time(self, cost: u64) -> u64 {
        if cost == 0 {
            return 0;
        }
        if self.amount == 0 {
            return u64::MAX;
        }
        match cost.checked_mul(self.period) {
            Some(whole) => whole.div_ceil(self.amount),
            None => {
                let whole = u128::from(cost) * u128::from(self.period);
                u64::try_from(whole.div_ceil(self.amount.into())).unwrap_or(u64::MAX)
            }
        }
    }
}

/// What something takes out of the buckets of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) fan_out: u64,
    pub(crate) requests: u64,
    pub(crate) pings: u64,
}

impl Cost {
    pub(crate) const JOIN: Self = Self::request(1);
    pub(crate) const LIST: Self = Self::request(4);
    pub(crate) const TOKEN: Self = Self::request(4);

    const fn request(cost: u64) -> Self {
        Self { requests: cost, messages: 0, bytes: 0, fan_out: 0, pings: 0 }
    }

    /// A change of metadata with a key and value of so many bytes.
    pub(crate) fn metadata(len: usize) -> Self {
        Self::request(2 + len as u64 / 256)
    }

    /// A payload of so many bytes, which so many members are to hear.
    pub(crate) fn message(len: usize, members: usize) -> Self {
        let len = len as u64;
        let fan_out = len.saturating_add(BROADCAST_HEADER as u64).saturating_mul(members as u64);
        Self { messages: 1, bytes: len.max(SMALLEST), fan_out, requests: 0, pings: 0 }
    }
}

/// Bytes of a delivered broadcast beside its payload, at most.
pub(crate) const BROADCAST_HEADER: usize = 34;

/// What the smallest payload counts as.
const SMALLEST: u64 = 64;

/// What came in, by when it will be forgotten: nanoseconds on the relay's clock. Full at first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Bucket(u64);

impl Bucket {
    /// When it is full again.
    pub(crate) fn full_at(self) -> u64 {
        self.0
    }

    /// What came in is forgotten so much earlier.
    pub(crate) fn earlier(&mut self, by: u64) {
        self.0 = self.0.saturating_sub(by);
    }

    /// Takes `cost` out.
    ///
    /// # Errors
    /// How long to wait; nothing is taken then.
    pub(crate) fn check(
        &mut self,
        now: u64,
        rate: Option<Rate>,
        cost: u64,
    ) -> Result<(), Duration> {
        let Some(rate) = rate.filter(|_| cost > 0) else { return Ok(()) };
        let burst = if planted!("burst-forgotten") { 0 } else { rate.time(rate.burst) };
        let filled_by = if planted!("bucket-refills-beyond-burst") { 0 } else { now };
        let (time, full) = (rate.time(cost), self.0.max(filled_by));
        let missing = full.saturating_sub(now).saturating_add(time.min(burst));
        match missing.saturating_sub(burst) {
            0 => {
                self.0 = full.saturating_add(time);
                Ok(())
            }
            missing => Err(Duration::from_nanos(missing)),
        }
    }
}

const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_comes_back_with_time() {
        let (mut bucket, rate) = (Bucket::default(), Some(Rate::per_second(5).burst(20)));
        for _ in 0..20 {
            assert_eq!(bucket.check(0, rate, 1), Ok(()));
        }
        let wait = bucket.check(0, rate, 1);
        assert_eq!(wait, Err(Duration::from_millis(200)));
        assert_eq!(bucket.check(199_999_999, rate, 1), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.check(200_000_000, rate, 1), Ok(()));
        assert_eq!(bucket.check(200_000_000, rate, 4), Err(Duration::from_millis(800)));
    }

    #[test]
    fn however_long_nothing_comes_a_bucket_holds_one_burst() {
        let (mut bucket, rate) = (Bucket::default(), Some(Rate::per_second(5).burst(20)));
        let late = 1000 * SECOND;
        assert_eq!(bucket.check(late, rate, 20), Ok(()));
        assert!(bucket.check(late, rate, 1).is_err());
    }

    #[test]
    fn what_costs_more_than_a_burst_is_taken_from_a_full_bucket_and_paid_for() {
        let (mut bucket, rate) = (Bucket::default(), Some(Rate::per_second(10).burst(10)));
        assert_eq!(bucket.check(0, rate, 50), Ok(()));
        assert_eq!(bucket.check(0, rate, 1), Err(Duration::from_millis(4100)));
        assert_eq!(bucket.check(4_100_000_000, rate, 1), Ok(()));
    }

    #[test]
    fn extreme_rates_neither_overflow_nor_stand_still() {
        let most = Some(Rate::per_second(u64::MAX).burst(u64::MAX));
        let mut bucket = Bucket::default();
        assert_eq!(bucket.check(u64::MAX, most, u64::MAX), Ok(()));
        let mut bucket = Bucket::default();
        let nothing = Some(Rate::per_second(0));
        assert_eq!(bucket.check(5, nothing, 0), Ok(()));
        assert_eq!(bucket.check(5, nothing, 1), Ok(()), "of a full bucket");
        assert!(bucket.check(u64::MAX - 1, nothing, 1).is_err(), "nothing ever comes back");
        let mut bucket = Bucket::default();
        let one = Some(Rate::per_minute(1).burst(0));
        assert_eq!(bucket.check(u64::MAX, one, u64::MAX), Ok(()));
        assert_eq!(bucket.check(0, None, u64::MAX), Ok(()));
    }
}
