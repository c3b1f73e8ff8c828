//! The native operation: every family in its own format gives the same chunks as Converse, and a body that nobody here
//! understands goes through untouched.

use base64::{Engine, prelude::BASE64_STANDARD};
use bedrock_emulator::{At, FaultKind, Script, Step};
use outcrop::request::{FEATURES, Family, Feature};
use outcrop_client::{
    json,
    proto::{Chunk, GenerateRequest, Operation, OperationChoice, StopReason, UsageSource, chunk::Event},
};
use serde_json::{Value, json as value};
use tonic::Code;

use crate::harness::{Harness, finish_of, request, start_of, text_of};

/// A model of each family.
const MODELS: [(&str, &str); 18] = [
    ("anthropic", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("anthropic-text", "anthropic.claude-v2:1"),
    ("nova", "us.amazon.nova-lite-v1:0"),
    ("titan", "amazon.titan-text-express-v1"),
    ("cohere-command", "cohere.command-text-v14"),
    ("cohere-command-r", "cohere.command-r-v1:0"),
    ("llama2", "meta.llama2-13b-chat-v1"),
    ("llama3", "meta.llama3-8b-instruct-v1:0"),
    ("llama4", "us.meta.llama4-scout-17b-instruct-v1:0"),
    ("mistral", "mistral.mistral-7b-instruct-v0:2"),
    ("mistral-chat", "mistral.mistral-large-2407-v1:0"),
    ("jamba", "ai21.jamba-1-5-mini-v1:0"),
    ("jurassic2", "ai21.j2-mid-v1"),
    ("deepseek-r1", "us.deepseek.r1-v1:0"),
    ("deepseek", "deepseek.v3-v1:0"),
    ("openai", "openai.gpt-oss-120b-1:0"),
    ("qwen", "qwen.qwen3-32b-v1:0"),
    ("writer", "us.writer.palmyra-x5-v1:0"),
];

fn read(json: &Value) -> GenerateRequest {
    json::read("outcrop.v1.GenerateRequest", &json.to_string()).unwrap()
}

/// A request in the model's own format.
fn native(model: &str, more: impl Into<Value>) -> GenerateRequest {
    let mut json =
        value!({"model": model, "operation": "OPERATION_CHOICE_NATIVE", "inferenceConfig": {"maxTokens": 50}});
    json.as_object_mut().unwrap().extend(more.into().as_object().unwrap().clone());
    read(&json)
}

fn kinds(chunks: &[Chunk]) -> Vec<&'static str> {
    let mut kinds: Vec<_> = chunks
        .iter()
        .map(|chunk| match chunk.event.as_ref().unwrap() {
            Event::Start(_) => "start",
            Event::Text(_) => "text",
            Event::BlockStop(_) => "block_stop",
            Event::Finish(_) => "finish",
            _ => "other",
        })
        .collect();
    kinds.dedup();
    kinds
}

async fn body_of(harness: &Harness, request: GenerateRequest) -> Value {
    harness.ask(request).await.whole();
    harness.emulator.last_request().unwrap().body
}

#[tokio::test]
async fn every_family_gives_the_same_chunks_natively_as_through_converse() {
    let harness = Harness::start().await;
    for (family, model) in MODELS {
        let converse =
            harness.ask(GenerateRequest { operation: OperationChoice::Converse.into(), ..request(model) }).await;
        let converse = converse.whole();
        let chunks = harness.ask(native(model, value!({"prompt": "hi"}))).await.whole();
        assert_eq!(harness.emulator.last_request().unwrap().operation, "InvokeModelWithResponseStream");
        assert_eq!(kinds(&chunks), kinds(&converse), "{family}");
        assert!(text_of(&chunks).contains("emulator answering"), "{family}");
        let start = start_of(&chunks);
        assert_eq!(start.operation(), Operation::InvokeModelWithResponseStream);
        let finish = finish_of(&chunks);
        let expected = if family == "anthropic-text" { StopReason::StopSequence } else { StopReason::EndTurn };
        assert_eq!(finish.stop_reason(), expected, "{family}");
        assert!(!finish.stop_reason_name.is_empty(), "{family}");
        let usage = finish.usage.as_ref().unwrap();
        assert!(usage.output_tokens() > 0, "{family}");
        let row = FEATURES.iter().find(|row| row.family.name() == family).unwrap();
        let source = if row.usage == "provider" { UsageSource::Provider } else { UsageSource::InvocationMetrics };
        assert_eq!(usage.source(), source, "{family}");
    }
    assert_eq!(MODELS.len(), FEATURES.len());
}

#[tokio::test]
async fn a_family_that_the_id_does_not_name_is_the_callers_to_say() {
    let harness = Harness::start().await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdef123456";
    let (_, error) = harness.ask(native(arn, value!({"prompt": "hi"}))).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert_eq!(error.violations[0].field, "model_family");
    for (family, _) in MODELS {
        let body = body_of(&harness, native(arn, value!({"prompt": "hi", "modelFamily": family}))).await;
        assert!(body.is_object(), "{family}");
        assert_eq!(harness.emulator.last_request().unwrap().model_id, arn);
    }
    let (_, error) = harness.ask(native(arn, value!({"prompt": "hi", "modelFamily": "gpt"}))).await.failed();
    assert!(error.message.contains("cohere-command"), "{error}");
    let converse =
        value!({"model": arn, "prompt": "hi", "modelFamily": "nova", "operation": "OPERATION_CHOICE_CONVERSE"});
    let (_, error) = harness.ask(read(&converse)).await.failed();
    assert_eq!(error.violations[0].field, "model_family", "{error}");
}

#[tokio::test]
async fn without_a_wish_the_server_takes_converse_where_the_model_has_it() {
    let harness = Harness::start().await;
    for (family, model) in MODELS {
        harness.ask(request(model)).await.whole();
        let expected = if family == "jurassic2" { "InvokeModelWithResponseStream" } else { "ConverseStream" };
        assert_eq!(harness.emulator.last_request().unwrap().operation, expected, "{family}");
    }
}

#[tokio::test]
async fn what_a_family_lacks_is_refused_by_name() {
    let harness = Harness::start().await;
    let fields = [
        (Feature::System, "system", value!({"system": [{"text": "x"}]})),
        (Feature::TopP, "inference_config.top_p", value!({"inferenceConfig": {"maxTokens": 5, "topP": 0.5}})),
        (
            Feature::StopSequences,
            "inference_config.stop_sequences",
            value!({"inferenceConfig": {"maxTokens": 5, "stopSequences": ["x"]}}),
        ),
        (
            Feature::Tools,
            "tool_config",
            value!({"toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {"type": "object"}}}}]}}),
        ),
        (
            Feature::Images,
            "messages[0].content[0].image",
            content(value!({"image": {"format": "png", "source": {"bytes": "AAEC"}}})),
        ),
        (
            Feature::Documents,
            "messages[0].content[0].document",
            content(value!({"document": {"format": "txt", "name": "d", "source": {"bytes": "AAEC"}}})),
        ),
        (
            Feature::Reasoning,
            "messages[0].content[0].reasoning_content",
            content(value!({"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}})),
        ),
        (
            Feature::CachePoints,
            "messages[0].content[0].cache_point",
            content(value!({"cachePoint": {"type": "default"}})),
        ),
    ];
    for row in FEATURES {
        let model = MODELS.iter().find(|(family, _)| *family == row.family.name()).unwrap().1;
        for (feature, field, more) in &fields {
            let mut more = more.clone();
            more["prompt"] = "hi".into();
            let outcome = harness.ask(native(model, more)).await;
            if row.features.contains(feature) {
                outcome.whole();
            } else {
                let (_, error) = outcome.failed();
                assert_eq!(error.violations[0].field, *field, "{model}: {error}");
                assert!(error.message.contains(row.family.name()), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn what_would_have_to_be_left_out_of_a_block_is_refused_too() {
    let harness = Harness::start().await;
    let tools = |tool: Value| value!({"prompt": "hi", "toolConfig": {"tools": [tool]}});
    let result = |inner: Value| content(value!({"toolResult": {"toolUseId": "t", "content": [inner]}}));
    let bytes = value!({"bytes": "AAEC"});
    let block = "messages[0].content[0]";
    let cases = [
        (
            "anthropic.claude-x",
            content(value!({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}})),
            format!("{block}.image.source.s3_location"),
        ),
        (
            "anthropic.claude-x",
            content(value!({"document": {"format": "docx", "name": "d", "source": bytes}})),
            format!("{block}.document.format"),
        ),
        (
            "anthropic.claude-x",
            tools(value!({"systemTool": {"name": "look"}})),
            "tool_config.tools[0].system_tool".into(),
        ),
        (
            "anthropic.claude-x",
            result(value!({"video": {"format": "mp4", "source": bytes}})),
            format!("{block}.tool_result.content[0].video"),
        ),
        (
            "amazon.nova-lite-v1:0",
            content(value!({"cachePoint": {"type": "default", "ttl": "1h"}})),
            format!("{block}.cache_point.ttl"),
        ),
        (
            "amazon.nova-lite-v1:0",
            content(value!({"document": {"format": "txt", "name": "d", "context": "c", "source": bytes}})),
            format!("{block}.document.context"),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            result(value!({"image": {"format": "png", "source": bytes}})),
            format!("{block}.tool_result.content[0].image"),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            tools(value!({"toolSpec": {"name": "t", "strict": true, "inputSchema": {"json": {}}}})),
            "tool_config.tools[0].tool_spec.strict".into(),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            value!({"prompt": "hi", "guardrailConfig": {"streamProcessingMode": "async"}}),
            "guardrail_config.stream_processing_mode".into(),
        ),
    ];
    for (model, more, field) in cases {
        let (_, error) = harness.ask(native(model, more)).await.failed();
        assert_eq!(error.violations[0].field, field, "{error}");
    }
}

fn content(block: impl Into<Value>) -> Value {
    value!({"messages": [{"role": "ROLE_USER", "content": [block.into(), {"text": "and?"}]}]})
}

/// The body of a conversation of three turns, by each provider's documentation.
fn documented(family: &str) -> Value {
    let turns = value!([
        {"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"},
    ]);
    let blocks = |block: fn(&str) -> Value| {
        value!([
            {"role": "user", "content": [block("A")]}, {"role": "assistant", "content": [block("B")]},
            {"role": "user", "content": [block("C")]},
        ])
    };
    let prompt = |text: &str, max_tokens: &str| value!({"prompt": text, max_tokens: 50, "temperature": 0.01});
    match family {
        "anthropic" => value!({
            "anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "temperature": 0.01,
            "messages": blocks(|text| value!({"type": "text", "text": text})),
        }),
        "anthropic-text" => prompt("\n\nHuman: A\n\nAssistant: B\n\nHuman: C\n\nAssistant:", "max_tokens_to_sample"),
        "nova" => value!({
            "schemaVersion": "messages-v1", "messages": blocks(|text| value!({"text": text})),
            "inferenceConfig": {"maxTokens": 50, "temperature": 0.01},
        }),
        "titan" => value!({
            "inputText": "User: A\nBot: B\nUser: C\nBot:",
            "textGenerationConfig": {"maxTokenCount": 50, "temperature": 0.01},
        }),
        "cohere-command" => value!({
            "prompt": "User: A\nChatbot: B\nUser: C\nChatbot:", "stream": true, "max_tokens": 50, "temperature": 0.01,
        }),
        "cohere-command-r" => value!({
            "message": "C", "max_tokens": 50, "temperature": 0.01,
            "chat_history": [{"role": "USER", "message": "A"}, {"role": "CHATBOT", "message": "B"}],
        }),
        "llama2" => prompt("<s>[INST] A [/INST] B </s><s>[INST] C [/INST]", "max_gen_len"),
        "llama3" => prompt(&headed(("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")), "max_gen_len"),
        "llama4" => prompt(&headed(("<|header_start|>", "<|header_end|>", "<|eot|>")), "max_gen_len"),
        "mistral" => prompt("<s>[INST] A [/INST] B</s>[INST] C [/INST]", "max_tokens"),
        "jurassic2" => prompt("User: A\nAssistant: B\nUser: C\nAssistant:", "maxTokens"),
        "deepseek-r1" => prompt(
            "<｜begin▁of▁sentence｜><｜User｜>A<｜Assistant｜>B<｜end▁of▁sentence｜><｜User｜>C<｜Assistant｜><think>\n",
            "max_tokens",
        ),
        "openai" => {
            value!({"messages": turns, "stream": true, "max_completion_tokens": 50, "temperature": 0.01})
        }
        _ => value!({"messages": turns, "max_tokens": 50, "temperature": 0.01}),
    }
}

/// The conversation in the template of Llama 3 or 4.
fn headed((start, end, over): (&str, &str, &str)) -> String {
    format!(
        "<|begin_of_text|>{start}user{end}\n\nA{over}{start}assistant{end}\n\nB{over}{start}user{end}\n\nC{over}\
         {start}assistant{end}\n\n"
    )
}

#[tokio::test]
async fn each_familys_body_is_what_its_provider_documents() {
    let harness = Harness::start().await;
    let conversation = value!({
        "messages": [
            {"role": "ROLE_USER", "content": [{"text": "A"}]},
            {"role": "ROLE_ASSISTANT", "content": [{"text": "B"}]},
            {"role": "ROLE_USER", "content": [{"text": "C"}]},
        ],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.01},
    });
    for (family, model) in MODELS {
        let body = body_of(&harness, native(model, conversation.clone())).await;
        assert_eq!(body, documented(family), "{family}");
    }
}

#[tokio::test]
async fn tools_reach_the_families_that_have_them_and_their_calls_come_back() {
    let harness = Harness::start().await;
    let tools = value!({"prompt": "hi", "toolConfig": {
        "tools": [{"toolSpec": {"name": "look", "description": "d", "inputSchema": {"json": {"type": "object", "maxProperties": 3}}}}],
        "toolChoice": {"tool": {"name": "look"}},
    }});
    let schema = value!({"type": "object", "maxProperties": 3});
    let body = body_of(&harness, native("anthropic.claude-x", tools.clone())).await;
    assert_eq!(body["tools"], value!([{"name": "look", "description": "d", "input_schema": schema}]));
    assert_eq!(body["tool_choice"], value!({"type": "tool", "name": "look"}));
    let body = body_of(&harness, native("amazon.nova-lite-v1:0", tools.clone())).await;
    let spec = value!({"name": "look", "description": "d", "inputSchema": {"json": schema}});
    assert_eq!(body["toolConfig"], value!({"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": "look"}}}));
    let body = body_of(&harness, native("qwen.qwen3-32b-v1:0", tools)).await;
    let function = value!({"name": "look", "description": "d", "parameters": schema});
    assert_eq!(body["tools"], value!([{"type": "function", "function": function}]));

    let call = |call: Value| {
        Step::Chunk(value!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]}))
    };
    let script = Script::of([
        Step::Chunk(value!({"choices": [{"index": 0, "delta": {"reasoning_content": "hm", "content": null}}]})),
        call(value!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}})),
        call(value!({"index": 0, "function": {"arguments": "{\"a\": 1}"}})),
        Step::Chunk(value!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})),
    ]);
    let model = harness.emulator.register("chat-tools", script);
    let request = native(&model, value!({"prompt": "hi", "modelFamily": "qwen"}));
    let answer = harness.client.generate(request).await.unwrap().answer().await.unwrap();
    let tool = answer.tool_uses().next().unwrap();
    assert_eq!((tool.tool_use_id.as_str(), tool.name.as_str()), ("call_1", "look"));
    assert_eq!(answer.finish.stop_reason(), StopReason::ToolUse);
    assert!(answer.finish.usage.is_none(), "usage is never invented");
}

#[tokio::test]
async fn what_is_left_of_several_chunks_is_all_passed_on() {
    let harness = Harness::start().await;
    let script = Script::of([
        Step::Chunk(value!({"type": "message_start", "message": {"role": "assistant", "id": "msg_1"}})),
        Step::Chunk(
            value!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "", "mood": "calm"}}),
        ),
        Step::Chunk(
            value!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}, "weight": 1}),
        ),
        Step::Chunk(value!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "hint": "x"})),
        Step::Chunk(value!({"type": "message_stop", "hint": "y"})),
    ]);
    let model = harness.emulator.register("left", script);
    let chunks = harness.ask(native(&model, value!({"prompt": "hi", "modelFamily": "anthropic"}))).await.whole();
    assert_eq!(start_of(&chunks).role_name, "assistant");
    let rest = |at: usize| format!("{:?}", chunks[at].unrecognized);
    assert!(rest(0).contains("msg_1") && rest(0).contains("calm"), "{}", rest(0));
    assert!(rest(1).contains("weight"), "{}", rest(1));
    let last = rest(chunks.len() - 1);
    assert!(last.contains("\"x\"") && last.contains("\"y\""), "{last}");
}

#[tokio::test]
async fn a_message_of_several_choices_ends_with_the_last_of_them() {
    let harness = Harness::start().await;
    let choice = |index: i32, text: &str, reason: Value| {
        Step::Chunk(
            value!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}], "usage": {"completion_tokens": 1}}),
        )
    };
    let ended = [choice(0, "", value!("stop")), choice(0, "", Value::Null)];
    let begun = [choice(0, "a", Value::Null), choice(1, "b", Value::Null)].into_iter().chain(ended);
    let ask = |model: String| native(&model, value!({"prompt": "hi", "modelFamily": "qwen"}));
    // The end of one choice is not the end of the message.
    let model = harness.emulator.register("choices", Script::of(begun.clone()));
    let (_, error) = harness.ask(ask(model)).await.failed();
    assert_eq!(error.reason, "UPSTREAM_TRUNCATED");
    let whole = begun.into_iter().chain([choice(1, "c", value!("length"))]);
    let model = harness.emulator.register("choices", Script::of(whole));
    let chunks = harness.ask(ask(model)).await.whole();
    assert_eq!((text_of(&chunks).as_str(), finish_of(&chunks).stop_reason()), ("abc", StopReason::MaxTokens));
}

#[tokio::test]
async fn what_a_family_lacks_comes_with_all_other_violations() {
    let harness = Harness::start().await;
    let more = value!({"prompt": " ", "system": [{"text": "s"}], "inferenceConfig": {"maxTokens": 0}});
    let (_, error) = harness.ask(native("cohere.command-text-v14", more)).await.failed();
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["prompt", "inference_config.max_tokens", "system"]);
}

#[tokio::test]
async fn anthropics_citations_are_those_of_converse() {
    use outcrop_client::proto::citation_location::Location;
    let harness = Harness::start().await;
    let at = |kind: &str, more: Value| {
        let mut citation =
            value!({"type": kind, "cited_text": "Cats sleep.", "document_title": "On cats", "document_index": 2});
        citation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Step::Chunk(
            value!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": citation}}),
        )
    };
    let steps = [
        Step::Chunk(value!({"type": "message_start", "message": {"role": "assistant", "content": []}})),
        at("char_location", value!({"start_char_index": 3, "end_char_index": 4})),
        at("page_location", value!({"start_page_number": 3, "end_page_number": 4})),
        at("content_block_location", value!({"start_block_index": 3, "end_block_index": 4})),
        at("hologram_location", value!({"depth": 9})),
        Step::Chunk(value!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})),
        Step::Chunk(value!({"type": "message_stop"})),
    ];
    let model = harness.emulator.register("citations", Script::of(steps));
    let chunks = harness.ask(native(&model, value!({"prompt": "hi", "modelFamily": "anthropic"}))).await.whole();
    let found: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| match &chunk.event {
            Some(Event::Citation(citation)) => Some((citation, &chunk.unrecognized)),
            _ => None,
        })
        .collect();
    assert!(found.iter().all(|(one, _)| one.title == "On cats" && one.source_content[0].text == "Cats sleep."));
    let places: Vec<_> = found
        .iter()
        .map(|(one, _)| match one.location.as_ref().and_then(|location| location.location.as_ref()) {
            Some(Location::DocumentChar(at)) => ("char", at.document_index, at.start, at.end),
            Some(Location::DocumentPage(at)) => ("page", at.document_index, at.start, at.end),
            Some(Location::DocumentChunk(at)) => ("chunk", at.document_index, at.start, at.end),
            _ => ("none", None, None, None),
        })
        .collect();
    let (two, three, four) = (Some(2), Some(3), Some(4));
    assert_eq!(places[..3], [("char", two, three, four), ("page", two, three, four), ("chunk", two, three, four)]);
    assert_eq!(places[3].0, "none");
    assert!(format!("{:?}", found[3].1).contains("hologram_location"), "{:?}", found[3].1);
}

#[tokio::test]
async fn guardrail_tier_latency_and_metadata_travel_in_headers() {
    let harness = Harness::start().await;
    let more = value!({
        "prompt": "hi", "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1", "trace": "enabled"},
        "serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "optimized"}, "requestMetadata": {"team": "cats"},
    });
    harness.ask(native("amazon.titan-text-express-v1", more)).await.whole();
    let headers = harness.emulator.last_request().unwrap().headers;
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(header("x-amzn-bedrock-guardrailidentifier"), "abc");
    assert_eq!(header("x-amzn-bedrock-guardrailversion"), "1");
    assert_eq!(header("x-amzn-bedrock-trace"), "ENABLED");
    assert_eq!(header("x-amzn-bedrock-service-tier"), "flex");
    assert_eq!(header("x-amzn-bedrock-performanceconfig-latency"), "optimized");
    assert_eq!(header("x-amzn-bedrock-request-metadata"), r#"{"team":"cats"}"#);
}

#[tokio::test]
async fn the_action_and_the_trace_of_a_guardrail_come_back_in_the_finish() {
    let harness = Harness::start().await;
    let trace =
        value!({"guardrail": {"input": {"abc": {"topicPolicy": {"topics": [{"name": "t", "action": "BLOCKED"}]}}}}});
    // A blocked prompt: the guardrail's own text, no reason of the model's, no metrics.
    let blocked = Step::Chunk(value!({
        "outputText": "Blocked.", "index": 0.0, "totalOutputTextTokenCount": 3.0, "inputTextTokenCount": 6.0,
        "amazon-bedrock-guardrailAction": "INTERVENED", "amazon-bedrock-trace": trace,
    }));
    // A masked answer: the model's own reason stands beside the action.
    let masked = Step::Chunk(value!({
        "outputText": "{NAME}", "index": 0.0, "totalOutputTextTokenCount": 1.0, "completionReason": "FINISH",
        "amazon-bedrock-guardrailAction": "INTERVENED", "amazon-bedrock-trace": trace,
    }));
    // Assessed, and nothing found.
    let clear = Step::Chunk(value!({
        "outputText": "Fine.", "index": 0, "totalOutputTextTokenCount": 1, "completionReason": "FINISH",
        "amazon-bedrock-guardrailAction": "NONE", "amazon-bedrock-trace": trace,
    }));
    let cases = [
        (blocked, StopReason::GuardrailIntervened, ""),
        (masked, StopReason::GuardrailIntervened, "FINISH"),
        (clear, StopReason::EndTurn, "FINISH"),
    ];
    for (chunk, reason, name) in cases {
        let model = harness.emulator.register("guarded", Script::of([chunk]));
        let chunks = harness.ask(native(&model, value!({"prompt": "hi", "modelFamily": "titan"}))).await.whole();
        let finish = finish_of(&chunks);
        assert_eq!((finish.stop_reason(), finish.stop_reason_name.as_str()), (reason, name));
        assert!(finish.trace.as_ref().unwrap().fields.contains_key("guardrail"));
    }
}

#[tokio::test]
async fn the_labs_parameters_reach_the_body_exactly() {
    let harness = Harness::start().await;
    let request = native(
        "cohere.command-text-v14",
        value!({
            "prompt": "Write a story about two cats that go on an adventure:",
            "inferenceConfig": {"maxTokens": 4000, "temperature": 0, "topP": 0.01},
            "additionalModelRequestFields": {"k": 0, "stop_sequences": [], "return_likelihoods": "NONE"},
        }),
    );
    let lab = r#"{"prompt": "Write a story about two cats that go on an adventure:", "max_tokens": 4000, "temperature": 0,
                  "p": 0.01, "k": 0, "stop_sequences": [], "return_likelihoods": "NONE", "stream": true}"#;
    assert_eq!(body_of(&harness, request).await, serde_json::from_str::<Value>(lab).unwrap());
}

#[tokio::test]
async fn coheres_three_forms_of_stream_all_stream() {
    let harness = Harness::start().await;
    let metrics = value!({"inputTokenCount": 1, "outputTokenCount": 2, "invocationLatency": 3, "firstByteLatency": 4});
    let whole = value!({"id": "x", "prompt": "p", "generations": [{"id": "g", "text": "all of it", "finish_reason": "COMPLETE"}], "amazon-bedrock-invocationMetrics": metrics});
    let end = value!({"is_finished": true, "finish_reason": "MAX_TOKENS", "amazon-bedrock-invocationMetrics": metrics});
    let token = |text: &str| Step::Chunk(value!({"is_finished": false, "text": text}));
    let of = |index: i32, text: &str| Step::Chunk(value!({"index": index, "is_finished": false, "text": text}));
    let cases = [
        (vec![Step::Chunk(whole)], vec!["all of it"], StopReason::EndTurn),
        (vec![token("a"), token("b"), Step::Chunk(end.clone())], vec!["ab"], StopReason::MaxTokens),
        (vec![of(0, "a"), of(0, "b"), of(1, "c"), Step::Chunk(end)], vec!["ab", "c"], StopReason::MaxTokens),
    ];
    for (steps, blocks, reason) in cases {
        let model = harness.emulator.register("cohere", Script::of(steps));
        let request = native(&model, value!({"prompt": "hi", "modelFamily": "cohere-command"}));
        let answer = harness.client.generate(request).await.unwrap().answer().await.unwrap();
        let texts: Vec<_> = answer.message.content.iter().map(|block| format!("{:?}", block.block)).collect();
        assert_eq!(texts.len(), blocks.len(), "{texts:?}");
        assert!(texts.iter().zip(&blocks).all(|(text, block)| text.contains(block)), "{texts:?}");
        assert_eq!(answer.finish.stop_reason(), reason);
        assert_eq!(answer.finish.metrics.unwrap().first_byte_latency_ms, Some(4));
    }
}

#[tokio::test]
async fn a_raw_body_and_raw_chunks_pass_byte_for_byte() {
    let harness = Harness::start().await;
    let chunks = [
        r#"{"z":1,  "a": [1.0, 1e2, "ä\u00e4"]}"#,
        r#"{"done":true,"amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4,"invocationLatency":5,"firstByteLatency":6}}"#,
    ];
    let frames = chunks.map(|chunk| Step::event("chunk", value!({"bytes": BASE64_STANDARD.encode(chunk)})));
    let model = harness.emulator.register("acme", Script::of(frames));
    let body = r#"{"rocket":  {"fuel": 1.0, "crew": [ ]}, "b": "\u00e4"}"#;
    let request = GenerateRequest { model, native_body: body.to_owned(), ..GenerateRequest::default() };
    let answer = harness.ask(request).await.whole();
    let raw: Vec<_> = answer
        .iter()
        .filter_map(
            |chunk| if let Some(Event::Native(native)) = &chunk.event { Some(native.json.as_str()) } else { None },
        )
        .collect();
    assert_eq!(raw, chunks);
    assert_eq!(harness.emulator.last_request().unwrap().raw_body, body.as_bytes());
    let finish = finish_of(&answer);
    assert_eq!((finish.stop_reason(), finish.stop_reason_name.as_str()), (StopReason::Unspecified, ""));
    let usage = finish.usage.as_ref().unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.source()),
        (Some(3), Some(4), UsageSource::InvocationMetrics)
    );
}

#[tokio::test]
async fn a_raw_answer_that_is_cut_is_truncated_and_one_that_ends_is_whole() {
    let harness = Harness::start().await;
    let chunk = || Step::Chunk(value!({"a": 1}));
    let ask = |model: String| GenerateRequest { model, native_body: "{}".into(), ..GenerateRequest::default() };
    let model = harness.emulator.register("raw", Script::of([chunk(), chunk()]));
    let whole = harness.ask(ask(model)).await.whole();
    assert!(finish_of(&whole).usage.is_none());
    let cut = Script::of([chunk(), chunk()]).fault(FaultKind::Cut, At::Event(1));
    let model = harness.emulator.register("raw", cut);
    let (_, error) = harness.ask(ask(model)).await.failed();
    assert_eq!(error.reason, "UPSTREAM_TRUNCATED");
}

#[tokio::test]
async fn a_raw_body_must_be_an_object_and_stands_alone() {
    let harness = Harness::start().await;
    for (more, fields) in [
        (value!({"nativeBody": "[1]"}), vec!["native_body"]),
        (value!({"nativeBody": "{", "prompt": "hi"}), vec!["native_body", "prompt"]),
        (value!({"nativeBody": "{}", "operation": "OPERATION_CHOICE_CONVERSE"}), vec!["operation"]),
    ] {
        let mut json = value!({"model": "a.model"});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (_, error) = harness.ask(read(&json)).await.failed();
        let found: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(found, fields, "{error}");
    }
}

#[tokio::test]
async fn native_chunks_that_cannot_be_read_are_corrupt_and_half_an_answer_is_truncated() {
    let harness = Harness::start().await;
    let bytes = |bytes: &str| Step::event("chunk", value!({"bytes": BASE64_STANDARD.encode(bytes)}));
    let foreign = Step::Chunk(value!({"rocket": 1}));
    for (family, model) in MODELS {
        let ask = |model: String| native(&model, value!({"prompt": "hi", "modelFamily": family}));
        for bad in [bytes("not json"), bytes(""), bytes("[1]"), foreign.clone(), Step::event("chunk", value!({}))] {
            let name = harness.emulator.register("bad", Script::of([bad]));
            let (_, error) = harness.ask(ask(name)).await.failed();
            assert_eq!(
                (error.reason.as_str(), error.metadata["phase"].as_str()),
                ("UPSTREAM_CORRUPT", "before_content"),
                "{family}"
            );
        }
        // The first half of what the emulator answers natively for this model.
        if family == "jurassic2" {
            continue;
        }
        let half = bedrock_emulator::native_reply(model, "one two three four").fault(FaultKind::End, At::Event(3));
        let name = harness.emulator.register("half", half);
        let (_, error) = harness.ask(ask(name)).await.failed();
        assert_eq!(error.reason, "UPSTREAM_TRUNCATED", "{family}");
    }
}

#[tokio::test]
async fn the_family_of_every_row_is_one() {
    for (index, row) in FEATURES.iter().enumerate() {
        assert_eq!(FEATURES.iter().position(|other| other.family == row.family), Some(index));
        assert_ne!(row.family.name(), "");
    }
    assert!(!Family::Jurassic2.has_converse_stream());
}
