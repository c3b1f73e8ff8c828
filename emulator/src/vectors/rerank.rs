//! Documents in the order of their nearness to a query.

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{malformed, nearness, tokens};
use crate::{
    answer::{json_body, refuse},
    script::Refusal,
};

/// The most documents of a request.
const MOST: usize = 1_000;

/// A document's place in the request and its relevance.
#[derive(Debug, PartialEq)]
struct Ranked {
    index: usize,
    relevance: f64,
}

/// The best documents, from the most relevant. Of equal ones the first comes first.
fn ranked(query: &str, documents: &[String], most: usize) -> Vec<Ranked> {
    let relevance = |(index, document): (usize, &String)| Ranked { index, relevance: nearness(query, document) };
    let mut all: Vec<_> = documents.iter().enumerate().map(relevance).collect();
    all.sort_by(|one, other| other.relevance.total_cmp(&one.relevance));
    all.truncate(most);
    all
}

/// A document is a text, or an object with one.
fn text_of(document: &Value) -> Option<String> {
    document.as_str().or_else(|| document["text"].as_str()).map(str::to_owned)
}

/// The answer to InvokeModel, and the number of input tokens.
pub(super) fn answer(body: &Value) -> Result<(Value, usize), Refusal> {
    let Some(query) = body["query"].as_str() else { return Err(malformed("#: required key [query] not found")) };
    let documents = body["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(documents) = documents.iter().map(text_of).collect::<Option<Vec<_>>>() else {
        return Err(malformed("#/documents: a document is neither a text nor an object with a text"));
    };
    if documents.is_empty() || documents.len() > MOST {
        return Err(malformed(&format!("#/documents: there are {} documents, not 1 to {MOST}", documents.len())));
    }
    let most = match body["top_n"].as_u64() {
        Some(0) => return Err(malformed("#/top_n: 0 is not greater or equal to 1")),
        most => most.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST),
    };
    let count = tokens(query) + documents.iter().map(|document| tokens(document)).sum::<usize>();
    let result = |Ranked { index, relevance }| json!({"index": index, "relevance_score": relevance});
    let results: Vec<Value> = ranked(query, &documents, most).into_iter().map(result).collect();
    Ok((json!({"results": results}), count))
}

/// The operation Rerank of the agent runtime.
pub(crate) async fn rerank(body: Bytes) -> Response {
    let invalid = |message: &str| refuse(400, "ValidationException", message);
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return invalid("The request body is not JSON.") };
    let Some(query) = body.pointer("/queries/0/textQuery/text").and_then(Value::as_str) else {
        return invalid("The query must be a text.");
    };
    let document = |source: &Value| {
        let inline = &source["inlineDocumentSource"];
        let json = inline.get("jsonDocument").map(Value::to_string);
        inline["textDocument"]["text"].as_str().map(str::to_owned).or(json)
    };
    let sources = body["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(documents) = sources.iter().map(document).collect::<Option<Vec<_>>>() else {
        return invalid("Each source must be an inline document with a text or JSON.");
    };
    if documents.is_empty() || documents.len() > MOST {
        return invalid(&format!("There are {} sources, not 1 to {MOST}.", documents.len()));
    }
    let most = body.pointer("/rerankingConfiguration/bedrockRerankingConfiguration/numberOfResults");
    let most = most.and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST);
    let result = |Ranked { index, relevance }| json!({"index": index, "relevanceScore": relevance});
    let results: Vec<Value> = ranked(query, &documents, most).into_iter().map(result).collect();
    json_body(&json!({"results": results}))
}
