//! Limits the running streams: of the server, of a client, of a model.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of permits for each key. Keys without a permit are removed, because callers choose them.
#[derive(Debug, Default)]
pub(super) struct ConcurrencyLimit {
    keys: Mutex<HashMap<String, Key>>,
}

#[derive(Debug)]
struct Key {
    /// The permits, including those that are taken.
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
    pub(super) fn try_acquire(self: &Arc<Self>, key: &str, limit: usize) -> Option<StreamPermit> {
        let mut stream = self.without_permit(key);
        stream.permit = Some(self.semaphore(key, limit).try_acquire_owned().ok()?);
        Some(stream)
    }

    /// Waits for a permit of a key that may have `limit`. Calls get permits in the order in which they began to wait.
    pub(super) async fn acquire(self: &Arc<Self>, key: &str, limit: usize) -> Option<StreamPermit> {
        let mut stream = self.without_permit(key);
        stream.permit = Some(self.semaphore(key, limit).acquire_owned().await.ok()?);
        Some(stream)
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

    fn semaphore(&self, key: &str, limit: usize) -> Arc<Semaphore> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let mut keys = self.keys();
        let key = keys
            .entry(key.to_owned())
            .or_insert_with(|| Key { permits: limit, semaphore: Arc::new(Semaphore::new(limit)) });
        key.adjust(limit);
        Arc::clone(&key.semaphore)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock()
    }
}

impl Key {
    /// Follows a limit that has changed. Permits that are taken are removed by later calls, once they are released.
    fn adjust(&mut self, limit: usize) {
        if self.permits < limit {
            self.semaphore.add_permits(limit - self.permits);
            self.permits = limit;
        } else if self.permits > limit {
            self.permits -= self.semaphore.forget_permits(self.permits - limit);
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.permit = None;
        let mut keys = self.streams.keys();
        // Every permit and every waiting call holds the semaphore.
        if keys.get(&self.key).is_some_and(|key| Arc::strong_count(&key.semaphore) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_key_has_its_own_permits_and_unused_keys_are_removed() {
        let streams = Arc::new(ConcurrencyLimit::default());
        let permit = streams.try_acquire("a", 1).unwrap();
        assert!(streams.try_acquire("a", 1).is_none());
        drop(streams.try_acquire("b", 1).unwrap());
        assert_eq!(streams.keys().len(), 1, "b is removed");
        {
            let waiting = streams.acquire("a", 1);
            tokio::pin!(waiting);
            assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut waiting).await.is_err());
            drop(permit);
            let permit = waiting.await.unwrap();
            assert!(streams.try_acquire("a", 1).is_none());
            drop(permit);
        }
        assert_eq!(streams.keys().len(), 0, "a is removed");
    }

    #[tokio::test]
    async fn a_limit_that_changes_holds_from_the_next_call_on_and_ends_no_stream() {
        let streams = Arc::new(ConcurrencyLimit::default());
        let mut permits: Vec<_> = (0..3).map(|_| streams.try_acquire("a", 3).unwrap()).collect();
        assert!(streams.try_acquire("a", 1).is_none());
        permits.truncate(1);
        assert!(streams.try_acquire("a", 1).is_none(), "one stream still runs");
        permits.push(streams.try_acquire("a", 2).unwrap());
        assert!(streams.try_acquire("a", 2).is_none());
        permits.clear();
        assert_eq!(streams.keys().len(), 0);
    }
}
