//! A running turn, which is stored when its answer is complete.
//!
//! Dropping a turn releases its lease. A write that has begun ends first, and a later one is refused.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use outcrop_contract::Answer;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    bounds::Bounds,
    embedded::now,
    failed,
    history::history,
    lease_lost,
    leases::HeldLease,
    no_room, not_found,
    store::{Append, Appended, Record, StoredTurn},
    timestamp,
};
use crate::{
    error::Error,
    failover::routes::Target,
    proto::{Chunk, GenerateRequest, History, Message, Role, Turn, chunk::Event, content_block::Block},
    request::take_prompt,
};

/// The longest title in a list, in characters.
const TITLE: usize = 80;

type Storing = Pin<Box<dyn Future<Output = Result<Appended, Error>> + Send>>;

/// A turn whose answer is not complete.
pub(crate) struct RunningTurn {
    lease: HeldLease,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    turn_id: String,
    bounds: Bounds,
    /// The input tokens of the history.
    tokens_before: u64,
    origin_bytes: u64,
    /// The bytes of the stored turns.
    turns_bytes: u64,
    owner_bytes: u64,
    revision: u32,
    history: Vec<Message>,
    /// The target that answered the newest stored turn, which has the prompt cache.
    last_target: Option<Target>,
    sent: History,
    /// The messages of the request.
    messages_of_request: Vec<Message>,
    storing: Option<Storing>,
    stored: bool,
}

/// The parts of a new turn.
pub(super) struct Begun {
    pub(super) lease: HeldLease,
    pub(super) turn_id: String,
    pub(super) bounds: Bounds,
    /// The most bytes of the owner's conversations.
    pub(super) owner_bytes: u64,
    pub(super) record: Record,
    pub(super) turns: Vec<StoredTurn>,
}

impl fmt::Debug for RunningTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningTurn").field("lease", &self.lease.lease).finish_non_exhaustive()
    }
}

impl RunningTurn {
    /// Begins a turn. The request gets the conversation's model and system prompt where it has none.
    pub(super) fn begin(begun: Begun, request: &mut GenerateRequest) -> Self {
        let Begun { lease, turn_id, bounds, owner_bytes, record, turns } = begun;
        take_prompt(&mut request.prompt, &mut request.messages);
        let messages_of_request = request.messages.clone();
        if request.model.is_empty() {
            request.model.clone_from(&record.origin.model);
        }
        if request.system.is_empty() {
            request.system.clone_from(&record.origin.system);
        }
        let last_target = turns.last().and_then(|kept| kept.turn.as_ref()).and_then(target_of);
        let (history, sent, tokens_before) = history(bounds, turns, &messages_of_request, record.head.next);
        Self {
            lost: Box::pin(lease.lost.clone().cancelled_owned()),
            lease,
            turn_id,
            bounds,
            tokens_before,
            origin_bytes: record.bytes() - record.head.bytes,
            turns_bytes: record.head.bytes,
            owner_bytes,
            revision: sent.revision,
            history,
            last_target,
            sent,
            messages_of_request,
            storing: None,
            stored: false,
        }
    }

    /// The messages that go to Bedrock before the caller's. They are taken once.
    pub(crate) fn take_history(&mut self) -> Vec<Message> {
        mem::take(&mut self.history)
    }

    /// The target that answered the newest stored turn.
    pub(crate) fn last_target(&self) -> Option<Target> {
        self.last_target.clone()
    }

    /// Gives `start` the metadata of the history.
    pub(crate) fn describe(&self, chunk: &mut Chunk) {
        if let Some(Event::Start(start)) = &mut chunk.event {
            start.history = Some(self.sent);
        }
    }

    /// Ready with an error when the lease is lost, so that the call to Bedrock ends.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        // A turn that is being stored waits for the store, which checks the lease.
        if self.storing.is_some() || self.stored {
            return Poll::Pending;
        }
        self.lost.as_mut().poll(cx).map(|()| lease_lost())
    }

    /// Begins to store the turn with its complete answer. An answer without content is not stored, because no conversation can continue with it.
    pub(crate) fn store(&mut self, answer: Answer) {
        if answer.message.content.is_empty() {
            return;
        }
        let (store, append) = (self.lease.store.clone(), self.append(answer));
        self.storing = Some(Box::pin(async move { store.append(append).await.map_err(|error| failed(&error)) }));
    }

    /// Waits until the turn is stored. `finish` may be sent only when this is ready.
    pub(crate) fn poll_stored(&mut self, cx: &mut Context<'_>, finish: &mut Chunk) -> Poll<Result<(), Error>> {
        if let Some(storing) = &mut self.storing {
            let appended = ready!(storing.as_mut().poll(cx));
            self.storing = None;
            self.stored = true;
            match appended? {
                Appended::Stored => {}
                Appended::Missing => return Poll::Ready(Err(not_found(&self.lease.lease.key.id))),
                Appended::Lost => return Poll::Ready(Err(lease_lost())),
                Appended::NoRoom => return Poll::Ready(Err(no_room(self.owner_bytes))),
            }
        }
        if let Some(Event::Finish(finish)) = &mut finish.event
            && self.stored
        {
            finish.conversation_revision = Some(self.revision.saturating_add(1));
        }
        Poll::Ready(Ok(()))
    }

    /// The complete turn.
    fn append(&mut self, answer: Answer) -> Append {
        let Answer { start, message, finish, .. } = answer;
        let used = finish.usage.clone().unwrap_or_default();
        // Bedrock reports tokens of the prompt cache separately from the other input tokens.
        let inputs = [used.input_tokens(), used.cache_read_input_tokens(), used.cache_write_input_tokens()];
        let input: u64 = inputs.into_iter().filter_map(|tokens| u64::try_from(tokens).ok()).sum();
        // The input of this turn was the history and the caller's messages.
        let new = input.saturating_sub(self.tokens_before);
        let tokens = new + u64::try_from(used.output_tokens()).unwrap_or_default();
        let messages: Vec<_> = mem::take(&mut self.messages_of_request).into_iter().chain([message]).collect();
        let (at, title) = (now(), title(&messages).unwrap_or_default());
        let turn = Turn {
            messages,
            create_time: Some(timestamp(at)),
            model_id: start.model_id,
            region: start.region,
            stop_reason: finish.stop_reason,
            usage: finish.usage,
            turn_id: self.turn_id.clone(),
        };
        Append {
            lease: self.lease.lease.clone(),
            turn_id: self.turn_id.clone(),
            kept: StoredTurn { turn: Some(turn), tokens },
            title,
            at,
            bounds: self.bounds,
            origin_bytes: self.origin_bytes,
            turns_bytes: self.turns_bytes,
            owner_bytes: self.owner_bytes,
        }
    }
}

/// The target that answered a turn. Turns that were stored by older servers have no region.
fn target_of(Turn { model_id, region, .. }: &Turn) -> Option<Target> {
    (!region.is_empty()).then(|| Target { model_id: model_id.clone(), region: Some(region.clone()) })
}

/// The beginning of the first text that a user wrote.
fn title(messages: &[Message]) -> Option<String> {
    let users = messages.iter().filter(|message| message.role() == Role::User);
    let mut texts = users.flat_map(|message| &message.content).filter_map(|block| match &block.block {
        Some(Block::Text(text)) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    texts.find(|text| !text.is_empty()).map(|text| text.chars().take(TITLE).collect())
}
