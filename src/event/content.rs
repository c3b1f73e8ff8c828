//! `contentBlockStart`, `contentBlockDelta` and `contentBlockStop` -> the content events of a [`Chunk`].
//!
//! Each reader returns `None` for a start or a delta of a kind that it does not know; the event then goes out whole as
//! `other`.
//!
//! [`Chunk`]: crate::proto::Chunk

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::members::Members;
use crate::{
    json,
    proto::{
        BlockStop, Citation, CitationLocation, CitationSourceContent, DocumentCharLocation, DocumentChunkLocation,
        DocumentPageLocation, ErrorBlock, ImageDelta, ImageSource, ImageStart, ReasoningDelta, S3Location,
        SearchResultLocation, ToolResultBlockDelta, ToolResultDelta, ToolResultStart, ToolUseStart, WebLocation,
        chunk::Event, citation_location::Location, image_source::Source, reasoning_delta, tool_result_block_delta,
    },
};

/// The index of a block, and what happened to it.
type BlockEvent = (Option<i32>, Event);

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
    Some((members.int32("contentBlockIndex"), event))
}

/// ContentBlockDeltaEvent.
pub(super) fn block_delta(members: &mut Members) -> Option<BlockEvent> {
    let event = members.object("delta", |delta| {
        if let Some(text) = delta.text("text") {
            return Some(Event::Text(text));
        }
        let input = delta.object("toolUse", |tool| tool.text("input").map(Event::ToolUseInput));
        input
            .or_else(|| delta.object("reasoningContent", reasoning))
            .or_else(|| tool_result(delta))
            .or_else(|| delta.object("citation", |members| Some(citation(members))))
            .or_else(|| delta.object("image", image))
    })?;
    Some((members.int32("contentBlockIndex"), event))
}

/// ContentBlockStopEvent.
pub(super) fn block_stop(members: &mut Members) -> BlockEvent {
    (members.int32("contentBlockIndex"), Event::BlockStop(BlockStop {}))
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

fn tool_result(delta: &mut Members) -> Option<Event> {
    use tool_result_block_delta::Delta;
    let content = delta.list("toolResult", |item| {
        let text = item.text("text").map(Delta::Text);
        let delta = text.or_else(|| item.json("json").map(|json| Delta::Json(json::to_value(json))));
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
        members.object(name, |place| Some(make(range(place, "documentIndex"))))
    };
    web.or_else(|| {
        in_document(members, "documentChar", |(document_index, start, end)| {
            Location::DocumentChar(DocumentCharLocation { document_index, start, end })
        })
    })
    .or_else(|| {
        in_document(members, "documentPage", |(document_index, start, end)| {
            Location::DocumentPage(DocumentPageLocation { document_index, start, end })
        })
    })
    .or_else(|| {
        in_document(members, "documentChunk", |(document_index, start, end)| {
            Location::DocumentChunk(DocumentChunkLocation { document_index, start, end })
        })
    })
    .or_else(|| {
        members.object("searchResultLocation", |place| {
            let (search_result_index, start, end) = range(place, "searchResultIndex");
            Some(Location::SearchResultLocation(SearchResultLocation { search_result_index, start, end }))
        })
    })
}

/// Which source, from where, to where.
type Range = (Option<i32>, Option<i32>, Option<i32>);

fn range(place: &mut Members, index: &str) -> Range {
    (place.int32(index), place.int32("start"), place.int32("end"))
}

fn image(members: &mut Members) -> Option<Event> {
    let source = members.object("source", |source| {
        let bytes = blob(source, "bytes").map(Source::Bytes);
        bytes.or_else(|| {
            source.object("s3Location", |place| {
                let uri = place.text("uri")?;
                let bucket_owner = place.text("bucketOwner").unwrap_or_default();
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

/// A blob, which is base64 in JSON. What is none is left where it is.
fn blob(members: &mut Members, name: &str) -> Option<Bytes> {
    members.decoded(name, |text| BASE64_STANDARD.decode(text).ok().map(Bytes::from))
}
