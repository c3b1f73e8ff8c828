//! The account of an owner in Redis: how many conversations there are and how many bytes they have, exactly.
//!
//! It is in a slot of its own, so no script changes it together with a conversation. The bytes of a turn are reserved before the turn
//! is stored and corrected afterwards: a server that is killed in between leaves a count that is too high, which the next turn of the
//! conversation corrects, and never one that is too low.

use std::time::Duration;

use redis::RedisError;

use super::{Redis, TRIES, millis, scripts};
use crate::conversation::{
    embedded::now,
    store::{Append, Created, Key, OwnerLimits, Record, StoreError},
};

/// How long after its expiry a conversation is counted out. The clocks of servers and of Redis differ.
const SLACK: u64 = 10_000_000;

/// The names of the keys of an owner.
pub(super) struct Owner(String);

impl Owner {
    pub(super) fn of(owner: &str) -> Self {
        Self(format!("outcrop:{{{}/}}", escaped(owner)))
    }

    /// The list of the conversations with a turn, by time of last use.
    pub(super) fn used(&self) -> String {
        format!("{}:used", self.0)
    }

    /// The sum of the bytes.
    pub(super) fn total(&self) -> String {
        format!("{}:total", self.0)
    }

    fn keys(&self) -> [String; 4] {
        [format!("{}:expiry", self.0), format!("{}:sizes", self.0), self.total(), self.used()]
    }
}

/// The name of an owner without the characters that have a meaning in keys.
pub(super) fn escaped(owner: &str) -> String {
    owner.replace('%', "%25").replace('{', "%7B").replace('}', "%7D").replace('/', "%2F")
}

/// One change of an account.
struct Entry<'a> {
    what: &'static str,
    key: &'a Key,
    fence: u64,
    bytes: u64,
    used_at: u64,
    age: Duration,
    limits: OwnerLimits,
}

impl Redis {
    async fn account(&self, entry: &Entry<'_>) -> Result<i64, RedisError> {
        let Entry { what, key, fence, bytes, used_at, age, limits } = entry;
        let age = millis(*age);
        let expires_at = used_at.saturating_add(age.saturating_mul(1_000)).saturating_add(SLACK);
        let mut call = scripts::call(scripts::ACCOUNT, &Owner::of(&key.owner).keys());
        call.arg(what).arg(now()).arg(&key.id).arg(fence).arg(bytes).arg(expires_at);
        call.arg(age.saturating_add(SLACK / 1_000)).arg(used_at).arg(limits.conversations).arg(limits.bytes);
        self.query(&call).await
    }

    /// Counts a new conversation.
    pub(super) async fn open_account(
        &self,
        key: &Key,
        record: &Record,
        limits: OwnerLimits,
    ) -> Result<Created, RedisError> {
        let (used_at, age) = (record.head.used_at, record.max_age());
        let entry = Entry { what: "create", key, fence: 0, bytes: record.bytes(), used_at, age, limits };
        Ok(match self.account(&entry).await? {
            1 => Created::TooMany,
            2 => Created::NoRoom,
            _ => Created::Stored,
        })
    }

    /// Counts the bytes of a turn before it is stored. `false` if the owner has no room for them.
    pub(super) async fn reserve(&self, append: &Append, turn: u64) -> Result<bool, StoreError> {
        // Older turns make room for it when the conversation has as many bytes as it may have.
        let turns = append.turns_bytes.saturating_add(turn).min(append.bounds.bytes.max(turn));
        let bytes = append.origin_bytes.saturating_add(turns);
        let entry = Entry { what: "reserve", bytes, ..Entry::of(append) };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.account(&entry).await {
                Ok(reserved) => return Ok(reserved == 0),
                Err(error) if tries == TRIES => return Err(StoreError::failed(error)),
                Err(_) => {}
            }
        }
    }

    /// Corrects the size of a conversation and its place in the list, after a turn is stored.
    pub(super) async fn settle_account(&self, append: &Append, bytes: u64) {
        if let Err(error) = self.account(&Entry { what: "settle", bytes, ..Entry::of(append) }).await {
            // The turn is stored. The next turn of the conversation corrects its size and its place.
            tracing::warn!(%error, "the size of a conversation could not be corrected in its owner's account");
        }
    }

    /// Counts a conversation out.
    pub(super) async fn forget(&self, key: &Key) -> Result<(), RedisError> {
        let limits = OwnerLimits { conversations: 0, bytes: 0 };
        let entry = Entry { what: "forget", key, fence: 0, bytes: 0, used_at: 0, age: Duration::ZERO, limits };
        self.account(&entry).await.map(drop)
    }
}

impl<'a> Entry<'a> {
    fn of(append: &'a Append) -> Self {
        let limits = OwnerLimits { conversations: 0, bytes: append.owner_bytes };
        let (lease, age) = (&append.lease, append.bounds.age);
        Self { what: "", key: &lease.key, fence: lease.fence, bytes: 0, used_at: append.at, age, limits }
    }
}
