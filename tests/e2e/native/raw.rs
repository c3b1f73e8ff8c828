//! Raw bodies and raw chunks pass byte for byte, and damaged ones are errors.

use base64::{Engine, prelude::BASE64_STANDARD};
use bedrock_emulator::{At, FaultKind, Script, Step};
use outcrop_client::proto::{GenerateRequest, StopReason, UsageSource, chunk::Event};
use serde_json::json as value;

use super::*;
use crate::harness::{Harness, finish_of};

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
async fn a_raw_answer_is_ok_only_with_a_proof_of_its_end() {
    let harness = Harness::start().await;
    let chunk = || Step::Chunk(value!({"a": 1}));
    let ask = |model: String| GenerateRequest { model, native_body: "{}".into(), ..GenerateRequest::default() };
    let metrics =
        || Step::Chunk(value!({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}}));
    let model = harness.emulator.register("raw", Script::of([chunk(), metrics()]));
    let whole = harness.ask(ask(model)).await.whole();
    assert_eq!(finish_of(&whole).usage.as_ref().unwrap().output_tokens, Some(4));
    // A clean end of the bytes proves nothing: RST_STREAM(NO_ERROR) and an empty 200 look the same.
    let unproven = [
        Script::of([chunk(), chunk()]),
        Script::of([chunk(), chunk()]).fault(FaultKind::Cut, At::Event(1)),
        Script::of([]),
    ];
    for script in unproven {
        let model = harness.emulator.register("raw", script);
        let (_, error) = harness.ask(ask(model)).await.failed();
        assert_eq!(error.reason, "UPSTREAM_TRUNCATED");
    }
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
