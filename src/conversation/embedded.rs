//! Conversations in a file, or in memory: one server's own, in an embedded database.
//!
//! An engine of [`super::store`]. A turn is one transaction, on the disk before it is confirmed: after a crash it is there whole or not at
//! all. A file that is no such database is refused and left as it is.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::{Mutex, MutexGuard};

use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, backends::InMemoryBackend};
use tokio::task::spawn_blocking;

use super::store::{Cursor, Key, Record, Store, StoreError, Taken, Turns};
use crate::proto::Conversation;

/// Owner and id -> when it was used last, when it is forgotten, the conversation.
const CONVERSATIONS: TableDefinition<(&str, &str), (u64, u64, &[u8])> = TableDefinition::new("conversations");

/// Owner and id -> what was said.
const TURNS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("turns");

/// Owner, time of last use counted backwards, id: the order of lists.
const BY_USE: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("by_use");

/// When it is forgotten, owner, id.
const BY_AGE: TableDefinition<(u64, &str, &str), ()> = TableDefinition::new("by_age");

/// The length of redb's own notes, in bytes.
const HEAD: u64 = 320;

/// See the head of this file; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    database: Arc<Database>,
    /// Who has which conversation for a turn. Nobody else has the file, so nobody else can.
    holders: Arc<Mutex<HashMap<Key, String>>>,
}

impl Embedded {
    /// In memory: gone when the server is.
    pub(crate) fn in_memory() -> Result<Self, StoreError> {
        Self::of(Database::builder().create_with_backend(InMemoryBackend::new()).map_err(StoreError::new)?)
    }

    /// In this file, which is made if there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        // Of a file that is not there yet there is nothing to keep.
        let before = fs::File::open(path).and_then(|mut file| head(&mut file)).unwrap_or_default();
        let mut database = Database::create(path).map_err(StoreError::new)?;
        // Every checksum, once: what is damaged is better found now than in the middle of a turn.
        if let Err(damage) = database.check_integrity() {
            drop(database);
            // PendingResponse it has marked it as being in use. Whoever wants to mend it gets it as it was.
            let restored = fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(&before));
            return Err(StoreError::new(restored.map_or_else(|error| error.to_string(), |()| damage.to_string())));
        }
        Self::of(database)
    }

    fn of(database: Database) -> Result<Self, StoreError> {
        let store = Self { database: Arc::new(database), holders: Arc::default() };
        // A table that nobody has written to yet cannot be read.
        store.write(|_| Ok(()))?;
        Ok(store)
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.holders.lock()
    }

    fn read_record(&self, key: &Key) -> Result<Option<Record>, redb::Error> {
        let read = self.database.begin_read()?;
        let at = (key.owner.as_str(), key.id.as_str());
        let conversations = read.open_table(CONVERSATIONS)?;
        let Some(found) = conversations.get(at)? else { return Ok(None) };
        let (used_at, expires_at, conversation) = found.value();
        if expires_at <= now() {
            return Ok(None);
        }
        let turns = read.open_table(TURNS)?;
        let turns = turns.get(at)?;
        Ok(Some(Record {
            conversation: decoded(conversation)?,
            turns: turns.map(|turns| decoded::<Turns>(turns.value())).transpose()?.unwrap_or_default(),
            used_at,
            max_age: std::time::Duration::from_micros(expires_at - used_at),
        }))
    }

    /// One transaction: all of it or nothing.
    fn write<T>(&self, change: impl FnOnce(&mut Tables<'_>) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let write = || {
            let transaction = self.database.begin_write()?;
            let changed = change(&mut Tables {
                conversations: transaction.open_table(CONVERSATIONS)?,
                turns: transaction.open_table(TURNS)?,
                by_use: transaction.open_table(BY_USE)?,
                by_age: transaction.open_table(BY_AGE)?,
            })?;
            transaction.commit()?;
            Ok::<T, redb::Error>(changed)
        };
        write().map_err(StoreError::new)
    }

    /// Does something that waits for the disk where nobody waits for it.
    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        spawn_blocking(move || work(&store)).await.map_err(StoreError::new)?
    }
}

/// The tables of one transaction.
struct Tables<'t> {
    conversations: redb::Table<'t, (&'static str, &'static str), (u64, u64, &'static [u8])>,
    turns: redb::Table<'t, (&'static str, &'static str), &'static [u8]>,
    by_use: redb::Table<'t, (&'static str, u64, &'static str), ()>,
    by_age: redb::Table<'t, (u64, &'static str, &'static str), ()>,
}

impl Tables<'_> {
    fn put(&mut self, key: &Key, record: &Record) -> Result<(), redb::Error> {
        self.remove(key)?;
        let (at, expires_at) = ((key.owner.as_str(), key.id.as_str()), record.expires_at());
        let conversation = record.conversation.encode_to_vec();
        self.conversations.insert(at, (record.used_at, expires_at, conversation.as_slice()))?;
        self.turns.insert(at, record.turns.encode_to_vec().as_slice())?;
        self.by_use.insert((at.0, u64::MAX - record.used_at, at.1), ())?;
        self.by_age.insert((expires_at, at.0, at.1), ())?;
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<bool, redb::Error> {
        let at = (key.owner.as_str(), key.id.as_str());
        let found = self.conversations.remove(at)?.map(|found| (found.value().0, found.value().1));
        let Some((used_at, expires_at)) = found else { return Ok(false) };
        self.turns.remove(at)?;
        self.by_use.remove((at.0, u64::MAX - used_at, at.1))?;
        self.by_age.remove((expires_at, at.0, at.1))?;
        Ok(true)
    }
}

#[tonic::async_trait]
impl Store for Embedded {
    async fn insert(&self, key: &Key, record: &Record) -> Result<(), StoreError> {
        let (key, record) = (key.clone(), record.clone());
        self.off_the_runtime(move |store| store.write(|tables| tables.put(&key, &record))).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let key = key.clone();
        self.off_the_runtime(move |store| store.read_record(&key).map_err(StoreError::new)).await
    }

    async fn list(
        &self,
        owner: &str,
        after: Option<Cursor>,
        most: usize,
    ) -> Result<Vec<(Cursor, Conversation)>, StoreError> {
        let owner = owner.to_owned();
        self.off_the_runtime(move |store| store.page(&owner, after.as_ref(), most).map_err(StoreError::new)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let key = key.clone();
        self.off_the_runtime(move |store| store.write(|tables| tables.remove(&key))).await
    }

    async fn take(&self, key: &Key, holder: &str) -> Result<Taken, StoreError> {
        // Looked at and taken at once: of two who come together one is first.
        match self.holders().entry(key.clone()) {
            Entry::Occupied(_) => return Ok(Taken::Busy),
            Entry::Vacant(free) => free.insert(holder.to_owned()),
        };
        let record = self.get(key).await;
        if !matches!(record, Ok(Some(_))) {
            self.holders().remove(key);
        }
        Ok(record?.map_or(Taken::Missing, |record| Taken::Yes(Box::new(record))))
    }

    async fn renew(&self, _: &Key, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn replace(&self, key: &Key, _: &str, record: &Record) -> Result<bool, StoreError> {
        let (owned, record) = (key.clone(), record.clone());
        let replaced = self.off_the_runtime(move |store| {
            store.write(|tables| {
                let there = tables.conversations.get((owned.owner.as_str(), owned.id.as_str()))?.is_some();
                if there {
                    tables.put(&owned, &record)?;
                }
                Ok(there)
            })
        });
        let replaced = replaced.await;
        self.holders().remove(key);
        replaced
    }

    fn release(&self, key: Key, holder: String) {
        let mut holders = self.holders();
        if holders.get(&key) == Some(&holder) {
            holders.remove(&key);
        }
    }

    async fn settle(&self) {}

    async fn forget_old(&self) -> Result<(), StoreError> {
        self.off_the_runtime(|store| {
            store.write(|tables| {
                let old = tables.by_age.range(..(now(), "", ""))?;
                let old = old.map(|entry| {
                    entry.map(|(at, _)| Key { owner: at.value().1.to_owned(), id: at.value().2.to_owned() })
                });
                for key in old.collect::<Result<Vec<_>, _>>()? {
                    tables.remove(&key)?;
                }
                Ok(())
            })
        })
        .await
    }
}

impl Embedded {
    fn page(
        &self,
        owner: &str,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Vec<(Cursor, Conversation)>, redb::Error> {
        let read = self.database.begin_read()?;
        let (by_use, conversations) = (read.open_table(BY_USE)?, read.open_table(CONVERSATIONS)?);
        let from = after.map_or((owner, 0, ""), |after| (owner, u64::MAX - after.used_at, after.id.as_str()));
        let mut page = Vec::new();
        for entry in by_use.range(from..)? {
            let (at, _) = entry?;
            let (whose, backwards, id) = at.value();
            if whose != owner || page.len() == most {
                break;
            }
            let cursor = Cursor { used_at: u64::MAX - backwards, id: id.to_owned() };
            let Some(found) = conversations.get((owner, id))? else { continue };
            let (_, expires_at, conversation) = found.value();
            if Some(&cursor) != after && expires_at > now() {
                page.push((cursor, decoded(conversation)?));
            }
        }
        Ok(page)
    }
}

/// The beginning of the file, where redb keeps what it notes about the whole.
fn head(file: &mut fs::File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).map(|_| head)
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M, redb::Error> {
    M::decode(bytes).map_err(|error| redb::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// In microseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
