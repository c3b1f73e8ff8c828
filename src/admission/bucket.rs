//! A bucket of units that refills evenly, at a rate that can change, in integers. What was taken can be given back, and more can be owed than
//! the bucket has.
//!
//! A nanosecond has as many parts as the rate has units a minute, so there is no division and no rounding.

use std::time::Duration;

use tokio::time::Instant;

/// The parts of a unit: the nanoseconds of a minute.
const UNIT: i128 = 60_000_000_000;

/// The longest wait that is reported.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A bucket. It begins full.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// Units a minute.
    rate: u64,
    /// The units that it holds at most.
    burst: u64,
    /// In parts of a unit. Negative: more was used than there was.
    level: i128,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(rate: u64, burst: u64, now: Instant) -> Self {
        Self { rate, burst, level: parts(burst), at: now }
    }

    /// The units of a minute.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// The units that it holds at most.
    pub(crate) fn burst(&self) -> u64 {
        self.burst
    }

    /// Goes on with another rate. What the bucket holds beyond its new burst is lost.
    pub(crate) fn change(&mut self, rate: u64, burst: u64, now: Instant) {
        self.refill(now);
        (self.rate, self.burst) = (rate, burst);
        self.level = self.level.min(parts(burst));
    }

    /// Goes on with another rate, and keeps what it holds.
    pub(crate) fn change_rate(&mut self, rate: u64, now: Instant) {
        self.change(rate, self.burst, now);
    }

    /// The whole units that it could still take in, and those that it owes.
    pub(crate) fn missing(&mut self, now: Instant) -> u64 {
        self.refill(now);
        u64::try_from(parts(self.burst).saturating_sub(self.level).max(0) / UNIT).unwrap_or(u64::MAX)
    }

    /// Whether a call that takes these units may begin. A call that takes more than the bucket can hold begins when it is full.
    pub(crate) fn has(&mut self, units: u64, now: Instant) -> bool {
        self.refill(now);
        self.burst > 0 && self.level >= parts(units.min(self.burst))
    }

    /// Takes units, whether there are as many or not.
    pub(crate) fn take(&mut self, units: u64, now: Instant) {
        self.refill(now);
        self.level = self.level.saturating_sub(parts(units));
    }

    /// Gives units back.
    pub(crate) fn give_back(&mut self, units: u64, now: Instant) {
        self.refill(now);
        self.level = self.level.saturating_add(parts(units)).min(parts(self.burst));
    }

    /// Empties the bucket, unless it owes units already. It refills from `until` on.
    pub(crate) fn empty(&mut self, until: Instant, now: Instant) {
        self.refill(now);
        self.level = self.level.min(0);
        self.at = self.at.max(until);
    }

    /// The time until a call that takes these units may begin, if nothing else is taken. `None` if it never may.
    pub(crate) fn wait(&mut self, units: u64, now: Instant) -> Option<Duration> {
        self.refill(now);
        let missing = parts(units.min(self.burst)).saturating_sub(self.level).max(0);
        match (missing, self.rate) {
            (0, _) if self.burst > 0 => Some(Duration::ZERO),
            (_, 0) => None,
            _ if self.burst == 0 => None,
            (missing, rate) => {
                let nanos = missing.unsigned_abs().div_ceil(u128::from(rate));
                let refilled = u64::try_from(nanos).map_or(LONGEST_WAIT, Duration::from_nanos).min(LONGEST_WAIT);
                Some(self.at.saturating_duration_since(now) + refilled)
            }
        }
    }

    /// The whole units that it holds.
    pub(crate) fn level(&mut self, now: Instant) -> u64 {
        self.refill(now);
        u64::try_from(self.level.max(0) / UNIT).unwrap_or(u64::MAX)
    }

    /// Whether it holds all that it can hold.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level >= parts(self.burst)
    }

    /// Whether it holds at least half of what it can hold.
    pub(crate) fn is_half_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level.saturating_mul(2) >= parts(self.burst)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        // It can be later: a bucket that was emptied refills from a later time on.
        self.at = self.at.max(now);
        let more = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX).saturating_mul(i128::from(self.rate));
        self.level = self.level.saturating_add(more).min(parts(self.burst).max(self.level));
    }
}

fn parts(units: u64) -> i128 {
    i128::from(units) * UNIT
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_refills_evenly_and_owes_what_was_used_beyond_it() {
        let now = Instant::now();
        let mut bucket = Bucket::full(60, 10, now);
        assert!(bucket.has(10, now));
        bucket.take(10, now);
        assert_eq!(bucket.wait(3, now), Some(seconds(3)));
        assert!(!bucket.has(3, now + seconds(2)) && bucket.has(3, now + seconds(3)));
        bucket.take(23, now + seconds(3));
        assert_eq!((bucket.level(now + seconds(3)), bucket.wait(1, now + seconds(3))), (0, Some(seconds(21))));
        bucket.give_back(100, now + seconds(3));
        assert_eq!(bucket.level(now + seconds(3)), 10, "not more than it can hold");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_more_than_the_bucket_holds_begins_when_it_is_full() {
        let now = Instant::now();
        let mut bucket = Bucket::full(60, 10, now);
        assert!(bucket.has(1_000, now));
        bucket.take(1_000, now);
        assert_eq!(bucket.wait(1_000, now), Some(seconds(1_000)));
        assert!(!bucket.has(1, now + seconds(990)) && bucket.has(1, now + seconds(991)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_without_a_rate_says_that_nothing_will_come() {
        let now = Instant::now();
        let mut bucket = Bucket::full(0, 0, now);
        assert!(!bucket.has(0, now));
        assert_eq!(bucket.wait(1, now), None);
        bucket.change(60, 1, now);
        assert_eq!(bucket.wait(1, now), Some(seconds(1)));
        bucket.change(u64::MAX, u64::MAX, now);
        assert!(bucket.wait(u64::MAX, now).is_some());
    }

    proptest! {
        /// Whatever is taken and given back, in any interval the bucket lets no more begin than its rate and its burst allow, and the one call
        /// that is larger than the burst.
        #[test]
        fn what_begins_in_an_interval_is_bounded(
            steps in proptest::collection::vec((0_u64..3_000, 0_u64..40, any::<bool>()), 1..200),
            rate in 1_u64..5_000,
            burst in 1_u64..1_000,
        ) {
            let start = Instant::now();
            let (mut bucket, mut now, mut begun) = (Bucket::full(rate, burst, start), start, Vec::new());
            for (millis, units, settles) in steps {
                now += Duration::from_millis(millis);
                if bucket.has(units, now) {
                    bucket.take(units, now);
                    let kept = if settles { units / 2 } else { units };
                    bucket.give_back(units - kept, now);
                    begun.push((now, kept, units));
                }
            }
            for (at, (from, ..)) in begun.iter().enumerate() {
                let mut sum = 0;
                for (until, kept, largest) in &begun[at..] {
                    sum += kept;
                    let minutes = (*until - *from).as_secs_f64() / 60.0;
                    let most = (burst as f64 + minutes * rate as f64).ceil() as u64 + largest.saturating_sub(burst) + 1;
                    prop_assert!(sum <= most + 40, "{sum} in {minutes} minutes, and {most} are allowed");
                }
            }
        }
    }
}
