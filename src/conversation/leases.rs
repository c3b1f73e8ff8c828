//! The leases of running turns. They are renewed together, and released when their turns end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::store::{Lease, Renewed, Store};

/// The lifetime of a lease in an engine whose leases expire.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// The interval of renewals: several within the lifetime of a lease.
const RENEW: Duration = Duration::from_secs(8);

/// The leases that turns of this server hold. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Mutex<HashMap<Lease, LeaseState>>>);

#[derive(Debug)]
struct LeaseState {
    /// When the store last confirmed it.
    confirmed: Instant,
    lost: CancellationToken,
}

/// A lease that is renewed until it is dropped, which releases it.
#[derive(Debug)]
pub(super) struct HeldLease {
    pub(super) store: Arc<dyn Store>,
    pub(super) lease: Lease,
    /// Cancelled when the lease is lost.
    pub(super) lost: CancellationToken,
    leases: Leases,
}

impl Leases {
    /// Holds a granted lease.
    pub(super) fn hold(&self, store: Arc<dyn Store>, lease: Lease) -> HeldLease {
        let lost = CancellationToken::new();
        self.0.lock().insert(lease.clone(), LeaseState { confirmed: Instant::now(), lost: lost.clone() });
        HeldLease { store, lease, lost, leases: self.clone() }
    }

    /// Renews all leases at every interval, while it is polled.
    pub(super) async fn renew(&self, store: &dyn Store) {
        loop {
            sleep(RENEW).await;
            let leases: Vec<_> = self.0.lock().keys().cloned().collect();
            if leases.is_empty() {
                continue;
            }
            let began = Instant::now();
            // With a timeout, so that expired leases are detected even if the store hangs.
            match timeout(RENEW, store.renew(&leases)).await {
                Ok(Ok(renewed)) => self.confirm(&renewed, leases.len(), began),
                Ok(Err(error)) => warn!(%error, leases = leases.len(), "the leases of conversations were not renewed"),
                Err(_) => warn!(leases = leases.len(), "the leases of conversations were not renewed within {RENEW:?}"),
            }
            self.end_expired();
        }
    }

    fn confirm(&self, Renewed { confirmed, lost }: &Renewed, renewed: usize, at: Instant) {
        let unanswered = renewed - (confirmed.len() + lost.len()).min(renewed);
        if unanswered > 0 {
            warn!(leases = unanswered, "the store did not answer for some leases of conversations");
        }
        let mut held = self.0.lock();
        for lease in confirmed {
            if let Some(held) = held.get_mut(lease) {
                held.confirmed = at;
            }
        }
        for lease in lost {
            if let Some(held) = held.get(lease) {
                held.lost.cancel();
            }
        }
    }

    /// Ends leases that were not confirmed within their lifetime.
    fn end_expired(&self) {
        for held in self.0.lock().values().filter(|held| held.confirmed.elapsed() >= LEASE) {
            held.lost.cancel();
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.leases.0.lock().remove(&self.lease);
        self.store.release(self.lease.clone());
    }
}
