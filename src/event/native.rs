//! Maps chunks in a model's own format to the chunks of the contract.
//!
//! The decoder of a family parses a chunk and passes its content to the [`Sink`]. This module parses the members that Bedrock adds for every
//! family (metrics, guardrail). Members that neither knows are sent to the caller.

use std::{collections::VecDeque, fmt::Debug, mem};

use serde_json::{Map, Value};

use super::{
    EventMapper,
    finish::{self, Metadata, Stop},
    members::Members,
};
use crate::{
    error::{Error, corrupt},
    json,
    proto::{
        BlockStop, Chunk, ConverseStreamMetrics, NativeChunk, OtherEvent, Role, StopReason, TokenUsage, UsageSource,
        chunk::Event,
    },
};

/// The event type of every native chunk.
pub(crate) const CHUNK: &str = "chunk";

/// Whether a chunk says that a message or a block of it begins, and has nothing of it: the families of Claude and of Nova have such chunks.
pub(crate) fn is_beginning(chunk: &[u8]) -> bool {
    let Ok(members) = super::parse(CHUNK, chunk) else { return false };
    match members.get("type").and_then(Value::as_str) {
        Some(name) => ["message_start", "content_block_start", "ping"].contains(&name),
        None => members.len() == 1 && members.contains_key("messageStart"),
    }
}

/// Decodes the chunks of an answer in the format of a family.
pub(crate) trait Decode: Debug + Send {
    /// Removes the known members of a chunk and passes their content to the sink.
    ///
    /// # Errors
    /// `UPSTREAM_CORRUPT` if the chunk is in the format of another family.
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error>;
}

/// Receives the content of chunks from a decoder.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    mapper: &'a mut EventMapper,
    ready: &'a mut VecDeque<Chunk>,
    unknown: bool,
}

impl Sink<'_> {
    /// The chunk has a kind that the decoder does not know. It is sent to the caller unchanged.
    pub(crate) fn unknown(&mut self) {
        self.unknown = true;
    }

    /// The role of the message.
    pub(crate) fn role(&mut self, name: &str) {
        if let Some(start) = self.mapper.start_mut() {
            start.set_role(super::role(name));
            name.clone_into(&mut start.role_name);
        }
    }

    /// An event of a block.
    pub(crate) fn event(&mut self, index: i32, event: Event) {
        // Only one of several choices had ended, and not the message.
        self.mapper.stop = None;
        self.mapper.open_blocks.insert(index);
        self.mapper.emit(Some(index), event, None, self.ready);
    }

    /// Text. Empty text is ignored.
    pub(crate) fn text(&mut self, index: i32, text: String) {
        if !text.is_empty() {
            self.event(index, Event::Text(text));
        }
    }

    /// The block is complete.
    pub(crate) fn block_stop(&mut self, index: i32) {
        if self.mapper.open_blocks.remove(&index) {
            self.mapper.emit(Some(index), Event::BlockStop(BlockStop {}), None, self.ready);
        }
    }

    /// The message has ended, and with it every block.
    pub(crate) fn stop(&mut self, name: &str) {
        for index in mem::take(&mut self.mapper.open_blocks) {
            self.mapper.emit(Some(index), Event::BlockStop(BlockStop {}), None, self.ready);
        }
        let stop = Stop { reason: stop_reason(name), reason_name: name.to_owned(), ..Stop::default() };
        self.mapper.stop.get_or_insert_with(|| Box::new(stop));
    }

    /// The usage that the provider has reported so far.
    pub(crate) fn usage(&mut self, usage: TokenUsage) {
        let usage = TokenUsage { source: UsageSource::Provider.into(), ..usage };
        self.mapper.metadata().usage = Some(usage);
    }

    /// An event in the format of Converse, which some families use inside their own.
    pub(crate) fn converse(&mut self, event_type: &str, payload: Map<String, Value>) {
        self.mapper.accept(event_type, payload, self.ready);
    }
}

/// The result of the guardrail in a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guardrail {
    /// The model answers. Parts of the answer can be masked.
    Passed,
    /// The guardrail answers instead of the model, with one chunk that has the action and the trace and no stop reason.
    Blocked,
}

impl EventMapper {
    /// Maps a native chunk. `beside` has the members beside its bytes.
    pub(crate) fn native(
        &mut self,
        decoder: &mut dyn Decode,
        chunk: Map<String, Value>,
        beside: Members,
        ready: &mut VecDeque<Chunk>,
    ) -> Result<(), Error> {
        self.message_started_by_assistant();
        let mut members = Members::of_chunk(chunk);
        let guardrail = self.take_guardrail(&mut members);
        let metrics = self.take_metrics(&mut members);
        let before = ready.len();
        let mut sink = Sink { mapper: self, ready, unknown: false };
        if !(members.is_empty() && (metrics || guardrail.is_some())) {
            decoder.decode(&mut members, &mut sink)?;
        }
        if guardrail == Some(Guardrail::Blocked) && sink.mapper.stop.is_none() {
            sink.stop("");
        }
        let mut rest = members.into_rest();
        if sink.unknown && !rest.is_empty() {
            let json = Value::Object(mem::take(&mut rest)).to_string();
            self.emit(None, Event::Other(OtherEvent { event_type: CHUNK.to_owned(), json }), None, ready);
        }
        self.pass_on([rest, beside.into_rest()], before, ready);
        Ok(())
    }

    /// Sends a chunk to the caller unchanged. Only the members that Bedrock adds are parsed.
    pub(crate) fn raw(&mut self, chunk: &[u8], beside: Members, ready: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let json = std::str::from_utf8(chunk).map_err(|_| corrupt("a native chunk is not text"))?;
        let mut members = Members::of_chunk(super::parse(CHUNK, chunk)?);
        self.message_started_by_assistant();
        let guardrail = self.take_guardrail(&mut members);
        let before = ready.len();
        self.emit(None, Event::Native(NativeChunk { json: json.to_owned() }), None, ready);
        self.pass_on([beside.into_rest()], before, ready);
        // Bedrock adds its metrics to the last chunk, and answers a blocked prompt with one chunk. Either proves the end.
        if self.take_metrics(&mut members) || guardrail == Some(Guardrail::Blocked) {
            self.stop.get_or_insert_default();
        }
        Ok(())
    }

    fn metadata(&mut self) -> &mut Metadata {
        self.metadata.get_or_insert_default()
    }

    fn message_started_by_assistant(&mut self) {
        if let Some(start) = self.start_mut() {
            start.set_role(Role::Assistant);
        }
    }

    fn take_guardrail(&mut self, members: &mut Members) -> Option<Guardrail> {
        let trace = members.map("amazon-bedrock-trace");
        let has_trace = trace.is_some();
        if let Some(trace) = trace {
            self.metadata().trace = Some(json::to_struct(trace));
        }
        let action = members.text("amazon-bedrock-guardrailAction")?;
        let intervened = action == "INTERVENED";
        self.guardrail_intervened |= intervened;
        Some(if intervened && has_trace { Guardrail::Blocked } else { Guardrail::Passed })
    }

    /// `amazon-bedrock-invocationMetrics`: Bedrock's own count, used as `usage` if the provider reports none.
    fn take_metrics(&mut self, members: &mut Members) -> bool {
        let read = members.object("amazon-bedrock-invocationMetrics", |metrics| {
            let usage = TokenUsage {
                input_tokens: metrics.int32("inputTokenCount"),
                output_tokens: metrics.int32("outputTokenCount"),
                cache_read_input_tokens: metrics.int32("cacheReadInputTokenCount"),
                cache_write_input_tokens: metrics.int32("cacheWriteInputTokenCount"),
                source: UsageSource::InvocationMetrics.into(),
                ..TokenUsage::default()
            };
            let times = ConverseStreamMetrics {
                latency_ms: metrics.int32("invocationLatency"),
                first_byte_latency_ms: metrics.int32("firstByteLatency"),
            };
            Some((usage, times))
        });
        let Some((usage, times)) = read else { return false };
        let metadata = self.metadata();
        metadata.usage.get_or_insert_with(|| usage.clone());
        metadata.invocation_usage = Some(usage);
        metadata.metrics = Some(times);
        true
    }

    /// Attaches the unknown members of a chunk to the last chunk that it produced. If it produced none, or the message has ended, they are
    /// sent with `start` or `finish`.
    fn pass_on<const N: usize>(&mut self, rest: [Map<String, Value>; N], before: usize, ready: &mut VecDeque<Chunk>) {
        let rest = rest.into_iter().filter(|rest| !rest.is_empty());
        let has_own = ready.len() > before && self.stop.is_none();
        match ready.back_mut().filter(|_| has_own) {
            Some(last) => super::attach(rest.collect(), &mut last.unrecognized),
            None => self.unattached.extend(rest),
        }
    }
}

/// Maps a provider's stop reason.
fn stop_reason(name: &str) -> StopReason {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "complete" | "finish" | "stop" | "eos" | "endoftext" | "completed" => StopReason::EndTurn,
        "length" => StopReason::MaxTokens,
        "stop_criteria_met" => StopReason::StopSequence,
        "tool_call" | "tool_calls" => StopReason::ToolUse,
        "content_filter" | "refusal" | "error_toxic" => StopReason::ContentFiltered,
        "error_limit" => StopReason::ModelContextWindowExceeded,
        // Many providers use the words of Converse.
        _ => finish::stop_reason(&name),
    }
}
