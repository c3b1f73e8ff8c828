//! The conversations of one owner: turns begin here, and the methods about conversations end here. An owner cannot reach the conversations
//! of another: every key begins with the owner, so the id of another owner is an id that does not exist.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    Conversations, cursor,
    embedded::now,
    failed,
    leases::HeldLease,
    no_room, not_found, over_limit,
    store::{Created, Grant, Head, Key, PageLimit, Record, StoredTurn, Taken, TurnRequest},
    timestamp,
    turn::{self, RunningTurn},
    turn_number,
};
use crate::{
    error::{Error, Reason},
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

/// The conversations of one owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnConversations<'a> {
    pub(super) all: &'a Conversations,
    pub(super) owner: &'a str,
}

impl OwnConversations<'_> {
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
        let store = self.all.store()?;
        let key = self.key(&request.conversation_id);
        let turn_id = if request.turn_id.is_empty() { Uuid::new_v4().to_string() } else { request.turn_id.clone() };
        let bytes = request.prompt.len() + request.messages.iter().map(prost::Message::encoded_len).sum::<usize>();
        let (bounds, owner_bytes) = (self.all.bounds, self.all.limits.bytes);
        let turn_request = TurnRequest { turn_id: turn_id.clone(), bounds, bytes: bytes as u64, owner_bytes };
        match store.take(&key, &turn_request).await.map_err(|error| failed(&error))? {
            Taken::Granted(grant) => {
                let Grant { lease, record, turns } = *grant;
                let lease = self.all.leases.hold(Arc::clone(store), lease);
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
        turns: Vec<StoredTurn>,
    ) -> Result<RunningTurn, Error> {
        let revision = u32::try_from(record.head.next).unwrap_or(u32::MAX);
        if let Some(seen) = request.conversation_revision.filter(|seen| *seen != revision) {
            let message = format!(
                "conversation_revision is {seen}, and the conversation is at revision {revision}. Read its new turns with GetConversation"
            );
            return Err(Error::new(Reason::ConversationChanged, message));
        }
        let bounds = self.all.bounds.of(record.origin.bounds.as_ref());
        let owner_bytes = self.all.limits.bytes;
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
            bounds: Some(self.all.bounds.of(request.bounds.as_ref()).written()),
            ..Conversation::default()
        };
        let record = Record { origin, head: Head { used_at: at, ..Head::default() } };
        match self
            .all
            .store()?
            .create(&self.key(&id), &record, self.all.limits)
            .await
            .map_err(|error| failed(&error))?
        {
            Created::Stored => Ok(record.conversation()),
            Created::TooMany => {
                let most = self.all.limits.conversations;
                Err(over_limit(format!("an owner may have {most} conversations at once (--max-conversations)")))
            }
            Created::NoRoom => Err(no_room(self.all.limits.bytes)),
        }
    }

    /// A conversation and a page of its turns.
    pub(crate) async fn get(&self, request: &GetConversationRequest) -> Result<GetConversationResponse, Error> {
        let (store, key) = (self.all.store()?, self.key(&request.conversation_id));
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
        let listed = self.all.store()?.list(self.owner, cursor(page_token), most + 1).await;
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
        let deleted = self.all.store()?.remove(&self.key(id)).await.map_err(|error| failed(&error))?;
        if deleted { Ok(()) } else { Err(not_found(id)) }
    }

    fn key(&self, id: &str) -> Key {
        Key { owner: self.owner.to_owned(), id: id.to_owned() }
    }
}
