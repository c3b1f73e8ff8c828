//! Conversations in Redis or Valkey: the engine for several servers that share them.
//!
//! Each change is one script, so that a turn is stored whole or not at all. A lease expires unless it is renewed, so that a
//! server that is gone does not hold it, and Redis checks its fencing token with every write. Redis removes expired conversations.
//!
//! - `scripts` what runs in Redis
//! - `leasing` takes, renews and releases leases
//! - `accounts` how much an owner has; `listing` the list of an owner's conversations

mod accounts;
mod leasing;
mod listing;
mod scripts;

use std::{fmt, time::Duration};

use prost::Message;
use redis::{Cmd, FromRedisValue, RedisError, Value, cmd};
use tokio_util::task::TaskTracker;

use self::{
    accounts::{Owner, escaped},
    leasing::Taking,
};
use super::store::{
    Append, Appended, Created, Cursor, Head, Key, Lease, OwnerLimits, PageLimit, Record, Renewed, Store, StoreError,
    StoredTurn, Taken, TurnRequest,
};
use crate::{proto::Conversation, redis::connection::Connection};

/// How often a change is tried. Each one is idempotent, so an answer that did not arrive is asked for again.
const TRIES: u32 = 3;

/// How many turns are read at once.
const TURNS_AT_ONCE: usize = 16;

/// The fields of a head, in the order of [`Fields`].
const FIELDS: [&str; 8] = ["origin", "used_at", "first", "next", "messages", "tokens", "bytes", "title"];
type Fields = (Option<Vec<u8>>, u64, u64, u64, u64, u64, u64, String);

/// The engine. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Redis {
    connection: Connection,
    /// Leases that are being released.
    releasing: TaskTracker,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

/// The keys of a conversation. The braces are a hash tag: all of them are in one slot of a cluster.
struct Keys(String);

impl Keys {
    fn of(Key { owner, id }: &Key) -> Self {
        Self(format!("outcrop:{{{}/{}}}", escaped(owner), escaped(id)))
    }

    fn key(&self, part: &str) -> String {
        format!("{}:{part}", self.0)
    }

    fn keys<const N: usize>(&self, parts: [&str; N]) -> [String; N] {
        parts.map(|part| self.key(part))
    }
}

impl Redis {
    /// On this connection, which others may share.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, releasing: TaskTracker::new() }
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        self.connection.query(command).await
    }

    async fn append_once(&self, append: &Append, turn: &[u8]) -> Result<(i64, u64), RedisError> {
        let Append { lease, turn_id, kept, title, at, bounds, .. } = append;
        let keys = Keys::of(&lease.key).keys(["head", "lease", "ids", "turns", "sizes"]);
        let mut call = scripts::call(scripts::APPEND, &keys);
        call.arg(lease.fence).arg(turn_id).arg(turn).arg(kept.messages().len()).arg(kept.tokens).arg(turn.len());
        call.arg(at).arg(title).arg(millis(bounds.age)).arg(bounds.messages).arg(bounds.tokens).arg(bounds.bytes);
        self.query(&call).await
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The record in the values of [`FIELDS`]; `None` if the conversation is gone.
fn record(fields: &Value) -> Option<Record> {
    let fields = Fields::from_redis_value_ref(fields).ok()?;
    let (origin, used_at, first, next, messages, tokens, bytes, title) = fields;
    let origin = Conversation::decode(origin?.as_slice()).ok()?;
    Some(Record { origin, head: Head { used_at, first, next, messages, tokens, bytes, title } })
}

/// The turns in the answer of Redis.
fn turns(values: &[Vec<u8>]) -> Result<Vec<StoredTurn>, StoreError> {
    values.iter().map(|turn| StoredTurn::decode(turn.as_slice())).collect::<Result<_, _>>().map_err(StoreError::failed)
}

#[tonic::async_trait]
impl Store for Redis {
    async fn create(&self, key: &Key, record: &Record, limits: OwnerLimits) -> Result<Created, StoreError> {
        // What is counted and not created is counted until it would have expired.
        let counted = self.open_account(key, record, limits).await.map_err(StoreError::failed)?;
        if counted != Created::Stored {
            return Ok(counted);
        }
        let mut call = scripts::call(scripts::CREATE, &Keys::of(key).keys(["head"]));
        call.arg(record.origin.encode_to_vec()).arg(record.head.used_at).arg(millis(record.max_age()));
        self.query::<i64>(&call).await.map(|_| Created::Stored).map_err(StoreError::failed)
    }

    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.head(key).await.map_err(StoreError::failed)
    }

    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, StoredTurn)>, StoreError> {
        let (mut page, mut bytes, mut from) = (Vec::new(), 0, from);
        while page.len() < limit.turns {
            let count = TURNS_AT_ONCE.min(limit.turns - page.len());
            let mut call = scripts::call(scripts::TURNS, &Keys::of(key).keys(["head", "turns"]));
            call.arg(from).arg(count);
            let (first, found): (u64, Vec<Vec<u8>>) = self.query(&call).await.map_err(StoreError::failed)?;
            let read = found.len();
            for (number, turn) in (first..).zip(found) {
                bytes += turn.len();
                if bytes > limit.bytes && !page.is_empty() {
                    return Ok(page);
                }
                page.push((number, StoredTurn::decode(turn.as_slice()).map_err(StoreError::failed)?));
                from = number + 1;
            }
            if read < count {
                break;
            }
        }
        Ok(page)
    }

    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError> {
        self.listed(owner, after, most).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let keys = Keys::of(key).keys(["head", "ids", "turns", "sizes"]);
        let removed: Result<i64, RedisError> = self.query(cmd("DEL").arg(&keys)).await;
        let removed = removed.map_err(|error| StoreError::Unknown(error.into()))?;
        self.forget(key).await.map(|()| removed > 0).map_err(StoreError::failed)
    }

    async fn take(&self, key: &Key, turn_request: &TurnRequest) -> Result<Taken, StoreError> {
        // Storing the turn checks again; a total that cannot be read now holds up nothing.
        let (taken, total) = tokio::join!(Taking::new(self, key).take(turn_request), self.total(&key.owner));
        match taken? {
            Taken::Granted(grant)
                if total.unwrap_or(0).saturating_add(turn_request.bytes) > turn_request.owner_bytes =>
            {
                self.release(grant.lease);
                Ok(Taken::NoRoom)
            }
            taken => Ok(taken),
        }
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Renewed, StoreError> {
        self.renewed(leases).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let turn = append.kept.encode_to_vec();
        if !self.reserve(&append, turn.len() as u64).await? {
            self.release(append.lease);
            return Ok(Appended::NoRoom);
        }
        let mut tries = 0;
        let appended = loop {
            tries += 1;
            match self.append_once(&append, &turn).await {
                Ok(appended) => break appended,
                // It may have been stored. The same turn id is not stored twice, so Redis is asked again.
                Err(error) if tries == TRIES => return Err(StoreError::Unknown(error.into())),
                Err(_) => {}
            }
        };
        match appended {
            (1, bytes) => {
                self.settle_account(&append, bytes).await;
                Ok(Appended::Stored)
            }
            (2, _) => {
                // The reservation goes too. If Redis does not answer, it goes when the conversation would have expired.
                drop(self.forget(&append.lease.key).await);
                Ok(Appended::Missing)
            }
            _ => Ok(Appended::Lost),
        }
    }

    fn release(&self, Lease { key, fence }: Lease) {
        self.release_by(scripts::RELEASE, &Keys::of(&key).keys(["lease"]), &fence.to_string());
    }

    async fn settle(&self) {
        self.releasing.close();
        self.releasing.wait().await;
    }

    async fn remove_expired(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
