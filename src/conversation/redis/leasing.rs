//! Takes and releases the leases of conversations in Redis.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{FromRedisValue, Value};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{Keys, Redis, TRIES, millis, record, scripts, turns};
use crate::conversation::{
    leases::LEASE,
    store::{Grant, Key, Lease, Renewed, StoreError, Taken, TurnRequest},
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
    pub(super) async fn take(mut self, turn_request: &TurnRequest) -> Result<Taken, StoreError> {
        let taken = granted(self.key, &self.query(turn_request).await?)?;
        self.armed = false;
        Ok(taken)
    }

    async fn query(&self, TurnRequest { turn_id, bounds, .. }: &TurnRequest) -> Result<Vec<Value>, StoreError> {
        let mut call =
            scripts::call(scripts::TAKE, &Keys::of(self.key).keys(["head", "lease", "ids", "turns", "sizes"]));
        call.arg(millis(LEASE)).arg(turn_id).arg(&self.holder);
        call.arg(bounds.messages).arg(bounds.tokens).arg(bounds.bytes);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.redis.query(&call).await {
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
            let keys = Keys::of(self.key).keys(["lease", "head"]);
            self.redis.release_by(scripts::RELEASE_HOLDER, &keys, &self.holder);
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
    /// Renews leases, all of them at once: they share the connection to their node, and with it a round trip.
    pub(super) async fn renewed(&self, leases: &[Lease]) -> Result<Renewed, StoreError> {
        let renewals = join_all(leases.iter().map(async |lease| {
            let mut call = scripts::call(scripts::RENEW, &Keys::of(&lease.key).keys(["lease"]));
            call.arg(lease.fence).arg(millis(LEASE));
            self.query::<i64>(&call).await
        }));
        let (mut renewed, mut failure) = (Renewed::default(), None);
        for (lease, answer) in leases.iter().zip(renewals.await) {
            match answer {
                Ok(0) => renewed.lost.push(lease.clone()),
                Ok(_) => renewed.confirmed.push(lease.clone()),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if renewed.confirmed.is_empty() && renewed.lost.is_empty() => Err(StoreError::failed(error)),
            _ => Ok(renewed),
        }
    }

    /// Runs a script that releases a lease, in the background and again until Redis confirms it. A Redis that is away for longer lets the
    /// lease expire, and so does a thread without a runtime.
    pub(super) fn release_by(&self, script: &'static str, keys: &[String], argument: &str) {
        let Ok(runtime) = Handle::try_current() else { return };
        let redis = self.clone();
        let mut call = scripts::call(script, keys);
        call.arg(argument);
        let released = async move {
            while redis.query::<i64>(&call).await.is_err() {
                sleep(RELEASE_RETRY).await;
            }
        };
        self.releasing.spawn_on(async move { drop(timeout(LEASE, released).await) }, &runtime);
    }
}
