//! Joins the events of ConverseStream to the answer of Converse, as Bedrock does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// An event: its type and its payload.
pub(crate) type Event = (String, Value);

/// The answer of Converse with these events. Members of `messageStop` and `metadata` become members of the answer.
pub(crate) fn converse(events: &[Event]) -> Value {
    let mut answer = Map::new();
    let mut role = json!("assistant");
    let mut blocks: BTreeMap<i64, Block> = BTreeMap::new();
    for (event_type, payload) in events {
        let index = payload["contentBlockIndex"].as_i64().unwrap_or_default();
        match event_type.as_str() {
            "messageStart" => role = payload["role"].clone(),
            "contentBlockStart" => blocks.entry(index).or_default().start(&payload["start"]),
            "contentBlockDelta" => blocks.entry(index).or_default().delta(&payload["delta"]),
            "messageStop" | "metadata" => answer.extend(payload.as_object().cloned().unwrap_or_default()),
            _ => {}
        }
    }
    let content: Vec<Value> = blocks.into_values().map(Block::finish).collect();
    answer.insert("output".to_owned(), json!({"message": {"role": role, "content": content}}));
    Value::Object(answer)
}

/// A content block whose deltas are being joined.
#[derive(Debug, Default)]
struct Block {
    /// The members of the finished block.
    members: Map<String, Value>,
    /// The partial JSON of a tool's input.
    input: Option<String>,
    citations: Vec<Value>,
}

impl Block {
    /// A start names the kind of block, with its first members.
    fn start(&mut self, start: &Value) {
        self.members.extend(start.as_object().cloned().unwrap_or_default());
        if start.get("toolUse").is_some() {
            self.input.get_or_insert_default();
        }
    }

    fn delta(&mut self, delta: &Value) {
        for (kind, value) in delta.as_object().into_iter().flatten() {
            match kind.as_str() {
                "text" => append(self.members.entry("text").or_insert_with(|| "".into()), value),
                "citation" => self.citations.push(value.clone()),
                "toolUse" => {
                    self.input.get_or_insert_default().push_str(value["input"].as_str().unwrap_or_default());
                }
                "toolResult" => self.result(value),
                "reasoningContent" => self.reasoning(value),
                // An image, and kinds that are not known.
                _ => {
                    let member = self.member(kind);
                    for (name, value) in value.as_object().into_iter().flatten() {
                        member[name.as_str()] = value.clone();
                    }
                }
            }
        }
    }

    /// The member of this kind, an object.
    fn member(&mut self, kind: &str) -> &mut Value {
        let member = self.members.entry(kind).or_insert_with(|| json!({}));
        if !member.is_object() {
            *member = json!({});
        }
        member
    }

    fn result(&mut self, content: &Value) {
        let all = &mut self.member("toolResult")["content"];
        let known = all.as_array().into_iter().flatten();
        *all = known.chain(content.as_array().into_iter().flatten()).cloned().collect();
    }

    fn reasoning(&mut self, delta: &Value) {
        let reasoning = self.member("reasoningContent");
        for (name, value) in delta.as_object().into_iter().flatten() {
            if name == "redactedContent" {
                reasoning["redactedContent"] = value.clone();
            } else {
                append(&mut reasoning["reasoningText"][name.as_str()], value);
            }
        }
    }

    fn finish(mut self) -> Value {
        if let Some(input) = self.input.take() {
            // Bedrock's input is a document. Input that is not JSON is kept as text.
            let document = match serde_json::from_str(&input) {
                _ if input.is_empty() => json!({}),
                Ok(document) => document,
                Err(_) => input.into(),
            };
            self.member("toolUse")["input"] = document;
        }
        if self.citations.is_empty() {
            return Value::Object(self.members);
        }
        let text = self.members.remove("text").unwrap_or_else(|| "".into());
        json!({"citationsContent": {"content": [{"text": text}], "citations": self.citations}})
    }
}

/// Appends a text to a text, in place because there can be many.
fn append(whole: &mut Value, more: &Value) {
    match (whole, more) {
        (Value::String(whole), Value::String(more)) => whole.push_str(more),
        (whole, more) => *whole = more.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue::Catalogue, catalogue::Entry, whole};

    fn answer_of(name: &str) -> Value {
        let Entry::Script(script) = Catalogue::new().entry(&format!("emulator.{name}")) else { panic!("{name}") };
        converse(&whole::tell(&script).events)
    }

    #[test]
    fn every_kind_of_block_is_in_the_answer_in_order() {
        let answer = answer_of("everything");
        let citation = json!({
            "title": "On cats", "source": "cats.pdf", "sourceContent": [{"text": "Cats sleep a lot."}],
            "location": {"documentPage": {"documentIndex": 0, "start": 2, "end": 3}},
        });
        assert_eq!(
            answer["output"]["message"]["content"],
            json!([
                {"reasoningContent": {"reasoningText": {"text": "The user asks about cats.", "signature": "ZW11bGF0ZWQ="}}},
                {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
                {"citationsContent": {"content": [{"text": "Cats sleep a lot [1]."}], "citations": [citation]}},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "search", "type": "server_tool_use",
                             "input": {"query": "cats", "limit": 3}}},
                {"toolResult": {"toolUseId": "tooluse_1", "type": "search_result", "status": "success",
                                "content": [{"text": "Two results."}, {"json": {"hits": 2}}]}},
                {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
            ])
        );
        assert_eq!(answer["stopReason"], "end_turn");
        assert_eq!(answer["additionalModelResponseFields"], json!({"stop_sequence": null}));
        assert_eq!(answer["usage"]["cacheReadInputTokens"], 10);
        assert_eq!(answer["metrics"]["latencyMs"], 420);
        assert_eq!(answer["trace"]["guardrail"]["actionReason"], "No action.");
        assert_eq!(answer["performanceConfig"]["latency"], "standard");
    }

    #[test]
    fn the_input_of_a_tool_is_a_document() {
        let tool = &answer_of("tools")["output"]["message"]["content"][1]["toolUse"];
        let expected = json!({"toolUseId": "tooluse_emulated1", "name": "get_weather", "input": {"city": "Paris"}});
        assert_eq!(*tool, expected);
        let start = json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "now"}}});
        let without = converse(&[("contentBlockStart".to_owned(), start)]);
        assert_eq!(without["output"]["message"]["content"][0]["toolUse"]["input"], json!({}));
    }

    #[test]
    fn members_that_no_sdk_knows_are_kept() {
        let answer = answer_of("newer");
        assert_eq!(answer["output"]["message"]["role"], "narrator");
        assert_eq!(answer["output"]["message"]["content"], json!([{"hologram": {"depth": 3}}, {"text": "Hello"}]));
        assert_eq!((&answer["stopReason"], &answer["dream"]), (&json!("sleepy"), &json!(true)));
    }
}
