//! The whole answer, put together while its chunks are sent: the turn of a conversation stores it, and `finish.message` has it if the caller asks.

use std::{
    fmt, mem,
    task::{Context, Poll},
};

use outcrop_contract::Collector;
use prost::Message as _;

use crate::{
    admission::request_memory::MemoryPermit,
    conversation::RunningTurn,
    error::Error,
    proto::{Chunk, ReasoningDelta, chunk::Event, reasoning_delta::Delta},
};

/// The most bytes of the pieces of a message that `finish` has: a frame of Bedrock has as many.
const MAX_MESSAGE: u64 = 16 << 20;

/// The bytes of memory for a byte of a piece: it is kept until the end, and then encoded with `finish`.
const KEPT: u64 = 2;

/// The bytes of memory for a byte of JSON in the input of a tool, which becomes a value when the message is complete.
const PARSED: u64 = 40;

/// The same for each object in it: the first member makes room for eleven.
const OBJECT: u64 = 1_024;

/// Puts an answer together.
pub(crate) struct WholeAnswer {
    collector: Collector,
    /// The turn that stores it.
    turn: Option<RunningTurn>,
    /// What the message for the caller takes. `None` if the caller does not want it, or it does not fit.
    message: Option<MessageMemory>,
}

/// The memory of a message for the caller.
struct MessageMemory {
    permit: MemoryPermit,
    bytes: u64,
    /// What the inputs of tools take as values.
    values: u64,
}

impl WholeAnswer {
    /// Puts the answer together if there is a turn to store, or a permit to take the memory of a message for the caller.
    pub(crate) fn wanted(turn: Option<RunningTurn>, permit: Option<MemoryPermit>) -> Option<Box<Self>> {
        let message = permit.map(|permit| MessageMemory { permit, bytes: 0, values: 0 });
        (turn.is_some() || message.is_some()).then(|| Box::new(Self { collector: Collector::default(), turn, message }))
    }

    /// Whether a turn stores it, so that its call cannot end with OK before.
    pub(crate) fn is_stored(&self) -> bool {
        self.turn.is_some()
    }

    /// Ready with an error when the turn can no longer be stored.
    pub(crate) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.turn.as_mut().map_or(Poll::Pending, |turn| turn.poll_lost(cx))
    }

    /// Adds a chunk before it is sent.
    pub(crate) fn add(&mut self, chunk: &mut Chunk) {
        if let Some(turn) = &self.turn {
            turn.describe(chunk);
        }
        if self.message.as_mut().is_some_and(|message| !message.takes(chunk)) {
            self.give_up();
        }
        if self.turn.is_some() || self.message.is_some() {
            self.collector.add(chunk.clone());
        }
    }

    /// Adds the last chunk. It gets the message, and the turn begins to store it.
    pub(crate) fn complete(&mut self, finish: &mut Chunk) {
        if self.message.as_ref().is_some_and(|message| !message.takes_json()) {
            self.give_up();
        }
        if self.turn.is_none() && self.message.is_none() {
            return;
        }
        self.collector.add(finish.clone());
        let answer = mem::take(&mut self.collector).into_answer();
        if let (Some(_), Some(Event::Finish(finish))) = (&self.message, &mut finish.event) {
            finish.message = Some(answer.message.clone());
        }
        if let Some(turn) = &mut self.turn {
            turn.store(answer);
        }
    }

    /// Waits until the turn is stored. `finish` may be sent only when this is ready.
    pub(crate) fn poll_stored(&mut self, cx: &mut Context<'_>, finish: &mut Chunk) -> Poll<Result<(), Error>> {
        self.turn.as_mut().map_or(Poll::Ready(Ok(())), |turn| turn.poll_stored(cx, finish))
    }

    /// The caller gets no message, and its memory is free at once.
    fn give_up(&mut self) {
        self.message = None;
        if self.turn.is_none() {
            self.collector = Collector::default();
        }
    }
}

impl MessageMemory {
    /// Takes the memory of a chunk, if it fits.
    fn takes(&mut self, chunk: &Chunk) -> bool {
        let bytes = match &chunk.event {
            Some(Event::Text(text) | Event::Reasoning(ReasoningDelta { delta: Some(Delta::Text(text)) })) => text.len(),
            Some(Event::ToolUseInput(json)) => {
                let objects = json.bytes().filter(|byte| *byte == b'{').count() as u64;
                self.values += PARSED * json.len() as u64 + OBJECT * objects;
                json.len()
            }
            Some(Event::Start(_) | Event::BlockStop(_)) => 0,
            _ => chunk.encoded_len(),
        } as u64;
        self.bytes += bytes;
        self.bytes <= MAX_MESSAGE && self.permit.grow(KEPT * bytes).is_ok()
    }

    /// Takes the memory of the inputs of tools as values, if it fits.
    fn takes_json(&self) -> bool {
        self.permit.grow(self.values).is_ok()
    }
}

/// Without the answer.
impl fmt::Debug for WholeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeAnswer").field("turn", &self.turn).finish_non_exhaustive()
    }
}
