//! Any events in any order: what is asserted of every answer holds, and nothing that came in is lost.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event::invariants::Invariants;

/// An event that Bedrock sends, before something is changed in it.
fn whole_event() -> impl Strategy<Value = (&'static str, Value)> {
    let block = |name, member: Value| (name, json!({"contentBlockIndex": 1, "p": "abc", name_of(name): member}));
    let events = vec![
        ("messageStart", json!({"role": "assistant", "p": "abc"})),
        block("contentBlockStart", json!({"toolUse": {"toolUseId": "", "name": "", "type": ""}})),
        block("contentBlockStart", json!({"toolResult": {"toolUseId": "", "status": "", "type": ""}})),
        block("contentBlockStart", json!({"image": {"format": ""}})),
        block("contentBlockDelta", json!({"text": ""})),
        block("contentBlockDelta", json!({"toolUse": {"input": ""}})),
        block("contentBlockDelta", json!({"reasoningContent": {"text": ""}})),
        block("contentBlockDelta", json!({"reasoningContent": {"signature": "", "redactedContent": ""}})),
        block("contentBlockDelta", json!({"toolResult": [{"text": ""}, {"json": {"a": [1, ""]}}, {}]})),
        block("contentBlockDelta", json!({"citation": {"title": "", "sourceContent": [{"text": ""}], "location": {}}})),
        block("contentBlockDelta", json!({"citation": {"location": {"web": {"url": "", "domain": ""}}}})),
        block(
            "contentBlockDelta",
            json!({"citation": {"location": {"documentChar": {"documentIndex": 1, "start": 1, "end": 1}}}}),
        ),
        block("contentBlockDelta", json!({"image": {"source": {"bytes": ""}, "error": {"message": ""}}})),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        ("messageStop", json!({"stopReason": "", "additionalModelResponseFields": {"a": [1]}})),
        (
            "metadata",
            json!({
                "usage": {"inputTokens": 1, "outputTokens": 1, "cacheDetails": [{"ttl": "", "inputTokens": 1}]},
                "metrics": {"latencyMs": 1},
                "trace": {"promptRouter": {"invokedModelId": ""}, "guardrail": {"a": 1}},
                "performanceConfig": {"latency": ""},
                "serviceTier": {"type": ""},
            }),
        ),
        ("somethingNewer", json!({"a": {"b": [1, ""]}})),
    ];
    prop::sample::select(events)
}

fn name_of(event_type: &str) -> &'static str {
    if event_type == "contentBlockStart" { "start" } else { "delta" }
}

/// A change of an event: at which of its objects, which member, and what it becomes.
#[derive(Clone, Debug)]
struct Change {
    object: prop::sample::Index,
    member: prop::sample::Index,
    becomes: Option<Value>,
}

fn any_change() -> impl Strategy<Value = Change> {
    let deep = (0..40).fold(json!(1), |inner, _| json!({"a": inner}));
    let values =
        [json!(""), json!(1), json!(1.5), json!(null), json!(true), json!([""]), json!({"x": 1}), json!([{}]), deep];
    let becomes = prop::option::weighted(0.8, prop::sample::select(values.to_vec()));
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), becomes).prop_map(|(object, member, becomes)| Change {
        object,
        member,
        becomes,
    })
}

/// Every object in a value, from the outside in.
fn objects<'a>(value: &'a mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            members.values_mut().for_each(|member| objects(member, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| objects(item, visit)),
        _ => {}
    }
}

impl Change {
    fn apply(&self, payload: &mut Value) {
        let mut number = 0;
        objects(payload, &mut |_| number += 1);
        let (chosen, mut at) = (self.object.index(number), 0);
        objects(payload, &mut |members| {
            if at == chosen {
                let names: Vec<_> = members.keys().cloned().chain(["newer".to_owned()]).collect();
                let name = self.member.get(&names).clone();
                match &self.becomes {
                    Some(value) => members.insert(name, value.clone()),
                    None => members.remove(&name),
                };
            }
            at += 1;
        });
    }
}

/// Gives every string and every whole number a value of its own, and remembers it. Bedrock's padding is not remembered.
fn mark(value: &mut Value, marks: &mut Vec<String>, number: &mut i32) {
    match value {
        Value::String(text) => {
            *number += 1;
            // No base64, so that it is never decoded.
            *text = format!("~{number}~");
            marks.push(text.clone());
        }
        Value::Number(whole) if whole.is_i64() => {
            *number += 1;
            marks.push(number.to_string());
            *value = (*number).into();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, marks, number)),
        Value::Object(members) => members.values_mut().for_each(|member| mark(member, marks, number)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_in_order_and_nothing_is_lost(
        events in prop::collection::vec((whole_event(), prop::collection::vec(any_change(), 0..3)), 0..12),
    ) {
        let (mut mapper, mut chunks, mut invariants) =
            (EventMapper::new(Start::default()), VecDeque::new(), Invariants::default());
        let (mut all_marks, mut number, mut stopped) = (Vec::new(), 100_000, false);
        for ((event_type, mut payload), changes) in events {
            for change in &changes {
                change.apply(&mut payload);
            }
            let padding = payload.as_object_mut().and_then(|members| members.remove("p"));
            let mut marks = Vec::new();
            if let Some(padding) = padding {
                // A member of this name that is no string is no padding.
                payload["p"] = if padding.is_string() { json!("padding") } else { json!(number + 1) };
                if !padding.is_string() {
                    number += 1;
                    marks.push(number.to_string());
                }
                let kept = payload["p"].take();
                mark(&mut payload, &mut marks, &mut number);
                payload["p"] = kept;
            } else {
                mark(&mut payload, &mut marks, &mut number);
            }
            mapper.accept(event_type, object(payload), &mut chunks);
            stopped |= event_type == "messageStop";
            all_marks.push((event_type, marks));
        }
        let ended = mapper.end(&mut chunks);
        for chunk in &chunks {
            invariants.see(chunk);
        }
        prop_assert_eq!((ended.is_ok(), invariants.finished()), (stopped, stopped));
        let output = format!("{chunks:?}");
        for (event_type, marks) in all_marks {
            // Without its end an answer is an error, and what waits for the start or the finish goes with it.
            if stopped || event_type.starts_with("content") || event_type == "somethingNewer" {
                for mark in marks {
                    prop_assert!(output.contains(&mark), "{} of {} is lost: {}", mark, event_type, output);
                }
            }
        }
    }
}
