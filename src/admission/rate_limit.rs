//! Limits the requests or tokens of each client per minute. Reserved tokens that were not used are returned.

use std::{collections::HashMap, num::NonZeroU32};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    client_id::ClientId,
    gcra::{self, Parts, Rate, Refused},
};

/// A rate for each client. The units of a minute can be used at once, and refill evenly.
#[derive(Debug)]
pub(super) struct RateLimit {
    rate: Rate,
    start: Instant,
    /// The time at which the bucket of each client is full again. A client that is not listed has a full one.
    full_at: Mutex<HashMap<ClientId, Parts>>,
}

impl RateLimit {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        Self { rate: Rate::per_minute(per_minute), start: Instant::now(), full_at: Mutex::default() }
    }

    /// The units of a minute.
    pub(super) fn per_minute(&self) -> u32 {
        self.rate.units()
    }

    /// Takes this amount, or nothing.
    pub(super) fn take(&self, client: &ClientId, amount: u32) -> Result<(), Refused> {
        if amount == 0 {
            return Ok(());
        }
        let mut full_at = self.full_at.lock();
        let taken = self.rate.take(full_at.get(client).copied(), self.now(), amount)?;
        full_at.insert(client.clone(), taken);
        Ok(())
    }

    /// Replaces the amount that was taken by the amount that was used. If more was used, later calls wait for the difference.
    pub(super) fn settle(&self, client: &ClientId, taken: u32, used: u32) {
        let mut full_at = self.full_at.lock();
        let more = used.saturating_sub(taken);
        if more > 0 {
            let owed = gcra::add(full_at.get(client).copied(), self.now(), more);
            full_at.insert(client.clone(), owed);
        } else if let Some(full_at) = full_at.get_mut(client) {
            *full_at = gcra::give_back(*full_at, taken - used);
        }
    }

    /// Removes the clients whose buckets are full, and releases their memory.
    pub(super) fn forget_idle(&self) {
        let mut clients = self.full_at.lock();
        let now = self.now();
        clients.retain(|_, full_at| *full_at > now);
        let in_use = clients.len();
        if clients.capacity() / 4 > in_use {
            clients.shrink_to(2 * in_use);
        }
    }

    /// What a client has used, if its bucket was never full since the start. `None` if the client is not known.
    #[cfg(test)]
    pub(super) fn used(&self, client: &ClientId) -> Option<u128> {
        self.full_at.lock().get(client).map(|full_at| full_at / gcra::UNIT)
    }

    fn now(&self) -> Parts {
        self.rate.at(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use http::Extensions;
    use tonic::transport::server::TcpConnectInfo;

    use super::*;

    fn rate(per_minute: u32) -> (RateLimit, ClientId) {
        (RateLimit::new(NonZeroU32::new(per_minute).unwrap()), ClientId::of(&Extensions::new()))
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
            let address = (IpAddr::from(number.to_be_bytes()), 1).into();
            let mut extensions = Extensions::new();
            extensions.insert(TcpConnectInfo { local_addr: None, remote_addr: Some(address) });
            rate.take(&ClientId::of(&extensions), 1).unwrap();
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
