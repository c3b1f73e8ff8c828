//! The list of an owner's conversations in Redis. It is in a slot of its own, so no script changes it together with a conversation: it
//! follows the conversation.

use futures_util::future::try_join_all;
use redis::{RedisError, Value, cmd};

use super::{FIELDS, Keys, Owner, Redis, record};
use crate::conversation::store::{Cursor, Key, Record, StoreError};

impl Redis {
    /// A conversation without its turns.
    pub(super) async fn head(&self, key: &Key) -> Result<Option<Record>, RedisError> {
        let fields: Value = self.query(cmd("HMGET").arg(Keys::of(key).key("head")).arg(&FIELDS)).await?;
        Ok(record(&fields))
    }

    /// The bytes of an owner's conversations.
    pub(super) async fn total(&self, owner: &str) -> Result<u64, RedisError> {
        let total: Option<u64> = self.query(cmd("GET").arg(Owner::of(owner).total())).await?;
        Ok(total.unwrap_or(0))
    }

    /// A page of the conversations of an owner that have a turn. Conversations that Redis has removed leave the list here.
    pub(super) async fn listed(
        &self,
        owner: &str,
        after: Option<Cursor>,
        most: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (mut page, mut skip, list) = (Vec::new(), 0, Owner::of(owner).used());
        let from = after.as_ref().map_or_else(|| "+inf".to_owned(), |after| after.used_at.to_string());
        while page.len() < most {
            let mut range = cmd("ZREVRANGEBYSCORE");
            range.arg(&list).arg(&from).arg("-inf").arg("WITHSCORES").arg("LIMIT").arg(skip).arg(most + 1);
            let found: Vec<(String, u64)> = self.query(&range).await.map_err(StoreError::failed)?;
            let keys = found.iter().map(|(id, _)| Key { owner: owner.to_owned(), id: id.clone() }).collect::<Vec<_>>();
            let records = try_join_all(keys.iter().map(|key| self.head(key))).await.map_err(StoreError::failed)?;
            let mut gone = Vec::new();
            for ((id, used_at), record) in found.iter().zip(records) {
                let Some(mut record) = record else {
                    gone.push(id);
                    continue;
                };
                skip += 1;
                // The list is read in the order of its own times.
                record.head.used_at = *used_at;
                // Of the same time the greater id comes first, in Redis as here.
                let behind = after.as_ref().is_none_or(|after| (*used_at, id) < (after.used_at, &after.id));
                // The place of a turn is made before the turn is stored.
                if behind && record.head.next > 0 {
                    page.push(record);
                }
            }
            if !gone.is_empty() {
                self.query::<i64>(cmd("ZREM").arg(&list).arg(gone)).await.map_err(StoreError::failed)?;
            }
            if found.len() <= most {
                break;
            }
        }
        page.truncate(most);
        Ok(page)
    }
}
