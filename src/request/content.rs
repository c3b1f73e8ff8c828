//! Checks the blocks of messages and of the system prompt.

use std::ops::RangeInclusive;

use super::{
    path::Path,
    violations::{CharacterSet, Violations},
};
use crate::{
    json,
    proto::{
        AudioBlock, CachePointBlock, ContentBlock, DocumentBlock, DocumentSource, GuardrailConverseContentBlock,
        ImageBlock, Message, ReasoningContentBlock, Role, S3Location, SearchResultBlock, SystemContentBlock,
        ToolReference, ToolResultBlock, ToolUseBlock, VideoBlock, audio_source, content_block, document_content_block,
        document_source, guardrail_converse_content_block, guardrail_converse_image_source, image_source,
        reasoning_content_block, system_content_block, tool_result_content_block, video_source,
    },
};

/// The most images in a message, by the AWS documentation of Message.
const MAX_IMAGES: usize = 20;

/// The most documents in a message, by the AWS documentation of Message.
const MAX_DOCUMENTS: usize = 5;

/// The length of the ids and names of tools, in characters.
const TOOL_NAME: RangeInclusive<usize> = 1..=64;

/// The length of the name of a document, in characters.
const DOCUMENT_NAME: RangeInclusive<usize> = 1..=200;

const DOCUMENT_NAME_CHARACTERS: CharacterSet = CharacterSet {
    contains: |c| c.is_alphanumeric() || c.is_whitespace() || "-()[]".contains(c),
    description: "letters, digits, white space, hyphens, parentheses and square brackets",
};

const TOOL_USE_ID_CHARACTERS: CharacterSet = CharacterSet {
    contains: |c| c.is_ascii_alphanumeric() || "_.:-".contains(c),
    description: "a-z, A-Z, 0-9, _ . : and -",
};

const TOOL_NAME_CHARACTERS: CharacterSet =
    CharacterSet { contains: |c| c.is_ascii_alphanumeric() || "_-".contains(c), description: "a-z, A-Z, 0-9, _ and -" };

pub(super) fn check_message(message: &Message, at: &Path<'_>, violations: &mut Violations) {
    let problem = match Role::try_from(message.role) {
        Ok(Role::Unspecified) => Some("is not set".to_owned()),
        Ok(_) => None,
        Err(_) => Some(format!("is {}, which is not a role", message.role)),
    };
    if let Some(problem) = problem {
        violations.add(at.field("role"), problem + ". Use ROLE_USER or ROLE_ASSISTANT");
    }
    if message.content.is_empty() {
        violations.add(at.field("content"), "is empty. Give the message at least one block");
    }
    let count = |wanted: fn(&content_block::Block) -> bool| {
        message.content.iter().filter(|block| block.block.as_ref().is_some_and(wanted)).count()
    };
    let (images, documents) = (
        count(|block| matches!(block, content_block::Block::Image(_))),
        count(|block| matches!(block, content_block::Block::Document(_))),
    );
    for (what, number, most) in [("images", images, MAX_IMAGES), ("documents", documents, MAX_DOCUMENTS)] {
        if number > most {
            violations
                .add(at.field("content"), format!("has {number} {what}; Bedrock accepts at most {most} in a message"));
        }
    }
    for (index, block) in message.content.iter().enumerate() {
        check_block(block, &at.entry("content", index), violations);
    }
}

pub(super) fn check_system(system: &[SystemContentBlock], violations: &mut Violations) {
    use system_content_block::Block;
    for (index, block) in system.iter().enumerate() {
        let at = Path::root_entry("system", index);
        match &block.block {
            None => violations.nothing_known(at, "text"),
            Some(Block::Text(text)) => violations.not_blank(at.field("text"), text),
            Some(Block::GuardContent(guard)) => check_guard(guard, &at.field("guard_content"), violations),
            Some(Block::CachePoint(point)) => check_cache_point(point, &at.field("cache_point"), violations),
        }
    }
}

fn check_block(block: &ContentBlock, at: &Path<'_>, violations: &mut Violations) {
    use content_block::Block;
    match &block.block {
        None => violations.nothing_known(at, "text"),
        Some(Block::Text(text)) => violations.not_blank(at.field("text"), text),
        Some(Block::Image(image)) => check_image(image, &at.field("image"), violations),
        Some(Block::Document(document)) => check_document(document, &at.field("document"), violations),
        Some(Block::Video(video)) => check_video(video, &at.field("video"), violations),
        Some(Block::Audio(audio)) => check_audio(audio, &at.field("audio"), violations),
        Some(Block::ToolUse(tool)) => check_tool_use(tool, &at.field("tool_use"), violations),
        Some(Block::ToolResult(result)) => check_tool_result(result, &at.field("tool_result"), violations),
        Some(Block::GuardContent(guard)) => check_guard(guard, &at.field("guard_content"), violations),
        Some(Block::CachePoint(point)) => check_cache_point(point, &at.field("cache_point"), violations),
        Some(Block::ReasoningContent(reasoning)) => {
            check_reasoning(reasoning, &at.field("reasoning_content"), violations);
        }
        Some(Block::CitationsContent(citations)) => {
            let at = at.field("citations_content");
            for (index, _) in citations.content.iter().enumerate().filter(|(_, content)| content.content.is_none()) {
                violations.nothing_known(at.entry("content", index), "text");
            }
        }
        Some(Block::SearchResult(result)) => check_search_result(result, &at.field("search_result"), violations),
        Some(Block::ToolAddition(addition)) => {
            check_reference(addition.tool.as_ref(), &at.field("tool_addition"), violations);
        }
        Some(Block::ToolRemoval(removal)) => {
            check_reference(removal.tool.as_ref(), &at.field("tool_removal"), violations);
        }
    }
}

/// The source of an image, a video or audio.
#[derive(Clone, Copy)]
enum Source<'a> {
    Bytes(&'a [u8]),
    S3(&'a S3Location),
}

fn check_image(image: &ImageBlock, at: &Path<'_>, violations: &mut Violations) {
    let source = image.source.as_ref().and_then(|source| source.source.as_ref()).map(|source| match source {
        image_source::Source::Bytes(bytes) => Source::Bytes(bytes),
        image_source::Source::S3Location(place) => Source::S3(place),
    });
    check_media(&image.format, "png", source, at, violations);
}

fn check_video(video: &VideoBlock, at: &Path<'_>, violations: &mut Violations) {
    let source = video.source.as_ref().and_then(|source| source.source.as_ref()).map(|source| match source {
        video_source::Source::Bytes(bytes) => Source::Bytes(bytes),
        video_source::Source::S3Location(place) => Source::S3(place),
    });
    check_media(&video.format, "mp4", source, at, violations);
}

fn check_audio(audio: &AudioBlock, at: &Path<'_>, violations: &mut Violations) {
    let source = audio.source.as_ref().and_then(|source| source.source.as_ref()).map(|source| match source {
        audio_source::Source::Bytes(bytes) => Source::Bytes(bytes),
        audio_source::Source::S3Location(place) => Source::S3(place),
    });
    check_media(&audio.format, "mp3", source, at, violations);
}

fn check_media(format: &str, such_as: &str, source: Option<Source<'_>>, at: &Path<'_>, violations: &mut Violations) {
    violations.not_empty(at.field("format"), format, &format!("a format, such as {such_as}"));
    let at = at.field("source");
    match source {
        None => violations.nothing_known(at, "bytes"),
        Some(Source::Bytes(bytes)) => check_bytes(bytes, &at, violations),
        Some(Source::S3(place)) => check_s3(place, &at.field("s3_location"), violations),
    }
}

fn check_bytes(bytes: &[u8], at: &Path<'_>, violations: &mut Violations) {
    if bytes.is_empty() {
        violations.add(at.field("bytes"), "is empty. Send the content itself, not base64");
    }
}

fn check_s3(location: &S3Location, at: &Path<'_>, violations: &mut Violations) {
    if !location.uri.starts_with("s3://") {
        violations.add(at.field("uri"), format!("is {:?}; it must be s3://bucket/key", location.uri));
    }
    let is_account = location.bucket_owner.len() == 12 && location.bucket_owner.chars().all(|c| c.is_ascii_digit());
    if !location.bucket_owner.is_empty() && !is_account {
        violations
            .add(at.field("bucket_owner"), format!("is {:?}; an account id has 12 digits", location.bucket_owner));
    }
}

fn check_document(document: &DocumentBlock, at: &Path<'_>, violations: &mut Violations) {
    violations.text(at.field("name"), &document.name, DOCUMENT_NAME, &DOCUMENT_NAME_CHARACTERS);
    if document.name.chars().zip(document.name.chars().skip(1)).any(|(a, b)| a.is_whitespace() && b.is_whitespace()) {
        violations.add(at.field("name"), "has two white space characters in a row. Use one");
    }
    check_document_source(document.source.as_ref(), &at.field("source"), violations);
}

fn check_document_source(source: Option<&DocumentSource>, at: &Path<'_>, violations: &mut Violations) {
    use document_source::Source;
    match source.and_then(|source| source.source.as_ref()) {
        None => violations.nothing_known(at, "bytes"),
        Some(Source::Bytes(bytes)) => check_bytes(bytes, at, violations),
        Some(Source::S3Location(place)) => check_s3(place, &at.field("s3_location"), violations),
        Some(Source::Text(text)) => violations.not_blank(at.field("text"), text),
        Some(Source::Content(content)) => {
            let at = at.field("content");
            for (index, block) in content.blocks.iter().enumerate() {
                let at = at.entry("blocks", index);
                match &block.block {
                    Some(document_content_block::Block::Text(text)) => violations.not_blank(at.field("text"), text),
                    None => violations.nothing_known(at, "text"),
                }
            }
        }
    }
}

/// The id of a tool use.
fn check_tool_use_id(id: &str, at: &Path<'_>, violations: &mut Violations) {
    violations.text(at.field("tool_use_id"), id, TOOL_NAME, &TOOL_USE_ID_CHARACTERS);
}

/// The name of a tool.
pub(super) fn check_tool_name(name: &str, at: &Path<'_>, violations: &mut Violations) {
    violations.text(at.field("name"), name, TOOL_NAME, &TOOL_NAME_CHARACTERS);
}

/// The nesting of JSON is checked because a stored turn wraps it in more messages than a request does, and must stay decodable.
fn check_tool_use(tool: &ToolUseBlock, at: &Path<'_>, violations: &mut Violations) {
    check_tool_use_id(&tool.tool_use_id, at, violations);
    check_tool_name(&tool.name, at, violations);
    match (&tool.input, tool.input_json.as_str()) {
        (None, "") => violations.add(at.field("input"), "is not set. A tool without parameters has the input {}"),
        (None, text) => violations.check(at.field("input_json"), json::parse_text(text)),
        (Some(input), "") => violations.check(at.field("input"), json::check_nesting(input)),
        (Some(_), _) => violations.add(at.field("input_json"), "is set, and so is input. Set one of them"),
    }
}

fn check_tool_result(result: &ToolResultBlock, at: &Path<'_>, violations: &mut Violations) {
    use tool_result_content_block::Block;
    check_tool_use_id(&result.tool_use_id, at, violations);
    for (index, content) in result.content.iter().enumerate() {
        let at = at.entry("content", index);
        match &content.block {
            None => violations.nothing_known(at, "text"),
            Some(Block::Json(json)) => violations.check(at.field("json"), json::check_nesting(json)),
            Some(Block::JsonText(text)) => violations.check(at.field("json_text"), json::parse_text(text)),
            Some(Block::Text(_)) => {}
            Some(Block::Image(image)) => check_image(image, &at.field("image"), violations),
            Some(Block::Document(document)) => check_document(document, &at.field("document"), violations),
            Some(Block::Video(video)) => check_video(video, &at.field("video"), violations),
            Some(Block::SearchResult(result)) => check_search_result(result, &at.field("search_result"), violations),
        }
    }
}

fn check_guard(guard: &GuardrailConverseContentBlock, at: &Path<'_>, violations: &mut Violations) {
    use guardrail_converse_content_block::Block;
    match &guard.block {
        None => violations.nothing_known(at, "text"),
        Some(Block::Text(text)) => violations.not_blank(at.field("text").field("text"), &text.text),
        Some(Block::Image(image)) => {
            let source = image.source.as_ref().and_then(|source| source.source.as_ref());
            let source = source.map(|guardrail_converse_image_source::Source::Bytes(bytes)| Source::Bytes(bytes));
            check_media(&image.format, "png", source, &at.field("image"), violations);
        }
    }
}

/// A cache point, of which Bedrock has one type today.
pub(super) fn check_cache_point(point: &CachePointBlock, at: &Path<'_>, violations: &mut Violations) {
    violations.not_empty(at.field("type"), &point.r#type, "\"default\"");
}

fn check_reasoning(reasoning: &ReasoningContentBlock, at: &Path<'_>, violations: &mut Violations) {
    use reasoning_content_block::Block;
    match &reasoning.block {
        None => violations.nothing_known(at, "reasoning_text"),
        Some(Block::RedactedContent(bytes)) if bytes.is_empty() => {
            violations.add(at.field("redacted_content"), "is empty. Send back the bytes unchanged");
        }
        // A provider can send a signature without reasoning text.
        Some(Block::ReasoningText(_) | Block::RedactedContent(_)) => {}
    }
}

fn check_search_result(result: &SearchResultBlock, at: &Path<'_>, violations: &mut Violations) {
    violations.not_empty(at.field("source"), &result.source, "where the result is from, such as a URL");
    violations.not_empty(at.field("title"), &result.title, "the title of the result");
    if result.content.is_empty() {
        violations.add(at.field("content"), "is empty. Give the result at least one text");
    }
}

fn check_reference(tool: Option<&ToolReference>, at: &Path<'_>, violations: &mut Violations) {
    if tool.is_none() {
        violations.add(at.field("tool"), "is not set. Say which tool");
    }
}
