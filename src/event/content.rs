//! Maps `contentBlockStart`, `contentBlockDelta` and `contentBlockStop` to the content events of a [`Chunk`].
//!
//! The functions return `None` for a start or a delta of an unknown kind. The event is then sent unchanged as `other`.
//!
//! [`Chunk`]: crate::proto::Chunk

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::members::Members;
use crate::{
    json,
    proto::{
        BlockStop, Citation, CitationLocation, CitationSourceContent, DocumentCharLocation, DocumentChunkLocation,
        DocumentPageLocation, ErrorBlock, ImageDelta, ImageSource, ImageStart, JsonForm, ReasoningDelta, S3Location,
        SearchResultLocation, ToolResultBlockDelta, ToolResultDelta, ToolResultStart, ToolUseStart, WebLocation,
        chunk::Event, citation_location::Location, image_source::Source, reasoning_delta, tool_result_block_delta,
    },
};

/// An event of a content block.
pub(super) struct BlockEvent {
    /// Bedrock's index of the block.
    pub(super) index: Option<i32>,
    pub(super) event: Event,
}

/// ContentBlockStartEvent.
pub(super) fn block_start(members: &mut Members) -> Option<BlockEvent> {
    let event = members.object("start", |start| {
        let tool_use = start.object("toolUse", |tool| {
            Some(Event::ToolUseStart(ToolUseStart {
                tool_use_id: tool.text("toolUseId")?,
                name: tool.text("name").unwrap_or_default(),
                r#type: tool.text("type").unwrap_or_default(),
            }))
        });
        let tool_result = |start: &mut Members| {
            start.object("toolResult", |result| {
                Some(Event::ToolResultStart(ToolResultStart {
                    tool_use_id: result.text("toolUseId")?,
                    r#type: result.text("type").unwrap_or_default(),
                    status: result.text("status").unwrap_or_default(),
                }))
            })
        };
        let image = |start: &mut Members| {
            start.object("image", |image| Some(Event::ImageStart(ImageStart { format: image.text("format")? })))
        };
        tool_use.or_else(|| tool_result(start)).or_else(|| image(start))
    })?;
    Some(BlockEvent { index: members.int32("contentBlockIndex"), event })
}

/// ContentBlockDeltaEvent.
pub(super) fn block_delta(members: &mut Members, form: JsonForm) -> Option<BlockEvent> {
    let event = members.object("delta", |delta| {
        if let Some(text) = delta.text("text") {
            return Some(Event::Text(text));
        }
        let input = delta.object("toolUse", |tool| tool.text("input").map(Event::ToolUseInput));
        input
            .or_else(|| delta.object("reasoningContent", reasoning))
            .or_else(|| tool_result(delta, form))
            .or_else(|| delta.object("citation", |members| Some(citation(members))))
            .or_else(|| delta.object("image", image))
    })?;
    Some(BlockEvent { index: members.int32("contentBlockIndex"), event })
}

/// ContentBlockStopEvent.
pub(super) fn block_stop(members: &mut Members) -> BlockEvent {
    BlockEvent { index: members.int32("contentBlockIndex"), event: Event::BlockStop(BlockStop {}) }
}

fn reasoning(members: &mut Members) -> Option<Event> {
    use reasoning_delta::Delta;
    let delta = if let Some(text) = members.text("text") {
        Delta::Text(text)
    } else if let Some(signature) = members.text("signature") {
        Delta::Signature(signature)
    } else {
        Delta::RedactedContent(blob(members, "redactedContent")?)
    };
    Some(Event::Reasoning(ReasoningDelta { delta: Some(delta) }))
}

fn tool_result(delta: &mut Members, form: JsonForm) -> Option<Event> {
    use tool_result_block_delta::Delta;
    let content = delta.list("toolResult", |item| {
        let text = item.text("text").map(Delta::Text);
        let json = |json: serde_json::Value| match form {
            JsonForm::Text => Delta::JsonText(json.to_string()),
            JsonForm::Value | JsonForm::Unspecified => Delta::Json(json::to_value(json)),
        };
        let delta = text.or_else(|| item.json("json").map(json));
        ToolResultBlockDelta { delta }
    })?;
    Some(Event::ToolResult(ToolResultDelta { content }))
}

fn citation(members: &mut Members) -> Event {
    let source_content = members
        .list("sourceContent", |item| CitationSourceContent { text: item.text("text").unwrap_or_default() })
        .unwrap_or_default();
    Event::Citation(Citation {
        title: members.text("title").unwrap_or_default(),
        source: members.text("source").unwrap_or_default(),
        source_content,
        location: members.object("location", location).map(|location| CitationLocation { location: Some(location) }),
    })
}

fn location(members: &mut Members) -> Option<Location> {
    let web = members.object("web", |web| {
        let url = web.text("url").unwrap_or_default();
        Some(Location::Web(WebLocation { url, domain: web.text("domain").unwrap_or_default() }))
    });
    let in_document = |members: &mut Members, name: &str, make: fn(Range) -> Location| {
        members.object(name, |range| Some(make(Range::of(range, "documentIndex"))))
    };
    web.or_else(|| {
        in_document(members, "documentChar", |Range { index: document_index, start, end }| {
            Location::DocumentChar(DocumentCharLocation { document_index, start, end })
        })
    })
    .or_else(|| {
        in_document(members, "documentPage", |Range { index: document_index, start, end }| {
            Location::DocumentPage(DocumentPageLocation { document_index, start, end })
        })
    })
    .or_else(|| {
        in_document(members, "documentChunk", |Range { index: document_index, start, end }| {
            Location::DocumentChunk(DocumentChunkLocation { document_index, start, end })
        })
    })
    .or_else(|| {
        members.object("searchResultLocation", |range| {
            let Range { index: search_result_index, start, end } = Range::of(range, "searchResultIndex");
            Some(Location::SearchResultLocation(SearchResultLocation { search_result_index, start, end }))
        })
    })
}

/// A range within a document or a search result.
struct Range {
    /// The index of the document or search result.
    index: Option<i32>,
    start: Option<i32>,
    end: Option<i32>,
}

impl Range {
    fn of(members: &mut Members, index: &str) -> Self {
        Self { index: members.int32(index), start: members.int32("start"), end: members.int32("end") }
    }
}

fn image(members: &mut Members) -> Option<Event> {
    let source = members.object("source", |source| {
        let bytes = blob(source, "bytes").map(Source::Bytes);
        bytes.or_else(|| {
            source.object("s3Location", |location| {
                let uri = location.text("uri")?;
                let bucket_owner = location.text("bucketOwner").unwrap_or_default();
                Some(Source::S3Location(S3Location { uri, bucket_owner }))
            })
        })
    });
    let error = members.object("error", |error| Some(ErrorBlock { message: error.text("message")? }));
    if source.is_none() && error.is_none() && !members.is_empty() {
        return None;
    }
    Some(Event::Image(ImageDelta { source: source.map(|source| ImageSource { source: Some(source) }), error }))
}

/// A blob, which is base64 in JSON. A member that is not base64 is not removed.
fn blob(members: &mut Members, name: &str) -> Option<Bytes> {
    members.decoded(name, |text| BASE64_STANDARD.decode(text).ok().map(Bytes::from))
}
