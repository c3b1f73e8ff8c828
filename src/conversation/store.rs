//! What a storage engine for conversations does, and what it is asked.

use std::fmt;

use super::bounds::Bounds;
pub(crate) use super::record::{Head, Record, StoredTurn};
use crate::quota::budget::{Budgets, SavedAccount};

/// The name of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Its owner.
    pub(crate) owner: String,
    /// Its id.
    pub(crate) id: String,
}

/// The right to end one turn. No write may outlive its lease: an engine refuses a write whose fencing token is not the
/// current one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    /// The conversation.
    pub(crate) key: Key,
    /// The fencing token. It only grows, so that each lease of a conversation has its own.
    pub(crate) fence: u64,
}

/// A turn to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    /// The lease under which the turn ran.
    pub(crate) lease: Lease,
    /// Makes storing idempotent: a turn id is stored once.
    pub(crate) turn_id: String,
    /// The turn.
    pub(crate) kept: StoredTurn,
    /// The title of the conversation if it has none yet.
    pub(crate) title: String,
    /// When, in microseconds since 1970.
    pub(crate) at: u64,
    /// Older turns are removed until the rest is within these bounds.
    pub(crate) bounds: Bounds,
    /// The bytes of the origin.
    pub(crate) origin_bytes: u64,
    /// The bytes of the turns before this one.
    pub(crate) turns_bytes: u64,
    /// The most bytes of the owner's conversations.
    pub(crate) owner_bytes: u64,
}

/// The most that one owner may store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerLimits {
    /// Conversations.
    pub(crate) conversations: u64,
    /// Bytes of conversations: their turns, system prompts and settings in protobuf's encoding.
    pub(crate) bytes: u64,
}

/// The result of storing a new conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It is stored.
    Stored,
    /// The owner has too many conversations.
    TooMany,
    /// The owner's conversations have too many bytes.
    NoRoom,
}

/// The result of storing a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is stored now, or was stored by an earlier try.
    Stored,
    /// The conversation was deleted or has expired.
    Missing,
    /// The lease was lost: the turn was not stored.
    Lost,
    /// The owner's conversations would have too many bytes: the turn was not stored.
    NoRoom,
}

/// What a turn asks for when it takes its lease.
#[derive(Clone, Debug)]
pub(crate) struct TurnRequest {
    pub(crate) turn_id: String,
    /// Older turns than these bounds allow are not read.
    pub(crate) bounds: Bounds,
    /// The bytes of the caller's messages.
    pub(crate) bytes: u64,
    /// The most bytes of the owner's conversations.
    pub(crate) owner_bytes: u64,
}

/// The result of taking a lease.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The lease is granted, with the conversation as it is.
    Granted(Box<Grant>),
    /// Another turn holds the lease.
    Busy,
    /// There is no such conversation.
    Missing,
    /// A turn with this id is stored already.
    TurnStored,
    /// The owner has no room for the caller's messages.
    NoRoom,
}

/// The result of renewing leases. One that is in neither list may have been renewed: the engine did not answer.
#[derive(Debug, Default)]
pub(crate) struct Renewed {
    pub(crate) confirmed: Vec<Lease>,
    pub(crate) lost: Vec<Lease>,
}

/// A granted lease.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) lease: Lease,
    pub(crate) record: Record,
    /// The newest stored turns that are within the bounds of [`TurnRequest`], oldest first.
    pub(crate) turns: Vec<StoredTurn>,
}

/// A position in a list of conversations: the next page begins after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) used_at: u64,
    pub(crate) id: String,
}

/// The bounds of one page of turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimit {
    pub(crate) turns: usize,
    /// A page ends before this many bytes, but has at least one turn.
    pub(crate) bytes: usize,
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing was changed.
    #[error("{0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The change may have been made: the engine did not confirm it.
    #[error("the outcome is unknown: {0}")]
    Unknown(Box<dyn std::error::Error + Send + Sync>),
}

/// A storage engine. What it has confirmed survives a crash of the server, as far as the engine's own storage survives.
#[tonic::async_trait]
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Stores a new conversation, if its owner may have another one.
    async fn create(&self, key: &Key, record: &Record, limits: OwnerLimits) -> Result<Created, StoreError>;

    /// A conversation without its turns.
    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// A page of turns, each with its number, beginning with the first whose number is at least `from`.
    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, StoredTurn)>, StoreError>;

    /// Conversations of an owner that have a stored turn, the most recently used first.
    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError>;

    /// Deletes a conversation. Returns whether there was one.
    async fn remove(&self, key: &Key) -> Result<bool, StoreError>;

    /// Takes the lease of a conversation for a turn.
    async fn take(&self, key: &Key, turn_request: &TurnRequest) -> Result<Taken, StoreError>;

    /// Extends leases, all at once where there is a network.
    async fn renew(&self, leases: &[Lease]) -> Result<Renewed, StoreError>;

    /// Stores a turn and ends its lease, in one step.
    async fn append(&self, append: Append) -> Result<Appended, StoreError>;

    /// Ends a lease without storing anything. Does not wait.
    fn release(&self, lease: Lease);

    /// What callers had spent of their budgets when it was saved last. Nothing where the engine does not keep it.
    async fn budgets(&self) -> Result<Vec<SavedAccount>, StoreError> {
        Ok(Vec::new())
    }

    /// Writes what has changed of the budgets since it was saved last.
    async fn save_budgets(&self, _: &Budgets) -> Result<(), StoreError> {
        Ok(())
    }

    /// Waits until released leases have ended.
    async fn settle(&self);

    /// Removes expired conversations, if the engine does not do so by itself.
    async fn remove_expired(&self) -> Result<(), StoreError>;
}

impl StoreError {
    /// A failure that changed nothing.
    pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}
