//! Conversations: what was said is kept here, so that a caller sends only what is new.
//!
//! Beside the way of a call: [`crate::service`] begins a turn before the request is checked, [`crate::response::stream`] stores it before the caller learns
//! that the answer is whole. A call without a conversation comes by none of this.
//!
//! - `turn` a turn that is running
//! - [`bounds`] how much is kept
//! - `store` what an engine must be able to do; `embedded` (a file, or memory) and `redis` are the engines

pub mod bounds;
mod embedded;
mod redis;
mod store;
mod turn;

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use tracing::warn;
use uuid::Uuid;

pub(crate) use self::turn::RunningTurn;
use self::{
    bounds::Bounds,
    embedded::{Embedded, now},
    redis::Redis,
    store::{Cursor, Key, Record, Store, StoreError, Taken},
    turn::timestamp,
};
use crate::{
    error::{Error, Reason},
    proto::{
        Conversation, CreateConversationRequest, GenerateRequest, GetConversationResponse, ListConversationsResponse,
        Turn,
    },
};

/// How many conversations a page has if its caller does not say.
const PAGE: usize = 50;

/// How often leases are renewed: several times before one runs out.
pub(crate) const RENEW: Duration = Duration::from_secs(8);

/// Where conversations are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum ConversationSettings {
    /// Nowhere.
    Off,
    /// In memory.
    Memory,
    /// In this file.
    File(PathBuf),
    /// In the Redis or Valkey at this address.
    Redis(String),
}

/// The address may hold a password.
impl fmt::Debug for ConversationSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Memory => f.write_str("Memory"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Redis(_) => f.write_str("Redis"),
        }
    }
}

/// Why conversations cannot be kept where they should be.
#[derive(Debug, thiserror::Error)]
#[error("conversations cannot be kept in {place}: {source}. {advice}")]
pub struct OpenError {
    place: String,
    source: Box<dyn std::error::Error + Send + Sync>,
    advice: &'static str,
}

/// All conversations; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Conversations {
    /// `None`: none are kept.
    store: Option<Arc<dyn Store>>,
    bounds: Bounds,
    leases: Arc<Mutex<HashMap<String, Weak<Lease>>>>,
}

/// A conversation that is taken for a turn.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Arc<dyn Store>,
    key: Key,
    holder: String,
}

impl Lease {
    fn give_back(&self) {
        self.store.release(self.key.clone(), self.holder.clone());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Conversations {
    /// Opens the place where they are kept.
    ///
    /// # Errors
    /// If that cannot be done; what is there is left as it is.
    pub(crate) fn open(settings: &ConversationSettings, bounds: Bounds) -> Result<Self, OpenError> {
        let opened = match settings {
            ConversationSettings::Off => return Ok(Self { store: None, bounds, leases: Arc::default() }),
            ConversationSettings::Memory => Embedded::in_memory().map(shared),
            ConversationSettings::File(path) => Embedded::open(path).map(shared),
            ConversationSettings::Redis(url) => Redis::at(url).map(shared),
        };
        let store = opened.map_err(|StoreError(source)| {
            let (place, advice) = match settings {
                ConversationSettings::File(path) => (
                    path.display().to_string(),
                    "It was left as it is. Move it away, or name another with --conversations",
                ),
                // The address may hold a password.
                ConversationSettings::Redis(_) => ("Redis".to_owned(), "Write redis://HOST:PORT/DATABASE"),
                _ => ("memory".to_owned(), "Turn them off with --conversations off"),
            };
            OpenError { place, source, advice }
        })?;
        Ok(Self { store: Some(store), bounds, leases: Arc::default() })
    }

    /// Begins a turn, if the request is one of a conversation: the request gets what was said before.
    ///
    /// # Errors
    /// `NO_CONVERSATIONS`, `CONVERSATION_NOT_FOUND`, `CONVERSATION_BUSY`, `CONVERSATION_STORE`.
    pub(crate) async fn begin(&self, request: &mut GenerateRequest) -> Result<Option<RunningTurn>, Error> {
        // A raw body is not to be touched; that the two do not go together is said with all other violations.
        if request.conversation_id.is_empty() || !request.native_body.is_empty() {
            return Ok(None);
        }
        let store = self.store()?;
        let lease =
            Lease { store: Arc::clone(store), key: key(&request.conversation_id), holder: Uuid::new_v4().to_string() };
        match store.take(&lease.key, &lease.holder).await.map_err(|error| failed(&error))? {
            Taken::Yes(record) => {
                let turn = RunningTurn::begin(lease, self.bounds, *record, request);
                self.leases().insert(turn.holder().to_owned(), turn.lease());
                Ok(Some(turn))
            }
            Taken::Busy => {
                let id = &lease.key.id;
                let message =
                    format!("another turn of the conversation {id:?} is running. Try again when it has ended");
                Err(Error::new(Reason::ConversationBusy, message))
            }
            Taken::Missing => Err(gone(&lease.key.id)),
        }
    }

    /// Begins a conversation. What it asks for was checked.
    pub(crate) async fn create(&self, request: CreateConversationRequest) -> Result<Conversation, Error> {
        let store = self.store()?;
        let (id, created_at) = (Uuid::new_v4().to_string(), now());
        let bounds = self.bounds.of(request.bounds.as_ref());
        let conversation = Conversation {
            conversation_id: id.clone(),
            create_time: Some(timestamp(created_at)),
            update_time: Some(timestamp(created_at)),
            model: request.model,
            system: request.system,
            bounds: Some(bounds.written()),
            turn_count: 0,
            title: String::new(),
        };
        let record = Record {
            conversation: conversation.clone(),
            used_at: created_at,
            max_age: bounds.age,
            ..Record::default()
        };
        store.insert(&key(&id), &record).await.map_err(|error| failed(&error))?;
        Ok(conversation)
    }

    /// A conversation and what was said in it.
    pub(crate) async fn get(&self, id: &str) -> Result<GetConversationResponse, Error> {
        let found = self.store()?.get(&key(id)).await.map_err(|error| failed(&error))?;
        let Record { conversation, turns, .. } = found.ok_or_else(|| gone(id))?;
        let turns = turns.turns.into_iter().filter_map(|kept| kept.turn).collect::<Vec<Turn>>();
        Ok(GetConversationResponse { conversation: Some(conversation), turns })
    }

    /// A page of conversations.
    pub(crate) async fn list(&self, page_size: i32, page_token: &str) -> Result<ListConversationsResponse, Error> {
        let store = self.store()?;
        let most = usize::try_from(page_size).ok().filter(|size| *size > 0).unwrap_or(PAGE);
        let page = store.list(OWNER, cursor(page_token), most + 1).await.map_err(|error| failed(&error))?;
        let more = page.len() > most;
        let last = page.get(most.saturating_sub(1)).map(|(cursor, _)| cursor).filter(|_| more);
        Ok(ListConversationsResponse {
            next_page_token: last.map(|Cursor { used_at, id }| format!("{used_at}:{id}")).unwrap_or_default(),
            conversations: page.into_iter().take(most).map(|(_, conversation)| conversation).collect(),
        })
    }

    /// Deletes a conversation.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        let deleted = self.store()?.remove(&key(id)).await.map_err(|error| failed(&error))?;
        if deleted { Ok(()) } else { Err(gone(id)) }
    }

    /// Makes the conversations of running turns stay with them.
    pub(crate) async fn renew(&self) {
        let held: Vec<_> = {
            let mut leases = self.leases();
            leases.retain(|_, lease| lease.strong_count() > 0);
            leases.values().filter_map(Weak::upgrade).collect()
        };
        for lease in held {
            if let Err(error) = lease.store.renew(&lease.key, &lease.holder).await {
                warn!(%error, "the lease of a conversation could not be renewed");
            }
        }
    }

    /// Waits until no conversation is a turn's any more, once no turn is running.
    pub(crate) async fn settle(&self) {
        if let Some(store) = &self.store {
            store.settle().await;
        }
    }

    /// Forgets what is too old.
    pub(crate) async fn forget_old(&self) {
        if let Some(store) = &self.store
            && let Err(error) = store.forget_old().await
        {
            warn!(%error, "old conversations could not be forgotten");
        }
    }

    fn store(&self) -> Result<&Arc<dyn Store>, Error> {
        self.store.as_ref().ok_or_else(|| {
            let message = "this server keeps no conversations. Send what was said as messages, or have it started with --conversations";
            Error::new(Reason::NoConversations, message)
        })
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<String, Weak<Lease>>> {
        self.leases.lock()
    }
}

/// Whose all conversations are, until callers have identities.
const OWNER: &str = "";

fn key(id: &str) -> Key {
    Key { owner: OWNER.to_owned(), id: id.to_owned() }
}

/// Of a page token; one that is none is the first page's.
fn cursor(token: &str) -> Option<Cursor> {
    let (used_at, id) = token.split_once(':')?;
    Some(Cursor { used_at: used_at.parse().ok()?, id: id.to_owned() })
}

fn shared(store: impl Store + 'static) -> Arc<dyn Store> {
    Arc::new(store)
}

fn failed(error: &StoreError) -> Error {
    let message = "the store of the conversations fails. Try again, or go on without a conversation";
    Error::new(Reason::ConversationStore, message).because(error.to_string())
}

fn gone(id: &str) -> Error {
    let message =
        format!("there is no conversation {id:?}, or it is no longer this turn's. Create one with CreateConversation");
    Error::new(Reason::ConversationNotFound, message)
}
