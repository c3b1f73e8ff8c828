//! Maps messages and system blocks to the SDK's types, with one function for each message of `content.proto`, in its order.

use aws_sdk_bedrockruntime::{
    primitives::Blob,
    types::{self as aws, ConversationRole},
};
use bytes::Bytes;

use super::{checked, document, each, some_list, some_text};
use crate::{
    error::Error,
    proto::{
        self, audio_source, citation_generated_content, content_block::Block, document_content_block, document_source,
        guardrail_converse_content_block, guardrail_converse_image_source, image_source, reasoning_content_block,
        system_content_block, tool_result_content_block, video_source,
    },
};

pub(super) fn messages(messages: Vec<proto::Message>) -> Result<Vec<aws::Message>, Error> {
    each(messages, |message| {
        let role = match message.role() {
            proto::Role::Assistant => ConversationRole::Assistant,
            proto::Role::System => ConversationRole::System,
            proto::Role::User | proto::Role::Unspecified => ConversationRole::User,
        };
        Ok(aws::Message::builder().role(role).set_content(Some(each(message.content, block)?)).build()?)
    })
}

pub(super) fn system(blocks: Vec<proto::SystemContentBlock>) -> Result<Vec<aws::SystemContentBlock>, Error> {
    use system_content_block::Block;
    each(blocks, |block| {
        Ok(match checked(block.block, "a system block")? {
            Block::Text(text) => aws::SystemContentBlock::Text(text),
            Block::GuardContent(guard) => aws::SystemContentBlock::GuardContent(guard_content(guard)?),
            Block::CachePoint(point) => aws::SystemContentBlock::CachePoint(cache_point(point)?),
        })
    })
}

fn block(block: proto::ContentBlock) -> Result<aws::ContentBlock, Error> {
    Ok(match checked(block.block, "a block")? {
        Block::Text(text) => aws::ContentBlock::Text(text),
        Block::Image(block) => aws::ContentBlock::Image(image(block)?),
        Block::Document(block) => aws::ContentBlock::Document(self::document(block)?),
        Block::Video(block) => aws::ContentBlock::Video(video(block)?),
        Block::Audio(block) => aws::ContentBlock::Audio(audio(block)?),
        Block::ToolUse(block) => aws::ContentBlock::ToolUse(tool_use(block)?),
        Block::ToolResult(block) => aws::ContentBlock::ToolResult(tool_result(block)?),
        Block::GuardContent(block) => aws::ContentBlock::GuardContent(guard_content(block)?),
        Block::CachePoint(block) => aws::ContentBlock::CachePoint(cache_point(block)?),
        Block::ReasoningContent(block) => aws::ContentBlock::ReasoningContent(reasoning(block)?),
        Block::CitationsContent(block) => aws::ContentBlock::CitationsContent(citations_content(block)?),
        Block::SearchResult(block) => aws::ContentBlock::SearchResult(search_result(block)?),
        Block::ToolAddition(block) => aws::ContentBlock::ToolAddition(
            aws::ToolAdditionBlock::builder().set_tool(block.tool.map(tool_reference)).build(),
        ),
        Block::ToolRemoval(block) => aws::ContentBlock::ToolRemoval(
            aws::ToolRemovalBlock::builder().set_tool(block.tool.map(tool_reference)).build(),
        ),
    })
}

fn s3_location(location: proto::S3Location) -> Result<aws::S3Location, Error> {
    Ok(aws::S3Location::builder().uri(location.uri).set_bucket_owner(some_text(location.bucket_owner)).build()?)
}

fn error_block(error: proto::ErrorBlock) -> aws::ErrorBlock {
    aws::ErrorBlock::builder().set_message(some_text(error.message)).build()
}

fn image(block: proto::ImageBlock) -> Result<aws::ImageBlock, Error> {
    use image_source::Source;
    let source = match checked(block.source.and_then(|source| source.source), "the source of an image")? {
        Source::Bytes(bytes) => aws::ImageSource::Bytes(blob(bytes)),
        Source::S3Location(place) => aws::ImageSource::S3Location(s3_location(place)?),
    };
    let image = aws::ImageBlock::builder().format(block.format.as_str().into()).source(source);
    Ok(image.set_error(block.error.map(error_block)).build()?)
}

fn document(block: proto::DocumentBlock) -> Result<aws::DocumentBlock, Error> {
    use document_source::Source;
    let source = match checked(block.source.and_then(|source| source.source), "the source of a document")? {
        Source::Bytes(bytes) => aws::DocumentSource::Bytes(blob(bytes)),
        Source::S3Location(place) => aws::DocumentSource::S3Location(s3_location(place)?),
        Source::Text(text) => aws::DocumentSource::Text(text),
        Source::Content(content) => aws::DocumentSource::Content(each(content.blocks, |block| {
            let document_content_block::Block::Text(text) = checked(block.block, "a piece of a document")?;
            Ok(aws::DocumentContentBlock::Text(text))
        })?),
    };
    Ok(aws::DocumentBlock::builder()
        .set_format(some_text(block.format).map(|format| format.as_str().into()))
        .name(block.name)
        .source(source)
        .set_context(some_text(block.context))
        .set_citations(block.citations.map(citations_config).transpose()?)
        .build()?)
}

fn citations_config(config: proto::CitationsConfig) -> Result<aws::CitationsConfig, Error> {
    Ok(aws::CitationsConfig::builder().enabled(config.enabled).build()?)
}

fn video(block: proto::VideoBlock) -> Result<aws::VideoBlock, Error> {
    use video_source::Source;
    let source = match checked(block.source.and_then(|source| source.source), "the source of a video")? {
        Source::Bytes(bytes) => aws::VideoSource::Bytes(blob(bytes)),
        Source::S3Location(place) => aws::VideoSource::S3Location(s3_location(place)?),
    };
    Ok(aws::VideoBlock::builder().format(block.format.as_str().into()).source(source).build()?)
}

fn audio(block: proto::AudioBlock) -> Result<aws::AudioBlock, Error> {
    use audio_source::Source;
    let source = match checked(block.source.and_then(|source| source.source), "the source of a recording")? {
        Source::Bytes(bytes) => aws::AudioSource::Bytes(blob(bytes)),
        Source::S3Location(place) => aws::AudioSource::S3Location(s3_location(place)?),
    };
    let audio = aws::AudioBlock::builder().format(block.format.as_str().into()).source(source);
    Ok(audio.set_error(block.error.map(error_block)).build()?)
}

fn tool_use(block: proto::ToolUseBlock) -> Result<aws::ToolUseBlock, Error> {
    let input = checked(block.input_value(), "the input of a tool use")?;
    Ok(aws::ToolUseBlock::builder()
        .tool_use_id(block.tool_use_id)
        .name(block.name)
        .input(document::value(input))
        .set_type(some_text(block.r#type).map(|kind| kind.as_str().into()))
        .build()?)
}

fn tool_result(block: proto::ToolResultBlock) -> Result<aws::ToolResultBlock, Error> {
    use tool_result_content_block::Block;
    let content = each(block.content, |content| {
        Ok(match checked(content.block, "the content of a tool result")? {
            json @ (Block::Json(_) | Block::JsonText(_)) => {
                let value = checked(json.json_value(), "the JSON of a tool result")?;
                aws::ToolResultContentBlock::Json(document::value(value))
            }
            Block::Text(text) => aws::ToolResultContentBlock::Text(text),
            Block::Image(block) => aws::ToolResultContentBlock::Image(image(block)?),
            Block::Document(block) => aws::ToolResultContentBlock::Document(self::document(block)?),
            Block::Video(block) => aws::ToolResultContentBlock::Video(video(block)?),
            Block::SearchResult(block) => aws::ToolResultContentBlock::SearchResult(search_result(block)?),
        })
    })?;
    Ok(aws::ToolResultBlock::builder()
        .tool_use_id(block.tool_use_id)
        .set_content(Some(content))
        .set_status(some_text(block.status).map(|status| status.as_str().into()))
        .set_type(some_text(block.r#type))
        .build()?)
}

fn search_result(block: proto::SearchResultBlock) -> Result<aws::SearchResultBlock, Error> {
    let content =
        each(block.content, |content| Ok(aws::SearchResultContentBlock::builder().text(content.text).build()?))?;
    Ok(aws::SearchResultBlock::builder()
        .source(block.source)
        .title(block.title)
        .set_content(Some(content))
        .set_citations(block.citations.map(citations_config).transpose()?)
        .build()?)
}

fn guard_content(block: proto::GuardrailConverseContentBlock) -> Result<aws::GuardrailConverseContentBlock, Error> {
    use guardrail_converse_content_block::Block;
    Ok(match checked(block.block, "guarded content")? {
        Block::Text(text) => {
            let qualifiers = text.qualifiers.iter().map(|qualifier| qualifier.as_str().into()).collect();
            let block = aws::GuardrailConverseTextBlock::builder().text(text.text);
            aws::GuardrailConverseContentBlock::Text(block.set_qualifiers(some_list(qualifiers)).build()?)
        }
        Block::Image(image) => {
            let source = image.source.and_then(|source| source.source);
            let guardrail_converse_image_source::Source::Bytes(bytes) = checked(source, "the source of an image")?;
            let source = aws::GuardrailConverseImageSource::Bytes(blob(bytes));
            let block = aws::GuardrailConverseImageBlock::builder().format(image.format.as_str().into()).source(source);
            aws::GuardrailConverseContentBlock::Image(block.build()?)
        }
    })
}

pub(super) fn cache_point(block: proto::CachePointBlock) -> Result<aws::CachePointBlock, Error> {
    let ttl = some_text(block.ttl).map(|ttl| ttl.as_str().into());
    Ok(aws::CachePointBlock::builder().r#type(block.r#type.as_str().into()).set_ttl(ttl).build()?)
}

fn reasoning(block: proto::ReasoningContentBlock) -> Result<aws::ReasoningContentBlock, Error> {
    use reasoning_content_block::Block;
    Ok(match checked(block.block, "reasoning")? {
        Block::ReasoningText(reasoning) => aws::ReasoningContentBlock::ReasoningText(
            aws::ReasoningTextBlock::builder()
                .text(reasoning.text)
                .set_signature(some_text(reasoning.signature))
                .build()?,
        ),
        Block::RedactedContent(bytes) => aws::ReasoningContentBlock::RedactedContent(blob(bytes)),
    })
}

fn citations_content(block: proto::CitationsContentBlock) -> Result<aws::CitationsContentBlock, Error> {
    let content = each(block.content, |content| {
        let citation_generated_content::Content::Text(text) = checked(content.content, "cited text")?;
        Ok(aws::CitationGeneratedContent::Text(text))
    })?;
    let citations = block.citations.into_iter().map(super::citation::citation).collect();
    Ok(aws::CitationsContentBlock::builder()
        .set_content(some_list(content))
        .set_citations(some_list(citations))
        .build())
}

fn tool_reference(tool: proto::ToolReference) -> aws::ToolReference {
    aws::ToolReference::builder()
        .set_type(some_text(tool.r#type))
        .set_name(some_text(tool.name))
        .set_server_name(some_text(tool.server_name))
        .build()
}

fn blob(bytes: Bytes) -> Blob {
    Blob::new(Vec::from(bytes))
}
