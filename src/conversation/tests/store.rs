//! A store that misbehaves: slow, failing, answering late or not at all, and with leases that expire.

use std::{
    collections::HashMap,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::coop::unconstrained,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::conversation::{
    embedded::Embedded,
    leases::LEASE,
    store::{
        Append, Appended, Created, Cursor, Key, Lease, OwnerLimits, PageLimit, Record, Renewed, Store, StoreError,
        StoredTurn, Taken, TurnRequest,
    },
};

/// How long the store may take to answer.
const RESPONSE: Duration = Duration::from_secs(6);

/// The embedded engine behind a bad network. Requests run to their end even if their caller is cancelled. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Misbehaving {
    pub(super) inner: Embedded,
    /// `None`: the store behaves well.
    random: Arc<Mutex<Option<fastrand::Rng>>>,
    /// When each lease was last confirmed.
    confirmed: Arc<Mutex<HashMap<Key, (u64, Instant)>>>,
    /// Requests whose callers were cancelled.
    late: TaskTracker,
    /// Leases are not renewed, and no answer says so.
    pub(super) renewals_hang: Arc<AtomicBool>,
    /// Turns are not stored, and no answer says so.
    pub(super) appends_hang: Arc<AtomicBool>,
}

/// What becomes of one request.
struct Fault {
    before: Duration,
    refused: bool,
    never_arrives: bool,
    after: Duration,
    answer_lost: bool,
}

impl Misbehaving {
    pub(super) fn new(random: fastrand::Rng) -> Self {
        Self {
            inner: Embedded::in_memory().unwrap(),
            random: Arc::new(Mutex::new(Some(random))),
            confirmed: Arc::default(),
            late: TaskTracker::new(),
            renewals_hang: Arc::default(),
            appends_hang: Arc::default(),
        }
    }

    /// The store behaves well from now on. Waits for the requests that are still under way.
    pub(super) async fn calm(&self) {
        *self.random.lock() = None;
        self.late.close();
        self.late.wait().await;
    }

    fn one_in(&self, number: u32) -> bool {
        self.random.lock().as_mut().is_some_and(|random| random.u32(..number) == 0)
    }

    /// Mostly short, at times longer than the store may take or than a lease lasts.
    fn delay(&self) -> Duration {
        let mut random = self.random.lock();
        let Some(random) = random.as_mut() else { return Duration::ZERO };
        Duration::from_millis(match random.u8(..16) {
            0..6 => 0,
            6..12 => random.u64(..300),
            12..15 => random.u64(..10_000),
            _ => random.u64(..60_000),
        })
    }

    fn fault(&self) -> Fault {
        Fault {
            before: self.delay(),
            refused: self.one_in(12),
            never_arrives: self.one_in(24),
            after: self.delay(),
            answer_lost: self.one_in(16),
        }
    }

    /// Ends a lease that was not confirmed for as long as it lasts.
    fn expire(&self, key: &Key) {
        let mut confirmed = self.confirmed.lock();
        if let Some((fence, at)) = confirmed.get(key).copied()
            && at.elapsed() >= LEASE
        {
            confirmed.remove(key);
            self.inner.release(Lease { key: key.clone(), fence });
        }
    }

    /// Runs a request apart from its caller, who waits for the answer for a limited time. `None`: there was no answer.
    async fn query<T: Send + 'static>(&self, fault: Fault, run: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.late.spawn(async move {
            sleep(fault.before).await;
            if fault.never_arrives {
                return;
            }
            let result = run();
            sleep(fault.after).await;
            if !fault.answer_lost {
                drop(answer.send(result));
            }
        });
        timeout(RESPONSE, answered).await.ok()?.ok()
    }
}

/// A lease that was granted and may never reach its caller.
struct Granted<'a> {
    store: &'a Misbehaving,
    key: &'a Key,
    /// Set when the store has granted the lease; taken when the caller learns it.
    lease: Arc<Mutex<Handover>>,
}

#[derive(Default)]
enum Handover {
    #[default]
    Asked,
    Granted(u64),
    /// The caller has left, or knows the lease.
    Over,
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        if let Handover::Granted(fence) = std::mem::replace(&mut *self.lease.lock(), Handover::Over) {
            self.store.release(Lease { key: self.key.clone(), fence });
        }
    }
}

#[tonic::async_trait]
impl Store for Misbehaving {
    async fn create(&self, key: &Key, record: &Record, limits: OwnerLimits) -> Result<Created, StoreError> {
        self.inner.create(key, record, limits).await
    }

    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.inner.record(key).await
    }

    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, StoredTurn)>, StoreError> {
        self.inner.turns(key, from, limit).await
    }

    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError> {
        self.inner.list(owner, after, most).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        self.inner.remove(key).await
    }

    async fn take(&self, key: &Key, turn_request: &TurnRequest) -> Result<Taken, StoreError> {
        let fault = self.fault();
        if fault.refused {
            return Err(StoreError::failed("refused"));
        }
        let lease = Arc::<Mutex<Handover>>::default();
        let granted = Granted { store: self, key, lease: Arc::clone(&lease) };
        let (store, owned, turn_request) = (self.clone(), key.clone(), turn_request.clone());
        let taken = self.query(fault, move || {
            store.expire(&owned);
            let mut lease = lease.lock();
            if matches!(*lease, Handover::Over) {
                return Ok(Taken::Busy);
            }
            let taken = at_once(store.inner.take(&owned, &turn_request));
            if let Ok(Taken::Granted(grant)) = &taken {
                *lease = Handover::Granted(grant.lease.fence);
                store.confirmed.lock().insert(owned, (grant.lease.fence, Instant::now()));
            }
            taken
        });
        let taken = taken.await.unwrap_or_else(|| Err(StoreError::failed("no answer")));
        if taken.is_ok() {
            *granted.lease.lock() = Handover::Over;
        }
        taken
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Renewed, StoreError> {
        if self.renewals_hang.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let fault = self.fault();
        if fault.refused {
            return Err(StoreError::failed("refused"));
        }
        let (store, mut leases) = (self.clone(), leases.to_vec());
        leases.sort_by_key(|lease| lease.fence);
        let renewed = self.query(fault, move || {
            let (mut confirmed_now, mut lost) = (Vec::new(), Vec::new());
            for lease in leases {
                store.expire(&lease.key);
                let gone = store.one_in(40);
                let mut confirmed = store.confirmed.lock();
                match confirmed.get_mut(&lease.key) {
                    Some((fence, _)) if *fence == lease.fence && gone => {
                        confirmed.remove(&lease.key);
                        store.inner.release(lease.clone());
                        lost.push(lease);
                    }
                    Some((fence, at)) if *fence == lease.fence => {
                        *at = Instant::now();
                        confirmed_now.push(lease);
                    }
                    _ => lost.push(lease),
                }
            }
            Renewed { confirmed: confirmed_now, lost }
        });
        renewed.await.ok_or_else(|| StoreError::failed("no answer"))
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        if self.appends_hang.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let fault = self.fault();
        if fault.refused {
            return Err(StoreError::failed("refused"));
        }
        let store = self.clone();
        let appended = self.query(fault, move || {
            store.expire(&append.lease.key);
            at_once(store.inner.append(append))
        });
        appended.await.unwrap_or_else(|| Err(StoreError::Unknown("no answer".into())))
    }

    fn release(&self, lease: Lease) {
        // The release of a server that crashes is lost.
        if self.one_in(12) {
            return;
        }
        let (store, delay) = (self.clone(), self.delay());
        self.late.spawn(async move {
            sleep(delay).await;
            store.inner.release(lease);
        });
    }

    async fn settle(&self) {}

    async fn remove_expired(&self) -> Result<(), StoreError> {
        self.inner.remove_expired().await
    }
}

/// Runs a future of the engine to its end without yielding, so that the order of events depends on the seed only.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(unconstrained(future));
    loop {
        match Pin::as_mut(&mut future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
