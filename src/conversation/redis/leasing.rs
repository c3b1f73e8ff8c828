//! Takes and releases the leases of conversations in Redis.

use std::time::Duration;

use redis::{FromRedisValue, RedisError, Script, Value};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{Keys, Redis, TRIES, millis, record, scripts, turns};
use crate::conversation::{
    leases::LEASE,
    store::{Grant, Key, Lease, StoreError, Taken},
};

/// How long until the release of a lease is tried again.
const RELEASE_RETRY: Duration = Duration::from_millis(200);

/// A lease that is being taken. If this is dropped before it is granted, Redis may have granted it nevertheless, so it is released.
pub(super) struct Taking<'a> {
    redis: &'a Redis,
    key: &'a Key,
    holder: String,
    armed: bool,
}

impl<'a> Taking<'a> {
    pub(super) fn new(redis: &'a Redis, key: &'a Key) -> Self {
        Self { redis, key, holder: Uuid::new_v4().to_string(), armed: true }
    }

    /// Takes the lease. If the answer does not arrive, the same holder asks again.
    pub(super) async fn take(mut self, turn_id: &str) -> Result<Taken, StoreError> {
        let taken = granted(self.key, &self.ask(turn_id).await?)?;
        self.armed = false;
        Ok(taken)
    }

    async fn ask(&self, turn_id: &str) -> Result<Vec<Value>, StoreError> {
        let keys = Keys::of(self.key);
        let mut tries = 0;
        loop {
            tries += 1;
            let taken: Result<Vec<Value>, RedisError> = Script::new(scripts::TAKE)
                .key(keys.key("head"))
                .key(keys.key("lease"))
                .key(keys.key("ids"))
                .key(keys.key("turns"))
                .arg(millis(LEASE))
                .arg(turn_id)
                .arg(&self.holder)
                .invoke_async(&mut self.redis.connection.clone())
                .await;
            match taken {
                Ok(taken) => return Ok(taken),
                Err(error) if tries == TRIES => return Err(StoreError::failed(error)),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if self.armed {
            let keys = Keys::of(self.key);
            let keys = vec![keys.key("head"), keys.key("lease")];
            self.redis.release_by(scripts::RELEASE_HOLDER, keys, self.holder.clone());
        }
    }
}

/// What the answer of Redis to the script that takes a lease says.
fn granted(key: &Key, taken: &[Value]) -> Result<Taken, StoreError> {
    let [verdict, granted @ ..] = taken else { return Err(StoreError::failed("Redis sent no answer")) };
    match (i64::from_redis_value_ref(verdict), granted) {
        (Ok(0), _) => Ok(Taken::Missing),
        (Ok(1), _) => Ok(Taken::Busy),
        (Ok(2), _) => Ok(Taken::TurnStored),
        (Ok(_), [fence, fields, stored]) => {
            let fence = u64::from_redis_value_ref(fence).map_err(StoreError::failed)?;
            let lease = Lease { key: key.clone(), fence };
            let Some(record) = record(fields) else { return Ok(Taken::Missing) };
            let turns = turns(&Vec::<Vec<u8>>::from_redis_value_ref(stored).map_err(StoreError::failed)?)?;
            Ok(Taken::Granted(Box::new(Grant { lease, record, turns })))
        }
        _ => Err(StoreError::failed("Redis sent an answer of another form")),
    }
}

impl Redis {
    /// Runs a script that releases a lease, in the background and again until Redis confirms it. A Redis that is away for longer lets the
    /// lease expire, and so does a thread without a runtime.
    pub(super) fn release_by(&self, script: &'static str, keys: Vec<String>, argument: String) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut connection = self.connection.clone();
        let released = async move {
            let script = Script::new(script);
            let mut call = script.arg(argument);
            for key in keys {
                call.key(key);
            }
            while call.invoke_async::<i64>(&mut connection).await.is_err() {
                sleep(RELEASE_RETRY).await;
            }
        };
        self.releasing.spawn_on(async move { drop(timeout(LEASE, released).await) }, &runtime);
    }
}
