//! A recorded Converse stream, rebuilt from the chunks of the answer and compared with the recording.

use base64::{Engine, prelude::BASE64_STANDARD};
use bedrock_emulator::recording::Recording;
use outcrop_client::proto::{
    Chunk, Finish, chunk::Event, citation_location::Location, reasoning_delta, tool_result_block_delta,
};
use outcrop_contract::json::{from_struct, from_value};
use serde_json::{Map, Value, json};

/// The events as the recording has them, rebuilt from the chunks.
pub(super) fn compare(recording: &Recording, chunks: &[Chunk]) {
    let mut expected: Vec<(String, Value)> = recording
        .events
        .iter()
        .filter_map(|event| {
            let mut payload = event.payload.clone();
            payload.as_object_mut()?.remove("p");
            Some((event.event_type.clone()?, payload))
        })
        .collect();
    if !chunks.iter().any(|chunk| matches!(chunk.event, Some(Event::Start(_)))) {
        // Failed before content: nothing was sent, and a messageStart alone is not content.
        expected.retain(|(event_type, _)| event_type != "messageStart");
    }
    if !expected.iter().any(|(event_type, _)| event_type == "messageStart") {
        // An excerpt that begins in the middle: the server made the start itself.
        expected.insert(0, ("messageStart".to_owned(), json!({})));
        if chunks.is_empty() {
            expected.clear();
        }
    }
    let actual: Vec<_> = chunks.iter().flat_map(events_of).collect();
    assert_eq!(actual.len(), expected.len(), "{}: {actual:?}", recording.name);
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_eq!((&actual.0, normal(&actual.1)), (&expected.0, normal(&expected.1)), "{}", recording.name);
    }
}

/// The Bedrock events that a chunk stands for.
fn events_of(chunk: &Chunk) -> Vec<(String, Value)> {
    let delta = |delta: Value| vec![("contentBlockDelta", json!({"delta": delta}))];
    let start = |start: Value| vec![("contentBlockStart", json!({"start": start}))];
    let events = match chunk.event.as_ref().unwrap() {
        Event::Start(start) if start.role_name.is_empty() => vec![("messageStart", json!({}))],
        Event::Start(start) => vec![("messageStart", json!({"role": start.role_name}))],
        Event::Text(text) => delta(json!({"text": text})),
        Event::Reasoning(reasoning) => delta(json!({"reasoningContent": match reasoning.delta.as_ref().unwrap() {
            reasoning_delta::Delta::Text(text) => json!({"text": text}),
            reasoning_delta::Delta::Signature(signature) => json!({"signature": signature}),
            reasoning_delta::Delta::RedactedContent(bytes) => json!({"redactedContent": BASE64_STANDARD.encode(bytes)}),
        }})),
        Event::ToolUseStart(tool) => start(
            json!({"toolUse": sparse(json!({"toolUseId": tool.tool_use_id, "name": tool.name, "type": tool.r#type}))}),
        ),
        Event::ToolUseInput(input) => delta(json!({"toolUse": {"input": input}})),
        Event::ToolResultStart(result) => {
            let members = json!({"toolUseId": result.tool_use_id, "type": result.r#type, "status": result.status});
            start(json!({"toolResult": sparse(members)}))
        }
        Event::ToolResult(result) => delta(json!({"toolResult": result.content.iter().map(|item| match &item.delta {
            Some(tool_result_block_delta::Delta::Text(text)) => json!({"text": text}),
            Some(tool_result_block_delta::Delta::Json(value)) => json!({"json": from_value(value)}),
            Some(tool_result_block_delta::Delta::JsonText(text)) => {
                json!({"json": serde_json::from_str::<Value>(text).unwrap()})
            }
            None => json!({}),
        }).collect::<Vec<_>>()})),
        Event::Citation(citation) => {
            let texts: Vec<_> = citation.source_content.iter().map(|item| json!({"text": item.text})).collect();
            let mut members = sparse(json!({"title": citation.title, "source": citation.source}));
            if !texts.is_empty() {
                members["sourceContent"] = texts.into();
            }
            if let Some(location) = citation.location.as_ref().and_then(|location| location.location.as_ref()) {
                members["location"] = location_of(location);
            }
            delta(json!({"citation": members}))
        }
        Event::BlockStop(_) => vec![("contentBlockStop", json!({}))],
        Event::Other(other) => {
            return vec![(other.event_type.clone(), serde_json::from_str(&other.json).unwrap())];
        }
        Event::Finish(finish) => finish_of(finish),
        other => panic!("no recording has {other:?}"),
    };
    let mut events: Vec<_> = events.into_iter().map(|(event_type, payload)| (event_type.to_owned(), payload)).collect();
    for (event_type, payload) in &mut events {
        if let Some(index) = chunk.content_block_index {
            payload["contentBlockIndex"] = index.into();
        }
        if let Some(rest) = chunk.unrecognized.as_ref().and_then(|rest| rest.fields.get(event_type)) {
            merge(payload, from_value(rest));
        }
    }
    events
}

fn location_of(location: &Location) -> Value {
    match location {
        Location::Web(web) => json!({"web": sparse(json!({"url": web.url, "domain": web.domain}))}),
        Location::DocumentChar(at) => {
            json!({"documentChar": {"documentIndex": at.document_index, "start": at.start, "end": at.end}})
        }
        Location::DocumentPage(at) => {
            json!({"documentPage": {"documentIndex": at.document_index, "start": at.start, "end": at.end}})
        }
        Location::DocumentChunk(at) => {
            json!({"documentChunk": {"documentIndex": at.document_index, "start": at.start, "end": at.end}})
        }
        Location::SearchResultLocation(at) => {
            json!({"searchResultLocation": {"searchResultIndex": at.search_result_index, "start": at.start, "end": at.end}})
        }
    }
}

fn finish_of(finish: &Finish) -> Vec<(&'static str, Value)> {
    let mut stop = json!({"stopReason": finish.stop_reason_name});
    if let Some(fields) = &finish.additional_model_response_fields {
        stop["additionalModelResponseFields"] = from_value(fields);
    }
    let mut events = vec![("messageStop", stop)];
    if let Some(usage) = &finish.usage {
        let mut metadata = json!({"usage": {
            "inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens, "totalTokens": usage.total_tokens,
        }});
        let details: Vec<_> = usage
            .cache_details
            .iter()
            .map(|detail| json!({"ttl": detail.ttl, "inputTokens": detail.input_tokens}))
            .collect();
        for (name, value) in [
            ("cacheReadInputTokens", usage.cache_read_input_tokens.map(Value::from)),
            ("cacheWriteInputTokens", usage.cache_write_input_tokens.map(Value::from)),
            ("cacheDetails", (!details.is_empty()).then(|| details.into())),
        ] {
            if let Some(value) = value {
                metadata["usage"][name] = value;
            }
        }
        if let Some(metrics) = &finish.metrics {
            metadata["metrics"] = json!({"latencyMs": metrics.latency_ms});
        }
        if let Some(trace) = &finish.trace {
            metadata["trace"] = from_struct(trace).into();
        }
        if let Some(tier) = &finish.service_tier {
            metadata["serviceTier"] = json!({"type": tier.r#type});
        }
        if let Some(config) = &finish.performance_config {
            metadata["performanceConfig"] = json!({"latency": config.latency});
        }
        events.push(("metadata", metadata));
    }
    events
}

/// Without the empty strings that stand for what was not sent.
fn sparse(mut members: Value) -> Value {
    members.as_object_mut().unwrap().retain(|_, value| value != "");
    members
}

/// Numbers as doubles, and no empty lists that protobuf cannot tell from none.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(members) => members
            .iter()
            .filter(|(name, value)| {
                !(["cacheDetails", "sourceContent"].contains(&name.as_str()) && **value == json!([]))
            })
            .map(|(name, value)| (name.clone(), normal(value)))
            .collect(),
        other => other.clone(),
    }
}

fn merge(into: &mut Value, rest: Value) {
    match (into, rest) {
        (Value::Object(into), Value::Object(rest)) => {
            for (name, value) in rest {
                merge(into.entry(name).or_insert(Value::Object(Map::new())), value);
            }
        }
        (into, rest) => *into = rest,
    }
}
