//! Anthropic's Messages, and the answers of its old text completions.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    citation, foreign,
    shared::{Names, role_of},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::{
        CachePointBlock, ContentBlock, DocumentBlock, GenerateRequest, ImageBlock, ReasoningDelta, TokenUsage,
        ToolConfiguration, ToolResultBlock, ToolUseStart, chunk::Event, content_block::Block, document_content_block,
        document_source, image_source, reasoning_content_block, reasoning_delta::Delta, system_content_block, tool,
        tool_choice::Choice, tool_result_content_block,
    },
};

const NAMES: Names = Names { max_tokens: "max_tokens", top_p: "top_p", stop_sequences: "stop_sequences" };

/// The version that Bedrock requires.
const VERSION: &str = "bedrock-2023-05-31";

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("anthropic_version".to_owned(), VERSION.into());
    let messages =
        request.messages.iter().map(|message| json!({"role": role_of(message), "content": blocks(&message.content)}));
    body.insert("messages".to_owned(), messages.collect());
    if !request.system.is_empty() {
        let mut system = Vec::new();
        for block in &request.system {
            match &block.block {
                Some(system_content_block::Block::Text(text)) => system.push(json!({"type": "text", "text": text})),
                Some(system_content_block::Block::CachePoint(point)) => cache(&mut system, point),
                _ => {}
            }
        }
        body.insert("system".to_owned(), system.into());
    }
    if let Some(config) = &request.tool_config {
        tools(config, &mut body);
    }
    body.extend(NAMES.parameters(request));
    body
}

fn blocks(content: &[ContentBlock]) -> Vec<Value> {
    let mut blocks = Vec::new();
    for block in content.iter().filter_map(|block| block.block.as_ref()) {
        match block {
            Block::Text(text) => blocks.push(json!({"type": "text", "text": text})),
            Block::Image(image) => blocks.push(self::image(image)),
            Block::Document(document) => blocks.push(self::document(document)),
            Block::ToolUse(tool) => {
                let input = tool.input_value();
                blocks.push(json!({"type": "tool_use", "id": tool.tool_use_id, "name": tool.name, "input": input}));
            }
            Block::ToolResult(result) => blocks.push(tool_result(result)),
            Block::ReasoningContent(reasoning) => blocks.extend(reasoning.block.as_ref().map(|block| match block {
                reasoning_content_block::Block::ReasoningText(text) => {
                    json!({"type": "thinking", "thinking": text.text, "signature": text.signature})
                }
                reasoning_content_block::Block::RedactedContent(bytes) => {
                    json!({"type": "redacted_thinking", "data": BASE64_STANDARD.encode(bytes)})
                }
            })),
            Block::CachePoint(point) => cache(&mut blocks, point),
            // Refused by `crate::request::native`.
            _ => {}
        }
    }
    blocks
}

/// A cache point marks the block before it.
fn cache(blocks: &mut [Value], point: &CachePointBlock) {
    let Some(Value::Object(last)) = blocks.last_mut() else { return };
    let mut control = json!({"type": "ephemeral"});
    if !point.ttl.is_empty() {
        control["ttl"] = point.ttl.as_str().into();
    }
    last.insert("cache_control".to_owned(), control);
}

fn base64_source(media_type: &str, bytes: &[u8]) -> Value {
    json!({"type": "base64", "media_type": media_type, "data": BASE64_STANDARD.encode(bytes)})
}

fn image(image: &ImageBlock) -> Value {
    let source = image.source.as_ref().and_then(|source| source.source.as_ref()).map(|source| match source {
        image_source::Source::Bytes(bytes) => base64_source(&format!("image/{}", image.format), bytes),
        // Refused by `crate::request::native`.
        image_source::Source::S3Location(_) => Value::Null,
    });
    json!({"type": "image", "source": source})
}

fn document(document: &DocumentBlock) -> Value {
    let plain = |text: &str| json!({"type": "text", "media_type": "text/plain", "data": text});
    let source = document.source.as_ref().and_then(|source| source.source.as_ref()).map(|source| match source {
        document_source::Source::Bytes(bytes) if document.format == "pdf" => base64_source("application/pdf", bytes),
        document_source::Source::Bytes(bytes) => plain(&String::from_utf8_lossy(bytes)),
        document_source::Source::Text(text) => plain(text),
        // Refused by `crate::request::native`.
        document_source::Source::S3Location(_) => Value::Null,
        document_source::Source::Content(content) => {
            let pieces = content.blocks.iter().filter_map(|block| {
                let document_content_block::Block::Text(text) = block.block.as_ref()?;
                Some(json!({"type": "text", "text": text}))
            });
            json!({"type": "content", "content": pieces.collect::<Vec<_>>()})
        }
    });
    let mut block = json!({"type": "document", "source": source, "title": document.name});
    if !document.context.is_empty() {
        block["context"] = document.context.as_str().into();
    }
    if let Some(citations) = document.citations {
        block["citations"] = json!({"enabled": citations.enabled});
    }
    block
}

fn tool_result(result: &ToolResultBlock) -> Value {
    use tool_result_content_block::Block;
    let content = result.content.iter().filter_map(|content| match content.block.as_ref()? {
        Block::Text(text) => Some(json!({"type": "text", "text": text})),
        json @ (Block::Json(_) | Block::JsonText(_)) => {
            Some(json!({"type": "text", "text": json.json_value()?.to_string()}))
        }
        Block::Image(image) => Some(self::image(image)),
        Block::Document(document) => Some(self::document(document)),
        // Refused by `crate::request::native`.
        Block::Video(_) | Block::SearchResult(_) => None,
    });
    let content: Vec<_> = content.collect();
    let mut block = json!({"type": "tool_result", "tool_use_id": result.tool_use_id, "content": content});
    if result.status == "error" {
        block["is_error"] = true.into();
    }
    block
}

fn tools(config: &ToolConfiguration, body: &mut Map<String, Value>) {
    let mut tools = Vec::new();
    for tool in config.tools.iter().filter_map(|tool| tool.tool.as_ref()) {
        match tool {
            tool::Tool::ToolSpec(spec) => {
                let mut entry = json!({"name": spec.name, "input_schema": spec.schema()});
                if !spec.description.is_empty() {
                    entry["description"] = spec.description.as_str().into();
                }
                tools.push(entry);
            }
            tool::Tool::CachePoint(point) => cache(&mut tools, point),
            // Refused by `crate::request::native`.
            tool::Tool::SystemTool(_) => {}
        }
    }
    body.insert("tools".to_owned(), tools.into());
    let choice = config.tool_choice.as_ref().and_then(|choice| choice.choice.as_ref()).map(|choice| match choice {
        Choice::Auto(_) => json!({"type": "auto"}),
        Choice::Any(_) => json!({"type": "any"}),
        Choice::Tool(tool) => json!({"type": "tool", "name": tool.name}),
    });
    body.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
}

/// The stop reason arrives before the end of the message, and the usage in two parts.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    reason: String,
    usage: TokenUsage,
}

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        if let Some(text) = chunk.text("completion") {
            sink.text(0, text);
            chunk.text("type");
            chunk.null("stop_reason");
            chunk.null("stop");
            if let Some(reason) = chunk.text("stop_reason") {
                sink.stop(&reason);
            }
            return Ok(());
        }
        let kind = chunk.text("type").ok_or_else(|| foreign("Anthropic"))?;
        match kind.as_str() {
            "message_start" => {
                chunk.object("message", |message| {
                    self.count(message, sink);
                    message.text("type");
                    if let Some(role) = message.text("role") {
                        sink.role(&role);
                    }
                    message.null("stop_reason");
                    message.null("stop_sequence");
                    Some(())
                });
            }
            "content_block_start" => block_start(chunk, sink),
            "content_block_delta" => block_delta(chunk, sink),
            "content_block_stop" => sink.block_stop(chunk.int32("index").unwrap_or_default()),
            "message_delta" => {
                chunk.object("delta", |delta| {
                    delta.null("stop_sequence");
                    self.reason = delta.text("stop_reason")?;
                    Some(())
                });
                self.count(chunk, sink);
            }
            "message_stop" => sink.stop(&self.reason),
            // `ping` and unknown types are sent to the caller unchanged.
            other => {
                chunk.put("type", other.into());
                sink.unknown();
            }
        }
        Ok(())
    }
}

impl Decoder {
    /// Combines the parts of the usage.
    fn count(&mut self, members: &mut Members, sink: &mut Sink<'_>) {
        let read = members.object("usage", |usage| {
            let own = &mut self.usage;
            own.input_tokens = usage.int32("input_tokens").or(own.input_tokens);
            own.output_tokens = usage.int32("output_tokens").or(own.output_tokens);
            own.cache_read_input_tokens = usage.int32("cache_read_input_tokens").or(own.cache_read_input_tokens);
            own.cache_write_input_tokens = usage.int32("cache_creation_input_tokens").or(own.cache_write_input_tokens);
            Some(())
        });
        if read.is_some() {
            sink.usage(self.usage.clone());
        }
    }
}

fn block_start(chunk: &mut Members, sink: &mut Sink<'_>) {
    let index = chunk.int32("index").unwrap_or_default();
    chunk.object("content_block", |block| {
        let kind = block.text("type")?;
        match kind.as_str() {
            "text" => sink.text(index, block.text("text").unwrap_or_default()),
            "thinking" => {
                let thinking = block.text("thinking").filter(|text| !text.is_empty()).map(Delta::Text);
                let signature = block.text("signature").filter(|text| !text.is_empty()).map(Delta::Signature);
                for delta in thinking.into_iter().chain(signature) {
                    reasoning(index, delta, sink);
                }
            }
            "redacted_thinking" => {
                let data = block.decoded("data", |data| BASE64_STANDARD.decode(data).ok());
                let delta = data.map(|data| Delta::RedactedContent(data.into()));
                if let Some(delta) = delta {
                    reasoning(index, delta, sink);
                }
            }
            "tool_use" | "server_tool_use" => {
                let start = ToolUseStart {
                    tool_use_id: block.text("id").unwrap_or_default(),
                    name: block.text("name").unwrap_or_default(),
                    r#type: if kind == "tool_use" { String::new() } else { kind.clone() },
                };
                block.object("input", |_| Some(()));
                sink.event(index, Event::ToolUseStart(start));
            }
            other => {
                block.put("type", other.into());
                sink.unknown();
            }
        }
        Some(())
    });
}

fn block_delta(chunk: &mut Members, sink: &mut Sink<'_>) {
    let index = chunk.int32("index").unwrap_or_default();
    chunk.object("delta", |delta| {
        let kind = delta.text("type")?;
        match kind.as_str() {
            "text_delta" => sink.text(index, delta.text("text")?),
            "input_json_delta" => sink.event(index, Event::ToolUseInput(delta.text("partial_json")?)),
            "thinking_delta" => reasoning(index, Delta::Text(delta.text("thinking")?), sink),
            "signature_delta" => reasoning(index, Delta::Signature(delta.text("signature")?), sink),
            "citations_delta" => {
                let citation = delta.object("citation", |members| Some(citation::read(members)))?;
                sink.event(index, Event::Citation(citation));
            }
            other => {
                delta.put("type", other.into());
                sink.unknown();
            }
        }
        Some(())
    });
}

fn reasoning(index: i32, delta: Delta, sink: &mut Sink<'_>) {
    sink.event(index, Event::Reasoning(ReasoningDelta { delta: Some(delta) }));
}
