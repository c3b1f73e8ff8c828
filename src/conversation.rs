//! Conversations: the server stores turns, so that a request carries only the new one.
//!
//! [`crate::service`] begins a turn before the request is checked. [`crate::response::call`] stores it before `finish` is sent.
//!
//! - `own` the conversations of one owner; `turn` a running turn
//! - [`bounds`] the bounds of what is stored; `history` the part that is sent to Bedrock
//! - [`settings`] the storage that is configured, and opening it
//! - `budgets` what callers have spent is kept in the same file
//! - `leases` the leases of running turns, and their renewal
//! - `measured` a store whose requests are measured
//! - `record` the stored values; `store` the interface of storage engines; `embedded` (a file or memory) and `redis` are the engines

pub mod bounds;
mod budgets;
mod embedded;
mod history;
mod leases;
mod measured;
mod own;
mod record;
mod redis;
pub mod settings;
mod store;
mod turn;

use std::{sync::Arc, time::Duration};

use prost_types::Timestamp;
use tracing::warn;

use self::{
    bounds::Bounds,
    leases::Leases,
    measured::Measured,
    settings::{ConversationSettings, OpenError, Opened},
    store::{Cursor, Store, StoreError},
};
pub(crate) use self::{own::OwnConversations, store::OwnerLimits, turn::RunningTurn};
use crate::{
    error::{Error, Quota, Reason},
    metrics::Metrics,
    redis::connection::Connection,
};

/// The time for the removal of expired conversations, because a store can hang.
const REMOVAL: Duration = Duration::from_secs(30);

/// All conversations. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Conversations {
    /// `None`: no conversations are stored.
    store: Option<Arc<dyn Store>>,
    redis: Option<Connection>,
    bounds: Bounds,
    limits: OwnerLimits,
    leases: Leases,
    /// Whether the store also keeps what budgets have spent.
    keeps_budgets: bool,
}

impl Conversations {
    /// Opens the storage, whose requests are measured.
    ///
    /// # Errors
    /// If it cannot be opened; its content is left unchanged.
    pub(crate) async fn open(
        settings: &ConversationSettings,
        bounds: Bounds,
        limits: OwnerLimits,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        let Opened { store, redis } = settings::open(settings).await?;
        let store = store.map(|store| -> Arc<dyn Store> {
            Arc::new(Measured { store, engine: settings.engine(), metrics: metrics.clone() })
        });
        let keeps_budgets = matches!(settings, ConversationSettings::File(_));
        Ok(Self { store, redis, bounds, limits, leases: Leases::default(), keeps_budgets })
    }

    /// The connection to the Redis in which conversations are stored, if they are. What else is shared by servers uses it too.
    #[expect(dead_code, reason = "the server does not share quotas yet")]
    pub(crate) fn redis(&self) -> Option<&Connection> {
        self.redis.as_ref()
    }

    /// The conversations of one owner. There is no other way to a conversation.
    pub(crate) fn of<'a>(&'a self, owner: &'a str) -> OwnConversations<'a> {
        OwnConversations { all: self, owner }
    }

    /// Renews the leases of running turns while it is polled.
    pub(crate) async fn renew_leases(&self) {
        match &self.store {
            Some(store) => self.leases.renew(store.as_ref()).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the leases of ended turns are released. Call it when no turn is running.
    pub(crate) async fn settle(&self) {
        if let Some(store) = &self.store {
            store.settle().await;
        }
    }

    /// Removes expired conversations.
    pub(crate) async fn remove_expired(&self) {
        let Some(store) = &self.store else { return };
        match tokio::time::timeout(REMOVAL, store.remove_expired()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "expired conversations could not be removed"),
            Err(_) => warn!("expired conversations could not be removed within {REMOVAL:?}"),
        }
    }

    fn store(&self) -> Result<&Arc<dyn Store>, Error> {
        self.store.as_ref().ok_or_else(|| {
            let message = "this server stores no conversations. Send the history as messages, or start the server with --conversations";
            Error::new(Reason::NoConversations, message)
        })
    }
}

/// Whether this is the token of a page of turns.
pub(crate) fn is_turn_token(token: &str) -> bool {
    turn_number(token).is_some()
}

/// Whether this is the token of a page of conversations.
pub(crate) fn is_list_token(token: &str) -> bool {
    cursor(token).is_some()
}

/// The first turn of the page of a token.
fn turn_number(token: &str) -> Option<u64> {
    token.parse().ok()
}

/// The cursor of the page of a token.
fn cursor(token: &str) -> Option<Cursor> {
    let (used_at, id) = token.split_once(':')?;
    Some(Cursor { used_at: used_at.parse().ok()?, id: id.to_owned() })
}

/// The error of a call whose store failed.
fn failed(error: &StoreError) -> Error {
    let (reason, message) = match error {
        StoreError::Failed(_) => {
            (Reason::ConversationStore, "the store of conversations failed. Try again, or call without a conversation")
        }
        StoreError::Unknown(_) => (
            Reason::ConversationOutcomeUnknown,
            "the store of conversations did not confirm the turn. Read the conversation, or send the turn again with the same turn_id",
        ),
    };
    Error::new(reason, message).with_source(error.to_string())
}

fn not_found(id: &str) -> Error {
    let message = format!("there is no conversation {id:?}. Create one with CreateConversation");
    Error::new(Reason::ConversationNotFound, message)
}

/// The error of an owner whose conversations have too many bytes.
fn no_room(most: u64) -> Error {
    over_limit(format!("the conversations of an owner may have {most} bytes (--max-stored-bytes)"))
}

fn over_limit(description: String) -> Error {
    let message = format!("{description}. Delete conversations that are no longer needed");
    let quota = Quota { subject: "owner".to_owned(), description };
    Error::new(Reason::LocalLimit, message).with_quota(quota).without_retry()
}

/// The error of a turn whose lease was lost.
fn lease_lost() -> Error {
    let message = "this server lost the lease of the conversation, so the turn is not stored. Send it again";
    Error::new(Reason::ConversationLeaseLost, message)
}

/// A time given in microseconds since 1970.
fn timestamp(micros: u64) -> Timestamp {
    let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default();
    Timestamp { seconds, nanos }
}

#[cfg(test)]
pub(crate) mod tests;
