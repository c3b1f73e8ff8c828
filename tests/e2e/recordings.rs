//! Real answers of Bedrock, where a folder of them is named by `OUTCROP_TEST_RECORDINGS`.
//!
//! Each recorded ConverseStream is replayed and compared, event by event, with what another decoder had read in it. The
//! expectation is made from the recording's own `events` by this file, not by the server's code.

use std::path::PathBuf;

use base64::{Engine, prelude::BASE64_STANDARD};
use bedrock_emulator::{
    Delivery,
    recording::{self, Recording},
};
use outcrop_client::proto::{
    Chunk, Finish, GenerateRequest, InferenceConfiguration, OperationChoice, Start, chunk::Event,
    citation_location::Location, reasoning_delta, tool_result_block_delta,
};
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value, json};

use crate::harness::Harness;

const FOLDER: &str = "OUTCROP_TEST_RECORDINGS";

fn recordings() -> Option<Vec<Recording>> {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        println!("skipped: {FOLDER} names no folder of recordings");
        return None;
    };
    let all = recording::load(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(!all.is_empty(), "{} holds no recordings", folder.display());
    Some(all)
}

fn is_stream(recording: &Recording) -> bool {
    recording.operation == "ConverseStream" && recording.response.status == 200
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that a filter wants")]
fn is_native_stream(recording: &&Recording) -> bool {
    recording.operation == "InvokeModelWithResponseStream" && recording.response.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_stream_arrives_complete_however_its_bytes_are_cut() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    let mut replayed = 0;
    for recording in all.iter().filter(|recording| is_stream(recording)) {
        for delivery in [None, Some(Delivery::Joined), Some(Delivery::EveryByte)] {
            let mut script = recording.script();
            script.delivery = delivery.unwrap_or(script.delivery);
            let outcome = harness.play("recorded", script).await;
            let complete = recording.events.iter().any(|event| event.event_type.as_deref() == Some("messageStop"));
            let exception = recording.events.iter().find_map(|event| event.exception_type.as_deref());
            let chunks = match (complete, exception) {
                (true, None) => outcome.whole(),
                (_, Some(exception)) => {
                    let (chunks, error) = outcome.failed();
                    assert_eq!(error.metadata["exception"], exception, "{}", recording.name);
                    chunks
                }
                (false, None) => {
                    let (chunks, error) = outcome.failed();
                    assert_eq!(error.reason, "UPSTREAM_TRUNCATED", "{}", recording.name);
                    chunks
                }
            };
            compare(recording, &chunks);
        }
        replayed += 1;
    }
    println!("{replayed} recorded streams replayed, each in three deliveries");
    assert!(replayed > 0);
}

#[tokio::test]
async fn every_recorded_refusal_keeps_its_meaning() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    for recording in all.iter().filter(|recording| recording.response.status >= 300) {
        let (_, error) = harness.play("recorded", recording.script()).await.failed();
        let named = recording.response.headers.get("x-amzn-errortype").map(|name| name.split(':').next().unwrap());
        assert_eq!(error.metadata.get("exception").map(String::as_str), named, "{}", recording.name);
        let code = match named.unwrap() {
            "ValidationException" => tonic::Code::InvalidArgument,
            "AccessDeniedException" => tonic::Code::PermissionDenied,
            "ResourceNotFoundException" => tonic::Code::NotFound,
            "ServiceUnavailableException" => tonic::Code::Unavailable,
            "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
                tonic::Code::FailedPrecondition
            }
            other => panic!("{}: {other} has not been recorded before", recording.name),
        };
        assert_eq!(error.code, code, "{}", recording.name);
        let body: Value = serde_json::from_slice(&recording.response.body).unwrap_or_default();
        if let Some(message) = body["message"].as_str() {
            assert!(error.message.contains(message.chars().take(500).collect::<String>().as_str()), "{error}");
        }
    }
}

/// What a native answer came to, read from its chunks by their shapes and not by the server's code.
#[derive(Debug, Default, PartialEq)]
struct Spoken {
    text: String,
    reasoning: String,
    signature: String,
    tools: Vec<(String, String, String)>,
    stop: Option<String>,
}

impl Spoken {
    fn of(chunks: &[Value]) -> Self {
        let mut spoken = Self::default();
        for chunk in chunks {
            spoken.add(chunk);
        }
        spoken
    }

    fn add(&mut self, chunk: &Value) {
        let text = |path: &str| chunk.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let nova_tool = text("/contentBlockStart/start/toolUse/toolUseId");
        let claude_tool = (chunk["content_block"]["type"] == "tool_use").then(|| text("/content_block/id")).flatten();
        if let Some(id) = nova_tool.or(claude_tool) {
            let name = text("/contentBlockStart/start/toolUse/name").or(text("/content_block/name"));
            self.tools.push((id, name.unwrap(), String::new()));
        }
        let input = text("/contentBlockDelta/delta/toolUse/input").or(text("/delta/partial_json"));
        if let (Some(input), Some(tool)) = (input, self.tools.last_mut()) {
            tool.2 += &input;
        }
        self.reasoning += &text("/delta/thinking").unwrap_or_default();
        self.signature += &text("/delta/signature").unwrap_or_default();
        let places = [
            "/generation",
            "/outputText",
            "/completion",
            "/text",
            "/outputs/0/text",
            "/choices/0/delta/content",
            "/delta/text",
            "/contentBlockDelta/delta/text",
            "/generations/0/text",
        ];
        self.text += &places.iter().find_map(|place| text(place)).unwrap_or_default();
        let ends = [
            "/stop_reason",
            "/delta/stop_reason",
            "/completionReason",
            "/finish_reason",
            "/outputs/0/stop_reason",
            "/choices/0/finish_reason",
            "/messageStop/stopReason",
            "/generations/0/finish_reason",
        ];
        self.stop = ends.iter().find_map(|place| text(place)).or(self.stop.take());
    }
}

/// The family of a recorded model, or of one whose id was not stored.
fn family_of(recording: &Recording) -> &'static str {
    let families = [
        ("anthropic", "anthropic"),
        ("amazon.nova", "nova"),
        ("amazon.titan", "titan"),
        ("cohere.command-r", "cohere-command-r"),
        ("cohere", "cohere-command"),
        ("meta.llama2", "llama2"),
        ("meta.llama3", "llama3"),
        ("mistral", "mistral"),
        ("ai21.jamba", "jamba"),
    ];
    let model = recording.model_id.clone().unwrap_or_default();
    let named = families.iter().find(|(part, _)| model.contains(part)).map(|(_, family)| *family);
    let nova = recording.events.iter().any(|event| event.inner.get("contentBlockDelta").is_some());
    named.unwrap_or(if nova { "nova" } else { "anthropic" })
}

#[tokio::test]
async fn every_recorded_native_stream_gives_what_was_recorded() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    let (mut replayed, mut failed) = (0, 0);
    for recording in all.iter().filter(is_native_stream) {
        let model = harness.emulator.register("recorded", recording.script());
        let request = GenerateRequest {
            model,
            prompt: "hi".into(),
            model_family: family_of(recording).into(),
            operation: OperationChoice::Native.into(),
            inference_config: Some(InferenceConfiguration { max_tokens: Some(9), ..InferenceConfiguration::default() }),
            ..GenerateRequest::default()
        };
        let inner: Vec<_> =
            recording.events.iter().filter(|event| !event.inner.is_null()).map(|event| event.inner.clone()).collect();
        let expected = Spoken::of(&inner);
        let outcome = harness.ask(request).await;
        let exception = recording.events.iter().find_map(|event| event.exception_type.as_deref());
        let ended = inner.iter().any(|chunk| chunk["type"] == "message_stop" || chunk.get("metadata").is_some());
        let headed = inner.iter().any(|chunk| chunk["type"] == "message_start" || chunk.get("messageStart").is_some());
        if let Some(exception) = exception {
            let (chunks, error) = outcome.failed();
            assert_eq!(error.metadata["exception"], exception, "{}", recording.name);
            assert_eq!(spoken(chunks).text, expected.text, "{}", recording.name);
            failed += 1;
        } else if headed && !ended {
            let (_, error) = outcome.failed();
            assert_eq!(error.reason, "UPSTREAM_TRUNCATED", "{}", recording.name);
        } else {
            let chunks = outcome.whole();
            compare_usage(recording, &inner, &chunks);
            assert_eq!(spoken(chunks), expected, "{}", recording.name);
        }
        replayed += 1;
    }
    println!("{replayed} recorded native streams replayed, {failed} of them with an exception");
    assert!(replayed > 0);
}

/// Parameters that the contract has no field for: they travel in `additional_model_request_fields`.
const ADDITIONAL: [&str; 5] = ["top_k", "topK", "k", "num_generations", "thinking"];

#[tokio::test]
async fn every_parameter_of_a_recorded_native_request_has_the_same_name_in_ours() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    let mut compared = 0;
    for recording in all.iter().filter(is_native_stream) {
        let Some(theirs) = recording.request["body"]["json"].as_object() else { continue };
        let family = match family_of(recording) {
            "anthropic" if theirs.contains_key("prompt") => "anthropic-text",
            family => family,
        };
        let mut json = json!({
            "model": harness.emulator.register("recorded", recording.script()), "modelFamily": family, "prompt": "hi",
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.5},
        });
        if !family.starts_with("llama") {
            json["inferenceConfig"]["stopSequences"] = json!(["END"]);
        }
        if theirs.contains_key("system") {
            json["system"] = json!([{"text": "s"}]);
        }
        if theirs.contains_key("tools") || theirs.contains_key("toolConfig") {
            let tool = json!({"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}});
            json["toolConfig"] = json!({"tools": [tool], "toolChoice": {"auto": {}}});
        }
        harness.ask(outcrop_client::json::read("outcrop.v1.GenerateRequest", &json.to_string()).unwrap()).await;
        let ours = harness.emulator.last_request().unwrap().body;
        for name in theirs.keys().filter(|name| !ADDITIONAL.contains(&name.as_str())) {
            assert!(ours.get(name).is_some(), "{}: {name} in {ours}", recording.name);
        }
        for nested in ["textGenerationConfig", "inferenceConfig"] {
            for name in theirs.get(nested).and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                // Nova knows some of its parameters under two names.
                let name = match name.as_str() {
                    "max_new_tokens" => "maxTokens",
                    "top_p" => "topP",
                    name => name,
                };
                let additional = ADDITIONAL.contains(&name);
                assert!(
                    additional || ours[nested].get(name).is_some(),
                    "{}: {nested}.{name} in {ours}",
                    recording.name
                );
            }
        }
        compared += 1;
    }
    println!("{compared} recorded native requests compared");
    assert!(compared > 0);
}

fn spoken(chunks: Vec<Chunk>) -> Spoken {
    let mut spoken = Spoken::default();
    for chunk in chunks {
        match chunk.event.unwrap() {
            Event::Text(text) => spoken.text += &text,
            Event::Reasoning(reasoning) => match reasoning.delta.unwrap() {
                reasoning_delta::Delta::Text(text) => spoken.reasoning += &text,
                reasoning_delta::Delta::Signature(signature) => spoken.signature += &signature,
                reasoning_delta::Delta::RedactedContent(_) => {}
            },
            Event::ToolUseStart(tool) => spoken.tools.push((tool.tool_use_id, tool.name, String::new())),
            Event::ToolUseInput(input) => spoken.tools.last_mut().unwrap().2 += &input,
            Event::Finish(finish) => spoken.stop = Some(finish.stop_reason_name).filter(|name| !name.is_empty()),
            _ => {}
        }
    }
    spoken
}

/// The usage is a count that stands in the chunks, under one of the names that providers have for it.
fn compare_usage(recording: &Recording, inner: &[Value], chunks: &[Chunk]) {
    let Some(Event::Finish(finish)) = &chunks.last().unwrap().event else { panic!("ends with finish") };
    let Some(usage) = &finish.usage else {
        assert!(
            !inner.iter().any(|chunk| chunk.get("amazon-bedrock-invocationMetrics").is_some()),
            "{}",
            recording.name
        );
        return;
    };
    let places = [
        "/amazon-bedrock-invocationMetrics/outputTokenCount",
        "/usage/output_tokens",
        "/metadata/usage/outputTokens",
        "/totalOutputTextTokenCount",
        "/generation_token_count",
        "/usage/completion_tokens",
        "/response/meta/billed_units/output_tokens",
        "/message/usage/output_tokens",
    ];
    let counts = inner.iter().flat_map(|chunk| places.iter().filter_map(|place| chunk.pointer(place)?.as_f64()));
    let found = counts.collect::<Vec<_>>();
    assert!(found.contains(&f64::from(usage.output_tokens())), "{}: {usage:?} in {found:?}", recording.name);
}

/// The events as the recording has them, rebuilt from the chunks.
fn compare(recording: &Recording, chunks: &[Chunk]) {
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
        Event::Start(Start { role_name, .. }) if role_name.is_empty() => vec![("messageStart", json!({}))],
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
            metadata["trace"] = from_struct(trace);
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

fn from_struct(fields: &Struct) -> Value {
    fields.fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect()
}

fn from_value(value: &ProtoValue) -> Value {
    match value.kind.as_ref() {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => json!(number),
        Some(Kind::StringValue(text)) => json!(text),
        Some(Kind::BoolValue(bool)) => json!(bool),
        Some(Kind::StructValue(fields)) => from_struct(fields),
        Some(Kind::ListValue(list)) => list.values.iter().map(from_value).collect(),
    }
}
