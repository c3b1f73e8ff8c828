//! Shares of what several servers use together, such as the tokens a minute of a model, leased from a table in Redis.
//!
//! A call does not ask the table: it uses the share of its server, which is renewed about once a second. Every server says what it wants,
//! and is granted its max-min fair share. What no server wants is divided equally, and a server that wants nothing is granted a twentieth
//! of an equal part at least, so that an idle server can begin without a renewal.
//!
//! - `holdings` what this server holds; `table` what it asks the table, and the answer
//! - `in_redis` the table in Redis, by its `script`; `specification` the same in Rust, and `memory` a table of it, for tests
//!
//! # Rules
//!
//! 1. The shares with a lease and what was spent are together at most the capacity. A share grows only from what is free.
//! 2. A share shrinks first at its server, and is free for others only when that server has confirmed it with its next renewal, or when
//!    its lease of 10 s has expired. The clock of the table decides.
//! 3. Renewals are numbered. One that is late or arrives twice changes nothing, and a server takes only the answer to its latest renewal.
//! 4. What a server has spent is sent as a sum, so that it counts once, however often it is sent.
//! 5. A table on which no server has a lease (it was emptied, or away for longer than a lease) confirms for 5 s what servers say they
//!    hold, as far as the capacity goes, and lets no share grow. If all servers gave back what they held, this is not needed.
//! 6. A server whose table does not answer goes on with its last share. One that has never been granted a tenth of the capacity uses a
//!    tenth, until it is granted that, or takes an answer 10 s after its first. Of a budget, until its first answer.
//! 7. If servers have different capacities for a resource, each request is processed with its own. The shares are at most the largest.
//!
//! # How much can be used beyond the capacity
//!
//! Let C be the capacity. At any time, the shares that servers use are at most
//!
//! > C + the shares of partitioned servers + b × ⌈C/10⌉
//!
//! - A server is *partitioned* if the table has not processed a renewal of it for 10 s, and until it takes an answer to a later one. Its
//!   share is what it was granted last, at most C. So is a server whose renewals the table has lost: one that does not reach an emptied
//!   table within 5 s, or whose last renewals a failover to a replica has lost, until it takes its next answer.
//! - b is the number of servers that use their initial tenth. If the table answers, none does so for longer than 10 s and one renewal.
//! - Streams that already run are not ended. So what such servers use beyond their next grant lasts until these streams end.
//!
//! *Proof.* Every other server has a lease, and has taken an answer since it began. It uses at most what its row in the table holds: its last
//! processed request said how much that is at most, and what it was granted later is in the row before the answer is sent (2, 3). A request
//! changes the row of its own server alone, to at most the larger of two: what this row held without what has been spent of it, and what the
//! other rows and the spending leave of the capacity. So the rows and what was spent stay below C together (1).
//!
//! Of a budget, what all servers spend in its period is at most C plus, for each
//!
//! - lease that expires while its server is partitioned: the share that it had not spent;
//! - start of a server: ⌈C/10⌉, which it can spend before its first answer;
//! - server that dies: what it had spent since its last renewal, at most the share that it held;
//! - loss of the data of Redis: what servers had spent that no longer run, or do not reach the new table within 5 s and what these still
//!   hold. All others report all of their own spending again.
//!
//! What settles above its reservation is spent beyond the share, and is counted too.

mod holdings;
mod in_redis;
#[cfg(test)]
pub(crate) mod memory;
mod script;
#[cfg(test)]
mod specification;
mod table;

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::{info, warn};

pub(crate) use self::table::Ejection;
use self::{
    holdings::Holdings,
    in_redis::{InRedis, ejections_key, key},
    table::{ServerId, Table, TableError},
};
use crate::redis::{Probe, connection::Connection};

/// The interval of renewals, with a jitter of 10% either way.
const INTERVAL: Duration = Duration::from_secs(1);

/// The minimum interval of renewals, when calls wait or a smaller share is confirmed.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// How long the table may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The number of consecutive renewals that fail before the table counts as away.
const FAILURES: u32 = 2;

/// An ejection that ends at most this much later than one of the same target that is known says nothing new.
const SAME_EJECTION: Duration = Duration::from_secs(1);

/// What a server says about one resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim {
    /// Its name, the same at all servers. A budget has another name in each period.
    pub(crate) resource: Arc<str>,
    /// What all servers may use together.
    pub(crate) capacity: u64,
    /// What this server uses and cannot give up: running streams, or the reservations of a budget.
    pub(crate) in_use: u64,
    /// What it would use if it could, with what is in use.
    pub(crate) wanted: u64,
    /// Of a budget: what this server has spent of it since it runs. It only grows.
    pub(crate) spent: u64,
    /// Of a budget: how long its period lasts from now. `None` for everything else.
    pub(crate) lasts: Option<Duration>,
}

/// What a server was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// What it may use. Of a budget: what [`Claim::spent`] may reach, with the reservations.
    pub(crate) held: u64,
    /// The number of servers that share the resource.
    pub(crate) servers: u32,
    /// Of a budget: what all servers have spent in its period, as far as they have reported it.
    pub(crate) spent: u64,
}

/// The share of a server that has not been granted anything: a tenth of the capacity, and at least one.
pub(crate) fn initial_share(capacity: u64) -> u64 {
    capacity.div_ceil(10)
}

/// What a server shares with others. It uses [`initial_share`] of a resource until something is granted.
pub(crate) trait Resources: Send + Sync {
    /// The claim for each resource. One that is no longer among them is given back.
    fn claims(&self) -> Vec<Claim>;

    /// Takes the shares. From now on the server uses no more than these; what is in use already stays.
    fn granted(&self, shares: &[(Arc<str>, Share)]);

    /// Whether the table answers.
    fn is_connected(&self, connected: bool);

    /// The targets whose circuit breakers this server has opened.
    fn ejections(&self) -> Vec<Ejection>;

    /// The targets whose circuit breakers other servers have opened.
    fn learned(&self, ejections: &[Ejection]);
}

/// The shares of one server.
pub(crate) struct Slots {
    table: Arc<dyn Table>,
    server: ServerId,
    holdings: Mutex<Holdings>,
    /// The circuit breakers that the table has, and until when they are open.
    known: Mutex<Vec<(Arc<str>, Instant)>>,
    reported: Mutex<Reported>,
    notify: Notify,
}

/// What the log says about the table.
#[derive(Debug, Default)]
struct Reported {
    /// The number of renewals that have failed since one succeeded.
    failures: u32,
    /// The keys that hold something else.
    foreign: HashSet<String>,
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Slots {
    /// With a table in this Redis.
    ///
    /// # Errors
    /// [`Probe::Misconfigured`] if this Redis cannot run the scripts. A Redis that is away is no error.
    pub(crate) async fn open(connection: &Connection) -> Result<Self, Probe> {
        let table = InRedis::new(connection.clone());
        match timeout(2 * ANSWER, table.probe()).await {
            Ok(Err(Probe::Misconfigured(problem))) => Err(Probe::Misconfigured(problem)),
            Ok(Ok(()) | Err(Probe::Away(_))) | Err(_) => Ok(Self::on(Arc::new(table))),
        }
    }

    /// With a table that several servers of a simulation share.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: &Arc<memory::Memory>) -> Self {
        Self::on(memory.clone())
    }

    fn on(table: Arc<dyn Table>) -> Self {
        Self {
            table,
            server: ServerId::random(),
            holdings: Mutex::default(),
            known: Mutex::default(),
            reported: Mutex::default(),
            notify: Notify::new(),
        }
    }

    /// Renews the shares soon, because a call waits for one.
    pub(crate) fn notify(&self) {
        self.notify.notify_one();
    }

    /// Renews the shares while it is polled.
    pub(crate) async fn run(&self, resources: &dyn Resources) {
        loop {
            let began = Instant::now();
            let renewed = self.renew(resources).await;
            self.report(resources, renewed.as_ref().err());
            sleep_until(began + MIN_INTERVAL).await;
            let next = began + INTERVAL.mul_f64(0.9 + 0.2 * fastrand::f64());
            match renewed {
                Ok(true) => {}
                Ok(false) => drop(timeout_at(next, self.notify.notified()).await),
                Err(_) => sleep_until(next).await,
            }
        }
    }

    /// Gives everything back. Call it when nothing is in use, after [`Slots::run`] is no longer polled. If the table does not answer in
    /// time, the leases expire.
    pub(crate) async fn leave(&self, resources: &dyn Resources) {
        let requests = self.holdings.lock().leave(&resources.claims());
        drop(timeout(ANSWER, self.table.renew(self.server, &requests)).await);
    }

    /// One renewal. Returns whether the next one is due at once.
    async fn renew(&self, resources: &dyn Resources) -> Result<bool, TableError> {
        let requests = self.holdings.lock().renewal(&resources.claims());
        let own = self.new_ejections(resources);
        let answers = async { tokio::try_join!(self.table.renew(self.server, &requests), self.table.eject(&own)) };
        let (answers, ejections) =
            timeout(ANSWER, answers).await.map_err(|_| TableError(format!("no answer in {ANSWER:?}")))??;
        let renewed = self.holdings.lock().take(&requests, answers);
        resources.granted(&renewed.shares);
        let mut foreign: HashSet<_> = renewed.foreign.iter().map(|resource| key(resource)).collect();
        match ejections {
            Some(ejections) => self.learn(resources, &own, &ejections),
            None => drop(foreign.insert(ejections_key())),
        }
        self.report_foreign(foreign);
        Ok(renewed.unconfirmed)
    }

    /// Says once when the table is away, and once when it answers again.
    fn report(&self, resources: &dyn Resources, error: Option<&TableError>) {
        let failures = &mut self.reported.lock().failures;
        match error {
            None if *failures >= FAILURES => {
                info!("Redis answers again: servers share quotas");
                resources.is_connected(true);
            }
            Some(error) if *failures + 1 == FAILURES => {
                warn!(%error, "Redis cannot be reached: this server goes on with its last share of quotas");
                resources.is_connected(false);
            }
            _ => {}
        }
        *failures = error.map_or(0, |_| failures.saturating_add(1).min(FAILURES));
    }

    /// Says once for each key that it holds something else.
    fn report_foreign(&self, foreign: HashSet<String>) {
        let reported = &mut self.reported.lock().foreign;
        for key in foreign.difference(reported) {
            warn!(
                key,
                "this key of Redis holds something else, so that servers do not share it: each goes on with its last share. Delete the key"
            );
        }
        *reported = foreign;
    }

    /// The open circuit breakers of this server that the table does not have yet.
    fn new_ejections(&self, resources: &dyn Resources) -> Vec<Ejection> {
        let known = self.known.lock();
        resources.ejections().into_iter().filter(|ejection| is_new(&known, ejection)).collect()
    }

    /// Passes on what the table has, and this server has neither sent nor learned before.
    fn learn(&self, resources: &dyn Resources, own: &[Ejection], all: &[Ejection]) {
        let now = Instant::now();
        let of_table = all.iter().map(|Ejection { target, remaining }| (target.clone(), now + *remaining)).collect();
        let mut known = std::mem::replace(&mut *self.known.lock(), of_table);
        known.extend(own.iter().map(|Ejection { target, remaining }| (target.clone(), now + *remaining)));
        let of_others: Vec<_> = all.iter().filter(|ejection| is_new(&known, ejection)).cloned().collect();
        if !of_others.is_empty() {
            resources.learned(&of_others);
        }
    }
}

/// Whether this target is known to be ejected for a shorter time, or not at all.
fn is_new(known: &[(Arc<str>, Instant)], Ejection { target, remaining }: &Ejection) -> bool {
    let ends = Instant::now() + *remaining;
    !known.iter().any(|(known, until)| known == target && ends <= *until + SAME_EJECTION)
}

#[cfg(test)]
mod tests;
