//! The values that are stored of a conversation.
//!
//! A conversation is stored in parts, so that a turn writes only itself and a head of constant size: the origin, which never
//! changes; the head, which every turn replaces; and each turn by itself.

use std::time::Duration;

use prost::Message;

use super::bounds::Bounds;
use crate::proto::{Conversation, Turn};

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
pub(crate) struct StoredTurn {
    #[prost(message, optional, tag = "1")]
    pub(crate) turn: Option<Turn>,
    /// The input tokens that it adds to the next turn, as counted by the model.
    #[prost(uint64, tag = "2")]
    pub(crate) tokens: u64,
}

impl StoredTurn {
    /// The messages of the turn.
    pub(crate) fn messages(&self) -> &[crate::proto::Message] {
        self.turn.as_ref().map(|turn| turn.messages.as_slice()).unwrap_or_default()
    }
}

impl Head {
    /// Counts a turn in.
    pub(crate) fn add(&mut self, kept: &StoredTurn, bytes: u64, at: u64) {
        self.used_at = at;
        self.next += 1;
        self.messages += kept.messages().len() as u64;
        self.tokens += kept.tokens;
        self.bytes += bytes;
    }

    /// Counts the oldest turn out.
    pub(crate) fn drop_first(&mut self, kept: &StoredTurn, bytes: u64) {
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
