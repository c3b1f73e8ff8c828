//! Tests of the state machine: events in, chunks and the end out.

mod any_order;

use prost_types::value::Kind;
use serde_json::json;

use super::*;
use crate::{
    error::Reason,
    proto::{StopReason, reasoning_delta::Delta},
};

/// Feeds events; what comes out, and how it ended.
fn feed(events: &[(&str, Value)]) -> (Vec<Chunk>, Result<(), Error>) {
    let mut answer = EventMapper::new(Start::default());
    let mut ready = VecDeque::new();
    for (event_type, payload) in events {
        answer.accept(event_type, object(payload.clone()), &mut ready);
    }
    let ended = answer.end(&mut ready);
    (ready.into(), ended)
}

/// One delta in an otherwise empty message: the event it becomes, and what was not understood.
fn delta(delta: impl Into<Value>) -> (Event, Option<Struct>) {
    let (mut chunks, _) = feed(&[("contentBlockDelta", json!({"contentBlockIndex": 4, "delta": delta.into()}))]);
    let chunk = chunks.pop().unwrap();
    assert_eq!(chunk.content_block_index, Some(4));
    (chunk.event.unwrap(), chunk.unrecognized)
}

fn stop() -> (&'static str, Value) {
    ("messageStop", json!({"stopReason": "end_turn"}))
}

#[test]
fn the_start_waits_for_content_and_the_sequence_has_no_gap() {
    let mut answer = EventMapper::new(Start::default());
    let mut ready = VecDeque::new();
    answer.accept("messageStart", object(json!({"role": "assistant", "p": "abc"})), &mut ready);
    assert!(ready.is_empty());
    assert_eq!(answer.phase(), Phase::BeforeContent);
    answer.accept("contentBlockDelta", object(json!({"contentBlockIndex": 0, "delta": {"text": "a"}})), &mut ready);
    assert_eq!(answer.phase(), Phase::AfterContent);
    answer.accept("messageStop", object(json!({"stopReason": "end_turn"})), &mut ready);
    answer.end(&mut ready).unwrap();
    answer.end(&mut ready).unwrap();
    let sequence: Vec<_> = ready.iter().map(Chunk::sequence).collect();
    assert_eq!(sequence, [0, 1, 2]);
    let Some(Event::Start(start)) = &ready[0].event else { panic!("starts with start") };
    assert_eq!((start.role(), start.role_name.as_str()), (Role::Assistant, "assistant"));
    assert!(ready[0].unrecognized.is_none(), "padding is no member");
    assert!(matches!(ready[2].event, Some(Event::Finish(_))));
}

#[test]
fn without_message_stop_there_is_no_finish() {
    for events in [&[][..], &[("messageStart", json!({}))], &[("metadata", json!({"usage": {}}))]] {
        let (chunks, ended) = feed(events);
        assert_eq!(ended.unwrap_err().reason(), Reason::UpstreamTruncated);
        assert!(chunks.is_empty());
    }
}

#[test]
fn finish_unites_stop_and_metadata_in_either_order() {
    let metadata = json!({
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 0,
                  "cacheDetails": [{"ttl": "5m", "inputTokens": 7}], "serverToolUsage": {}},
        "metrics": {"latencyMs": 9}, "serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "optimized"},
        "trace": {"promptRouter": {"invokedModelId": "arn:x"}, "guardrail": {"a": [1]}},
    });
    let stop = json!({"stopReason": "max_tokens", "additionalModelResponseFields": {"stop_sequence": null}});
    for events in [
        [("messageStop", stop.clone()), ("metadata", metadata.clone())],
        [("metadata", metadata.clone()), ("messageStop", stop.clone())],
    ] {
        let (chunks, ended) = feed(&events);
        ended.unwrap();
        let Some(Event::Finish(finish)) = &chunks[1].event else { panic!("ends with finish") };
        assert_eq!(finish.stop_reason(), StopReason::MaxTokens);
        assert_eq!(finish.invoked_model_id, "arn:x");
        assert_eq!(finish.metrics.unwrap().latency_ms, Some(9));
        let usage = finish.usage.as_ref().unwrap();
        assert_eq!((usage.total_tokens, usage.cache_read_input_tokens), (Some(3), Some(0)));
        assert_eq!(usage.cache_write_input_tokens, None, "not reported is not zero");
        assert_eq!(usage.cache_details[0].input_tokens, Some(7));
        assert!(finish.trace.as_ref().unwrap().fields.contains_key("guardrail"));
        assert!(finish.additional_model_response_fields.is_some());
        let rest = chunks[1].unrecognized.as_ref().unwrap();
        assert_eq!(
            Struct::clone(rest),
            json::to_struct(object(json!({"metadata": {"usage": {"serverToolUsage": {}}}})))
        );
    }
}

#[test]
fn every_kind_of_delta_has_its_event() {
    assert!(matches!(delta(json!({"text": ""})), (Event::Text(text), None) if text.is_empty()));
    assert!(matches!(delta(json!({"toolUse": {"input": "{"}})), (Event::ToolUseInput(_), None)));
    let (Event::Reasoning(redacted), None) = delta(json!({"reasoningContent": {"redactedContent": "AAE="}})) else {
        panic!("reasoning")
    };
    assert_eq!(redacted.delta, Some(Delta::RedactedContent(vec![0, 1].into())));
    let (Event::ToolResult(result), None) = delta(json!({"toolResult": [{"text": "a"}, {"json": {"b": 1}}]})) else {
        panic!("tool result")
    };
    assert_eq!(result.content.len(), 2);
    assert!(matches!(delta(json!({"image": {"source": {"bytes": "AAE="}}})), (Event::Image(_), None)));
    let places = [
        json!({"web": {"url": "u", "domain": "d"}}),
        json!({"documentChar": {"documentIndex": 0, "start": 1, "end": 2}}),
        json!({"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}),
        json!({"documentChunk": {"documentIndex": 0, "start": 1, "end": 2}}),
        json!({"searchResultLocation": {"searchResultIndex": 0, "start": 1, "end": 2}}),
    ];
    for place in places {
        let citation = json!({"title": "t", "source": "s", "sourceContent": [{"text": "x"}], "location": place});
        let (Event::Citation(citation), None) = delta(json!({"citation": citation})) else { panic!("{place}") };
        assert!(citation.location.unwrap().location.is_some());
    }
}

#[test]
fn what_is_newer_than_the_contract_goes_out_whole() {
    let newer = json!({"contentBlockIndex": 4, "delta": {"hologram": {"depth": 3}}, "p": "abc"});
    let (chunks, _) = feed(&[("contentBlockDelta", newer), ("weather", json!({"sky": "blue"}))]);
    let others: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| if let Some(Event::Other(other)) = &chunk.event { Some(other) } else { None })
        .collect();
    assert_eq!(others[0].event_type, "contentBlockDelta");
    assert_eq!(others[0].json, r#"{"contentBlockIndex":4,"delta":{"hologram":{"depth":3}}}"#);
    assert_eq!(others[1].json, r#"{"sky":"blue"}"#);
    assert_eq!(chunks[1].content_block_index, Some(4));
}

#[test]
fn new_members_beside_known_ones_are_passed_on() {
    let (Event::Text(_), Some(rest)) = delta(json!({"text": "a", "confidence": 0.5})) else { panic!("text") };
    let Some(Kind::StructValue(event)) = &rest.fields["contentBlockDelta"].kind else { panic!("by event") };
    assert!(event.fields.contains_key("delta"));
}

#[test]
fn a_known_member_of_a_strange_type_is_not_lost() {
    let (event, _) = delta(json!({"reasoningContent": {"redactedContent": "not base64!"}}));
    assert!(matches!(event, Event::Other(other) if other.json.contains("not base64!")));
    let (chunks, _) = feed(&[stop(), ("metadata", json!({"usage": {"inputTokens": "many"}}))]);
    let rest = format!("{:?}", chunks[1].unrecognized);
    assert!(rest.contains("many"), "{rest}");
}

#[test]
fn a_second_beginning_or_end_is_passed_on_as_it_is() {
    let start = ("messageStart", json!({"role": "assistant"}));
    let text = ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "a"}}));
    let (chunks, ended) = feed(&[start.clone(), text, start, stop(), stop()]);
    ended.unwrap();
    let starts = chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Start(_)))).count();
    let finishes = chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Finish(_)))).count();
    let others = chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Other(_)))).count();
    assert_eq!((starts, finishes, others), (1, 1, 2));
}

#[test]
fn a_payload_that_is_no_object_is_corrupt() {
    for payload in [&b"[]"[..], b"", b"{\"a\":", b"{\"text\":\"\xff\"}"] {
        assert_eq!(parse("contentBlockDelta", payload).unwrap_err().reason(), Reason::UpstreamCorrupt);
    }
}

fn object(json: Value) -> Map<String, Value> {
    let Value::Object(map) = json else { panic!("an object") };
    map
}
