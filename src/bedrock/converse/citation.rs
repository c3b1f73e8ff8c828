//! Maps the citations of an earlier answer, sent back as history, to the SDK's types.

use aws_sdk_bedrockruntime::types as aws;

use super::{some_list, some_text};
use crate::proto::{self, citation_location::Location};

pub(super) fn citation(citation: proto::Citation) -> aws::Citation {
    let source_content =
        citation.source_content.into_iter().map(|content| aws::CitationSourceContent::Text(content.text));
    aws::Citation::builder()
        .set_title(some_text(citation.title))
        .set_source(some_text(citation.source))
        .set_source_content(some_list(source_content.collect()))
        .set_location(citation.location.and_then(|location| location.location).map(location))
        .build()
}

fn location(location: Location) -> aws::CitationLocation {
    match location {
        Location::Web(web) => aws::CitationLocation::Web(
            aws::WebLocation::builder().set_url(some_text(web.url)).set_domain(some_text(web.domain)).build(),
        ),
        Location::DocumentChar(place) => aws::CitationLocation::DocumentChar(
            aws::DocumentCharLocation::builder()
                .set_document_index(place.document_index)
                .set_start(place.start)
                .set_end(place.end)
                .build(),
        ),
        Location::DocumentPage(place) => aws::CitationLocation::DocumentPage(
            aws::DocumentPageLocation::builder()
                .set_document_index(place.document_index)
                .set_start(place.start)
                .set_end(place.end)
                .build(),
        ),
        Location::DocumentChunk(place) => aws::CitationLocation::DocumentChunk(
            aws::DocumentChunkLocation::builder()
                .set_document_index(place.document_index)
                .set_start(place.start)
                .set_end(place.end)
                .build(),
        ),
        Location::SearchResultLocation(place) => aws::CitationLocation::SearchResultLocation(
            aws::SearchResultLocation::builder()
                .set_search_result_index(place.search_result_index)
                .set_start(place.start)
                .set_end(place.end)
                .build(),
        ),
    }
}
