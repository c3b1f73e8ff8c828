//! Recorded answers of the native operation, compared by the shapes of their chunks and not by the server's code.

use bedrock_emulator::recording::Recording;
use outcrop_client::proto::{
    Chunk, GenerateRequest, InferenceConfiguration, OperationChoice, chunk::Event, reasoning_delta,
};
use serde_json::{Map, Value, json};

use super::{is_native_stream, recordings};
use crate::harness::Harness;

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
