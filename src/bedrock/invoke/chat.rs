//! The chat completions format: `messages` in, `choices` out. Mistral's newer models, AI21 Jamba, DeepSeek, OpenAI's open models, Qwen
//! and Writer use it; a few names of parameters differ.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    foreign,
    shared::{Names, role_of, system_of, text_of},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::{
        GenerateRequest, Message, ReasoningDelta, TokenUsage, ToolConfiguration, ToolUseStart, chunk::Event,
        content_block::Block, reasoning_delta::Delta, tool, tool_choice::Choice, tool_result_content_block,
    },
    request::Family,
};

const NAMES: Names = Names { max_tokens: "max_tokens", top_p: "top_p", stop_sequences: "stop" };

/// OpenAI has another name for the maximum of tokens.
const OPENAI_NAMES: Names = Names { max_tokens: "max_completion_tokens", ..NAMES };

pub(super) fn body(family: Family, request: &GenerateRequest) -> Map<String, Value> {
    let mut messages = Vec::new();
    messages.extend(system_of(request).map(|system| json!({"role": "system", "content": system})));
    request.messages.iter().for_each(|message| push(message, &mut messages));
    let mut body = Map::new();
    body.insert("messages".to_owned(), messages.into());
    if family == Family::OpenAi {
        body.insert("stream".to_owned(), true.into());
    }
    if let Some(config) = &request.tool_config {
        tools(config, &mut body);
    }
    let names = if family == Family::OpenAi { &OPENAI_NAMES } else { &NAMES };
    body.extend(names.parameters(request));
    body
}

/// Adds a message. The format has a message for each result of a tool.
fn push(message: &Message, messages: &mut Vec<Value>) {
    let (mut calls, mut results) = (Vec::new(), Vec::new());
    for block in message.content.iter().filter_map(|block| block.block.as_ref()) {
        match block {
            Block::ToolUse(tool) => {
                let arguments = tool.input_value().unwrap_or_default().to_string();
                let function = json!({"name": tool.name, "arguments": arguments});
                calls.push(json!({"id": tool.tool_use_id, "type": "function", "function": function}));
            }
            Block::ToolResult(result) => {
                let content = result.content.iter().filter_map(|content| match content.block.as_ref()? {
                    tool_result_content_block::Block::Text(text) => Some(text.clone()),
                    other => other.json_value().map(|json| json.to_string()),
                });
                let content = content.collect::<Vec<_>>().join("\n");
                results.push(json!({"role": "tool", "tool_call_id": result.tool_use_id, "content": content}));
            }
            _ => {}
        }
    }
    let text = text_of(message);
    let said = !text.is_empty() || !calls.is_empty();
    messages.extend(results);
    if said {
        let mut entry = json!({"role": role_of(message), "content": text});
        if !calls.is_empty() {
            entry["tool_calls"] = calls.into();
        }
        messages.push(entry);
    }
}

fn tools(config: &ToolConfiguration, body: &mut Map<String, Value>) {
    let tools = config.tools.iter().filter_map(|entry| match entry.tool.as_ref()? {
        tool::Tool::ToolSpec(spec) => {
            let parameters = spec.schema()?;
            let function = json!({"name": spec.name, "description": spec.description, "parameters": parameters});
            Some(json!({"type": "function", "function": function}))
        }
        // Refused by `crate::request::native`.
        tool::Tool::SystemTool(_) | tool::Tool::CachePoint(_) => None,
    });
    body.insert("tools".to_owned(), tools.collect());
    let choice = config.tool_choice.as_ref().and_then(|choice| choice.choice.as_ref()).map(|choice| match choice {
        Choice::Auto(_) => json!("auto"),
        Choice::Any(_) => json!("required"),
        Choice::Tool(tool) => json!({"type": "function", "function": {"name": tool.name}}),
    });
    body.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
}

/// The kind of a content block. The format does not number blocks, so the decoder numbers them as they appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reasoning,
    Text(i32),
    Tool(i32),
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    blocks: Vec<Kind>,
    /// Whether each choice that has begun has ended. The message ends with the last one.
    ended: BTreeMap<i32, bool>,
    reason: Option<String>,
}

impl Decoder {
    /// The number of the block of this kind.
    fn block(&mut self, kind: Kind) -> i32 {
        let known = self.blocks.iter().position(|block| *block == kind);
        let index = known.unwrap_or_else(|| {
            self.blocks.push(kind);
            self.blocks.len() - 1
        });
        i32::try_from(index).unwrap_or(i32::MAX)
    }

    /// Decodes a `delta` or a complete `message`.
    fn said(&mut self, choice: i32, said: &mut Members, sink: &mut Sink<'_>) {
        if let Some(role) = said.text("role") {
            sink.role(&role);
        }
        said.null("content");
        for name in ["reasoning_content", "reasoning"] {
            said.null(name);
            if let Some(text) = said.text(name).filter(|text| !text.is_empty()) {
                let delta = ReasoningDelta { delta: Some(Delta::Text(text)) };
                sink.event(self.block(Kind::Reasoning), Event::Reasoning(delta));
            }
        }
        if let Some(text) = said.text("content").filter(|text| !text.is_empty()) {
            sink.text(self.block(Kind::Text(choice)), text);
        }
        said.null("tool_calls");
        let mut position = 0;
        said.list("tool_calls", |call| {
            let index = call.int32("index").unwrap_or(position);
            position += 1;
            call.text("type");
            self.tool_call(index, call, sink);
        });
    }

    fn tool_call(&mut self, index: i32, call: &mut Members, sink: &mut Sink<'_>) {
        let is_new = !self.blocks.contains(&Kind::Tool(index));
        let block = self.block(Kind::Tool(index));
        call.null("id");
        let id = call.text("id");
        call.object("function", |function| {
            function.null("name");
            let name = function.text("name");
            if is_new {
                let start = ToolUseStart {
                    tool_use_id: id.clone().unwrap_or_default(),
                    name: name.unwrap_or_default(),
                    r#type: String::new(),
                };
                sink.event(block, Event::ToolUseStart(start));
            }
            if let Some(arguments) = function.text("arguments") {
                sink.event(block, Event::ToolUseInput(arguments));
            }
            Some(())
        });
    }
}

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        let usage = chunk.object("usage", |usage| {
            Some(TokenUsage {
                input_tokens: usage.int32("prompt_tokens"),
                output_tokens: usage.int32("completion_tokens"),
                total_tokens: usage.int32("total_tokens"),
                ..TokenUsage::default()
            })
        });
        chunk.null("usage");
        let counted = usage.is_some();
        if let Some(usage) = usage {
            sink.usage(usage);
        }
        let choices = chunk.list("choices", |choice| {
            let index = choice.int32("index").unwrap_or_default();
            for name in ["delta", "message"] {
                choice.object(name, |said| {
                    self.said(index, said, sink);
                    Some(())
                });
            }
            if let Some(text) = choice.text("text").filter(|text| !text.is_empty()) {
                sink.text(self.block(Kind::Text(index)), text);
            }
            let ended = self.ended.entry(index).or_default();
            for name in ["finish_reason", "stop_reason"] {
                choice.null(name);
                if let Some(reason) = choice.text(name) {
                    *ended = true;
                    self.reason = Some(reason);
                }
            }
        });
        if choices.is_none() && !counted {
            return Err(foreign("a model with choices"));
        }
        if self.ended.values().all(|ended| *ended)
            && let Some(reason) = self.reason.take()
        {
            sink.stop(&reason);
        }
        Ok(())
    }
}
