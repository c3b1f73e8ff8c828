//! Conversations: the server stores turns, so that a request carries only the new one.
//!
//! [`crate::service`] begins a turn before the request is checked. [`crate::response::call`] stores it before `finish` is sent.
//!
//! - `turn` a running turn
//! - [`bounds`] the bounds of what is stored; `history` the part that is sent to Bedrock
//! - [`settings`] the storage that is configured, and opening it
//! - `leases` the leases of running turns, and their renewal
//! - `record` the stored values; `store` the interface of storage engines; `embedded` (a file or memory) and `redis` are the engines

pub mod bounds;
mod embedded;
mod history;
mod leases;
mod record;
mod redis;
pub mod settings;
mod store;
mod turn;

use std::{sync::Arc, time::Duration};

use prost_types::Timestamp;
use tracing::warn;
use uuid::Uuid;

use self::{
    bounds::Bounds,
    embedded::now,
    leases::{HeldLease, Leases},
    settings::{ConversationSettings, OpenError},
    store::{Created, Cursor, Grant, Head, Key, PageLimit, Record, Store, StoreError, Taken, TurnRequest},
};
pub(crate) use self::{store::OwnerLimits, turn::RunningTurn};
use crate::{
    error::{Error, Quota, Reason},
    proto::{
        Conversation, CreateConversationRequest, GenerateRequest, GetConversationRequest, GetConversationResponse,
        ListConversationsResponse,
    },
    request::MAX_TURN_ID,
};

/// The default number of conversations of a page.
const PAGE: usize = 50;

/// The default number of turns of a page.
const TURNS: usize = 100;

/// The maximum number of bytes of a page of turns. The usual limit of gRPC clients is 4 MiB.
const PAGE_BYTES: usize = 3 << 20;

/// The time for the removal of expired conversations, because a store can hang.
const REMOVAL: Duration = Duration::from_secs(30);

/// The owner of all conversations, because callers have no identities.
const OWNER: &str = "";

/// All conversations. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Conversations {
    /// `None`: no conversations are stored.
    store: Option<Arc<dyn Store>>,
    bounds: Bounds,
    limits: OwnerLimits,
    leases: Leases,
}

impl Conversations {
    /// Opens the storage.
    ///
    /// # Errors
    /// If it cannot be opened; its content is left unchanged.
    pub(crate) async fn open(
        settings: &ConversationSettings,
        bounds: Bounds,
        limits: OwnerLimits,
    ) -> Result<Self, OpenError> {
        Ok(Self { store: settings::open(settings).await?, bounds, limits, leases: Leases::default() })
    }

    /// Begins a turn if the request names a conversation, and completes the request with the conversation's model and system
    /// prompt. The history stays with the turn: it is not checked as input.
    ///
    /// # Errors
    /// `NO_CONVERSATIONS`, `CONVERSATION_NOT_FOUND`, `CONVERSATION_BUSY`, `CONVERSATION_CHANGED`, `CONVERSATION_TURN_STORED`,
    /// `CONVERSATION_STORE`, `LOCAL_LIMIT` if the owner's conversations have too many bytes.
    pub(crate) async fn begin(&self, request: &mut GenerateRequest) -> Result<Option<RunningTurn>, Error> {
        // A raw body has no conversation, and the id of a turn is short. The request check reports both.
        let is_refused = !request.native_body.is_empty() || request.turn_id.chars().count() > MAX_TURN_ID;
        if request.conversation_id.is_empty() || is_refused {
            return Ok(None);
        }
        let store = self.store()?;
        let key = key(&request.conversation_id);
        let turn_id = if request.turn_id.is_empty() { Uuid::new_v4().to_string() } else { request.turn_id.clone() };
        let bytes = request.prompt.len() + request.messages.iter().map(prost::Message::encoded_len).sum::<usize>();
        let (bounds, owner_bytes) = (self.bounds, self.limits.bytes);
        let turn_request = TurnRequest { turn_id: turn_id.clone(), bounds, bytes: bytes as u64, owner_bytes };
        match store.take(&key, &turn_request).await.map_err(|error| failed(&error))? {
            Taken::Granted(grant) => {
                let Grant { lease, record, turns } = *grant;
                let lease = self.leases.hold(Arc::clone(store), lease);
                self.begin_granted(request, turn_id, lease, record, turns).map(Some)
            }
            Taken::Busy => {
                let id = &key.id;
                let message =
                    format!("another turn of the conversation {id:?} is running. Try again when it has ended");
                Err(Error::new(Reason::ConversationBusy, message))
            }
            Taken::Missing => Err(not_found(&key.id)),
            Taken::NoRoom => Err(no_room(owner_bytes)),
            Taken::TurnStored => {
                let message = format!(
                    "the turn {turn_id:?} is stored in the conversation {:?} already. Read it with GetConversation",
                    key.id
                );
                Err(Error::new(Reason::ConversationTurnStored, message))
            }
        }
    }

    fn begin_granted(
        &self,
        request: &mut GenerateRequest,
        turn_id: String,
        lease: HeldLease,
        record: Record,
        turns: Vec<store::StoredTurn>,
    ) -> Result<RunningTurn, Error> {
        let revision = u32::try_from(record.head.next).unwrap_or(u32::MAX);
        if let Some(seen) = request.conversation_revision.filter(|seen| *seen != revision) {
            let message = format!(
                "conversation_revision is {seen}, and the conversation is at revision {revision}. Read its new turns with GetConversation"
            );
            return Err(Error::new(Reason::ConversationChanged, message));
        }
        let bounds = self.bounds.of(record.origin.bounds.as_ref());
        let owner_bytes = self.limits.bytes;
        Ok(RunningTurn::begin(turn::Begun { lease, turn_id, bounds, owner_bytes, record, turns }, request))
    }

    /// Creates a conversation. The request was checked.
    pub(crate) async fn create(&self, request: CreateConversationRequest) -> Result<Conversation, Error> {
        let (id, at) = (Uuid::new_v4().to_string(), now());
        let origin = Conversation {
            conversation_id: id.clone(),
            create_time: Some(timestamp(at)),
            model: request.model,
            system: request.system,
            bounds: Some(self.bounds.of(request.bounds.as_ref()).written()),
            ..Conversation::default()
        };
        let record = Record { origin, head: Head { used_at: at, ..Head::default() } };
        match self.store()?.create(&key(&id), &record, self.limits).await.map_err(|error| failed(&error))? {
            Created::Stored => Ok(record.conversation()),
            Created::TooMany => {
                let most = self.limits.conversations;
                Err(over_limit(format!("an owner may have {most} conversations at once (--max-conversations)")))
            }
            Created::NoRoom => Err(no_room(self.limits.bytes)),
        }
    }

    /// A conversation and a page of its turns.
    pub(crate) async fn get(&self, request: &GetConversationRequest) -> Result<GetConversationResponse, Error> {
        let (store, key) = (self.store()?, key(&request.conversation_id));
        let record = store.record(&key).await.map_err(|error| failed(&error))?;
        let record = record.ok_or_else(|| not_found(&key.id))?;
        let from = turn_number(&request.page_token).unwrap_or(record.head.first);
        let turns = usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(TURNS);
        let limit = PageLimit { turns, bytes: PAGE_BYTES };
        let page = store.turns(&key, from, limit).await.map_err(|error| failed(&error))?;
        let next = page.last().map(|(number, _)| number + 1).filter(|next| *next < record.head.next);
        Ok(GetConversationResponse {
            conversation: Some(record.conversation()),
            turns: page.into_iter().filter_map(|(_, kept)| kept.turn).collect(),
            next_page_token: next.map(|next| next.to_string()).unwrap_or_default(),
        })
    }

    /// A page of the conversations that have a turn, without their system prompts.
    pub(crate) async fn list(&self, page_size: i32, page_token: &str) -> Result<ListConversationsResponse, Error> {
        let most = usize::try_from(page_size).ok().filter(|size| *size > 0).unwrap_or(PAGE);
        let listed = self.store()?.list(OWNER, cursor(page_token), most + 1).await;
        let mut page = listed.map_err(|error| failed(&error))?;
        let more = page.len() > most;
        page.truncate(most);
        let last = page.last().filter(|_| more);
        let next_page_token =
            last.map(|last| format!("{}:{}", last.head.used_at, last.origin.conversation_id)).unwrap_or_default();
        let listed = |record: Record| Conversation { system: Vec::new(), ..record.conversation() };
        Ok(ListConversationsResponse { next_page_token, conversations: page.into_iter().map(listed).collect() })
    }

    /// Deletes a conversation.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        let deleted = self.store()?.remove(&key(id)).await.map_err(|error| failed(&error))?;
        if deleted { Ok(()) } else { Err(not_found(id)) }
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

fn key(id: &str) -> Key {
    Key { owner: OWNER.to_owned(), id: id.to_owned() }
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
