//! The native operation: every family in its own format gives the same chunks as Converse, and a raw body
//! is passed on unchanged.

mod answers;
mod bodies;
mod raw;
mod refusals;

use outcrop::request::{FEATURES, Family};
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
async fn the_family_of_every_row_is_one() {
    for (index, row) in FEATURES.iter().enumerate() {
        assert_eq!(FEATURES.iter().position(|other| other.family == row.family), Some(index));
        assert_ne!(row.family.name(), "");
    }
    assert!(!Family::Jurassic2.has_converse_stream());
}
