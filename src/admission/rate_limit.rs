//! How much a caller may ask for in a minute, of requests or of tokens: governor's bucket, and a way to put back what was not used.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{
        StateStore,
        keyed::{HashMapStateStore, ShrinkableKeyedStateStore},
    },
};
use tokio::time::Instant;

use super::client_id::ClientId;

/// A minute's worth for each caller. It may be used at once and comes back evenly.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_minute: NonZeroU32,
    clock: SinceStart,
    store: Store,
    limiter: RateLimiter<ClientId, Store, SinceStart, NoOpMiddleware<Duration>>,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is enough after this time.
    Until(Duration),
    /// It is more than a minute's worth.
    Never,
}

/// The time of tokio, which tests can move.
#[derive(Clone, Copy, Debug)]
struct SinceStart(Instant);

impl Clock for SinceStart {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// governor's own store, shared, because governor has no way to give something back.
#[derive(Clone, Debug, Default)]
struct Store(Arc<HashMapStateStore<ClientId>>);

impl StateStore for Store {
    type Key = ClientId;

    fn measure_and_replace<T, F, E>(&self, key: &ClientId, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, f)
    }
}

impl RateLimit {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let (clock, store) = (SinceStart(Instant::now()), Store::default());
        let limiter = RateLimiter::new(Quota::per_minute(per_minute), store.clone(), clock);
        Self { per_minute, clock, store, limiter }
    }

    /// The minute's worth.
    pub(super) fn per_minute(&self) -> u32 {
        self.per_minute.get()
    }

    /// Takes so much, or nothing.
    pub(super) fn take(&self, caller: &ClientId, amount: u32) -> Result<(), Refused> {
        let Some(amount) = NonZeroU32::new(amount) else { return Ok(()) };
        match self.limiter.check_key_n(caller, amount) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(Refused::Until(until.wait_time_from(self.clock.now()))),
            Err(_) => Err(Refused::Never),
        }
    }

    /// Corrects what was taken once the true amount is known. More than was taken is a debt, which later calls wait for.
    pub(super) fn settle(&self, caller: &ClientId, taken: u32, used: u32) {
        // The state of the bucket is the time at which it is full again.
        let each = Duration::from_mins(1).as_nanos() / u128::from(self.per_minute.get());
        let time_of = |amount: u32| Nanos::from(u64::try_from(each * u128::from(amount)).unwrap_or(u64::MAX));
        let now = Nanos::from(self.clock.now());
        let settled: Result<(), ()> = self.store.measure_and_replace(caller, |full_at| {
            let full_at = full_at.unwrap_or(now);
            let full_at = match used.checked_sub(taken) {
                Some(more) => full_at.max(now) + time_of(more),
                None => full_at.saturating_sub(time_of(taken - used)),
            };
            Ok(((), full_at))
        });
        debug_assert!(settled.is_ok(), "nothing refuses");
    }

    /// Forgets the callers whose buckets are full.
    pub(super) fn forget_idle(&self) {
        self.store.0.retain_recent(Nanos::from(self.clock.now()));
    }
}

#[cfg(test)]
mod tests {
    use http::Extensions;

    use super::*;

    fn rate(per_minute: u32) -> (RateLimit, ClientId) {
        (RateLimit::new(NonZeroU32::new(per_minute).unwrap()), ClientId::of(&Extensions::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_may_be_used_at_once_and_comes_back_evenly() {
        let (rate, caller) = rate(60);
        tokio::time::advance(Duration::from_secs(5)).await;
        rate.take(&caller, 60).unwrap();
        let Err(Refused::Until(wait)) = rate.take(&caller, 3) else { panic!("refused") };
        assert!(wait > Duration::from_secs(2) && wait <= Duration::from_secs(3), "{wait:?}");
        tokio::time::advance(wait).await;
        rate.take(&caller, 3).unwrap();
        assert_eq!(rate.take(&caller, 61), Err(Refused::Never));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
        let (rate, caller) = rate(60);
        tokio::time::advance(Duration::from_secs(5)).await;
        rate.take(&caller, 50).unwrap();
        rate.settle(&caller, 50, 10);
        rate.take(&caller, 50).unwrap();
        rate.settle(&caller, 50, 80);
        let Err(Refused::Until(wait)) = rate.take(&caller, 1) else { panic!("refused") };
        assert!(wait > Duration::from_secs(29), "thirty more than the minute's worth: {wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_with_a_full_bucket_are_forgotten() {
        let (rate, caller) = rate(60);
        tokio::time::advance(Duration::from_secs(5)).await;
        rate.take(&caller, 10).unwrap();
        rate.forget_idle();
        assert_eq!(rate.store.0.len(), 1);
        tokio::time::advance(Duration::from_secs(11)).await;
        rate.forget_idle();
        assert_eq!(rate.store.0.len(), 0);
    }
}
