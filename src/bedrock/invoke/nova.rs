//! Amazon Nova. Its format is that of Converse, with the event type as the only key of each chunk.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    foreign,
    shared::{Names, role_of},
};
use crate::{
    error::Error,
    event::{
        Members,
        native::{Decode, Sink},
    },
    proto::{
        ContentBlock, GenerateRequest, S3Location, TokenUsage, ToolConfiguration, ToolResultBlock,
        content_block::Block, document_source, image_source, system_content_block, tool, tool_choice::Choice,
        tool_result_content_block,
    },
};

const NAMES: Names = Names { max_tokens: "maxTokens", top_p: "topP", stop_sequences: "stopSequences" };

/// The event types of Converse, which are keys here.
const EVENTS: [&str; 5] = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"];

pub(super) fn body(request: &GenerateRequest) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("schemaVersion".to_owned(), "messages-v1".into());
    let messages = request.messages.iter().map(|message| {
        json!({"role": role_of(message), "content": message.content.iter().filter_map(block).collect::<Vec<_>>()})
    });
    body.insert("messages".to_owned(), messages.collect());
    if !request.system.is_empty() {
        let system = request.system.iter().filter_map(|block| match &block.block {
            Some(system_content_block::Block::Text(text)) => Some(json!({"text": text})),
            Some(system_content_block::Block::CachePoint(point)) => Some(json!({"cachePoint": {"type": point.r#type}})),
            _ => None,
        });
        body.insert("system".to_owned(), system.collect());
    }
    let config = NAMES.parameters(request);
    if !config.is_empty() {
        body.insert("inferenceConfig".to_owned(), Value::Object(config));
    }
    if let Some(config) = &request.tool_config {
        body.insert("toolConfig".to_owned(), tools(config));
    }
    body
}

fn block(block: &ContentBlock) -> Option<Value> {
    Some(match block.block.as_ref()? {
        Block::Text(text) => json!({"text": text}),
        Block::Image(image) => {
            let source = image.source.as_ref()?.source.as_ref()?;
            let source = match source {
                image_source::Source::Bytes(bytes) => json!({"bytes": BASE64_STANDARD.encode(bytes)}),
                image_source::Source::S3Location(place) => s3(place),
            };
            json!({"image": {"format": image.format, "source": source}})
        }
        Block::Document(document) => {
            let source = match document.source.as_ref()?.source.as_ref()? {
                document_source::Source::Bytes(bytes) => json!({"bytes": BASE64_STANDARD.encode(bytes)}),
                document_source::Source::S3Location(place) => s3(place),
                document_source::Source::Text(text) => json!({"bytes": BASE64_STANDARD.encode(text)}),
                // Refused by `crate::request::native`.
                document_source::Source::Content(_) => return None,
            };
            let format = if document.format.is_empty() { "txt" } else { &document.format };
            json!({"document": {"format": format, "name": document.name, "source": source}})
        }
        Block::ToolUse(tool) => {
            json!({"toolUse": {"toolUseId": tool.tool_use_id, "name": tool.name, "input": tool.input_value()}})
        }
        Block::ToolResult(result) => tool_result(result),
        Block::CachePoint(point) => json!({"cachePoint": {"type": point.r#type}}),
        // Refused by `crate::request::native`.
        _ => return None,
    })
}

fn s3(location: &S3Location) -> Value {
    let mut members = json!({"uri": location.uri});
    if !location.bucket_owner.is_empty() {
        members["bucketOwner"] = location.bucket_owner.as_str().into();
    }
    json!({"s3Location": members})
}

fn tool_result(result: &ToolResultBlock) -> Value {
    use tool_result_content_block::Block;
    let content = result.content.iter().filter_map(|content| match content.block.as_ref()? {
        Block::Text(text) => Some(json!({"text": text})),
        json @ (Block::Json(_) | Block::JsonText(_)) => Some(json!({"json": json.json_value()})),
        // Refused by `crate::request::native`.
        _ => None,
    });
    let content: Vec<_> = content.collect();
    let mut block = json!({"toolUseId": result.tool_use_id, "content": content});
    if !result.status.is_empty() {
        block["status"] = result.status.as_str().into();
    }
    json!({"toolResult": block})
}

fn tools(config: &ToolConfiguration) -> Value {
    let tools = config.tools.iter().filter_map(|tool| {
        Some(match tool.tool.as_ref()? {
            tool::Tool::ToolSpec(spec) => {
                let schema = json!({"json": spec.schema()?});
                json!({"toolSpec": {"name": spec.name, "description": spec.description, "inputSchema": schema}})
            }
            tool::Tool::SystemTool(system) => json!({"systemTool": {"name": system.name}}),
            tool::Tool::CachePoint(point) => json!({"cachePoint": {"type": point.r#type}}),
        })
    });
    let mut config_json = json!({"tools": tools.collect::<Vec<_>>()});
    let choice = config.tool_choice.as_ref().and_then(|choice| choice.choice.as_ref());
    if let Some(choice) = choice {
        config_json["toolChoice"] = match choice {
            Choice::Auto(_) => json!({"auto": {}}),
            Choice::Any(_) => json!({"any": {}}),
            Choice::Tool(tool) => json!({"tool": {"name": tool.name}}),
        };
    }
    config_json
}

#[derive(Debug, Default)]
pub(super) struct Decoder;

impl Decode for Decoder {
    fn decode(&mut self, chunk: &mut Members, sink: &mut Sink<'_>) -> Result<(), Error> {
        for event_type in EVENTS {
            if let Some(payload) = chunk.map(event_type) {
                sink.converse(event_type, payload);
                return Ok(());
            }
        }
        chunk
            .object("metadata", |metadata| {
                let usage = metadata.object("usage", |usage| {
                    Some(TokenUsage {
                        input_tokens: usage.int32("inputTokens"),
                        output_tokens: usage.int32("outputTokens"),
                        total_tokens: usage.int32("totalTokens"),
                        cache_read_input_tokens: usage.int32("cacheReadInputTokenCount"),
                        cache_write_input_tokens: usage.int32("cacheWriteInputTokenCount"),
                        ..TokenUsage::default()
                    })
                });
                if let Some(usage) = usage {
                    sink.usage(usage);
                }
                // Always empty: other members have the numbers.
                metadata.object("metrics", |_| Some(()));
                metadata.object("trace", |_| Some(()));
                Some(())
            })
            .ok_or_else(|| foreign("Amazon Nova"))
    }
}
