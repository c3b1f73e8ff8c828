//! Limits the requests or tokens of each client per minute, by its own rate or the rate for every client. Reserved tokens that were not
//! used are returned. Where servers share the limits of callers, each spends its share.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{bucket::Bucket, client::ClientId, demand::Demand};

/// The buckets of all clients. The units of a minute can be used at once, and refill evenly.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    /// A client that is not listed has a full bucket.
    clients: Mutex<HashMap<ClientId, State>>,
}

/// A client and its rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientRate {
    pub(super) client: ClientId,
    pub(super) per_minute: NonZeroU32,
    /// The equal part that each server has, if servers share the rate: what it begins with, and what can be used at once here.
    pub(super) equal_part: Option<NonZeroU32>,
}

/// Why units cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// They can be taken after this time.
    Until(Duration),
    /// They are more than the units of a minute.
    Never,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    /// Of all servers.
    per_minute: u32,
    /// What this server may use of it. `None`: servers do not share it.
    share: Option<u32>,
    /// Whether units were refused since the last claim.
    was_refused: bool,
    /// What was used in all.
    #[cfg(test)]
    used: i128,
}

impl ClientRate {
    /// What can be used at once at this server.
    fn at_once(&self) -> u64 {
        self.equal_part.unwrap_or(self.per_minute).min(self.per_minute).get().into()
    }
}

impl State {
    fn new(rate: &ClientRate, now: Instant) -> Self {
        let share = rate.equal_part.map(NonZeroU32::get);
        let all = rate.at_once();
        Self {
            bucket: Bucket::full(all, all, now),
            per_minute: rate.per_minute.get(),
            share,
            was_refused: false,
            #[cfg(test)]
            used: 0,
        }
    }

    /// Follows a rate or a share that has changed. What was taken stays taken. A share is a part of what comes with time: what is there stays
    /// there, because no other server has it.
    fn follow(&mut self, rate: &ClientRate, now: Instant) {
        self.per_minute = rate.per_minute.get();
        let share = self.share.unwrap_or(u32::MAX).min(self.per_minute);
        self.bucket.change(share.into(), rate.at_once(), now);
    }

    fn try_take(&mut self, amount: u32, now: Instant) -> Result<(), Refused> {
        if self.bucket.has(amount.into(), now) {
            return Ok(());
        }
        self.was_refused = true;
        // Without a share, another one comes with the next renewal.
        Err(Refused::Until(self.bucket.wait(amount.into(), now).unwrap_or(NEXT_SHARE)))
    }
}

/// The time after which a server that has no share has another one.
const NEXT_SHARE: Duration = Duration::from_secs(1);

impl RateLimit {
    /// Takes this amount, or nothing.
    pub(super) fn take(&self, rate: &ClientRate, amount: u32) -> Result<(), Refused> {
        if amount == 0 {
            return Ok(());
        }
        if amount > rate.per_minute.get() {
            return Err(Refused::Never);
        }
        let now = Instant::now();
        let mut clients = self.clients.lock();
        let state = clients.entry(rate.client.clone()).or_insert_with(|| State::new(rate, now));
        state.follow(rate, now);
        state.try_take(amount, now)?;
        state.bucket.take(amount.into(), now);
        #[cfg(test)]
        {
            state.used += i128::from(amount);
        }
        Ok(())
    }

    /// Whether this amount could be taken now. Nothing is taken.
    pub(super) fn check(&self, rate: &ClientRate, amount: u32) -> Result<(), Refused> {
        let now = Instant::now();
        let mut clients = self.clients.lock();
        match clients.get_mut(&rate.client) {
            Some(state) => state.try_take(amount, now),
            None => State::new(rate, now).try_take(amount, now),
        }
    }

    /// Whether this server has less than the whole rate of a client, because servers share it.
    pub(super) fn has_less(&self, client: &ClientId) -> bool {
        let clients = self.clients.lock();
        clients.get(client).is_some_and(|state| state.share.is_some_and(|share| share < state.per_minute))
    }

    /// What this server may use of a minute, and the units of it that are taken now, at most all of them.
    pub(super) fn taken(&self, rate: &ClientRate) -> (u32, u32) {
        let now = Instant::now();
        let mut clients = self.clients.lock();
        let Some(state) = clients.get_mut(&rate.client) else {
            return (rate.equal_part.map_or(rate.per_minute.get(), NonZeroU32::get), 0);
        };
        let level = u32::try_from(state.bucket.level(now)).unwrap_or(u32::MAX);
        let share = state.share.unwrap_or(u32::MAX).min(state.per_minute);
        (share, u32::try_from(rate.at_once()).unwrap_or(u32::MAX).saturating_sub(level).min(share))
    }

    /// Replaces the amount that was taken by the amount that was used. If more was used, later calls wait for the difference.
    pub(super) fn settle(&self, rate: &ClientRate, taken: u32, used: u32) {
        let now = Instant::now();
        let mut clients = self.clients.lock();
        let state = match clients.get_mut(&rate.client) {
            Some(state) => state,
            None if used > taken => clients.entry(rate.client.clone()).or_insert_with(|| State::new(rate, now)),
            None => return,
        };
        #[cfg(test)]
        {
            state.used += i128::from(used) - i128::from(taken);
        }
        if used > taken {
            state.bucket.take(u64::from(used - taken), now);
        } else {
            state.bucket.give_back(u64::from(taken - used), now);
        }
    }

    /// Removes the buckets that are full, and releases their memory.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        let mut clients = self.clients.lock();
        clients.retain(|_, state| !state.bucket.is_full(now));
        let in_use = clients.len();
        if clients.capacity() / 4 > in_use {
            clients.shrink_to(2 * in_use);
        }
    }

    /// What callers could use of their limits here.
    pub(super) fn demands(&self) -> Vec<Demand> {
        let now = Instant::now();
        let demand = |(client, state): (&ClientId, &mut State)| {
            let ClientId::Caller(caller) = client else { return None };
            state.share?;
            let capacity = u64::from(state.per_minute);
            let taken = state.bucket.missing(now);
            let refused = std::mem::take(&mut state.was_refused);
            let wanted = if refused { capacity } else { (2 * taken).clamp(1, capacity) };
            Some(Demand { caller: Arc::clone(caller), capacity, in_use: 0, wanted })
        };
        self.clients.lock().iter_mut().filter_map(demand).collect()
    }

    /// Takes the share of a caller.
    pub(super) fn granted(&self, caller: &Arc<str>, share: u64) {
        if let Some(state) = self.clients.lock().get_mut(&ClientId::Caller(Arc::clone(caller))) {
            state.share = Some(u32::try_from(share).unwrap_or(u32::MAX));
            state.bucket.change_rate(share.min(state.per_minute.into()), Instant::now());
        }
    }

    /// What was used of a bucket. `None` if it is not known.
    #[cfg(test)]
    pub(super) fn used(&self, rate: &ClientRate) -> Option<u128> {
        self.clients.lock().get(&rate.client).and_then(|state| u128::try_from(state.used).ok())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn bucket(client: ClientId, per_minute: u32) -> ClientRate {
        ClientRate { client, per_minute: NonZeroU32::new(per_minute).unwrap(), equal_part: None }
    }

    fn rate(per_minute: u32) -> (RateLimit, ClientRate) {
        (RateLimit::default(), bucket(ClientId::Unknown, per_minute))
    }

    #[tokio::test(start_paused = true)]
    async fn each_client_has_its_own_rate_and_a_rate_that_changes_gives_nothing_back() {
        let (rate, slow) = rate(60);
        let fast = bucket(ClientId::Caller("fast".into()), 6_000);
        rate.take(&slow, 60).unwrap();
        rate.take(&fast, 6_000).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rate.take(&slow, 2), Err(Refused::Until(Duration::from_secs(1))));
        rate.take(&fast, 100).unwrap();
        let faster = bucket(ClientId::Unknown, 120);
        assert_eq!(
            rate.take(&faster, 3),
            Err(Refused::Until(Duration::from_secs(1))),
            "1 is there, and 2 a second come"
        );
        tokio::time::advance(Duration::from_mins(1)).await;
        rate.forget_idle();
        assert_eq!(rate.clients.lock().len(), 0);
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
        assert_eq!(rate.clients.lock().len(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        rate.forget_idle();
        assert_eq!(rate.clients.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_a_flood_of_clients_is_given_back() {
        let (rate, _) = rate(60);
        for number in 0..10_000_u32 {
            let client = ClientId::of_address(IpAddr::from(number.to_be_bytes()));
            rate.take(&bucket(client, 60), 1).unwrap();
        }
        assert_eq!(rate.clients.lock().len(), 10_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        rate.forget_idle();
        assert_eq!(rate.clients.lock().capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_spends_the_share_of_this_server_and_asks_for_more_when_it_is_refused() {
        let (rate, caller) = (RateLimit::default(), Arc::<str>::from("one"));
        let equal_part = NonZeroU32::new(20);
        let shared = ClientRate { equal_part, ..bucket(ClientId::Caller(Arc::clone(&caller)), 60) };
        rate.take(&shared, 5).unwrap();
        let wanted = |rate: &RateLimit| rate.demands().iter().map(|demand| demand.wanted).collect::<Vec<_>>();
        assert_eq!(wanted(&rate), [10]);
        assert_eq!(rate.take(&shared, 16), Err(Refused::Until(Duration::from_secs(3))), "20 a minute");
        assert_eq!((wanted(&rate), wanted(&rate)), (vec![60], vec![10]));
        rate.granted(&caller, 60);
        tokio::time::advance(Duration::from_secs(1)).await;
        rate.take(&shared, 16).unwrap();
        rate.granted(&caller, 0);
        assert_eq!(rate.take(&shared, 1), Err(Refused::Until(NEXT_SHARE)), "all that was there is used");
        rate.granted(&caller, 60);
        tokio::time::advance(Duration::from_secs(30)).await;
        rate.granted(&caller, 0);
        rate.take(&shared, 20).unwrap();
        assert_eq!(rate.take(&shared, 61), Err(Refused::Never));
        rate.take(&bucket(ClientId::Unknown, 60), 1).unwrap();
        assert_eq!(rate.demands().len(), 1, "only callers share");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_client_and_a_refund_take_no_memory() {
        let (rate, client) = rate(1);
        rate.take(&client, 2).unwrap_err();
        rate.take(&client, 0).unwrap();
        rate.settle(&client, 1, 0);
        assert_eq!(rate.clients.lock().len(), 0);
    }
}
