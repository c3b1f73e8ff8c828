//! A request as it arrived.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::operation::Operation;

/// The headers of traces that are captured.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The header that names the session of a request.
pub(crate) const SESSION: &str = "x-emulator-session";

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapturedRequest {
    /// The number of the request, from 1.
    pub number: u64,
    /// The value of its header `x-emulator-session`. Empty if it has none.
    pub session: String,
    /// The Bedrock operation, such as `ConverseStream`.
    pub operation: &'static str,
    /// The model id, decoded from the path.
    pub model_id: String,
    /// The scheme of the authorization without its secret, such as `AWS4-HMAC-SHA256` or `Bearer`. Empty if there was none.
    pub authorization: String,
    /// The AWS region for which the request was signed. Empty if it was not signed.
    pub region: String,
    /// Bedrock's headers, `x-amzn-bedrock-…`, and those of traces: `traceparent`, `tracestate` and `baggage`.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub raw_body: Bytes,
    /// The body as JSON. Null if it is not JSON.
    pub body: Value,
}

impl CapturedRequest {
    /// A request with these headers. It gets its number from the history.
    pub(crate) fn new(operation: Operation, model_id: &str, headers: &HeaderMap, body: &Bytes) -> Self {
        Self {
            number: 0,
            session: text(headers, SESSION).to_owned(),
            operation: operation.name(),
            model_id: model_id.to_owned(),
            // Without its secret.
            authorization: text(headers, "authorization").split(' ').next().unwrap_or_default().to_owned(),
            region: region(headers).to_owned(),
            headers: captured(headers),
            raw_body: body.clone(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "number": self.number, "session": self.session, "operation": self.operation, "modelId": self.model_id,
            "authorization": self.authorization, "region": self.region, "headers": self.headers, "body": self.body,
        })
    }
}

/// The value of a header, or an empty text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The region in the scope of the signature: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
pub(crate) fn region(headers: &HeaderMap) -> &str {
    let scope = text(headers, "authorization").split_once("Credential=").map(|(_, scope)| scope).unwrap_or_default();
    scope.split('/').nth(2).unwrap_or_default()
}

/// Bedrock's headers, and those of traces.
fn captured(headers: &HeaderMap) -> BTreeMap<String, String> {
    let is_captured = |name: &str| name.starts_with("x-amzn-bedrock-") || TRACE_HEADERS.contains(&name);
    let captured = headers.iter().filter(|(name, _)| is_captured(name.as_str()));
    captured.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect()
}
