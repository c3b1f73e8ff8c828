//! How many streams there may be at once: of all, of one caller, of one model.

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places for each key. Keys that nobody uses are forgotten: callers choose what they are called.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    limit: usize,
    keys: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The right to one stream, given back when it is dropped.
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

    /// The number of places of a key.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A place, if one is free and nobody waits for it.
    pub(super) fn try_enter(self: &Arc<Self>, key: &str) -> Option<StreamPermit> {
        let permit = self.semaphore(key).try_acquire_owned().ok()?;
        Some(StreamPermit { streams: Arc::clone(self), key: key.to_owned(), permit: Some(permit) })
    }

    /// A place, once one is free. Whoever came first is first.
    pub(super) async fn enter(self: &Arc<Self>, key: &str) -> Option<StreamPermit> {
        // A wait that is given up leaves the key behind, unless somebody looks after it.
        let mut place = StreamPermit { streams: Arc::clone(self), key: key.to_owned(), permit: None };
        place.permit = Some(self.semaphore(key).acquire_owned().await.ok()?);
        Some(place)
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
        // Everybody who uses or awaits a place holds the semaphore too.
        if keys.get(&self.key).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_key_has_its_own_places_and_unused_keys_are_forgotten() {
        let streams = ConcurrencyLimit::new(1);
        let place = streams.try_enter("a").unwrap();
        assert!(streams.try_enter("a").is_none());
        drop(streams.try_enter("b").unwrap());
        assert_eq!(streams.keys().len(), 1, "b is forgotten");
        {
            let waiting = streams.enter("a");
            tokio::pin!(waiting);
            assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut waiting).await.is_err());
            drop(place);
            let place = waiting.await.unwrap();
            assert!(streams.try_enter("a").is_none());
            drop(place);
        }
        assert_eq!(streams.keys().len(), 0, "a is forgotten");
    }
}
