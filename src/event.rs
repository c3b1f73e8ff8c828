//! Maps the events of Bedrock to chunks, without I/O. [`EventMapper`] is the state machine that proves the end of a stream.
//!
//! Known members are removed from the JSON of an event one by one ([`members`]). The remaining members are sent to the caller as
//! `unrecognized`, so that a member which this code does not know is not dropped.

mod content;
mod finish;
#[cfg(any(fuzzing, test))]
pub(crate) mod invariants;
mod members;
pub(crate) mod native;
mod text_delta;
mod whole;

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
};

use prost_types::Struct;
use serde_json::{Map, Value};

use self::{
    content::BlockEvent,
    finish::{Ending, Metadata, Stop},
    text_delta::TextDelta,
};
pub(crate) use self::{finish::Used, members::Members};
use crate::{
    error::{Error, Phase, corrupt, truncated},
    json,
    proto::{Chunk, JsonForm, OtherEvent, Role, Start, chunk::Event},
};

/// The event with a delta of content.
const DELTA: &str = "contentBlockDelta";

/// Maps the events of one answer: one `start`, a `sequence` without a gap, and one `finish`, only after `messageStop`.
#[derive(Debug)]
pub(crate) struct EventMapper {
    /// The first chunk, which is sent with the first content, and the members of `messageStart` that are not known.
    start: Option<Box<Start>>,
    start_unrecognized: Option<Struct>,
    message_started: bool,
    next_sequence: u32,
    /// The end of the message. A stream has neither of the two for nearly all of its time.
    stop: Option<Box<Stop>>,
    metadata: Option<Box<Metadata>>,
    finished: bool,
    /// The blocks of a native answer that have not stopped yet.
    open_blocks: BTreeSet<i32>,
    guardrail_intervened: bool,
    /// The usage of a finished message, if Bedrock reported it.
    used: Option<Used>,
    /// The stop reason of a finished message.
    stop_reason: Option<String>,
    /// The form of the JSON in tool results.
    json_form: JsonForm,
    /// Unknown members of native chunks that produced no chunk. They are sent with `start` or `finish`.
    unattached: Vec<Map<String, Value>>,
}

/// A parsed event.
enum Parsed {
    MessageStart { role: Role, role_name: String },
    Content(BlockEvent),
    Stop(Stop),
    Metadata(Metadata),
    Unknown,
}

impl EventMapper {
    /// An answer that has not begun.
    pub(crate) fn new(start: Start) -> Self {
        Self {
            start: Some(Box::new(start)),
            start_unrecognized: None,
            message_started: false,
            next_sequence: 0,
            stop: None,
            metadata: None,
            finished: false,
            open_blocks: BTreeSet::new(),
            guardrail_intervened: false,
            used: None,
            stop_reason: None,
            json_form: JsonForm::Unspecified,
            unattached: Vec::new(),
        }
    }

    /// The same with this form for the JSON in tool results.
    pub(crate) fn with_json_form(mut self, form: JsonForm) -> Self {
        self.json_form = form;
        self
    }

    /// The `start`, as long as it was not sent.
    pub(crate) fn start_mut(&mut self) -> Option<&mut Start> {
        self.start.as_deref_mut()
    }

    /// The usage of the message, if Bedrock has reported it, also if the message did not end.
    pub(crate) fn used(&self) -> Option<Used> {
        let reported = self.metadata.as_ref().and_then(|metadata| metadata.usage.as_ref()).map(Used::of);
        self.used.or(reported)
    }

    /// The stop reason of a finished message, by Bedrock's name.
    pub(crate) fn stop_reason(&self) -> Option<&str> {
        self.stop_reason.as_deref()
    }

    /// Whether content was sent.
    pub(crate) fn phase(&self) -> Phase {
        if self.next_sequence == 0 { Phase::BeforeContent } else { Phase::AfterContent }
    }

    /// Whether both terminal events have arrived, so that only the end of the bytes is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.stop.is_some() && self.metadata.as_ref().is_some_and(|metadata| metadata.usage.is_some())
    }

    /// Whether Bedrock has reported the end of the message.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Maps an event of ConverseStream. The resulting chunks are appended to `ready`.
    pub(crate) fn accept(&mut self, event_type: &str, payload: Map<String, Value>, ready: &mut VecDeque<Chunk>) {
        let mut members = Members::new(payload);
        match self.parse(event_type, &mut members) {
            Parsed::MessageStart { role, role_name } => self.message_start(role, role_name, members.rest(event_type)),
            Parsed::Stop(mut stop) => {
                stop.unrecognized = members.into_rest();
                self.stop = Some(Box::new(stop));
            }
            Parsed::Metadata(mut metadata) => {
                metadata.unrecognized = members.into_rest();
                self.metadata = Some(Box::new(metadata));
            }
            Parsed::Content(BlockEvent { index, event }) => {
                self.emit(index, event, members.rest(event_type), ready);
            }
            // The members of an unknown event are complete: nothing was removed.
            Parsed::Unknown => {
                let payload = members.into_rest();
                let index = payload.get("contentBlockIndex").and_then(|index| index.as_i64()?.try_into().ok());
                let json = Value::Object(payload).to_string();
                let other = OtherEvent { event_type: event_type.to_owned(), json };
                self.emit(index, Event::Other(other), None, ready);
            }
        }
    }

    /// Maps a delta of text that has no other members, as [`Self::accept`] would. Returns whether the event is one.
    pub(crate) fn accept_text(&mut self, event_type: &str, payload: &[u8], ready: &mut VecDeque<Chunk>) -> bool {
        let delta = if event_type == DELTA { TextDelta::read(payload) } else { None };
        let Some(TextDelta { index, text }) = delta else { return false };
        self.emit(index, Event::Text(text), None, ready);
        true
    }

    /// Maps an event of an unknown type whose payload is not a JSON object. It is sent to the caller as text.
    pub(crate) fn opaque(&mut self, event_type: String, payload: &[u8], ready: &mut VecDeque<Chunk>) {
        let json = String::from_utf8_lossy(payload).into_owned();
        self.emit(None, Event::Other(OtherEvent { event_type, json }), None, ready);
    }

    /// Ends the answer when the bytes have ended: with the `finish`, or with an error if Bedrock did not report the end.
    pub(crate) fn end(&mut self, ready: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        let Some(stop) = self.stop.take() else {
            return Err(truncated("it ended without messageStop"));
        };
        self.finished = true;
        self.used = self.used();
        let Ending { finish, mut unrecognized } =
            finish::combine(*stop, *self.metadata.take().unwrap_or_default(), self.guardrail_intervened);
        let intervened = self.guardrail_intervened.then(|| finish::GUARDRAIL_INTERVENED.to_owned());
        self.stop_reason = Some(intervened.unwrap_or_else(|| finish.stop_reason_name.clone()));
        // If the answer has no content, `start` is sent now. Members of the end belong to `finish`.
        attach(mem::take(&mut self.unattached), &mut unrecognized);
        self.emit(None, Event::Finish(Box::new(finish)), unrecognized, ready);
        Ok(())
    }

    fn parse(&self, event_type: &str, members: &mut Members) -> Parsed {
        let parsed = match event_type {
            "messageStart" if !self.message_started => {
                let role_name = members.text("role").unwrap_or_default();
                Some(Parsed::MessageStart { role: role(&role_name), role_name })
            }
            "contentBlockStart" => content::block_start(members).map(Parsed::Content),
            DELTA => content::block_delta(members, self.json_form).map(Parsed::Content),
            "contentBlockStop" => Some(Parsed::Content(content::block_stop(members))),
            "messageStop" if self.stop.is_none() => Some(Parsed::Stop(finish::stop(members))),
            "metadata" if self.metadata.is_none() => Some(Parsed::Metadata(finish::metadata(members))),
            _ => None,
        };
        parsed.unwrap_or(Parsed::Unknown)
    }

    fn message_start(&mut self, role: Role, role_name: String, unrecognized: Option<Struct>) {
        self.message_started = true;
        if let Some(start) = &mut self.start {
            start.set_role(role);
            start.role_name = role_name;
            self.start_unrecognized = unrecognized;
        }
    }

    /// Numbers a chunk and appends it to `ready`, after the `start` if it was not sent yet.
    fn emit(
        &mut self,
        content_block_index: Option<i32>,
        event: Event,
        unrecognized: Option<Struct>,
        ready: &mut VecDeque<Chunk>,
    ) {
        // A messageStart after the first content would be a second beginning.
        self.message_started = true;
        let chunk = Chunk { content_block_index, event: Some(event), unrecognized, ..Chunk::default() };
        let start = self.start.take().map(|start| {
            let mut unrecognized = self.start_unrecognized.take();
            attach(mem::take(&mut self.unattached), &mut unrecognized);
            Chunk { event: Some(Event::Start(start)), unrecognized, ..Chunk::default() }
        });
        for chunk in start.into_iter().chain([chunk]) {
            ready.push_back(Chunk { sequence: Some(self.next_sequence), ..chunk });
            self.next_sequence += 1;
        }
    }
}

/// Whether this is an event type that the contract maps.
pub(crate) fn is_known(event_type: &str) -> bool {
    let converse = ["messageStart", "contentBlockStart", DELTA, "contentBlockStop", "messageStop", "metadata"];
    converse.contains(&event_type) || event_type == native::CHUNK
}

/// Parses the payload of an event.
pub(crate) fn parse(event_type: &str, payload: &[u8]) -> Result<Map<String, Value>, Error> {
    // The error of the parser is dropped, because it can quote the completion.
    serde_json::from_slice(payload).map_err(|_| corrupt(format!("the payload of {event_type} is not a JSON object")))
}

fn role(name: &str) -> Role {
    match name {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => Role::Unspecified,
    }
}

/// Adds unknown members of native chunks: those of one chunk as an object, those of several as a list.
fn attach(mut chunks: Vec<Map<String, Value>>, unrecognized: &mut Option<Struct>) {
    let value = match chunks.len() {
        0 => return,
        1 => Value::Object(chunks.remove(0)),
        _ => chunks.into_iter().map(Value::Object).collect(),
    };
    let fields = &mut unrecognized.get_or_insert_default().fields;
    fields.insert(native::CHUNK.to_owned(), json::to_value(value));
}

/// The unknown members of events, each under the name of its event.
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
