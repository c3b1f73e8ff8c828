//! Conversations in Redis or Valkey: the engine for several servers that share them.
//!
//! Each change is one script, so that a turn is stored whole or not at all. A lease expires unless it is renewed, so that a
//! server that is gone does not hold it, and Redis checks its fencing token with every write. Redis removes expired conversations.
//!
//! - `scripts` what runs in Redis
//! - `leasing` takes and releases leases
//! - `listing` the lists of an owner's conversations

mod leasing;
mod listing;
mod scripts;

use std::{fmt, time::Duration};

use prost::Message;
use redis::{
    AsyncCommands, Client, FromRedisValue, RedisError, Script, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio_util::task::TaskTracker;

use self::{
    leasing::Taking,
    listing::{all, list},
};
use super::{
    embedded::now,
    leases::LEASE,
    store::{Append, Appended, Cursor, Head, Kept, Key, Lease, PageLimit, Record, Store, StoreError, Taken},
};
use crate::proto::Conversation;

/// How long Redis may take to answer.
const RESPONSE: Duration = Duration::from_secs(2);

/// How often storing a turn is tried. Storing is idempotent, so an answer that did not arrive is asked for again.
const TRIES: u32 = 3;

/// How many turns are read at once.
const TURNS_AT_ONCE: usize = 16;

/// The fields of a head, in the order of [`Fields`].
const FIELDS: [&str; 8] = ["origin", "used_at", "first", "next", "messages", "tokens", "bytes", "title"];
type Fields = (Option<Vec<u8>>, u64, u64, u64, u64, u64, u64, String);

/// The engine. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Redis {
    connection: ConnectionManager,
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
        // A brace in an owner's name would end the tag.
        let owner = owner.replace(['{', '}', '/'], "_");
        Self(format!("outcrop:{{{owner}/{id}}}"))
    }

    fn key(&self, part: &str) -> String {
        format!("{}:{part}", self.0)
    }
}

impl Redis {
    /// At this address, such as `redis://127.0.0.1:6379/0`. It connects when it is first used, so that a server starts while Redis is
    /// away.
    pub(crate) fn at(url: &str) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(RESPONSE))
            .set_response_timeout(Some(RESPONSE))
            .set_number_of_retries(1);
        let client = Client::open(url).map_err(StoreError::failed)?;
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(StoreError::failed)?;
        Ok(Self { connection, releasing: TaskTracker::new() })
    }

    async fn append_once(&self, append: &Append, turn: &[u8]) -> Result<i64, RedisError> {
        let Append { lease, turn_id, kept, title, at, bounds } = append;
        let keys = Keys::of(&lease.key);
        Script::new(scripts::APPEND)
            .key(keys.key("head"))
            .key(keys.key("lease"))
            .key(keys.key("ids"))
            .key(keys.key("turns"))
            .key(keys.key("sizes"))
            .arg(lease.fence)
            .arg(turn_id)
            .arg(turn)
            .arg(kept.messages().len())
            .arg(kept.tokens)
            .arg(turn.len())
            .arg(at)
            .arg(title)
            .arg(millis(bounds.age))
            .arg(bounds.messages)
            .arg(bounds.tokens)
            .arg(bounds.bytes)
            .invoke_async(&mut self.connection.clone())
            .await
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
fn turns(values: &[Vec<u8>]) -> Result<Vec<Kept>, StoreError> {
    values.iter().map(|turn| Kept::decode(turn.as_slice())).collect::<Result<_, _>>().map_err(StoreError::failed)
}

#[tonic::async_trait]
impl Store for Redis {
    async fn create(&self, key: &Key, record: &Record, most: u64) -> Result<bool, StoreError> {
        let mut connection = self.connection.clone();
        let now = now();
        let (count,): (u64,) = redis::pipe()
            .cmd("ZREMRANGEBYSCORE")
            .arg(all(&key.owner))
            .arg("-inf")
            .arg(now)
            .ignore()
            .zcard(all(&key.owner))
            .query_async(&mut connection)
            .await
            .map_err(StoreError::failed)?;
        if count >= most {
            return Ok(false);
        }
        let created: Result<i64, RedisError> = Script::new(scripts::CREATE)
            .key(Keys::of(key).key("head"))
            .arg(record.origin.encode_to_vec())
            .arg(record.head.used_at)
            .arg(millis(record.max_age()))
            .invoke_async(&mut connection)
            .await;
        created.map_err(|error| StoreError::Unknown(error.into()))?;
        let counted: Result<i64, RedisError> = connection.zadd(all(&key.owner), &key.id, record.expires_at()).await;
        counted.map(|_| true).map_err(StoreError::failed)
    }

    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let found = self.records(&key.owner, std::slice::from_ref(&key.id)).await.map_err(StoreError::failed)?;
        Ok(found.into_iter().flatten().next())
    }

    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, Kept)>, StoreError> {
        let Some(record) = self.record(key).await? else { return Ok(Vec::new()) };
        let (mut page, mut bytes) = (Vec::new(), 0);
        let mut number = from.max(record.head.first);
        while number < record.head.next && page.len() < limit.turns {
            let start = isize::try_from(number - record.head.first).unwrap_or(isize::MAX);
            let count = isize::try_from(TURNS_AT_ONCE.min(limit.turns - page.len())).unwrap_or(isize::MAX);
            let end = start.saturating_add(count - 1);
            let found: Vec<Vec<u8>> = self
                .connection
                .clone()
                .lrange(Keys::of(key).key("turns"), start, end)
                .await
                .map_err(StoreError::failed)?;
            if found.is_empty() {
                break;
            }
            for turn in found {
                bytes += turn.len();
                if bytes > limit.bytes && !page.is_empty() {
                    return Ok(page);
                }
                page.push((number, Kept::decode(turn.as_slice()).map_err(StoreError::failed)?));
                number += 1;
            }
        }
        Ok(page)
    }

    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError> {
        self.listed(owner, after, most).await
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let (mut connection, keys) = (self.connection.clone(), Keys::of(key));
        let parts: Vec<_> = ["head", "ids", "turns", "sizes"].iter().map(|part| keys.key(part)).collect();
        let removed: i64 =
            connection.del(parts).await.map_err(|error: RedisError| StoreError::Unknown(error.into()))?;
        let unlisted: Result<(i64, i64), RedisError> = redis::pipe()
            .zrem(list(&key.owner), &key.id)
            .zrem(all(&key.owner), &key.id)
            .query_async(&mut connection)
            .await;
        unlisted.map(|_| removed > 0).map_err(StoreError::failed)
    }

    async fn take(&self, key: &Key, turn_id: &str) -> Result<Taken, StoreError> {
        Taking::new(self, key).take(turn_id).await
    }

    async fn renew(&self, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        // All of them in one round trip.
        let mut pipe = redis::pipe();
        for Lease { key, fence } in leases {
            pipe.cmd("EVAL").arg(scripts::RENEW).arg(1).arg(Keys::of(key).key("lease")).arg(*fence).arg(millis(LEASE));
        }
        let renewed: Vec<i64> = pipe.query_async(&mut self.connection.clone()).await.map_err(StoreError::failed)?;
        let lost = leases.iter().zip(renewed).filter(|(_, renewed)| *renewed == 0);
        Ok(lost.map(|(lease, _)| lease.clone()).collect())
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let turn = append.kept.encode_to_vec();
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
            1 => {
                self.index(&append.lease.key, append.at, append.bounds.age).await;
                Ok(Appended::Stored)
            }
            2 => Ok(Appended::Missing),
            _ => Ok(Appended::Lost),
        }
    }

    fn release(&self, Lease { key, fence }: Lease) {
        self.release_by(scripts::RELEASE, vec![Keys::of(&key).key("lease")], fence.to_string());
    }

    async fn settle(&self) {
        self.releasing.close();
        self.releasing.wait().await;
    }

    async fn remove_expired(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
