//! Limits the running streams: of the server, of a client, of a model.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of permits for each key. Keys without a permit are removed, because callers choose them.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    limit: usize,
    keys: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The permit for one stream. Dropping it releases it.
#[derive(Debug)]
pub(super) struct StreamPermit {
    streams: Arc<ConcurrencyLimit>,
    key: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimit {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.min(Semaphore::MAX_PERMITS), keys: Mutex::default() })
    }

    /// The number of permits of a key.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a permit, if one is free and no call waits for it.
    pub(super) fn try_acquire(self: &Arc<Self>, key: &str) -> Option<StreamPermit> {
        let mut stream = self.without_permit(key);
        stream.permit = Some(self.semaphore(key).try_acquire_owned().ok()?);
        Some(stream)
    }

    /// Waits for a permit. Calls get permits in the order in which they began to wait.
    pub(super) async fn acquire(self: &Arc<Self>, key: &str) -> Option<StreamPermit> {
        let mut stream = self.without_permit(key);
        stream.permit = Some(self.semaphore(key).acquire_owned().await.ok()?);
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

    fn semaphore(&self, key: &str) -> Arc<Semaphore> {
        let mut keys = self.keys();
        let semaphore = keys.entry(key.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.limit)));
        Arc::clone(semaphore)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.keys.lock()
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.permit = None;
        let mut keys = self.streams.keys();
        // Every permit and every waiting call holds the semaphore.
        if keys.get(&self.key).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_key_has_its_own_permits_and_unused_keys_are_removed() {
        let streams = ConcurrencyLimit::new(1);
        let permit = streams.try_acquire("a").unwrap();
        assert!(streams.try_acquire("a").is_none());
        drop(streams.try_acquire("b").unwrap());
        assert_eq!(streams.keys().len(), 1, "b is removed");
        {
            let waiting = streams.acquire("a");
            tokio::pin!(waiting);
            assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut waiting).await.is_err());
            drop(permit);
            let permit = waiting.await.unwrap();
            assert!(streams.try_acquire("a").is_none());
            drop(permit);
        }
        assert_eq!(streams.keys().len(), 0, "a is removed");
    }
}
