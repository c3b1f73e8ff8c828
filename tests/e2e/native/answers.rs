//! Native chunks in all their forms become the same chunks as Converse's.

use base64::{Engine, prelude::BASE64_STANDARD};
use bedrock_emulator::{Script, Step};
use outcrop_client::proto::{StopReason, chunk::Event};
use serde_json::{Value, json as value};

use super::*;
use crate::harness::{Harness, finish_of, start_of, text_of};

#[tokio::test]
async fn unknown_members_of_several_chunks_are_all_passed_on() {
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
async fn the_end_of_one_cohere_generation_is_not_the_end_of_all() {
    let harness = Harness::start().await;
    let of = |index: i32, text: &str| Step::Chunk(value!({"index": index, "is_finished": false, "text": text}));
    let end = |index: i32| {
        Step::Chunk(value!({"index": index, "is_finished": true, "text": "", "finish_reason": "COMPLETE"}))
    };
    let begun = [of(0, "a"), of(1, "b"), end(0)];
    let ask = |model: String| native(&model, value!({"prompt": "hi", "modelFamily": "cohere-command"}));
    let model = harness.emulator.register("generations", Script::of(begun.clone()));
    let (_, error) = harness.ask(ask(model)).await.failed();
    assert_eq!(error.reason, "UPSTREAM_TRUNCATED");
    let model = harness.emulator.register("generations", Script::of(begun.into_iter().chain([of(1, "c"), end(1)])));
    assert_eq!(text_of(&harness.ask(ask(model)).await.whole()), "abc");
}

#[tokio::test]
async fn a_guardrail_trace_alone_proves_no_end() {
    let harness = Harness::start().await;
    let guarded = |action: &str, trace: bool| {
        let mut chunk = value!({"outputText": "a", "index": 0, "amazon-bedrock-guardrailAction": action});
        if trace {
            chunk["amazon-bedrock-trace"] = value!({"guardrail": {"input": {}}});
        }
        Step::Chunk(chunk)
    };
    let raw = |model: String| GenerateRequest { model, native_body: "{}".into(), ..GenerateRequest::default() };
    let titan = |model: String| native(&model, value!({"prompt": "hi", "modelFamily": "titan"}));
    for steps in [vec![guarded("NONE", true), guarded("NONE", false)], vec![guarded("INTERVENED", false)]] {
        let model = harness.emulator.register("traced", Script::of(steps));
        for request in [raw(model.clone()), titan(model)] {
            let (_, error) = harness.ask(request).await.failed();
            assert_eq!(error.reason, "UPSTREAM_TRUNCATED");
        }
    }
    let model = harness.emulator.register("blocked", Script::of([guarded("INTERVENED", true)]));
    for request in [raw(model.clone()), titan(model)] {
        let chunks = harness.ask(request).await.whole();
        assert_eq!(finish_of(&chunks).stop_reason(), StopReason::GuardrailIntervened);
    }
}

#[tokio::test]
async fn what_stands_beside_the_bytes_goes_with_its_chunk() {
    let harness = Harness::start().await;
    let chunk = |number: usize, inner: Value| Step::Event {
        event_type: "chunk".to_owned(),
        payload: value!({"bytes": BASE64_STANDARD.encode(inner.to_string()), "number": number}),
    };
    let steps = (0..5).map(|number| chunk(number, value!({"completion": "a", "stop_reason": null})));
    let end = chunk(5, value!({"completion": "b", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": {}}));
    let model = harness.emulator.register("beside", Script::of(steps.chain([end])));
    let raw = GenerateRequest { model: model.clone(), native_body: "{}".into(), ..GenerateRequest::default() };
    for request in [raw, native(&model, value!({"prompt": "hi", "modelFamily": "anthropic-text"}))] {
        let chunks = harness.ask(request).await.whole();
        let content = chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Text(_) | Event::Native(_))));
        let with: Vec<_> = content.filter_map(|chunk| chunk.unrecognized.as_ref()).collect();
        assert!(with.len() >= 5, "{chunks:?}");
        for (number, left) in with.iter().take(5).enumerate() {
            assert!(format!("{left:?}").contains(&format!("NumberValue({number}.0)")), "{number}: {left:?}");
        }
    }
}

#[tokio::test]
async fn nothing_that_stands_beside_the_bytes_or_is_called_p_is_lost() {
    let harness = Harness::start().await;
    let inner = value!({"completion": "hi", "stop_reason": "stop", "p": "the provider's own"});
    let event = Step::Event {
        event_type: "chunk".to_owned(),
        payload: value!({"bytes": BASE64_STANDARD.encode(inner.to_string()), "beside": 7}),
    };
    let model = harness.emulator.register("beside", Script::of([event]));
    let asked = native(&model, value!({"prompt": "hi", "modelFamily": "anthropic-text"}));
    let chunks = harness.ask(asked).await.whole();
    let left: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk.unrecognized.as_ref()).map(|left| format!("{left:?}")).collect();
    assert!(left.iter().any(|left| left.contains("beside")), "{left:?}");
    assert!(left.iter().any(|left| left.contains("the provider's own")), "{left:?}");
}

#[tokio::test]
async fn bedrocks_own_token_count_comes_beside_the_providers() {
    let harness = Harness::start().await;
    let steps = [
        value!({"type": "message_start", "message": {"role": "assistant", "usage": {"input_tokens": 10, "output_tokens": 1}}}),
        value!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}),
        value!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 133}}),
        value!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 10, "outputTokenCount": 97}}),
    ];
    let model = harness.emulator.register("counted-twice", Script::of(steps.map(Step::Chunk)));
    let more = value!({"prompt": "hi", "modelFamily": "anthropic", "inferenceConfig": {"maxTokens": 9}});
    let asked = native(&model, more);
    let chunks = harness.ask(asked).await.whole();
    let finish = finish_of(&chunks);
    let counts = [&finish.usage, &finish.invocation_usage].map(|usage| usage.as_ref().unwrap().output_tokens);
    assert_eq!(counts, [Some(133), Some(97)]);
}

#[tokio::test]
async fn bedrocks_own_token_count_is_the_usage_if_the_provider_has_none() {
    let harness = Harness::start().await;
    let metrics = value!({"inputTokenCount": 10, "outputTokenCount": 97});
    let end = value!({"generation": "a", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": metrics});
    let model = harness.emulator.register("uncounted", Script::of([Step::Chunk(end)]));
    let chunks = harness.ask(native(&model, value!({"prompt": "hi", "modelFamily": "llama3"}))).await.whole();
    let usage = finish_of(&chunks).usage.as_ref().unwrap();
    assert_eq!((usage.output_tokens, usage.source()), (Some(97), UsageSource::InvocationMetrics));
}
