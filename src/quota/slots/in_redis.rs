//! The table in Redis or Valkey. The requests of a server are one script, or a few at once if there are many resources.

use std::{fmt::Write as _, time::Duration};

use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, RedisError, Value};

use super::{
    script::{self, EJECT},
    table::{Answer, Ejection, LEASE, REMEMBERED, Reply, Request, ServerId, Table, TableError, millis},
};
use crate::redis::{Probe, connection::Connection, script::call};

/// The number of resources in one script. Redis does nothing else while a script runs.
const BATCH: usize = 64;

/// The longest time for which a circuit breaker of another server is believed.
const LONGEST_EJECTION: Duration = Duration::from_mins(10);

/// What every key begins with. The braces are a hash tag: all of them are in one slot of a cluster.
const PREFIX: &str = "outcrop:{quota}:";

/// The table. Clones share the connection.
pub(super) struct InRedis {
    connection: Connection,
    renew: String,
}

impl InRedis {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, renew: script::renew() }
    }

    /// A table whose clock is another expression of Lua.
    #[cfg(test)]
    pub(super) fn with_clock(connection: Connection, clock: &str) -> Self {
        Self { connection, renew: script::renew().replace(script::CLOCK, clock) }
    }

    /// Whether this Redis can run the scripts, tried with a resource that no server uses.
    pub(super) async fn probe(&self) -> Result<(), Probe> {
        let request = Request {
            resource: "probe".into(),
            sequence: 1,
            capacity: 0,
            held: 0,
            in_use: 0,
            wanted: 0,
            spent: 0,
            confirmed: 0,
            born: 0,
            lasts: None,
            leaving: true,
        };
        let tried = self.connection.query::<Vec<Value>>(&self.call(ServerId(0), &[request])).await;
        tried.map(drop).map_err(|error| advice(&error))
    }

    fn call(&self, ServerId(server): ServerId, requests: &[Request]) -> Cmd {
        let keys: Vec<_> = requests.iter().map(|request| key(&request.resource)).collect();
        let mut call = call(&self.renew, &keys);
        call.arg(server);
        for request in requests {
            let Request { sequence, capacity, held, in_use, wanted, spent, confirmed, born, lasts, leaving, .. } =
                request;
            let kept = millis(lasts.unwrap_or_default().saturating_add(LEASE).saturating_add(REMEMBERED));
            call.arg(sequence).arg(capacity).arg(held).arg(in_use).arg(wanted);
            call.arg(spent).arg(confirmed).arg(born).arg(kept).arg(u8::from(*leaving));
        }
        call
    }

    async fn batch(&self, server: ServerId, requests: &[Request]) -> Result<Vec<Answer>, TableError> {
        let answers: Vec<Vec<u64>> = self.connection.query(&self.call(server, requests)).await.map_err(failed)?;
        if answers.len() != requests.len() {
            return Err(TableError("Redis sent an answer of another form".to_owned()));
        }
        answers.iter().map(|answer| read(answer)).collect()
    }
}

fn read(answer: &[u64]) -> Result<Answer, TableError> {
    match *answer {
        [] => Ok(None),
        [held, servers, spent, born, at] => {
            Ok(Some(Reply { held, servers: u32::try_from(servers).unwrap_or(u32::MAX), spent, born, at }))
        }
        _ => Err(TableError("Redis sent an answer of another form".to_owned())),
    }
}

#[tonic::async_trait]
impl Table for InRedis {
    async fn renew(&self, server: ServerId, requests: &[Request]) -> Result<Vec<Answer>, TableError> {
        let batches = requests.chunks(BATCH).map(|requests| self.batch(server, requests));
        Ok(try_join_all(batches).await?.concat())
    }

    async fn eject(&self, ejections: &[Ejection]) -> Result<Option<Vec<Ejection>>, TableError> {
        let mut call = call(EJECT, &[ejections_key()]);
        for Ejection { target, remaining } in ejections {
            call.arg(target.as_ref()).arg(millis((*remaining).min(LONGEST_EJECTION)));
        }
        let known: Vec<Value> = self.connection.query(&call).await.map_err(failed)?;
        let ejection = |pair: &[Value]| {
            let target = String::from_redis_value_ref(&pair[0]).ok()?;
            let remaining = Duration::from_millis(u64::from_redis_value_ref(&pair[1]).ok()?).min(LONGEST_EJECTION);
            Some(Ejection { target: target.into(), remaining })
        };
        let is_foreign = known.len() == 1;
        Ok((!is_foreign).then(|| known.chunks_exact(2).filter_map(ejection).collect()))
    }
}

/// The key of the open circuit breakers.
pub(super) fn ejections_key() -> String {
    format!("{PREFIX}ejections")
}

/// The key of a resource. What would make a key hard to name in a shell is escaped.
pub(super) fn key(resource: &str) -> String {
    let mut key = format!("{PREFIX}of:");
    for letter in resource.chars() {
        if letter.is_control() || matches!(letter, ' ' | '%' | '{' | '}' | '"') {
            let _ = write!(key, "%{:02x}", u32::from(letter));
        } else {
            key.push(letter);
        }
    }
    key
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: RedisError) -> TableError {
    TableError(error.to_string())
}

/// What an operator can do about a Redis that does not run the scripts.
fn advice(error: &RedisError) -> Probe {
    let text = error.to_string();
    let lower = text.to_lowercase();
    let no_script = ["unknown command", "unknown redis command", "non deterministic", "nondeterministic"];
    if no_script.iter().any(|problem| lower.contains(problem)) {
        return Probe::Misconfigured(format!(
            "this Redis does not run the scripts that share quotas ({text}). They need Redis 5 or Valkey, with EVAL, TIME, HGETALL, HSET, HDEL, PTTL and PEXPIRE"
        ));
    }
    if lower.contains("noperm") || lower.contains("no permission") || lower.contains("can't run this command") {
        return Probe::Misconfigured(format!(
            "the user of Redis may not run the scripts that share quotas ({text}). Let it use EVAL, TIME, HGETALL, HSET, HDEL, PTTL and PEXPIRE on the keys {PREFIX}*"
        ));
    }
    Probe::Away(text)
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    #[test]
    fn an_old_redis_is_refused_with_what_to_do() {
        let said =
            "Write commands not allowed after non deterministic commands. Call redis.replicate_commands() at the start";
        let error = RedisError::from((ErrorKind::UnexpectedReturnType, "An error was signalled", said.to_owned()));
        assert!(matches!(advice(&error), Probe::Misconfigured(problem) if problem.contains("Redis 5 or Valkey")));
        let away = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(advice(&away.into()), Probe::Away(_)));
    }

    #[test]
    fn all_keys_are_in_one_slot_and_each_resource_has_its_own() {
        for resource in ["tokens/nova@us-east-1", "a{b}c", "}", "ä b", ""] {
            let key = key(resource);
            let tag = &key[key.find('{').unwrap() + 1..key.find('}').unwrap()];
            assert_eq!(tag, "quota");
            assert!(ejections_key().contains("{quota}") && ejections_key() != key);
        }
        assert_ne!(key("a{"), key("a%7b"));
        assert_ne!(key("ejections"), ejections_key());
    }
}
