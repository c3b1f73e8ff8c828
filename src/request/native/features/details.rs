//! Checks restrictions within the features of a family: sources, formats, settings of tools.

use super::table::{Feature, can};
use crate::{
    proto::{
        DocumentBlock, GenerateRequest, ImageBlock, Role, ToolResultBlock, content_block::Block, document_source,
        image_source, tool, tool_result_content_block,
    },
    request::native::family::Family,
};

/// The document formats that Anthropic's native format has, as text or as PDF.
const ANTHROPIC_DOCUMENTS: [&str; 6] = ["", "pdf", "txt", "md", "csv", "html"];

/// Checks a block of a kind that the family has.
pub(super) fn check_block(family: Family, block: &Block, at: &str, refuse: &mut impl FnMut(String)) {
    match block {
        Block::Image(image) => check_image(family, image, &format!("{at}.image"), refuse),
        Block::Document(document) => check_document(family, document, &format!("{at}.document"), refuse),
        Block::ToolUse(tool) if !tool.r#type.is_empty() => refuse(format!("{at}.tool_use.type")),
        Block::ToolResult(result) => check_tool_result(family, result, &format!("{at}.tool_result"), refuse),
        Block::CachePoint(point) if family == Family::Nova && !point.ttl.is_empty() => {
            refuse(format!("{at}.cache_point.ttl"));
        }
        _ => {}
    }
}

fn check_image(family: Family, image: &ImageBlock, at: &str, refuse: &mut impl FnMut(String)) {
    let source = image.source.as_ref().and_then(|source| source.source.as_ref());
    if family == Family::Anthropic && matches!(source, Some(image_source::Source::S3Location(_))) {
        refuse(format!("{at}.source.s3_location"));
    }
    if image.error.is_some() {
        refuse(format!("{at}.error"));
    }
}

fn check_document(family: Family, document: &DocumentBlock, at: &str, refuse: &mut impl FnMut(String)) {
    use document_source::Source;
    match (family, document.source.as_ref().and_then(|source| source.source.as_ref())) {
        (Family::Anthropic, Some(Source::S3Location(_))) => refuse(format!("{at}.source.s3_location")),
        (Family::Anthropic, Some(Source::Bytes(bytes))) => {
            let format = document.format.as_str();
            let readable = format == "pdf" || std::str::from_utf8(bytes).is_ok();
            if !ANTHROPIC_DOCUMENTS.contains(&format) || !readable {
                refuse(format!("{at}.format"));
            }
        }
        (Family::Nova, Some(Source::Content(_))) => refuse(format!("{at}.source.content")),
        _ => {}
    }
    if family == Family::Nova && !document.context.is_empty() {
        refuse(format!("{at}.context"));
    }
    if family == Family::Nova && document.citations.is_some() {
        refuse(format!("{at}.citations"));
    }
}

fn check_tool_result(family: Family, result: &ToolResultBlock, at: &str, refuse: &mut impl FnMut(String)) {
    use tool_result_content_block::Block;
    for (index, content) in result.content.iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        match &content.block {
            Some(Block::Image(image)) if family == Family::Anthropic => {
                check_image(family, image, &format!("{at}.image"), refuse);
            }
            Some(Block::Document(document)) if family == Family::Anthropic => {
                check_document(family, document, &format!("{at}.document"), refuse);
            }
            Some(Block::Image(_)) => refuse(format!("{at}.image")),
            Some(Block::Document(_)) => refuse(format!("{at}.document")),
            Some(Block::Video(_)) => refuse(format!("{at}.video")),
            Some(Block::SearchResult(_)) => refuse(format!("{at}.search_result")),
            Some(Block::Json(_) | Block::JsonText(_) | Block::Text(_)) | None => {}
        }
    }
    if !result.r#type.is_empty() {
        refuse(format!("{at}.type"));
    }
    if result.status == "error" && !matches!(family, Family::Anthropic | Family::Nova) {
        refuse(format!("{at}.status"));
    }
}

/// Checks roles, tools and the mode of a guardrail.
pub(super) fn check_rest(family: Family, request: &GenerateRequest, refuse: &mut impl FnMut(String)) {
    for (index, _) in request.messages.iter().enumerate().filter(|(_, message)| message.role() == Role::System) {
        refuse(format!("messages[{index}].role"));
    }
    let tools = request.tool_config.as_ref().map(|config| config.tools.as_slice()).unwrap_or_default();
    for (index, tool) in tools.iter().enumerate() {
        let at = format!("tool_config.tools[{index}]");
        match &tool.tool {
            Some(tool::Tool::ToolSpec(spec)) if spec.strict.is_some() => refuse(format!("{at}.tool_spec.strict")),
            Some(tool::Tool::SystemTool(_)) if family != Family::Nova => refuse(format!("{at}.system_tool")),
            Some(tool::Tool::CachePoint(_)) if !can(family, Feature::CachePoints) => {
                refuse(format!("{at}.cache_point"));
            }
            _ => {}
        }
    }
    if request.guardrail_config.as_ref().is_some_and(|config| !config.stream_processing_mode.is_empty()) {
        refuse("guardrail_config.stream_processing_mode".to_owned());
    }
}
