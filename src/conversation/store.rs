//! What a storage engine for conversations does, and the values that it stores.
//!
//! A conversation is stored in parts, so that a turn writes only itself and a head of constant size: the origin, which never
//! changes; the head, which every turn replaces; and each turn by itself.

use std::{fmt, time::Duration};

use prost::Message;

use super::bounds::Bounds;
use crate::proto::{Conversation, Turn};

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

/// The part of a conversation that every turn replaces. Its size does not depend on the number of turns.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Head {
    /// When it was last used, in microseconds since 1970. Lists are sorted by it.
    #[prost(uint64, tag = "1")]
    pub(crate) used_at: u64,
    /// The number of the oldest stored turn.
    #[prost(uint64, tag = "2")]
    pub(crate) first: u64,
    /// The number of the next turn, which is also the revision.
    #[prost(uint64, tag = "3")]
    pub(crate) next: u64,
    /// The messages of the stored turns.
    #[prost(uint64, tag = "4")]
    pub(crate) messages: u64,
    /// The input tokens that the stored turns cost.
    #[prost(uint64, tag = "5")]
    pub(crate) tokens: u64,
    /// The encoded bytes of the stored turns.
    #[prost(uint64, tag = "6")]
    pub(crate) bytes: u64,
    /// The title in lists.
    #[prost(string, tag = "7")]
    pub(crate) title: String,
}

/// A conversation without its turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// What never changes: id, creation time, model, system prompt, bounds.
    pub(crate) origin: Conversation,
    /// What every turn replaces.
    pub(crate) head: Head,
}

/// A stored turn, and what it costs as history.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Kept {
    #[prost(message, optional, tag = "1")]
    pub(crate) turn: Option<Turn>,
    /// The input tokens that it adds to the next turn, as counted by the model.
    #[prost(uint64, tag = "2")]
    pub(crate) tokens: u64,
}

/// A turn to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    /// The lease under which the turn ran.
    pub(crate) lease: Lease,
    /// Makes storing idempotent: a turn id is stored once.
    pub(crate) turn_id: String,
    /// The turn.
    pub(crate) kept: Kept,
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
pub(crate) struct Ask {
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
    /// The newest stored turns that are within the bounds of [`Ask`], oldest first.
    pub(crate) turns: Vec<Kept>,
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

/// Why an engine cannot be used when the server starts.
#[derive(Debug)]
pub(crate) enum Probe {
    /// It may work later.
    Away(String),
    /// It works only with other settings.
    Misconfigured(String),
}

/// A storage engine. What it has confirmed survives a crash of the server, as far as the engine's own storage survives.
#[tonic::async_trait]
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Stores a new conversation, if its owner may have another one.
    async fn create(&self, key: &Key, record: &Record, limits: OwnerLimits) -> Result<Created, StoreError>;

    /// A conversation without its turns.
    async fn record(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// A page of turns, each with its number, beginning with the first whose number is at least `from`.
    async fn turns(&self, key: &Key, from: u64, limit: PageLimit) -> Result<Vec<(u64, Kept)>, StoreError>;

    /// Conversations of an owner that have a stored turn, the most recently used first.
    async fn list(&self, owner: &str, after: Option<Cursor>, most: usize) -> Result<Vec<Record>, StoreError>;

    /// Deletes a conversation. Returns whether there was one.
    async fn remove(&self, key: &Key) -> Result<bool, StoreError>;

    /// Takes the lease of a conversation for a turn.
    async fn take(&self, key: &Key, ask: &Ask) -> Result<Taken, StoreError>;

    /// Extends leases, all at once where there is a network.
    async fn renew(&self, leases: &[Lease]) -> Result<Renewed, StoreError>;

    /// Stores a turn and ends its lease, in one step.
    async fn append(&self, append: Append) -> Result<Appended, StoreError>;

    /// Ends a lease without storing anything. Does not wait.
    fn release(&self, lease: Lease);

    /// Asks the engine for an answer. An error tells an operator what to do.
    async fn probe(&self) -> Result<(), Probe> {
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

impl Kept {
    /// The messages of the turn.
    pub(crate) fn messages(&self) -> &[crate::proto::Message] {
        self.turn.as_ref().map(|turn| turn.messages.as_slice()).unwrap_or_default()
    }
}

impl Head {
    /// Counts a turn in.
    pub(crate) fn add(&mut self, kept: &Kept, bytes: u64, at: u64) {
        self.used_at = at;
        self.next += 1;
        self.messages += kept.messages().len() as u64;
        self.tokens += kept.tokens;
        self.bytes += bytes;
    }

    /// Counts the oldest turn out.
    pub(crate) fn drop_first(&mut self, kept: &Kept, bytes: u64) {
        self.first += 1;
        self.messages = self.messages.saturating_sub(kept.messages().len() as u64);
        self.tokens = self.tokens.saturating_sub(kept.tokens);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether turns must be removed. The newest turn always stays.
    pub(crate) fn exceeds(&self, bounds: &Bounds) -> bool {
        self.is_over(bounds) && self.next - self.first > 1
    }

    /// Whether the turns are beyond bounds.
    pub(crate) fn is_over(&self, bounds: &Bounds) -> bool {
        self.messages > u64::from(bounds.messages)
            || self.tokens > u64::from(bounds.tokens)
            || self.bytes > bounds.bytes
    }
}

impl Record {
    /// The bytes of its turns and its origin.
    pub(crate) fn bytes(&self) -> u64 {
        self.head.bytes + self.origin.encoded_len() as u64
    }

    /// How long it is stored after its last use.
    pub(crate) fn max_age(&self) -> Duration {
        let age = self.origin.bounds.as_ref().and_then(|bounds| bounds.max_age);
        age.and_then(|age| Duration::try_from(age).ok()).unwrap_or(Bounds::default().age)
    }

    /// When it expires, in microseconds since 1970.
    pub(crate) fn expires_at(&self) -> u64 {
        self.head.used_at.saturating_add(u64::try_from(self.max_age().as_micros()).unwrap_or(u64::MAX))
    }

    /// As the contract has it.
    pub(crate) fn conversation(self) -> Conversation {
        let Self { origin, head } = self;
        Conversation {
            update_time: Some(super::timestamp(head.used_at)),
            turn_count: u32::try_from(head.next - head.first).unwrap_or(u32::MAX),
            title: head.title,
            revision: u32::try_from(head.next).unwrap_or(u32::MAX),
            ..origin
        }
    }
}
