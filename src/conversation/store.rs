//! What an engine for conversations must be able to do, and what it is given to keep.

use std::{fmt, time::Duration};

use prost::Message;

use crate::proto::{Conversation, Turn};

/// A conversation of somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Whose. Until callers have identities there is one owner.
    pub(crate) owner: String,
    /// Which.
    pub(crate) id: String,
}

/// A conversation with everything that is kept of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// What lists show.
    pub(crate) conversation: Conversation,
    /// What was said, oldest first.
    pub(crate) turns: Turns,
    /// When it was used last, in microseconds since 1970; lists are sorted by it.
    pub(crate) used_at: u64,
    /// How long it is kept after that.
    pub(crate) max_age: Duration,
}

/// What was said.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Turns {
    #[prost(message, repeated, tag = "1")]
    pub(crate) turns: Vec<Kept>,
}

/// A turn, and what it alone costs.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Kept {
    #[prost(message, optional, tag = "1")]
    pub(crate) turn: Option<Turn>,
    /// By the model's own count: what it adds to the input of the next turn.
    #[prost(uint64, tag = "2")]
    pub(crate) tokens: u64,
}

/// What comes of taking a conversation for a turn.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is the taker's.
    Yes(Box<Record>),
    /// It is somebody else's.
    Busy,
    /// There is none.
    Missing,
}

/// Where a list goes on: behind this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) used_at: u64,
    pub(crate) id: String,
}

/// Why an engine cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoreError(pub(crate) Box<dyn std::error::Error + Send + Sync>);

/// An engine. Everything it has confirmed survives a crash of the server, as far as the engine itself survives it.
#[tonic::async_trait]
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Keeps a new conversation.
    async fn insert(&self, key: &Key, record: &Record) -> Result<(), StoreError>;

    /// What is kept of one.
    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// The conversations of an owner, the one used last first, and when each was used; without what was said.
    async fn list(
        &self,
        owner: &str,
        after: Option<Cursor>,
        most: usize,
    ) -> Result<Vec<(Cursor, Conversation)>, StoreError>;

    /// Forgets one. Whether there was one.
    async fn remove(&self, key: &Key) -> Result<bool, StoreError>;

    /// Takes one for a turn of this holder, for as long as a lease lasts.
    async fn take(&self, key: &Key, holder: &str) -> Result<Taken, StoreError>;

    /// Makes the lease of this holder last anew.
    async fn renew(&self, key: &Key, holder: &str) -> Result<(), StoreError>;

    /// Puts this in the place of what there was, all of it or nothing, and gives the conversation back. `false` if it is gone, or no longer
    /// this holder's.
    async fn replace(&self, key: &Key, holder: &str, record: &Record) -> Result<bool, StoreError>;

    /// Gives a conversation back as it was. Does not wait.
    fn release(&self, key: Key, holder: String);

    /// Waits until what was given back without waiting is given back.
    async fn settle(&self);

    /// Forgets what is older than it may be, if the engine does not do so by itself.
    async fn forget_old(&self) -> Result<(), StoreError>;
}

impl StoreError {
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl Record {
    /// When it is to be forgotten, in microseconds since 1970.
    pub(crate) fn expires_at(&self) -> u64 {
        self.used_at.saturating_add(u64::try_from(self.max_age.as_micros()).unwrap_or(u64::MAX))
    }
}
