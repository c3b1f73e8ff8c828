//! Decodes a citation of Anthropic's Messages. Its five kinds of location are those of Converse under other names.

use crate::{
    event::Members,
    proto::{
        Citation, CitationLocation, CitationSourceContent, DocumentCharLocation, DocumentChunkLocation,
        DocumentPageLocation, SearchResultLocation, WebLocation, citation_location::Location,
    },
};

/// Removes the members that Converse has too. The rest is sent to the caller unchanged.
pub(super) fn read(citation: &mut Members) -> Citation {
    let location = location(citation);
    Citation {
        title: citation.text("document_title").or_else(|| citation.text("title")).unwrap_or_default(),
        source: citation.text("source").unwrap_or_default(),
        source_content: citation.text("cited_text").map(|text| CitationSourceContent { text }).into_iter().collect(),
        location: location.map(|location| CitationLocation { location: Some(location) }),
    }
}

fn location(citation: &mut Members) -> Option<Location> {
    let kind = citation.text("type")?;
    Some(match kind.as_str() {
        "char_location" => Location::DocumentChar(DocumentCharLocation {
            document_index: citation.int32("document_index"),
            start: citation.int32("start_char_index"),
            end: citation.int32("end_char_index"),
        }),
        "page_location" => Location::DocumentPage(DocumentPageLocation {
            document_index: citation.int32("document_index"),
            start: citation.int32("start_page_number"),
            end: citation.int32("end_page_number"),
        }),
        "content_block_location" => Location::DocumentChunk(DocumentChunkLocation {
            document_index: citation.int32("document_index"),
            start: citation.int32("start_block_index"),
            end: citation.int32("end_block_index"),
        }),
        "search_result_location" => Location::SearchResultLocation(SearchResultLocation {
            search_result_index: citation.int32("search_result_index"),
            start: citation.int32("start_block_index"),
            end: citation.int32("end_block_index"),
        }),
        "web_search_result_location" => {
            Location::Web(WebLocation { url: citation.text("url").unwrap_or_default(), domain: String::new() })
        }
        other => {
            citation.put("type", other.into());
            return None;
        }
    })
}
