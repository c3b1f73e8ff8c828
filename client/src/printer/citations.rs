//! Describes citations in a line.

use crate::proto::{Citation, citation_location::Location};

/// The most characters of a quotation.
const MAX_QUOTE: usize = 200;

/// The title, the source, the location and the quoted text of a citation, as far as they are known.
pub(super) fn described(citation: &Citation) -> String {
    let mut parts = vec![citation.title.clone()];
    let location = citation.location.as_ref().and_then(|location| location.location.as_ref());
    match location {
        Some(Location::Web(web)) => parts.push(if web.url.is_empty() { web.domain.clone() } else { web.url.clone() }),
        Some(Location::DocumentChar(range)) => parts.push(ranged("characters", range.start, range.end)),
        Some(Location::DocumentPage(range)) => parts.push(ranged("pages", range.start, range.end)),
        Some(Location::DocumentChunk(range)) => parts.push(ranged("blocks", range.start, range.end)),
        Some(Location::SearchResultLocation(range)) => parts.push(ranged("blocks", range.start, range.end)),
        None => {}
    }
    if !parts.contains(&citation.source) {
        parts.push(citation.source.clone());
    }
    let quote: String = citation.source_content.iter().map(|content| content.text.as_str()).collect();
    if !quote.trim().is_empty() {
        let words = quote.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = words.chars().take(MAX_QUOTE).collect();
        parts.push(format!("“{short}{}”", if short.len() < words.len() { "…" } else { "" }));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// A range whose end is not a part of it.
fn ranged(unit: &str, start: Option<i32>, end: Option<i32>) -> String {
    match (start, end) {
        (Some(start), Some(end)) => format!("{unit} {start} to {}", end.saturating_sub(1).max(start)),
        (Some(start), None) => format!("{unit} from {start}"),
        _ => String::new(),
    }
}
