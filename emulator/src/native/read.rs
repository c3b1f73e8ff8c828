//! Makes events of ConverseStream of scripted or recorded chunks, and finds their format.

use serde_json::{Value, json};

use super::{Format, reason, stream::EVENTS};
use crate::{fold::Event, usage::TokenUsage};

/// Where the formats of text have it.
const TEXTS: [&str; 7] = [
    "/text",
    "/outputText",
    "/generation",
    "/completion",
    "/outputs/0/text",
    "/choices/0/delta/content",
    "/choices/0/text",
];

/// Where the formats of text have the stop reason.
const REASONS: [&str; 7] = [
    "/stop_reason",
    "/finish_reason",
    "/completionReason",
    "/outputs/0/stop_reason",
    "/choices/0/finish_reason",
    "/choices/0/stop_reason",
    "/completions/0/finishReason/reason",
];

/// Members that only the chunks of one format have.
const SHAPES: [(&str, Format); 10] = [
    ("/outputText", Format::Titan),
    ("/generation", Format::Llama),
    ("/completion", Format::AnthropicText),
    ("/outputs", Format::Mistral),
    ("/completions", Format::Jurassic),
    ("/event_type", Format::CommandR),
    ("/choices/0/text", Format::ChatText),
    ("/choices", Format::Chat),
    ("/is_finished", Format::Cohere),
    ("/type", Format::Anthropic),
];

/// The events with the chunks among them as events too, and the format of the chunks.
pub(crate) fn events(events: Vec<Event>) -> (Vec<Event>, Option<Format>) {
    let (mut read, mut format) = (Vec::new(), None);
    for (event_type, payload) in events {
        if event_type == "chunk" {
            format = format.or_else(|| of_chunk(&payload));
            read.extend(of(&payload));
        } else {
            read.push((event_type, payload));
        }
    }
    (read, format)
}

fn of_chunk(chunk: &Value) -> Option<Format> {
    if EVENTS.iter().any(|event_type| chunk.get(event_type).is_some()) {
        return Some(Format::Nova);
    }
    SHAPES.iter().find(|(place, _)| chunk.pointer(place).is_some()).map(|(_, format)| *format)
}

fn of(chunk: &Value) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |event_type: &str, payload: Value| events.push((event_type.to_owned(), payload));
    match of_chunk(chunk) {
        Some(Format::Nova) => {
            for event_type in EVENTS.into_iter().filter(|event_type| *event_type != "metadata") {
                if let Some(payload) = chunk.get(event_type) {
                    add(event_type, payload.clone());
                }
            }
        }
        Some(Format::Anthropic) => {
            if let Some((event_type, payload)) = anthropic(chunk) {
                add(event_type, payload);
            }
        }
        _ => {
            let find =
                |places: &[&str]| places.iter().find_map(|place| chunk.pointer(place)?.as_str().map(str::to_owned));
            let text = find(&TEXTS).or_else(|| Some(chunk.pointer("/completions/0/data/text")?.as_str()?.to_owned()));
            if let Some(text) = text {
                add("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": text}}));
            }
            if let Some(found) = find(&REASONS) {
                add("messageStop", json!({"stopReason": reason::converse(&found)}));
            }
        }
    }
    if let Some(metrics) = chunk.get("amazon-bedrock-invocationMetrics") {
        let count = |name: &str| metrics[name].as_u64().unwrap_or_default();
        let (input, output) = (count("inputTokenCount"), count("outputTokenCount"));
        let (cache_read, cache_write) = (count("cacheReadInputTokenCount"), count("cacheWriteInputTokenCount"));
        let usage = TokenUsage { input, output, cache_read, cache_write }.json();
        add("metadata", json!({"usage": usage, "metrics": {"latencyMs": count("invocationLatency")}}));
    }
    events
}

fn anthropic(chunk: &Value) -> Option<(&'static str, Value)> {
    let (index, delta, block) = (&chunk["index"], &chunk["delta"], &chunk["content_block"]);
    let delta_event = |delta: Value| ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
    Some(match chunk["type"].as_str()? {
        "message_start" => ("messageStart", json!({"role": chunk["message"]["role"]})),
        "content_block_start" if block.get("data").is_some() => {
            delta_event(json!({"reasoningContent": {"redactedContent": block["data"]}}))
        }
        "content_block_start" if block.get("name").is_some() => {
            let tool = json!({"toolUseId": block["id"], "name": block["name"]});
            ("contentBlockStart", json!({"contentBlockIndex": index, "start": {"toolUse": tool}}))
        }
        "content_block_delta" => delta_event(match delta["type"].as_str()? {
            "text_delta" => json!({"text": delta["text"]}),
            "input_json_delta" => json!({"toolUse": {"input": delta["partial_json"]}}),
            "thinking_delta" => json!({"reasoningContent": {"text": delta["thinking"]}}),
            "signature_delta" => json!({"reasoningContent": {"signature": delta["signature"]}}),
            _ => return None,
        }),
        "content_block_stop" => ("contentBlockStop", json!({"contentBlockIndex": index})),
        "message_delta" => ("messageStop", json!({"stopReason": delta["stop_reason"]})),
        _ => return None,
    })
}
