//! Puts the chunks of an answer together into a message that can be sent back as history.
//!
//! The message is complete: reasoning has its signature and its redacted bytes, tool uses have their ids, and text has its citations.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use prost_types::{Struct, Value, value::Kind};

use crate::{
    json,
    v1::{
        Chunk, Citation, CitationGeneratedContent, CitationsContentBlock, ContentBlock, ErrorBlock, Finish, ImageBlock,
        ImageDelta, ImageSource, Message, OtherEvent, ReasoningContentBlock, ReasoningDelta, ReasoningTextBlock, Role,
        Start, ToolResultBlock, ToolResultContentBlock, ToolResultStart, ToolUseBlock, ToolUseStart, chunk::Event,
        citation_generated_content, content_block::Block, image_source::Source, reasoning_content_block,
        reasoning_delta::Delta, tool_result_block_delta, tool_result_content_block,
    },
};

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The first chunk: id, model, region, attempts.
    pub start: Start,
    /// The message of the assistant. Send it back unchanged.
    pub message: Message,
    /// The last chunk: stop reason, usage, trace.
    pub finish: Finish,
    /// Events that the server does not know. `message` does not contain them.
    pub others: Vec<OtherEvent>,
    /// Members that the server does not know, in order of arrival.
    pub unrecognized: Vec<Struct>,
}

impl Answer {
    /// The text of all blocks.
    pub fn text(&self) -> String {
        let texts = self.message.content.iter().filter_map(|block| match &block.block {
            Some(Block::Text(text)) => Some(text.clone()),
            Some(Block::CitationsContent(cited)) => Some(cited.content.iter().filter_map(cited_text).collect()),
            _ => None,
        });
        texts.collect()
    }

    /// The tool uses of the model.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUseBlock> {
        self.message.content.iter().filter_map(|block| match &block.block {
            Some(Block::ToolUse(tool)) => Some(tool),
            _ => None,
        })
    }
}

fn cited_text(content: &CitationGeneratedContent) -> Option<&str> {
    content.content.as_ref().map(|citation_generated_content::Content::Text(text)| text.as_str())
}

/// Puts an answer together from its chunks.
#[derive(Debug, Default)]
pub struct Collector {
    answer: Answer,
    blocks: BTreeMap<i32, Parts>,
}

/// The content of a block so far. Bedrock sends one kind of content in a block. If there are several, each becomes a block.
#[derive(Debug, Default)]
struct Parts {
    text: String,
    citations: Vec<Citation>,
    reasoning: Option<ReasoningTextBlock>,
    redacted: BytesMut,
    tool_use: Option<ToolUse>,
    tool_result: Option<ToolResult>,
    image: Option<ImageBlock>,
}

#[derive(Debug, Default)]
struct ToolUse {
    start: ToolUseStart,
    input: String,
}

#[derive(Debug, Default)]
struct ToolResult {
    start: ToolResultStart,
    content: Vec<ToolResultContentBlock>,
}

impl Collector {
    /// Adds the next chunk.
    pub fn add(&mut self, chunk: Chunk) {
        self.answer.unrecognized.extend(chunk.unrecognized);
        let index = chunk.content_block_index.unwrap_or_default();
        // Chunks without a block leave these parts empty, and empty parts produce no block.
        let parts = self.blocks.entry(index).or_default();
        match chunk.event {
            Some(Event::Start(start)) => self.answer.start = *start,
            Some(Event::Text(text)) => parts.text.push_str(&text),
            Some(Event::Citation(citation)) => parts.citations.push(citation),
            Some(Event::Reasoning(reasoning)) => parts.reasoning(reasoning),
            Some(Event::ToolUseStart(start)) => parts.tool_use = Some(ToolUse { start, input: String::new() }),
            Some(Event::ToolUseInput(input)) => parts.tool_use.get_or_insert_default().input.push_str(&input),
            Some(Event::ToolResultStart(start)) => parts.tool_result = Some(ToolResult { start, content: Vec::new() }),
            Some(Event::ToolResult(result)) => {
                let content = result.content.into_iter().filter_map(|delta| delta.delta).map(result_content);
                parts.tool_result.get_or_insert_default().content.extend(content);
            }
            Some(Event::ImageStart(start)) => parts.image.get_or_insert_default().format = start.format,
            Some(Event::Image(image)) => parts.image(image),
            Some(Event::Other(other)) => self.answer.others.push(other),
            Some(Event::Finish(finish)) => self.answer.finish = *finish,
            Some(Event::BlockStop(_) | Event::Native(_) | Event::Heartbeat(_)) | None => {}
        }
    }

    /// Returns the answer. Call it after the last chunk. If the server has put the message together, it is that one.
    pub fn into_answer(mut self) -> Answer {
        if let Some(message) = &self.answer.finish.message {
            self.answer.message = message.clone();
            return self.answer;
        }
        let blocks = self.blocks.into_values().flat_map(Parts::into_blocks);
        let content = blocks.map(|block| ContentBlock { block: Some(block) }).collect();
        self.answer.message = Message { role: Role::Assistant.into(), content };
        self.answer
    }
}

impl Parts {
    fn reasoning(&mut self, delta: ReasoningDelta) {
        match delta.delta {
            Some(Delta::Text(text)) => self.reasoning.get_or_insert_default().text.push_str(&text),
            Some(Delta::Signature(signature)) => {
                self.reasoning.get_or_insert_default().signature.push_str(&signature);
            }
            Some(Delta::RedactedContent(bytes)) => self.redacted.extend_from_slice(&bytes),
            None => {}
        }
    }

    fn image(&mut self, delta: ImageDelta) {
        let image = self.image.get_or_insert_default();
        if let Some(ErrorBlock { message }) = delta.error {
            image.error.get_or_insert_default().message.push_str(&message);
        }
        let Some(new) = delta.source.and_then(|source| source.source) else { return };
        let source = match (image.source.take().and_then(|source| source.source), new) {
            (Some(Source::Bytes(old)), Source::Bytes(new)) => Source::Bytes(Bytes::from([old, new].concat())),
            (_, new) => new,
        };
        image.source = Some(ImageSource { source: Some(source) });
    }

    fn into_blocks(self) -> impl Iterator<Item = Block> {
        let reasoning = self.reasoning.map(reasoning_content_block::Block::ReasoningText);
        let redacted = (!self.redacted.is_empty()).then(|| self.redacted.freeze());
        let redacted = redacted.map(reasoning_content_block::Block::RedactedContent);
        let reasoning = reasoning.into_iter().chain(redacted);
        let reasoning = reasoning.map(|block| Block::ReasoningContent(ReasoningContentBlock { block: Some(block) }));
        let tool_use = self.tool_use.map(|tool| Block::ToolUse(tool_use(tool)));
        let tool_result = self.tool_result.map(|ToolResult { start, content }| {
            let ToolResultStart { tool_use_id, r#type, status } = start;
            Block::ToolResult(ToolResultBlock { tool_use_id, content, status, r#type })
        });
        reasoning
            .chain(text_block(self.text, self.citations))
            .chain(tool_use)
            .chain(tool_result)
            // Bedrock does not accept an image without a source, which has only an error.
            .chain(self.image.filter(|image| image.source.is_some()).map(Block::Image))
    }
}

/// Text with its citations, if any. Bedrock does not accept blank text.
fn text_block(text: String, citations: Vec<Citation>) -> Option<Block> {
    if citations.is_empty() {
        return (!text.trim().is_empty()).then_some(Block::Text(text));
    }
    let content = CitationGeneratedContent { content: Some(citation_generated_content::Content::Text(text)) };
    Some(Block::CitationsContent(CitationsContentBlock { content: vec![content], citations }))
}

/// A tool use with its complete input. Input that was truncated by `max_tokens` is not JSON and becomes a string. Input whose numbers are not
/// exact as doubles stays text.
fn tool_use(ToolUse { start, input }: ToolUse) -> ToolUseBlock {
    let exact = json::parse_text(&input).ok().filter(|value| !json::survives_as_doubles(value));
    let (input, input_json) = match exact {
        Some(_) => (None, input),
        None if input.is_empty() => (Some(Value { kind: Some(Kind::StructValue(Struct::default())) }), String::new()),
        None => {
            let value = json::parse(&input).unwrap_or(Value { kind: Some(Kind::StringValue(input)) });
            (Some(value), String::new())
        }
    };
    ToolUseBlock { tool_use_id: start.tool_use_id, name: start.name, input, r#type: start.r#type, input_json }
}

fn result_content(delta: tool_result_block_delta::Delta) -> ToolResultContentBlock {
    use tool_result_content_block::Block;
    let block = match delta {
        tool_result_block_delta::Delta::Text(text) => Block::Text(text),
        tool_result_block_delta::Delta::Json(json) => Block::Json(json),
        tool_result_block_delta::Delta::JsonText(text) => Block::JsonText(text),
    };
    ToolResultContentBlock { block: Some(block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(events: impl IntoIterator<Item = (i32, Event)>) -> Answer {
        let mut collector = Collector::default();
        for (index, event) in events {
            collector.add(Chunk { content_block_index: Some(index), event: Some(event), ..Chunk::default() });
        }
        collector.into_answer()
    }

    #[test]
    fn interleaved_blocks_are_put_in_order() {
        let text = |text: &str| Event::Text(text.to_owned());
        let answer = collect([(1, text("c")), (0, text("a")), (1, text("d")), (0, text("b")), (2, text(""))]);
        let blocks: Vec<_> = answer.message.content.iter().map(|block| block.block.clone().unwrap()).collect();
        assert_eq!(blocks, [Block::Text("ab".into()), Block::Text("cd".into())]);
        assert_eq!(answer.text(), "abcd");
    }

    #[test]
    fn a_tool_without_input_has_an_empty_object() {
        let start = ToolUseStart { tool_use_id: "i".into(), name: "n".into(), r#type: String::new() };
        let answer = collect([(0, Event::ToolUseStart(start.clone())), (0, Event::ToolUseInput(String::new()))]);
        let input = answer.tool_uses().next().unwrap().input.clone().unwrap();
        assert_eq!(input.kind, Some(Kind::StructValue(Struct::default())));
        let answer = collect([(0, Event::ToolUseStart(start)), (0, Event::ToolUseInput("{\"a\": ".into()))]);
        let input = answer.tool_uses().next().unwrap().input.clone().unwrap();
        assert_eq!(input.kind, Some(Kind::StringValue("{\"a\": ".into())));
    }

    #[test]
    fn input_with_numbers_that_are_no_doubles_stays_text() {
        let start = ToolUseStart { tool_use_id: "i".into(), name: "n".into(), r#type: String::new() };
        let pieces = ["{\"id\": 90071992", "54740993}"].map(|piece| (0, Event::ToolUseInput(piece.into())));
        let answer = collect([(0, Event::ToolUseStart(start))].into_iter().chain(pieces));
        let tool = answer.tool_uses().next().unwrap();
        assert_eq!((tool.input.as_ref(), tool.input_json.as_str()), (None, "{\"id\": 9007199254740993}"));
        assert_eq!(tool.input_value().unwrap()["id"], 9_007_199_254_740_993_u64);
    }
}
