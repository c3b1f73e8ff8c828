//! Limits the requests or tokens of each client per minute, by its own rate or the rate for every client. Reserved tokens that were not
//! used are returned.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    client::ClientId,
    gcra::{self, Parts, Rate, Refused},
};

/// The buckets of all clients. The units of a minute can be used at once, and refill evenly.
#[derive(Debug)]
pub(super) struct RateLimit {
    start: Instant,
    /// The time at which each bucket is full again, in parts of its rate. A bucket that is not listed is full.
    full_at: Mutex<HashMap<Bucket, Parts>>,
}

/// A client and its rate. A client whose rate changes begins with a full bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    pub(super) client: ClientId,
    pub(super) rate: Rate,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { start: Instant::now(), full_at: Mutex::default() }
    }
}

impl RateLimit {
    /// Takes this amount, or nothing.
    pub(super) fn take(&self, bucket: &Bucket, amount: u32) -> Result<(), Refused> {
        if amount == 0 {
            return Ok(());
        }
        let mut full_at = self.full_at.lock();
        let taken = bucket.rate.take(full_at.get(bucket).copied(), self.now(bucket.rate), amount)?;
        full_at.insert(bucket.clone(), taken);
        Ok(())
    }

    /// Whether this amount could be taken now. Nothing is taken.
    pub(super) fn check(&self, bucket: &Bucket, amount: u32) -> Result<(), Refused> {
        let full_at = self.full_at.lock().get(bucket).copied();
        bucket.rate.take(full_at, self.now(bucket.rate), amount).map(drop)
    }

    /// The units of a minute that are taken now, at most all of them.
    pub(super) fn taken(&self, bucket: &Bucket) -> u32 {
        let full_at = self.full_at.lock().get(bucket).copied().unwrap_or_default();
        let taken = full_at.saturating_sub(self.now(bucket.rate)).div_ceil(gcra::UNIT);
        u32::try_from(taken).unwrap_or(u32::MAX).min(bucket.rate.units())
    }

    /// Replaces the amount that was taken by the amount that was used. If more was used, later calls wait for the difference.
    pub(super) fn settle(&self, bucket: &Bucket, taken: u32, used: u32) {
        let mut full_at = self.full_at.lock();
        let more = used.saturating_sub(taken);
        if more > 0 {
            let owed = gcra::add(full_at.get(bucket).copied(), self.now(bucket.rate), more);
            full_at.insert(bucket.clone(), owed);
        } else if let Some(full_at) = full_at.get_mut(bucket) {
            *full_at = gcra::give_back(*full_at, taken - used);
        }
    }

    /// Removes the buckets that are full, and releases their memory.
    pub(super) fn forget_idle(&self) {
        let mut buckets = self.full_at.lock();
        let elapsed = self.start.elapsed();
        buckets.retain(|bucket, full_at| *full_at > bucket.rate.at(elapsed));
        let in_use = buckets.len();
        if buckets.capacity() / 4 > in_use {
            buckets.shrink_to(2 * in_use);
        }
    }

    /// What was used of a bucket, if it was never full since the start. `None` if the bucket is not known.
    #[cfg(test)]
    pub(super) fn used(&self, bucket: &Bucket) -> Option<u128> {
        self.full_at.lock().get(bucket).map(|full_at| full_at / gcra::UNIT)
    }

    fn now(&self, rate: Rate) -> Parts {
        rate.at(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, num::NonZeroU32, time::Duration};

    use super::*;

    fn bucket(client: ClientId, per_minute: u32) -> Bucket {
        Bucket { client, rate: Rate::per_minute(NonZeroU32::new(per_minute).unwrap()) }
    }

    fn rate(per_minute: u32) -> (RateLimit, Bucket) {
        (RateLimit::default(), bucket(ClientId::Unknown, per_minute))
    }

    #[tokio::test(start_paused = true)]
    async fn each_client_has_its_own_rate_and_a_new_rate_begins_with_a_full_bucket() {
        let (rate, slow) = rate(60);
        let fast = bucket(ClientId::Caller("fast".into()), 6_000);
        rate.take(&slow, 60).unwrap();
        rate.take(&fast, 6_000).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rate.take(&slow, 2), Err(Refused::Until(Duration::from_secs(1))));
        rate.take(&fast, 100).unwrap();
        rate.take(&bucket(ClientId::Unknown, 61), 61).unwrap();
        tokio::time::advance(Duration::from_mins(1)).await;
        rate.forget_idle();
        assert_eq!(rate.full_at.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_may_be_used_at_once_and_comes_back_evenly() {
        let (rate, client) = rate(60);
        tokio::time::advance(Duration::from_secs(5)).await;
        rate.take(&client, 60).unwrap();
        assert_eq!(rate.take(&client, 3), Err(Refused::Until(Duration::from_secs(3))));
        tokio::time::advance(Duration::from_nanos(2_999_999_999)).await;
        assert_eq!(rate.take(&client, 3), Err(Refused::Until(Duration::from_nanos(1))));
        tokio::time::advance(Duration::from_nanos(1)).await;
        rate.take(&client, 3).unwrap();
        assert_eq!(rate.take(&client, 61), Err(Refused::Never));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_comes_back_and_what_was_used_beyond_is_owed() {
        let (rate, client) = rate(60);
        rate.take(&client, 50).unwrap();
        rate.settle(&client, 50, 10);
        rate.take(&client, 50).unwrap();
        rate.settle(&client, 50, 80);
        let thirty_more_than_the_minutes_worth = Duration::from_secs(31);
        assert_eq!(rate.take(&client, 1), Err(Refused::Until(thirty_more_than_the_minutes_worth)));
    }

    #[tokio::test(start_paused = true)]
    async fn clients_with_a_full_bucket_are_forgotten() {
        let (rate, client) = rate(60);
        rate.take(&client, 10).unwrap();
        rate.forget_idle();
        assert_eq!(rate.full_at.lock().len(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        rate.forget_idle();
        assert_eq!(rate.full_at.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_flood_of_clients_is_given_back() {
        let (rate, _) = rate(60);
        for number in 0..10_000_u32 {
            let client = ClientId::of_address(IpAddr::from(number.to_be_bytes()));
            rate.take(&bucket(client, 60), 1).unwrap();
        }
        assert_eq!(rate.full_at.lock().len(), 10_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        rate.forget_idle();
        assert_eq!(rate.full_at.lock().capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_and_a_refund_take_no_memory() {
        let (rate, client) = rate(1);
        rate.take(&client, 2).unwrap_err();
        rate.take(&client, 0).unwrap();
        rate.settle(&client, 1, 0);
        assert_eq!(rate.full_at.lock().len(), 0);
    }
}
