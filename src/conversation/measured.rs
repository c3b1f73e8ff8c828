//! A store whose requests are measured: their time, and their errors.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::store::{
    Append, Appended, Created, Cursor, Key, Lease, OwnerLimits, PageLimit, Record, Renewed, Store, StoreError,
    StoredTurn, Taken, TurnRequest,
};
use crate::{
    metrics::Metrics,
    quota::budget::{Budgets, SavedAccount},
};

/// A store and its metrics.
pub(super) struct Measured {
    pub(super) store: Arc<dyn Store>,
    /// Its name as a label.
    pub(super) engine: &'static str,
    pub(super) metrics: Metrics,
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// A request that has no answer yet.
struct Unanswered<'a> {
    store: &'a Measured,
    operation: &'static str,
    since: Instant,
    /// The error, if it ends now.
    error: Option<&'static str>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Measured { engine, metrics, .. } = self.store;
        metrics.stored(engine, self.operation, self.since.elapsed(), self.error);
    }
}

impl Measured {
    async fn measure<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut unanswered = Unanswered { store: self, operation, since: Instant::now(), error: Some("unanswered") };
        let answer = request.await;
        unanswered.error = match &answer {
            Ok(_) => None,
            Err(StoreError::Failed(_)) => Some("failed"),
            Err(StoreError::Unknown(_)) => Some("unknown"),
        };
        answer
    }
}

#[tonic::async_trait]
impl Store for Measured {
    async fn create(&self, key: &Key, record: &Record, limits: OwnerLimits) -> Result<Created, StoreError> {
        self.measure("create", self.store.create(key, record, limits)).await
    }

    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.measure("get", self.store.record(key)).await
    }

    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, StoredTurn)>, StoreError> {
        self.measure("turns", self.store.turns(key, from, limit)).await
    }

    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError> {
        self.measure("list", self.store.list(owner, after, most)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        self.measure("delete", self.store.remove(key)).await
    }

    async fn take(&self, key: &Key, turn_request: &TurnRequest) -> Result<Taken, StoreError> {
        self.measure("take", self.store.take(key, turn_request)).await
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Renewed, StoreError> {
        self.measure("renew", self.store.renew(leases)).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.measure("append", self.store.append(append)).await
    }

    fn release(&self, lease: Lease) {
        self.store.release(lease);
    }

    async fn budgets(&self) -> Result<Vec<SavedAccount>, StoreError> {
        self.measure("budgets", self.store.budgets()).await
    }

    async fn save_budgets(&self, budgets: &Budgets) -> Result<(), StoreError> {
        self.measure("save_budgets", self.store.save_budgets(budgets)).await
    }

    async fn settle(&self) {
        self.store.settle().await;
    }

    async fn remove_expired(&self) -> Result<(), StoreError> {
        self.measure("expire", self.store.remove_expired()).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::conversation::embedded::Embedded;

    fn measured() -> Measured {
        let store = Arc::new(Embedded::in_memory().unwrap());
        Measured { store, engine: "memory", metrics: Metrics::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_timed_and_errors_are_counted_by_kind() {
        let store = measured();
        store.list("owner", None, 1).await.unwrap();
        let error = || Box::<dyn std::error::Error + Send + Sync>::from("gone");
        for failure in [StoreError::Failed(error()), StoreError::Unknown(error())] {
            store.measure("append", async { Err::<(), _>(failure) }).await.unwrap_err();
        }
        let hung = store.measure("take", std::future::pending::<Result<(), StoreError>>());
        timeout(Duration::from_secs(4), hung).await.unwrap_err();
        let text = store.metrics.text().unwrap();
        for line in [
            "outcrop_store_request_seconds_count{engine=\"memory\",operation=\"list\"} 1",
            "outcrop_store_request_seconds_count{engine=\"memory\",operation=\"append\"} 2",
            "outcrop_store_request_seconds_sum{engine=\"memory\",operation=\"take\"} 4.0",
            "outcrop_store_errors_total{engine=\"memory\",operation=\"append\",error=\"failed\"} 1",
            "outcrop_store_errors_total{engine=\"memory\",operation=\"append\",error=\"unknown\"} 1",
            "outcrop_store_errors_total{engine=\"memory\",operation=\"take\",error=\"unanswered\"} 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in\n{text}");
        }
        assert!(!text.contains("operation=\"list\",error"), "{text}");
    }
}
