//! A turn that is running: what is said in it, collected beside the stream, and stored when the answer is whole.
//!
//! Dropping it without having stored it gives the conversation back as it was.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use outcrop_contract::{Answer, Collector};
use prost_types::Timestamp;

use super::{
    Lease,
    bounds::{Bounds, messages_of},
    embedded::now,
    failed, gone,
    store::{Kept, Record},
};
use crate::{
    error::Error,
    proto::{Chunk, GenerateRequest, Message, Role, Turn, content_block::Block},
    request::take_prompt,
};

/// How many characters of the first message a list shows.
const TITLE: usize = 80;

type Storing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// See the head of this file.
pub(crate) struct RunningTurn {
    lease: Arc<Lease>,
    bounds: Bounds,
    record: Record,
    /// What the caller said in this turn.
    asked: Vec<Message>,
    collector: Collector,
    storing: Option<Storing>,
}

impl fmt::Debug for RunningTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningTurn").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl RunningTurn {
    /// A turn of this conversation. The request gets what was said before it.
    pub(super) fn begin(lease: Lease, bounds: Bounds, record: Record, request: &mut GenerateRequest) -> Self {
        take_prompt(&mut request.prompt, &mut request.messages);
        let asked = request.messages.clone();
        let said = record.turns.turns.iter().flat_map(messages_of).cloned();
        request.messages = said.chain(mem::take(&mut request.messages)).collect();
        if request.model.is_empty() {
            request.model.clone_from(&record.conversation.model);
        }
        if request.system.is_empty() {
            request.system.clone_from(&record.conversation.system);
        }
        let bounds = bounds.of(record.conversation.bounds.as_ref());
        Self { lease: Arc::new(lease), bounds, record, asked, collector: Collector::default(), storing: None }
    }

    /// For whoever renews it.
    pub(super) fn lease(&self) -> std::sync::Weak<Lease> {
        Arc::downgrade(&self.lease)
    }

    /// What this turn holds the conversation as.
    pub(super) fn holder(&self) -> &str {
        &self.lease.holder
    }

    /// Takes a chunk that is on its way to the caller.
    pub(crate) fn add(&mut self, chunk: &Chunk) {
        self.collector.add(chunk.clone());
    }

    /// Stores the turn with this, its last chunk. Only when it is ready may the caller learn that the answer is whole.
    pub(crate) fn poll_store(&mut self, cx: &mut Context<'_>, finish: &Chunk) -> Poll<Result<(), Error>> {
        if self.storing.is_none() {
            self.add(finish);
            let answer = mem::take(&mut self.collector).into_answer();
            let Some(record) = self.record_with(answer) else { return Poll::Ready(Ok(())) };
            let lease = Arc::clone(&self.lease);
            self.storing = Some(Box::pin(async move {
                let replaced = lease.store.replace(&lease.key, &lease.holder, &record).await;
                if replaced.map_err(|error| failed(&error))? { Ok(()) } else { Err(gone(&lease.key.id)) }
            }));
        }
        let Some(storing) = &mut self.storing else { return Poll::Ready(Ok(())) };
        let stored = ready!(storing.as_mut().poll(cx));
        // Asked again, it has nothing left to do.
        self.storing = Some(Box::pin(std::future::ready(Ok(()))));
        Poll::Ready(stored)
    }

    /// The conversation with this turn. An answer without any content is no turn that could be continued.
    fn record_with(&mut self, answer: Answer) -> Option<Record> {
        let Answer { message, finish, start, .. } = answer;
        if message.content.is_empty() {
            self.lease.give_back();
            return None;
        }
        let mut record = mem::take(&mut self.record);
        let used = finish.usage.clone().unwrap_or_default();
        // What came from the prompt cache or went into it is input too, and Bedrock counts it apart.
        let inputs = [used.input_tokens(), used.cache_read_input_tokens(), used.cache_write_input_tokens()];
        let input: u64 = inputs.into_iter().filter_map(|tokens| u64::try_from(tokens).ok()).sum();
        let before: u64 = record.turns.turns.iter().map(|kept| kept.tokens).sum();
        // The input of this turn was all that is kept before it, and what was new.
        let new = input.saturating_sub(before);
        let messages = mem::take(&mut self.asked).into_iter().chain([message]).collect();
        let stored_at = timestamp(now());
        let turn = Turn {
            messages,
            create_time: Some(stored_at),
            model_id: start.model_id,
            stop_reason: finish.stop_reason,
            usage: finish.usage,
        };
        let tokens = new + u64::try_from(used.output_tokens()).unwrap_or_default();
        record.turns.turns.push(Kept { turn: Some(turn), tokens });
        self.bounds.trim(&mut record.turns.turns);
        record.used_at = now();
        record.max_age = self.bounds.age;
        record.conversation.update_time = Some(stored_at);
        record.conversation.turn_count = u32::try_from(record.turns.turns.len()).unwrap_or(u32::MAX);
        if let Some(title) = title(&record.turns.turns) {
            record.conversation.title = title;
        }
        Some(record)
    }
}

/// The beginning of the first text that a user said.
fn title(turns: &[Kept]) -> Option<String> {
    let said = turns.iter().flat_map(messages_of).filter(|message| message.role() == Role::User);
    let mut texts = said.flat_map(|message| &message.content).filter_map(|block| match &block.block {
        Some(Block::Text(text)) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    texts.find(|text| !text.is_empty()).map(|text| text.chars().take(TITLE).collect())
}

/// Of microseconds since 1970.
pub(super) fn timestamp(micros: u64) -> Timestamp {
    let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default();
    Timestamp { seconds, nanos }
}
