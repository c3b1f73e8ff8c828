//! Upstream events -> chunks: pure, without I/O. [`EventMapper`] is the state machine that makes a stream's end provable.
//!
//! Members of an event are *taken out* of its JSON one by one ([`members`]); what remains at the end was not understood and
//! goes to the caller as `unrecognized`, so that nothing can be dropped by forgetting it.

mod content;
mod finish;
mod members;
pub(crate) mod native;

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
};

use prost_types::Struct;
use serde_json::{Map, Value};

use self::finish::{Metadata, Stop};
pub(crate) use self::{finish::Used, members::Members};
use crate::{
    error::{Error, Phase, corrupt, truncated},
    json,
    proto::{Chunk, OtherEvent, Role, Start, chunk::Event},
};

/// One answer as it comes in: one `start`, a `sequence` without a gap, one `finish`, and only after `messageStop`.
#[derive(Debug)]
pub(crate) struct EventMapper {
    /// What is known before Bedrock says anything; goes out with the first content.
    start: Option<Chunk>,
    message_started: bool,
    next_sequence: u32,
    stop: Option<Stop>,
    metadata: Option<Metadata>,
    finished: bool,
    /// Blocks of a native answer that nothing has closed yet.
    open_blocks: BTreeSet<i32>,
    guardrail_intervened: bool,
    /// What the message used, once Bedrock has said so.
    used: Option<Used>,
    /// What was not understood of native chunks from which no chunk of ours came: goes with the start or with the finish.
    left: Vec<Map<String, Value>>,
}

/// An event, read.
enum Read {
    MessageStart { role: Role, role_name: String },
    Content(Option<i32>, Event),
    Stop(Stop),
    Metadata(Metadata),
    Newer,
}

impl EventMapper {
    /// An answer of which only the call is known.
    pub(crate) fn new(start: Start) -> Self {
        let start = Some(Chunk { event: Some(Event::Start(start)), ..Chunk::default() });
        Self {
            start,
            message_started: false,
            next_sequence: 0,
            stop: None,
            metadata: None,
            finished: false,
            open_blocks: BTreeSet::new(),
            guardrail_intervened: false,
            used: None,
            left: Vec::new(),
        }
    }

    /// What the message used, if Bedrock has said so, also of one that came to no end.
    pub(crate) fn used(&self) -> Option<Used> {
        let told = self.metadata.as_ref().and_then(|metadata| metadata.usage.as_ref()).map(Used::of);
        self.used.or(told)
    }

    /// Whether chunks have gone out.
    pub(crate) fn phase(&self) -> Phase {
        if self.next_sequence == 0 { Phase::BeforeContent } else { Phase::AfterContent }
    }

    /// Whether both terminal events were seen, so that only the end of the bytes is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.stop.is_some() && self.metadata.as_ref().is_some_and(|metadata| metadata.usage.is_some())
    }

    /// Whether Bedrock said that the message had ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Takes an event of ConverseStream; the chunks that may go out now are put at the end of `ready`.
    pub(crate) fn accept(&mut self, event_type: &str, payload: Map<String, Value>, ready: &mut VecDeque<Chunk>) {
        let mut members = Members::new(payload);
        match self.read(event_type, &mut members) {
            Read::MessageStart { role, role_name } => self.message_start(role, role_name, members.rest(event_type)),
            Read::Stop(mut stop) => {
                stop.unrecognized = members.into_rest();
                self.stop = Some(stop);
            }
            Read::Metadata(mut metadata) => {
                metadata.unrecognized = members.into_rest();
                self.metadata = Some(metadata);
            }
            Read::Content(index, event) => self.release(index, event, members.rest(event_type), ready),
            // A reader that does not know an event has taken nothing out of it.
            Read::Newer => {
                let payload = members.into_rest();
                let index = payload.get("contentBlockIndex").and_then(|index| index.as_i64()?.try_into().ok());
                let json = Value::Object(payload).to_string();
                let other = OtherEvent { event_type: event_type.to_owned(), json };
                self.release(index, Event::Other(other), None, ready);
            }
        }
    }

    /// Takes an event of an unknown type whose payload is no JSON object: it goes to the caller as the text that it is.
    pub(crate) fn opaque(&mut self, event_type: String, payload: &[u8], ready: &mut VecDeque<Chunk>) {
        let json = String::from_utf8_lossy(payload).into_owned();
        self.release(None, Event::Other(OtherEvent { event_type, json }), None, ready);
    }

    /// The bytes have ended: the `finish`, or the proof that there is none.
    pub(crate) fn end(&mut self, ready: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        let Some(stop) = self.stop.take() else {
            return Err(truncated("it closed without messageStop"));
        };
        self.finished = true;
        self.used = self.used();
        let (finish, mut unrecognized) = finish::unite(stop, self.metadata.take(), self.guardrail_intervened);
        // An answer without content has its start only now; it takes nothing of what is the finish's.
        add_left(mem::take(&mut self.left), &mut unrecognized);
        self.release(None, Event::Finish(finish), unrecognized, ready);
        Ok(())
    }

    fn read(&self, event_type: &str, members: &mut Members) -> Read {
        let read = match event_type {
            "messageStart" if !self.message_started => {
                let role_name = members.text("role").unwrap_or_default();
                Some(Read::MessageStart { role: role(&role_name), role_name })
            }
            "contentBlockStart" => content::block_start(members).map(|(index, event)| Read::Content(index, event)),
            "contentBlockDelta" => content::block_delta(members).map(|(index, event)| Read::Content(index, event)),
            "contentBlockStop" => Some(content::block_stop(members)).map(|(index, event)| Read::Content(index, event)),
            "messageStop" if self.stop.is_none() => Some(Read::Stop(finish::stop(members))),
            "metadata" if self.metadata.is_none() => Some(Read::Metadata(finish::metadata(members))),
            _ => None,
        };
        read.unwrap_or(Read::Newer)
    }

    fn message_start(&mut self, role: Role, role_name: String, unrecognized: Option<Struct>) {
        self.message_started = true;
        if let Some(Chunk { event: Some(Event::Start(start)), unrecognized: rest, .. }) = &mut self.start {
            start.set_role(role);
            start.role_name = role_name;
            *rest = unrecognized;
        }
    }

    /// Numbers a chunk and lets it go, after the `start` if that has not gone yet.
    fn release(
        &mut self,
        content_block_index: Option<i32>,
        event: Event,
        unrecognized: Option<Struct>,
        ready: &mut VecDeque<Chunk>,
    ) {
        // A message that began without messageStart has none later: it would be a second beginning.
        self.message_started = true;
        let chunk = Chunk { content_block_index, event: Some(event), unrecognized, ..Chunk::default() };
        let start = self.start.take().map(|mut start| {
            add_left(mem::take(&mut self.left), &mut start.unrecognized);
            start
        });
        for chunk in start.into_iter().chain([chunk]) {
            ready.push_back(Chunk { sequence: Some(self.next_sequence), ..chunk });
            self.next_sequence += 1;
        }
    }
}

/// Whether an event has a type that Bedrock has today.
pub(crate) fn is_known(event_type: &str) -> bool {
    let converse =
        ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
    converse.contains(&event_type) || event_type == native::CHUNK
}

/// The payload of an event.
pub(crate) fn parse(event_type: &str, payload: &[u8]) -> Result<Map<String, Value>, Error> {
    // The parser's error is not kept: it may quote the completion.
    serde_json::from_slice(payload).map_err(|_| corrupt(format!("the payload of {event_type} is no JSON object")))
}

fn role(name: &str) -> Role {
    match name {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => Role::Unspecified,
    }
}

/// Adds what was left of native chunks: as an object if it is of one, as a list if it is of several.
fn add_left(mut left: Vec<Map<String, Value>>, unrecognized: &mut Option<Struct>) {
    let value = match left.len() {
        0 => return,
        1 => Value::Object(left.remove(0)),
        _ => left.into_iter().map(Value::Object).collect(),
    };
    let fields = &mut unrecognized.get_or_insert_default().fields;
    fields.insert(native::CHUNK.to_owned(), json::to_value(value));
}

/// What was not understood, under the name of its event.
fn unrecognized(rest: impl IntoIterator<Item = (&'static str, Map<String, Value>)>) -> Option<Struct> {
    let named: Map<_, _> = rest
        .into_iter()
        .filter(|(_, rest)| !rest.is_empty())
        .map(|(event_type, rest)| (event_type.to_owned(), Value::Object(rest)))
        .collect();
    (!named.is_empty()).then(|| json::to_struct(named))
}

#[cfg(test)]
mod tests;
