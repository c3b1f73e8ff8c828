//! The schema of the embedded engine, and what one transaction reads and writes.
//!
//! - `budgets` the table of what callers have spent

mod budgets;

use prost::Message;
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};

use self::budgets::BUDGETS;
use super::now;
use crate::{
    conversation::{
        bounds::Bounds,
        store::{Append, Appended, Created, Cursor, Head, Key, OwnerLimits, PageLimit, Record, StoredTurn},
    },
    proto::Conversation,
};

type ById = (&'static str, &'static str);

/// Owner and id -> the origin.
const ORIGINS: TableDefinition<ById, &[u8]> = TableDefinition::new("origins");
/// Owner and id -> the head.
const HEADS: TableDefinition<ById, &[u8]> = TableDefinition::new("heads");
/// Owner, id and number -> the turn.
const TURNS: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("numbered_turns");
/// Owner, id and turn id -> the number of the turn.
const TURN_IDS: TableDefinition<(&str, &str, &str), u64> = TableDefinition::new("turn_ids");
/// Owner, time of last use counted backwards, id: the order of lists. Conversations without a turn are not in it.
const BY_USE: TableDefinition<(&str, u64, &str), ()> = TableDefinition::new("used");
/// Time of expiry, owner, id.
const BY_AGE: TableDefinition<(u64, &str, &str), ()> = TableDefinition::new("expiry");
/// Owner -> the number of conversations.
const COUNTS: TableDefinition<&str, u64> = TableDefinition::new("counts");
/// Owner -> the bytes of the conversations.
const BYTES: TableDefinition<&str, u64> = TableDefinition::new("bytes");

/// The tables of a read transaction.
pub(super) struct ReadTables {
    origins: ReadOnlyTable<ById, &'static [u8]>,
    heads: ReadOnlyTable<ById, &'static [u8]>,
    turns: ReadOnlyTable<(&'static str, &'static str, u64), &'static [u8]>,
    turn_ids: ReadOnlyTable<(&'static str, &'static str, &'static str), u64>,
    by_use: ReadOnlyTable<(&'static str, u64, &'static str), ()>,
    bytes: ReadOnlyTable<&'static str, u64>,
    budgets: ReadOnlyTable<budgets::At, (u64, u64)>,
}

/// The tables of a write transaction.
pub(super) struct Tables<'t> {
    origins: Table<'t, ById, &'static [u8]>,
    heads: Table<'t, ById, &'static [u8]>,
    turns: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    turn_ids: Table<'t, (&'static str, &'static str, &'static str), u64>,
    by_use: Table<'t, (&'static str, u64, &'static str), ()>,
    by_age: Table<'t, (u64, &'static str, &'static str), ()>,
    counts: Table<'t, &'static str, u64>,
    bytes: Table<'t, &'static str, u64>,
    budgets: Table<'t, budgets::At, (u64, u64)>,
}

impl ReadTables {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            origins: transaction.open_table(ORIGINS)?,
            heads: transaction.open_table(HEADS)?,
            turns: transaction.open_table(TURNS)?,
            turn_ids: transaction.open_table(TURN_IDS)?,
            by_use: transaction.open_table(BY_USE)?,
            bytes: transaction.open_table(BYTES)?,
            budgets: transaction.open_table(BUDGETS)?,
        })
    }

    /// The bytes of an owner's conversations.
    pub(super) fn owner_bytes(&self, owner: &str) -> Result<u64, redb::Error> {
        Ok(self.bytes.get(owner)?.map_or(0, |bytes| bytes.value()))
    }

    /// The newest turns that are within these bounds, oldest first. Older ones are not read.
    pub(super) fn newest_turns(&self, key: &Key, bounds: &Bounds) -> Result<Vec<StoredTurn>, redb::Error> {
        let (owner, id) = (key.owner.as_str(), key.id.as_str());
        let (mut turns, mut sums) = (Vec::new(), Head::default());
        for entry in self.turns.range((owner, id, 0)..=(owner, id, u64::MAX))?.rev() {
            let (_, turn) = entry?;
            let kept: StoredTurn = decoded(turn.value())?;
            sums.add(&kept, turn.value().len() as u64, 0);
            if sums.is_over(bounds) {
                break;
            }
            turns.push(kept);
        }
        turns.reverse();
        Ok(turns)
    }

    pub(super) fn record(&self, key: &Key) -> Result<Option<Record>, redb::Error> {
        let at = (key.owner.as_str(), key.id.as_str());
        let found = record(self.origins.get(at)?.as_ref(), self.heads.get(at)?.as_ref())?;
        Ok(found.filter(|record| record.expires_at() > now()))
    }

    pub(super) fn has_turn(&self, key: &Key, turn_id: &str) -> Result<bool, redb::Error> {
        Ok(self.turn_ids.get((key.owner.as_str(), key.id.as_str(), turn_id))?.is_some())
    }

    pub(super) fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, StoredTurn)>, redb::Error> {
        let (owner, id) = (key.owner.as_str(), key.id.as_str());
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        for entry in self.turns.range((owner, id, from)..=(owner, id, u64::MAX))? {
            let (at, turn) = entry?;
            bytes = bytes.saturating_add(turn.value().len());
            if page.len() == limit.turns || (bytes > limit.bytes && !page.is_empty()) {
                break;
            }
            page.push((at.value().2, decoded(turn.value())?));
        }
        Ok(page)
    }

    pub(super) fn list(&self, owner: &str, after: Option<&Cursor>, most: usize) -> Result<Vec<Record>, redb::Error> {
        let from = after.map_or((owner, 0, ""), |after| (owner, u64::MAX - after.used_at, after.id.as_str()));
        let mut page = Vec::new();
        for entry in self.by_use.range(from..)? {
            let (at, ()) = entry.map(|(at, _)| (at, ()))?;
            let (whose, backwards, id) = at.value();
            if whose != owner || page.len() == most {
                break;
            }
            if after.is_some_and(|after| (after.used_at, after.id.as_str()) == (u64::MAX - backwards, id)) {
                continue;
            }
            page.extend(self.record(&Key { owner: owner.to_owned(), id: id.to_owned() })?);
        }
        Ok(page)
    }
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            origins: transaction.open_table(ORIGINS)?,
            heads: transaction.open_table(HEADS)?,
            turns: transaction.open_table(TURNS)?,
            turn_ids: transaction.open_table(TURN_IDS)?,
            by_use: transaction.open_table(BY_USE)?,
            by_age: transaction.open_table(BY_AGE)?,
            counts: transaction.open_table(COUNTS)?,
            bytes: transaction.open_table(BYTES)?,
            budgets: transaction.open_table(BUDGETS)?,
        })
    }

    /// Stores a new conversation, if its owner may have another one.
    pub(super) fn create(&mut self, key: &Key, record: &Record, most: OwnerLimits) -> Result<Created, redb::Error> {
        let count = self.counts.get(key.owner.as_str())?.map_or(0, |count| count.value());
        if count >= most.conversations {
            return Ok(Created::TooMany);
        }
        if !self.resize(&key.owner, 0, record.bytes(), most.bytes)? {
            return Ok(Created::NoRoom);
        }
        let at = (key.owner.as_str(), key.id.as_str());
        self.counts.insert(at.0, count + 1)?;
        self.origins.insert(at, record.origin.encode_to_vec().as_slice())?;
        self.heads.insert(at, record.head.encode_to_vec().as_slice())?;
        self.by_age.insert((record.expires_at(), at.0, at.1), ())?;
        Ok(Created::Stored)
    }

    /// Counts the bytes of every owner in a file that was written before they were counted.
    pub(super) fn count_bytes(&mut self) -> Result<(), redb::Error> {
        if !self.bytes.is_empty()? || self.heads.is_empty()? {
            return Ok(());
        }
        for entry in self.heads.iter()? {
            let (at, head) = entry?;
            let (owner, id) = at.value();
            let Some(record) = record(self.origins.get((owner, id))?.as_ref(), Some(&head))? else { continue };
            let bytes = self.bytes.get(owner)?.map_or(0, |bytes| bytes.value());
            self.bytes.insert(owner, bytes + record.bytes())?;
        }
        Ok(())
    }

    /// As in a file that was written before bytes were counted.
    #[cfg(test)]
    pub(super) fn forget_bytes(&mut self) -> Result<(), redb::Error> {
        Ok(self.bytes.retain(|_, _| false)?)
    }

    /// Counts a conversation of `before` bytes as one of `after` bytes. `false` if it grows and its owner has no room for that.
    fn resize(&mut self, owner: &str, before: u64, after: u64, most: u64) -> Result<bool, redb::Error> {
        let bytes = self.bytes.get(owner)?.map_or(0, |bytes| bytes.value());
        let bytes = bytes.saturating_sub(before).saturating_add(after);
        if after > before && bytes > most {
            return Ok(false);
        }
        self.bytes.insert(owner, bytes)?;
        Ok(true)
    }

    /// Stores a turn, once. Removes the oldest turns that are beyond the bounds.
    pub(super) fn append(&mut self, append: &Append) -> Result<Appended, redb::Error> {
        let Append { lease, turn_id, kept, title, at: stored_at, bounds, .. } = append;
        let (owner, id) = (lease.key.owner.as_str(), lease.key.id.as_str());
        let at = (owner, id);
        let found = record(self.origins.get(at)?.as_ref(), self.heads.get(at)?.as_ref())?;
        let Some(mut record) = found.filter(|record| record.expires_at() > now()) else { return Ok(Appended::Missing) };
        if self.turn_ids.get((owner, id, turn_id.as_str()))?.is_some() {
            return Ok(Appended::Stored);
        }
        let before = record.clone();
        let (encoded, number) = (kept.encode_to_vec(), record.head.next);
        record.head.add(kept, encoded.len() as u64, *stored_at);
        if record.head.title.is_empty() {
            record.head.title.clone_from(title);
        }
        let mut removed = Vec::new();
        for entry in self.turns.range((owner, id, 0)..(owner, id, number))? {
            if !record.head.exceeds(bounds) {
                break;
            }
            let (oldest_at, oldest) = entry?;
            let bytes = oldest.value().len() as u64;
            let oldest = decoded::<StoredTurn>(oldest.value())?;
            record.head.drop_first(&oldest, bytes);
            removed.push((oldest_at.value().2, oldest.turn.unwrap_or_default().turn_id));
        }
        if !self.resize(owner, before.bytes(), record.bytes(), append.owner_bytes)? {
            return Ok(Appended::NoRoom);
        }
        for (number, turn_id) in removed {
            self.turns.remove((owner, id, number))?;
            self.turn_ids.remove((owner, id, turn_id.as_str()))?;
        }
        self.turns.insert((owner, id, number), encoded.as_slice())?;
        self.turn_ids.insert((owner, id, turn_id.as_str()), number)?;
        self.heads.insert(at, record.head.encode_to_vec().as_slice())?;
        self.by_use.remove((owner, u64::MAX - before.head.used_at, id))?;
        self.by_use.insert((owner, u64::MAX - record.head.used_at, id), ())?;
        self.by_age.remove((before.expires_at(), owner, id))?;
        self.by_age.insert((record.expires_at(), owner, id), ())?;
        Ok(Appended::Stored)
    }

    /// Deletes a conversation with its turns.
    pub(super) fn remove(&mut self, key: &Key) -> Result<bool, redb::Error> {
        let (owner, id) = (key.owner.as_str(), key.id.as_str());
        let found = record(self.origins.remove((owner, id))?.as_ref(), self.heads.remove((owner, id))?.as_ref())?;
        let Some(record) = found else { return Ok(false) };
        self.turns.retain_in((owner, id, 0)..=(owner, id, u64::MAX), |_, _| false)?;
        let mut turn_ids = Vec::new();
        for entry in self.turn_ids.range((owner, id, "")..)? {
            let (at, _) = entry?;
            let (whose, which, turn_id) = at.value();
            if (whose, which) != (owner, id) {
                break;
            }
            turn_ids.push(turn_id.to_owned());
        }
        for turn_id in turn_ids {
            self.turn_ids.remove((owner, id, turn_id.as_str()))?;
        }
        self.by_use.remove((owner, u64::MAX - record.head.used_at, id))?;
        self.by_age.remove((record.expires_at(), owner, id))?;
        let count = self.counts.get(owner)?.map_or(0, |count| count.value());
        self.counts.insert(owner, count.saturating_sub(1))?;
        self.resize(owner, record.bytes(), 0, u64::MAX)?;
        Ok(true)
    }

    /// Deletes the conversations that have expired.
    pub(super) fn remove_expired(&mut self) -> Result<(), redb::Error> {
        let mut expired = Vec::new();
        for entry in self.by_age.range(..(now(), "", ""))? {
            let (at, _) = entry?;
            expired.push(Key { owner: at.value().1.to_owned(), id: at.value().2.to_owned() });
        }
        for key in expired {
            self.remove(&key)?;
        }
        Ok(())
    }
}

type Found<'a> = redb::AccessGuard<'a, &'static [u8]>;

fn record(origin: Option<&Found<'_>>, head: Option<&Found<'_>>) -> Result<Option<Record>, redb::Error> {
    let (Some(origin), Some(head)) = (origin, head) else { return Ok(None) };
    let (origin, head) = (decoded::<Conversation>(origin.value())?, decoded::<Head>(head.value())?);
    Ok(Some(Record { origin, head }))
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M, redb::Error> {
    M::decode(bytes).map_err(|error| redb::Error::Corrupted(error.to_string()))
}
