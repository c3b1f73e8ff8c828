//! Conversations in Redis or Valkey: shared by several servers behind a load balancer.
//!
//! An engine of [`super::store`]. What belongs together is changed by one script, which Redis carries out at once: a turn is there whole or
//! not at all, and of two turns at once one is first. Who has a conversation for a turn has a lease on it, so that a server that
//! is gone does not keep it. Redis itself forgets what is too old.

use std::time::Duration;

use prost::Message;
use redis::{
    AsyncCommands, Client, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::{
    embedded::now,
    store::{Cursor, Key, Record, Store, StoreError, Taken, Turns},
};
use crate::proto::Conversation;

/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a conversation stays with somebody who does not renew his lease.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// What is kept of a conversation.
const FIELDS: &[&str] = &["conversation", "turns", "used_at", "max_age"];

/// Those of [`FIELDS`], as Redis gives them back.
type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>, Option<u64>);

/// Conversation, lease; holder, milliseconds -> 0 if there is none, 1 if it is somebody else's, or what is kept.
const TAKE: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, false, false, false, false} end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {1, false, false, false, false} end
local kept = redis.call('HMGET', KEYS[1], 'conversation', 'turns', 'used_at', 'max_age')
return {2, kept[1], kept[2], kept[3], kept[4]}";

/// Lease; holder, milliseconds.
const RENEW: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0";

/// Lease; holder.
const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Conversation, lease, list; holder, conversation, turns, used at, greatest age, milliseconds to keep it, id.
const REPLACE: &str = "
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'conversation', ARGV[2], 'turns', ARGV[3], 'used_at', ARGV[4], 'max_age', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[7])
return 1";

/// Conversation, list; conversation, turns, used at, greatest age, milliseconds to keep it, id.
const INSERT: &str = "
redis.call('HSET', KEYS[1], 'conversation', ARGV[1], 'turns', ARGV[2], 'used_at', ARGV[3], 'max_age', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[6])
return 1";

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct Redis {
    connection: ConnectionManager,
    /// Leases that are being given back.
    releasing: TaskTracker,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// At this address, such as `redis://127.0.0.1:6379/0`.
    /// Nothing is connected before it is needed: a Redis that is away for a while keeps no server from starting.
    pub(crate) fn at(url: &str) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let client = Client::open(url).map_err(StoreError::new)?;
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(StoreError::new)?;
        Ok(Self { connection, releasing: TaskTracker::new() })
    }

    async fn kept(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let kept: Fields = self.connection.clone().hmget(conversation(key), FIELDS).await.map_err(StoreError::new)?;
        match kept {
            (Some(conversation), Some(turns), Some(used_at), Some(max_age)) => {
                record(&conversation, &turns, used_at, max_age).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The braces keep all keys of an owner in one slot of a cluster, as scripts demand.
fn conversation(key: &Key) -> String {
    format!("outcrop:{{{}}}:conversation:{}", key.owner, key.id)
}

fn lease(key: &Key) -> String {
    format!("outcrop:{{{}}}:lease:{}", key.owner, key.id)
}

fn list(owner: &str) -> String {
    format!("outcrop:{{{owner}}}:conversations")
}

fn record(conversation: &[u8], turns: &[u8], used_at: u64, max_age: u64) -> Result<Record, StoreError> {
    Ok(Record {
        conversation: Conversation::decode(conversation).map_err(StoreError::new)?,
        turns: Turns::decode(turns).map_err(StoreError::new)?,
        used_at,
        max_age: Duration::from_micros(max_age),
    })
}

fn micros(age: Duration) -> u64 {
    u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
}

/// How long Redis is to keep it from now on, in milliseconds.
fn keep_for(record: &Record) -> u64 {
    (record.expires_at().saturating_sub(now()) / 1_000).max(1)
}

fn millis(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

#[tonic::async_trait]
impl Store for Redis {
    async fn insert(&self, key: &Key, record: &Record) -> Result<(), StoreError> {
        let inserted: Result<i64, RedisError> = Script::new(INSERT)
            .key(conversation(key))
            .key(list(&key.owner))
            .arg(record.conversation.encode_to_vec())
            .arg(record.turns.encode_to_vec())
            .arg(record.used_at)
            .arg(micros(record.max_age))
            .arg(keep_for(record))
            .arg(&key.id)
            .invoke_async(&mut self.connection.clone())
            .await;
        inserted.map(drop).map_err(StoreError::new)
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.kept(key).await
    }

    async fn list(
        &self,
        owner: &str,
        after: Option<Cursor>,
        most: usize,
    ) -> Result<Vec<(Cursor, Conversation)>, StoreError> {
        let (mut connection, mut page) = (self.connection.clone(), Vec::new());
        let (mut from, mut after) = (after.as_ref().map_or(f64::INFINITY, |after| score(after.used_at)), after);
        loop {
            // One more than is wanted, for the one that the cursor names.
            let count = isize::try_from(most + 1).unwrap_or(isize::MAX);
            let found: Vec<(String, f64)> = connection
                .zrevrangebyscore_limit_withscores(list(owner), from, f64::NEG_INFINITY, 0, count)
                .await
                .map_err(StoreError::new)?;
            let last = found.last().cloned();
            for (id, used_at) in found {
                let cursor = Cursor { used_at: of_score(used_at), id };
                let behind = |after: &Cursor| (after.used_at, &after.id) > (cursor.used_at, &cursor.id);
                if page.len() == most || !after.as_ref().is_none_or(behind) {
                    continue;
                }
                let key = Key { owner: owner.to_owned(), id: cursor.id.clone() };
                match self.kept(&key).await? {
                    Some(record) => page.push((cursor, record.conversation)),
                    // Redis has forgotten it, and the list has not.
                    None => {
                        let _: i64 = connection.zrem(list(owner), &key.id).await.map_err(StoreError::new)?;
                    }
                }
            }
            match last {
                Some((id, used_at)) if page.len() < most && used_at < from => {
                    from = used_at;
                    after = Some(Cursor { used_at: of_score(used_at), id });
                }
                _ => return Ok(page),
            }
        }
    }

    async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let mut connection = self.connection.clone();
        let removed: i64 = connection.del(conversation(key)).await.map_err(StoreError::new)?;
        let _: i64 = connection.zrem(list(&key.owner), &key.id).await.map_err(StoreError::new)?;
        Ok(removed > 0)
    }

    async fn take(&self, key: &Key, holder: &str) -> Result<Taken, StoreError> {
        let taken: (i64, Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>, Option<u64>) = Script::new(TAKE)
            .key(conversation(key))
            .key(lease(key))
            .arg(holder)
            .arg(millis(LEASE))
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(StoreError::new)?;
        match taken {
            (0, ..) => Ok(Taken::Missing),
            (1, ..) => Ok(Taken::Busy),
            (_, conversation, turns, used_at, max_age) => {
                let (conversation, turns) = (conversation.unwrap_or_default(), turns.unwrap_or_default());
                let record = record(&conversation, &turns, used_at.unwrap_or_default(), max_age.unwrap_or_default());
                record.map(|record| Taken::Yes(Box::new(record)))
            }
        }
    }

    async fn renew(&self, key: &Key, holder: &str) -> Result<(), StoreError> {
        let renewed: Result<i64, RedisError> = Script::new(RENEW)
            .key(lease(key))
            .arg(holder)
            .arg(millis(LEASE))
            .invoke_async(&mut self.connection.clone())
            .await;
        renewed.map(drop).map_err(StoreError::new)
    }

    async fn replace(&self, key: &Key, holder: &str, record: &Record) -> Result<bool, StoreError> {
        let replaced: i64 = Script::new(REPLACE)
            .key(conversation(key))
            .key(lease(key))
            .key(list(&key.owner))
            .arg(holder)
            .arg(record.conversation.encode_to_vec())
            .arg(record.turns.encode_to_vec())
            .arg(record.used_at)
            .arg(micros(record.max_age))
            .arg(keep_for(record))
            .arg(&key.id)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(StoreError::new)?;
        Ok(replaced == 1)
    }

    fn release(&self, key: Key, holder: String) {
        // Without a runtime the lease runs out by itself.
        if let Ok(runtime) = Handle::try_current() {
            let mut connection = self.connection.clone();
            let release = async move {
                let script = Script::new(RELEASE);
                let mut call = script.key(lease(&key));
                // If Redis is gone the lease runs out.
                let _: Result<i64, RedisError> = call.arg(holder).invoke_async(&mut connection).await;
            };
            self.releasing.spawn_on(release, &runtime);
        }
    }

    async fn settle(&self) {
        self.releasing.close();
        self.releasing.wait().await;
    }

    async fn forget_old(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Redis sorts by doubles, which hold microseconds exactly until the year 2255.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn score(micros: u64) -> f64 {
    micros as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the inverse of `score`")]
fn of_score(score: f64) -> u64 {
    score as u64
}
