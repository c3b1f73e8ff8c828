//! Limits the running streams: of the server, of a client, of a model.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::demand::Demand;

/// The time in which a key that is new at this server keeps its equal part, until the servers that had it have given it up.
const NEW: Duration = Duration::from_secs(3);

/// A number of permits for each key. Keys without a permit are removed, because callers choose them.
#[derive(Debug, Default)]
pub(super) struct ConcurrencyLimit {
    keys: Mutex<HashMap<String, Key>>,
    /// The number of servers that share the limits of callers; 0 if they do not.
    servers: AtomicU32,
}

/// How many permits a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// `None`: as many as are wanted.
    pub(super) permits: Option<usize>,
    /// The generation of the configuration. That of a call can be older than the newest, which stays in force.
    pub(super) generation: u64,
}

#[derive(Debug)]
struct Key {
    limit: Limit,
    /// What this server may use of the limit. `None`: servers do not share it.
    share: Option<usize>,
    created: Instant,
    /// The permits, including those that are taken. While more are taken than the limit allows, it is more than the limit.
    permits: usize,
    semaphore: Arc<Semaphore>,
}

/// The permit for one stream. Dropping it releases it.
#[derive(Debug)]
pub(super) struct StreamPermit {
    streams: Arc<ConcurrencyLimit>,
    key: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimit {
    /// Takes a permit of a key that may have `limit`, if one is free and no call waits for it.
    pub(super) fn try_acquire(self: &Arc<Self>, key: &str, limit: Limit) -> Option<StreamPermit> {
        let mut stream = self.without_permit(key);
        stream.permit = Some(self.semaphore(key, limit).try_acquire_owned().ok()?);
        Some(stream)
    }

    /// Waits for a permit of a key that may have `limit`. Calls get permits in the order in which they began to wait.
    pub(super) async fn acquire(self: &Arc<Self>, key: &str, limit: Limit) -> Option<StreamPermit> {
        let mut stream = self.without_permit(key);
        stream.permit = Some(self.semaphore(key, limit).acquire_owned().await.ok()?);
        Some(stream)
    }

    /// Gives every key that is in use its new limit.
    pub(super) fn follow(&self, limit_of: impl Fn(&str) -> Limit) {
        for (name, key) in &mut *self.keys() {
            key.follow(limit_of(name));
        }
    }

    /// The limit of a key that is in use. `None` if it is not, or has none.
    pub(super) fn limit_of(&self, key: &str) -> Option<usize> {
        self.keys().get(key)?.limit.permits
    }

    /// How many permits of a key are taken.
    pub(super) fn taken(&self, key: &str) -> usize {
        self.keys().get(key).map_or(0, |key| key.permits.saturating_sub(key.semaphore.available_permits()))
    }

    /// Created before the permit is taken, so that its drop removes the key if there is none, or if the wait is cancelled.
    fn without_permit(self: &Arc<Self>, key: &str) -> StreamPermit {
        StreamPermit { streams: Arc::clone(self), key: key.to_owned(), permit: None }
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn keys_in_use(&self) -> usize {
        self.keys().len()
    }

    /// From now on servers share the limits of callers.
    pub(super) fn share(&self) {
        self.among(1);
    }

    /// So many servers share the limits.
    pub(super) fn among(&self, servers: u32) {
        self.servers.store(servers, Ordering::Relaxed);
    }

    /// What this server may use of the limit of a key that is in use, if servers share it.
    pub(super) fn share_of(&self, key: &str) -> Option<usize> {
        self.keys().get(key)?.share
    }

    /// What callers could use of their limits here. `prefix` is what their keys begin with.
    pub(super) fn demands(&self, prefix: &str) -> Vec<Demand> {
        let number = |permits: usize| u64::try_from(permits).unwrap_or(u64::MAX);
        let demand = |(name, key): (&String, &Key)| {
            key.share?;
            let free = key.semaphore.available_permits();
            let (capacity, in_use) = (number(key.limit.permits?), number(key.permits.saturating_sub(free)));
            let wanted = if free == 0 { capacity } else { 2 * in_use + 1 };
            Some(Demand { caller: name.strip_prefix(prefix)?.into(), capacity, in_use, wanted })
        };
        self.keys().iter().filter_map(demand).collect()
    }

    /// Takes the share of a key that is in use.
    pub(super) fn granted(&self, key: &str, share: u64) {
        if let Some(key) = self.keys().get_mut(key) {
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            if key.created.elapsed() < NEW {
                key.share = key.share.max(Some(share));
            } else {
                key.share = Some(share);
            }
            key.follow(key.limit);
        }
    }

    /// The part of a limit with which a caller begins: an equal part. Clients without an identity share nothing.
    fn initial_share(&self, key: &str, permits: usize) -> Option<usize> {
        let servers = usize::try_from(self.servers.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let name = key.split_once(':').map_or(key, |(_, name)| name);
        let is_anonymous = name == "unknown" || name.parse::<IpAddr>().is_ok();
        (servers > 0 && !is_anonymous).then(|| permits.div_ceil(servers))
    }

    fn semaphore(&self, name: &str, limit: Limit) -> Arc<Semaphore> {
        let mut keys = self.keys();
        let key = keys.entry(name.to_owned()).or_insert_with(|| {
            let share = limit.permits.and_then(|permits| self.initial_share(name, permits));
            let permits = limit.most(share);
            Key { limit, share, created: Instant::now(), permits, semaphore: Arc::new(Semaphore::new(permits)) }
        });
        key.follow(limit);
        Arc::clone(&key.semaphore)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock()
    }
}

impl Limit {
    fn most(self, share: Option<usize>) -> usize {
        let permits = self.permits.unwrap_or(Semaphore::MAX_PERMITS).min(share.unwrap_or(usize::MAX));
        permits.min(Semaphore::MAX_PERMITS)
    }
}

impl Key {
    /// Follows a limit, unless it is older than the one that is known. Permits beyond it that are taken are removed when they are released.
    fn follow(&mut self, limit: Limit) {
        if limit.generation < self.limit.generation {
            return;
        }
        self.limit = limit;
        let most = limit.most(self.share);
        if self.permits < most {
            self.semaphore.add_permits(most - self.permits);
            self.permits = most;
        } else if self.permits > most {
            self.permits -= self.semaphore.forget_permits(self.permits - most);
        }
    }

    /// Takes a permit back.
    fn release(&mut self, permit: OwnedSemaphorePermit) {
        if self.permits > self.limit.most(self.share) {
            permit.forget();
            self.permits -= 1;
        }
    }
}

impl StreamPermit {
    /// Whether more permits are taken than the limit allows, because it was lowered. Running streams go on, and a call that has not begun waits
    /// again.
    pub(super) fn is_in_excess(&self) -> bool {
        self.streams.keys().get(&self.key).is_some_and(|key| key.permits > key.limit.most(key.share))
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut keys = self.streams.keys();
        match (keys.get_mut(&self.key), self.permit.take()) {
            (Some(key), Some(permit)) => key.release(permit),
            // Every permit has a key.
            (_, permit) => drop(permit),
        }
        // Every permit and every waiting call holds the semaphore.
        if keys.get(&self.key).is_some_and(|key| Arc::strong_count(&key.semaphore) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn limit(permits: usize) -> Limit {
        Limit { permits: Some(permits), generation: 1 }
    }

    #[tokio::test]
    async fn each_key_has_its_own_permits_and_unused_keys_are_removed() {
        let streams = Arc::new(ConcurrencyLimit::default());
        let permit = streams.try_acquire("a", limit(1)).unwrap();
        assert!(streams.try_acquire("a", limit(1)).is_none());
        drop(streams.try_acquire("b", limit(1)).unwrap());
        assert_eq!(streams.keys().len(), 1, "b is removed");
        {
            let waiting = streams.acquire("a", limit(1));
            tokio::pin!(waiting);
            assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut waiting).await.is_err());
            drop(permit);
            let permit = waiting.await.unwrap();
            assert!(streams.try_acquire("a", limit(1)).is_none());
            drop(permit);
        }
        assert_eq!(streams.keys().len(), 0, "a is removed");
    }

    #[tokio::test]
    async fn a_limit_that_changes_holds_from_the_next_call_on_and_ends_no_stream() {
        let streams = Arc::new(ConcurrencyLimit::default());
        let mut permits: Vec<_> = (0..3).map(|_| streams.try_acquire("a", limit(3)).unwrap()).collect();
        assert!(streams.try_acquire("a", limit(1)).is_none());
        permits.truncate(1);
        assert!(streams.try_acquire("a", limit(1)).is_none(), "one stream still runs");
        permits.push(streams.try_acquire("a", limit(2)).unwrap());
        assert!(streams.try_acquire("a", limit(2)).is_none());
        permits.clear();
        assert_eq!(streams.keys().len(), 0);
    }

    #[tokio::test]
    async fn a_lower_limit_gives_a_waiting_call_no_permit_until_there_is_room_and_a_higher_one_does_at_once() {
        let streams = Arc::new(ConcurrencyLimit::default());
        let mut running: Vec<_> = (0..3).map(|_| streams.try_acquire("a", limit(3)).unwrap()).collect();
        let mut waiting = Box::pin(streams.acquire("a", limit(3)));
        assert!(waiting.as_mut().now_or_never().is_none());
        streams.follow(|_| limit(1));
        running.pop();
        running.pop();
        assert!(waiting.as_mut().now_or_never().is_none(), "one stream runs, and one is allowed");
        streams.follow(|_| limit(2));
        let second = waiting.as_mut().now_or_never().flatten().unwrap();
        assert!(streams.try_acquire("a", limit(2)).is_none());
        streams.follow(|_| Limit { permits: None, generation: 1 });
        running.extend((0..9).map(|_| streams.try_acquire("a", Limit { permits: None, generation: 1 }).unwrap()));
        drop((running, second));
        assert_eq!(streams.keys().len(), 0);
    }

    #[tokio::test]
    async fn a_call_with_an_older_limit_does_not_bring_it_back() {
        let streams = Arc::new(ConcurrencyLimit::default());
        let (old, new) = (limit(3), Limit { permits: Some(1), generation: 2 });
        let _running = streams.try_acquire("a", old).unwrap();
        streams.follow(|_| new);
        assert!(streams.try_acquire("a", old).is_none());
        assert_eq!(streams.limit_of("a"), Some(1));
    }
}
