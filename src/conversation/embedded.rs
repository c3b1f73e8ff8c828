//! Conversations in a file or in memory: the embedded engine, for one server.
//!
//! Storing a turn is one transaction, which is on the disk before it is confirmed: after a crash the turn is there whole or not at
//! all. Leases are in memory, because no other process can open the file.
//!
//! - `file` creates, opens and reopens the database
//! - `tables` the schema, and what is read and written in one transaction

mod file;
mod tables;

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::task::spawn_blocking;

pub(super) use self::file::check;
use self::{
    file::{Change, File},
    tables::ReadTables,
};
use super::store::{
    Append, Appended, Created, Cursor, Grant, Key, Lease, OwnerLimits, PageLimit, Record, Renewed, Store, StoreError,
    StoredTurn, Taken, TurnRequest,
};
use crate::quota::budget::{Budgets, SavedAccount};

/// The engine. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    file: Arc<File>,
    leases: Arc<Mutex<LeaseTable>>,
    /// Held while budgets are saved.
    saves: Arc<Mutex<()>>,
}

/// The leases that are held.
#[derive(Debug, Default)]
struct LeaseTable {
    /// The fencing token of the last lease.
    last: u64,
    held: HashMap<Key, ActiveLease>,
}

#[derive(Debug)]
struct ActiveLease {
    fence: u64,
    /// A transaction is storing the turn. The lease ends with it and not before.
    storing: bool,
}

impl Embedded {
    /// In memory. Everything is gone when the server ends.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        Ok(Self::of(File::in_memory()?))
    }

    /// In this file, which is created if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::of(File::open(path)?))
    }

    fn of(file: File) -> Self {
        Self { file: Arc::new(file), leases: Arc::default(), saves: Arc::default() }
    }

    /// Runs work that waits for the disk outside the runtime's threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        spawn_blocking(move || work(&store)).await.map_err(StoreError::failed)?
    }

    /// Stores a turn, unless its lease has ended meanwhile.
    fn append_now(&self, append: &Append) -> Result<Appended, StoreError> {
        let Append { lease: Lease { key, fence }, .. } = append;
        match self.leases.lock().held.get_mut(key) {
            Some(held) if held.fence == *fence => held.storing = true,
            _ => return Ok(Appended::Lost),
        }
        let applied = |file: &File| file.read(|tables| tables.has_turn(key, &append.turn_id));
        let appended = self.file.write(|tables| tables.append(append)).or_else(|change| match change {
            Change::NotApplied(error) => Err(StoreError::Failed(error)),
            // The transaction failed while it was committed. The turn id tells whether it is on the disk.
            Change::Unknown(error) => match applied(&self.file) {
                Ok(true) => Ok(Appended::Stored),
                Ok(false) => Err(StoreError::Failed(error)),
                Err(_) => Err(StoreError::Unknown(error)),
            },
        });
        self.end(key, *fence);
        appended
    }

    fn end(&self, key: &Key, fence: u64) {
        let mut leases = self.leases.lock();
        if leases.held.get(key).is_some_and(|held| held.fence == fence) {
            leases.held.remove(key);
        }
    }
}

#[tonic::async_trait]
impl Store for Embedded {
    async fn create(&self, key: &Key, record: &Record, limits: OwnerLimits) -> Result<Created, StoreError> {
        let (key, record) = (key.clone(), record.clone());
        self.blocking(move |store| store.file.change(|tables| tables.create(&key, &record, limits))).await
    }

    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let key = key.clone();
        self.blocking(move |store| store.file.read(|tables| tables.record(&key))).await
    }

    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, StoredTurn)>, StoreError> {
        let key = key.clone();
        self.blocking(move |store| store.file.read(|tables| tables.turns(&key, from, limit))).await
    }

    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError> {
        let owner = owner.to_owned();
        self.blocking(move |store| store.file.read(|tables| tables.list(&owner, after.as_ref(), most))).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let key = key.clone();
        self.blocking(move |store| store.file.change(|tables| tables.remove(&key))).await
    }

    async fn take(&self, key: &Key, turn_request: &TurnRequest) -> Result<Taken, StoreError> {
        let fence = {
            let mut leases = self.leases.lock();
            let fence = leases.last + 1;
            match leases.held.entry(key.clone()) {
                Entry::Occupied(_) => return Ok(Taken::Busy),
                Entry::Vacant(free) => free.insert(ActiveLease { fence, storing: false }),
            };
            leases.last = fence;
            fence
        };
        // Released when this future is dropped before the lease is handed over.
        let guard = Guard { store: self, lease: Lease { key: key.clone(), fence }, armed: true };
        let (owned, turn_request) = (key.clone(), turn_request.clone());
        let read = self.blocking(move |store| store.file.read(|tables| look(tables, &owned, &turn_request)));
        match read.await? {
            Ok((record, turns)) => {
                let lease = guard.keep();
                Ok(Taken::Granted(Box::new(Grant { lease, record, turns })))
            }
            Err(refused) => Ok(refused),
        }
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Renewed, StoreError> {
        // These leases do not expire.
        Ok(Renewed { confirmed: leases.to_vec(), lost: Vec::new() })
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.blocking(move |store| store.append_now(&append)).await
    }

    fn release(&self, Lease { key, fence }: Lease) {
        let mut leases = self.leases.lock();
        if leases.held.get(&key).is_some_and(|held| held.fence == fence && !held.storing) {
            leases.held.remove(&key);
        }
    }

    async fn budgets(&self) -> Result<Vec<SavedAccount>, StoreError> {
        self.blocking(|store| store.file.read(ReadTables::budgets)).await
    }

    async fn save_budgets(&self, budgets: &Budgets) -> Result<(), StoreError> {
        let budgets = budgets.clone();
        self.blocking(move |store| {
            // A write that no task waits for any more goes on. The next one begins after it, with what is new by then.
            let _in_turn = store.saves.lock();
            let changes = budgets.changes();
            let saved = store.file.change(|tables| tables.save_budgets(&changes));
            saved.inspect_err(|_| budgets.not_saved(&changes))
        })
        .await
    }

    async fn settle(&self) {}

    async fn remove_expired(&self) -> Result<(), StoreError> {
        self.blocking(|store| store.file.change(remove_expired)).await
    }
}

/// A conversation and the newest of its turns, or why a turn cannot begin.
fn look(
    tables: &ReadTables,
    key: &Key,
    turn_request: &TurnRequest,
) -> Result<Result<(Record, Vec<StoredTurn>), Taken>, redb::Error> {
    let Some(record) = tables.record(key)? else { return Ok(Err(Taken::Missing)) };
    if tables.has_turn(key, &turn_request.turn_id)? {
        return Ok(Err(Taken::TurnStored));
    }
    if tables.owner_bytes(&key.owner)?.saturating_add(turn_request.bytes) > turn_request.owner_bytes {
        return Ok(Err(Taken::NoRoom));
    }
    let bounds = turn_request.bounds.of(record.origin.bounds.as_ref());
    let turns = tables.newest_turns(key, &bounds)?;
    Ok(Ok((record, turns)))
}

fn remove_expired(tables: &mut tables::Tables<'_>) -> Result<(), redb::Error> {
    tables.remove_expired()
}

/// Releases a lease that was not handed over.
struct Guard<'a> {
    store: &'a Embedded,
    lease: Lease,
    armed: bool,
}

impl Guard<'_> {
    fn keep(mut self) -> Lease {
        self.armed = false;
        self.lease.clone()
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.store.release(self.lease.clone());
        }
    }
}

/// The time in microseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
