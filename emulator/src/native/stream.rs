//! Writes the events of ConverseStream as the chunks of a family. What a format does not have is left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Format, reason};
use crate::{
    script::{Script, Step},
    usage::TokenUsage,
    whole,
};

/// The events of ConverseStream. Events of other types are sent as they are.
pub(super) const EVENTS: [&str; 6] =
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];

/// What each answer of a format is translated with.
#[derive(Debug)]
pub(crate) struct Translator {
    format: Format,
    usage: TokenUsage,
    /// The text so far, for formats that have it whole at the end. Other streams can be without end.
    text: String,
    /// The content blocks that have begun.
    blocks: BTreeMap<i64, Block>,
}

/// A content block that has begun.
#[derive(Debug, Default)]
struct Block {
    /// The number among the tools of the answer.
    tool: Option<usize>,
    name: String,
    input: String,
}

impl Translator {
    /// The usage is that of the script, because some formats have it before its end.
    pub(crate) fn new(format: Format, script: &Script) -> Self {
        let usage = TokenUsage::of_json(&whole::usage(script)).unwrap_or_default();
        Self { format, usage, text: String::new(), blocks: BTreeMap::new() }
    }

    /// The steps in place of a step.
    pub(crate) fn step(&mut self, step: Step) -> Vec<Step> {
        match step {
            Step::Event { event_type, payload } if EVENTS.contains(&event_type.as_str()) => {
                self.event(&event_type, &payload).into_iter().map(Step::Chunk).collect()
            }
            other => vec![other],
        }
    }

    fn event(&mut self, event_type: &str, payload: &Value) -> Vec<Value> {
        match self.format {
            Format::Nova => vec![self.nova(event_type, payload)],
            Format::Anthropic => self.anthropic(event_type, payload),
            _ => self.completion(event_type, payload),
        }
    }

    /// Adds Bedrock's metrics, which the last chunk of a stream has.
    fn last(&self, mut chunk: Value) -> Value {
        let mut metrics = json!({
            "inputTokenCount": self.usage.input, "outputTokenCount": self.usage.output, "invocationLatency": 500,
            "firstByteLatency": 350,
        });
        let cache = [
            ("cacheReadInputTokenCount", self.usage.cache_read),
            ("cacheWriteInputTokenCount", self.usage.cache_write),
        ];
        for (name, count) in cache.into_iter().filter(|(_, count)| *count > 0) {
            metrics[name] = count.into();
        }
        chunk["amazon-bedrock-invocationMetrics"] = metrics;
        chunk
    }

    fn nova(&self, event_type: &str, payload: &Value) -> Value {
        if event_type != "metadata" {
            return Value::Object(Map::from_iter([(event_type.to_owned(), payload.clone())]));
        }
        self.last(json!({"metadata": {"usage": super::nova_usage(self.usage), "metrics": {}, "trace": {}}}))
    }

    fn anthropic(&mut self, event_type: &str, payload: &Value) -> Vec<Value> {
        let index = payload["contentBlockIndex"].as_i64().unwrap_or_default();
        match event_type {
            "messageStart" => {
                let usage = super::anthropic_usage(TokenUsage { output: 1, ..self.usage });
                let message = json!({
                    "id": "msg_emulated", "type": "message", "role": payload["role"], "content": [],
                    "stop_reason": null, "stop_sequence": null, "usage": usage,
                });
                vec![json!({"type": "message_start", "message": message})]
            }
            "contentBlockStart" => {
                let Some(tool) = payload["start"].get("toolUse") else { return Vec::new() };
                let kind = tool["type"].as_str().unwrap_or("tool_use");
                let block = json!({"type": kind, "id": tool["toolUseId"], "name": tool["name"], "input": {}});
                vec![self.begin(index, &block)]
            }
            "contentBlockDelta" => self.anthropic_delta(index, &payload["delta"]),
            "contentBlockStop" if self.blocks.contains_key(&index) => {
                vec![json!({"type": "content_block_stop", "index": index})]
            }
            "messageStop" => {
                let sequence = &payload["additionalModelResponseFields"]["stop_sequence"];
                let delta = json!({"stop_reason": payload["stopReason"], "stop_sequence": sequence});
                let usage = json!({"output_tokens": self.usage.output});
                vec![
                    json!({"type": "message_delta", "delta": delta, "usage": usage}),
                    self.last(json!({"type": "message_stop"})),
                ]
            }
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, index: i64, block: &Value) -> Value {
        self.blocks.insert(index, Block::default());
        json!({"type": "content_block_start", "index": index, "content_block": block})
    }

    fn anthropic_delta(&mut self, index: i64, delta: &Value) -> Vec<Value> {
        let reasoning = &delta["reasoningContent"];
        let thinking = || json!({"type": "thinking", "thinking": "", "signature": ""});
        let (block, delta) = if let Some(text) = delta.get("text") {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": text}))
        } else if let Some(tool) = delta.get("toolUse") {
            let block = json!({"type": "tool_use", "input": {}});
            (block, json!({"type": "input_json_delta", "partial_json": tool["input"]}))
        } else if let Some(text) = reasoning.get("text") {
            (thinking(), json!({"type": "thinking_delta", "thinking": text}))
        } else if let Some(signature) = reasoning.get("signature") {
            (thinking(), json!({"type": "signature_delta", "signature": signature}))
        } else if let Some(data) = reasoning.get("redactedContent") {
            return vec![self.begin(index, &json!({"type": "redacted_thinking", "data": data}))];
        } else {
            return Vec::new();
        };
        let begun = (!self.blocks.contains_key(&index)).then(|| self.begin(index, &block));
        let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
        begun.into_iter().chain([delta]).collect()
    }

    /// The formats in which an answer is text, in some with calls of tools.
    fn completion(&mut self, event_type: &str, payload: &Value) -> Vec<Value> {
        let index = payload["contentBlockIndex"].as_i64().unwrap_or_default();
        let delta = &payload["delta"];
        match event_type {
            "messageStart" if self.format == Format::Chat => {
                vec![chat(&json!({"role": payload["role"], "content": ""}))]
            }
            "contentBlockStart" => self.call_start(index, &payload["start"]["toolUse"]),
            "contentBlockDelta" => {
                if let Some(text) = delta["text"].as_str() {
                    return self.said(text);
                }
                if let Some(input) = delta["toolUse"]["input"].as_str() {
                    return self.call_input(index, input);
                }
                let reasoning = delta["reasoningContent"].get("text").filter(|_| self.format == Format::Chat);
                reasoning.map(|text| chat(&json!({"reasoning_content": text}))).into_iter().collect()
            }
            "contentBlockStop" if self.format == Format::CommandR => self.call_end(index),
            "messageStop" => {
                let reason = reason::named(self.format, payload["stopReason"].as_str().unwrap_or_default());
                vec![self.last(self.end(reason))]
            }
            _ => Vec::new(),
        }
    }

    fn call_start(&mut self, index: i64, tool: &Value) -> Vec<Value> {
        let Some(name) = tool["name"].as_str() else { return Vec::new() };
        let position = self.blocks.len();
        self.blocks.insert(index, Block { tool: Some(position), name: name.to_owned(), input: String::new() });
        if self.format != Format::Chat {
            return Vec::new();
        }
        let function = json!({"name": name, "arguments": ""});
        let call = json!({"index": position, "id": tool["toolUseId"], "type": "function", "function": function});
        vec![chat(&json!({"tool_calls": [call]}))]
    }

    fn call_input(&mut self, index: i64, input: &str) -> Vec<Value> {
        let Some(block) = self.blocks.get_mut(&index) else { return Vec::new() };
        block.input.push_str(input);
        let position = block.tool.filter(|_| self.format == Format::Chat && !input.is_empty());
        let call = |position| json!({"index": position, "function": {"arguments": input}});
        position.map(|position| chat(&json!({"tool_calls": [call(position)]}))).into_iter().collect()
    }

    /// Command R has a call of a tool in one chunk.
    fn call_end(&self, index: i64) -> Vec<Value> {
        let Some(block) = self.blocks.get(&index) else { return Vec::new() };
        let parameters: Value = serde_json::from_str(&block.input).unwrap_or_else(|_| json!({}));
        let calls = json!([{"name": block.name, "parameters": parameters}]);
        vec![json!({"is_finished": false, "event_type": "tool-calls-generation", "tool_calls": calls})]
    }

    fn said(&mut self, text: &str) -> Vec<Value> {
        if matches!(self.format, Format::Jurassic | Format::CommandR) {
            self.text.push_str(text);
        }
        vec![match self.format {
            // All text is in its only chunk.
            Format::Jurassic => return Vec::new(),
            Format::CommandR => json!({"is_finished": false, "event_type": "text-generation", "text": text}),
            Format::Titan => json!({
                "outputText": text, "index": 0, "completionReason": null, "totalOutputTextTokenCount": null,
                "inputTextTokenCount": self.usage.input,
            }),
            Format::Llama => json!({
                "generation": text, "prompt_token_count": self.usage.input,
                "generation_token_count": self.usage.output, "stop_reason": null,
            }),
            Format::Mistral => json!({"outputs": [{"text": text, "stop_reason": null}]}),
            Format::ChatText => json!({"choices": [{"text": text, "stop_reason": null}]}),
            Format::Chat => chat(&json!({"content": text})),
            Format::AnthropicText => {
                json!({"type": "completion", "completion": text, "stop_reason": null, "stop": null})
            }
            Format::Cohere | Format::Anthropic | Format::Nova => json!({"is_finished": false, "text": text}),
        }]
    }

    fn end(&self, reason: &str) -> Value {
        let (input, output) = (self.usage.input, self.usage.output);
        match self.format {
            Format::CommandR => {
                json!({"is_finished": true, "event_type": "stream-end", "finish_reason": reason, "response": {
                    "text": self.text, "finish_reason": reason,
                    "meta": {"billed_units": {"input_tokens": input, "output_tokens": output}},
                }})
            }
            Format::Titan => json!({
                "outputText": "", "index": 0, "completionReason": reason, "totalOutputTextTokenCount": output,
                "inputTextTokenCount": null,
            }),
            Format::Llama => json!({
                "generation": "", "prompt_token_count": null, "generation_token_count": output, "stop_reason": reason,
            }),
            Format::Mistral => json!({"outputs": [{"text": "", "stop_reason": reason}]}),
            Format::ChatText => json!({"choices": [{"text": "", "stop_reason": reason}]}),
            Format::Chat => json!({
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": reason}],
                "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
            }),
            Format::AnthropicText => {
                let stop = (reason == "stop_sequence").then_some("\n\nHuman:");
                json!({"type": "completion", "completion": "", "stop_reason": reason, "stop": stop})
            }
            Format::Jurassic => {
                json!({"completions": [{"data": {"text": self.text}, "finishReason": {"reason": reason}}]})
            }
            Format::Cohere | Format::Anthropic | Format::Nova => json!({"is_finished": true, "finish_reason": reason}),
        }
    }
}

fn chat(delta: &Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}
