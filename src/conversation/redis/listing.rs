//! The lists of an owner's conversations in Redis. They are in a slot of their own, so no script touches them together with a
//! conversation: they follow it.

use std::time::Duration;

use redis::{AsyncCommands, RedisError, Value};

use super::{FIELDS, Keys, Redis, millis, record};
use crate::conversation::store::{Cursor, Key, Record, StoreError};

/// The list of an owner's conversations with a turn, by time of last use.
pub(super) fn list(owner: &str) -> String {
    format!("outcrop:{{{owner}}}:used")
}

/// All conversations of an owner, by time of expiry.
pub(super) fn all(owner: &str) -> String {
    format!("outcrop:{{{owner}}}:expiry")
}

impl Redis {
    /// Puts a conversation with a turn into the owner's lists. They expire with the last conversation in them.
    pub(super) async fn index(&self, key: &Key, used_at: u64, age: Duration) {
        let expiry = millis(age);
        let indexed: Result<(), RedisError> = redis::pipe()
            .zadd(list(&key.owner), &key.id, used_at)
            .ignore()
            .zadd(all(&key.owner), &key.id, used_at.saturating_add(expiry.saturating_mul(1_000)))
            .ignore()
            .cmd("PEXPIRE")
            .arg(list(&key.owner))
            .arg(expiry)
            .ignore()
            .cmd("PEXPIRE")
            .arg(all(&key.owner))
            .arg(expiry)
            .ignore()
            .query_async(&mut self.connection.clone())
            .await;
        if let Err(error) = indexed {
            // The turn is stored. The next turn puts the conversation into the lists.
            tracing::warn!(%error, "a conversation could not be put into its owner's list");
        }
    }

    /// The conversations with these ids, without their turns, in one round trip.
    pub(super) async fn records(&self, owner: &str, ids: &[String]) -> Result<Vec<Option<Record>>, RedisError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for id in ids {
            let keys = Keys::of(&Key { owner: owner.to_owned(), id: id.clone() });
            pipe.cmd("HMGET").arg(keys.key("head")).arg(&FIELDS);
        }
        let found: Vec<Value> = pipe.query_async(&mut self.connection.clone()).await?;
        Ok(found.into_iter().map(|fields| record(&fields)).collect())
    }

    /// A page of the conversations of an owner that have a turn. Conversations that Redis has removed leave the list here.
    pub(super) async fn listed(
        &self,
        owner: &str,
        after: Option<Cursor>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (mut page, mut skip) = (Vec::new(), 0_isize);
        let from = after.as_ref().map_or_else(|| "+inf".to_owned(), |after| after.used_at.to_string());
        while page.len() < most {
            let count = isize::try_from(most + 1).unwrap_or(isize::MAX);
            let ids: Vec<String> = self
                .connection
                .clone()
                .zrevrangebyscore_limit(list(owner), &from, "-inf", skip, count)
                .await
                .map_err(StoreError::failed)?;
            let records = self.records(owner, &ids).await.map_err(StoreError::failed)?;
            let gone: Vec<_> =
                ids.iter().zip(&records).filter(|(_, found)| found.is_none()).map(|(id, _)| id).collect();
            if !gone.is_empty() {
                let removed: Result<i64, RedisError> = self.connection.clone().zrem(list(owner), gone).await;
                removed.map_err(StoreError::failed)?;
            }
            let found = ids.len();
            skip += isize::try_from(records.iter().flatten().count()).unwrap_or_default();
            // Of the same time the greater id comes first, in Redis as here.
            let behind = |record: &Record| {
                let at = (record.head.used_at, &record.origin.conversation_id);
                after.as_ref().is_none_or(|after| at < (after.used_at, &after.id))
            };
            page.extend(records.into_iter().flatten().filter(behind));
            if found <= most {
                break;
            }
        }
        page.truncate(most);
        Ok(page)
    }
}
