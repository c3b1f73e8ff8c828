//! The part of a configured quota that is spent: less for a while after Bedrock has throttled, so that a quota that is configured too high
//! corrects itself. Additive increase, multiplicative decrease, as in congestion control.

use tokio::time::Instant;

/// A whole, in millionths.
const WHOLE: u64 = 1_000_000;

/// The part that is left at least after a throttle.
const DECREASE: u64 = 800_000;

/// The part of what was spent in the minute before a throttle that is spent after it.
const BELOW_SEEN: u64 = 950_000;

/// The smallest part.
const LEAST: u64 = 50_000;

/// What is added in a minute without a throttle.
const INCREASE: u64 = 100_000;

/// The safe share of a quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct SafeShare {
    /// In millionths, at `since`.
    millionths: u64,
    since: Instant,
}

impl SafeShare {
    /// The whole.
    pub(super) fn whole(now: Instant) -> Self {
        Self { millionths: WHOLE, since: now }
    }

    /// The share in millionths.
    pub(super) fn millionths(&self, now: Instant) -> u64 {
        let elapsed = u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        self.millionths.saturating_add(elapsed.saturating_mul(INCREASE) / 60_000).min(WHOLE)
    }

    /// This part of a number, rounded up, so that a small quota is never none.
    pub(super) fn of(&self, number: u64, now: Instant) -> u64 {
        let part = (u128::from(number) * u128::from(self.millionths(now))).div_ceil(u128::from(WHOLE));
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Bedrock has throttled a call, after this part of the quota was spent within a minute. That is about what there is, unless others spend
    /// the same quota.
    pub(super) fn throttled(&mut self, spent_millionths: u64, now: Instant) {
        let before = self.millionths(now);
        let seen = spent_millionths.min(WHOLE) * BELOW_SEEN / WHOLE;
        let left = seen.min(before).max(before * DECREASE / WHOLE);
        *self = Self { millionths: left.max(LEAST), since: now };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn throttles_lower_it_quickly_and_time_raises_it_slowly() {
        let now = Instant::now();
        let mut share = SafeShare::whole(now);
        share.throttled(0, now);
        assert_eq!((share.millionths(now), share.of(1_000, now)), (800_000, 800));
        assert_eq!((share.of(1, now), share.of(0, now)), (1, 0));
        let later = now + Duration::from_mins(1);
        assert_eq!(share.millionths(later), 900_000);
        assert_eq!(share.millionths(later + Duration::from_hours(1)), WHOLE);
        (0..100).for_each(|_| share.throttled(0, now));
        assert_eq!(share.millionths(now), LEAST);
        assert_eq!(share.of(u64::MAX, now + Duration::from_hours(24)), u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_that_is_configured_too_high_is_lowered_to_what_was_seen() {
        let now = Instant::now();
        let mut share = SafeShare::whole(now);
        (0..5).for_each(|_| share.throttled(500_000, now));
        assert_eq!(share.millionths(now), 475_000);
        let mut full = SafeShare::whole(now);
        full.throttled(2_000_000, now);
        assert_eq!(full.millionths(now), 950_000);
    }
}
