//! The HTTP surface of Bedrock Runtime and of the listings of its control plane.
//!
//! A request is captured, its script is found ([`crate::told`]), and the script is its answer ([`crate::answer`]).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Path, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use crate::{
    account::{self, Account},
    answer::{Answer, invalid, refuse},
    catalogue::Catalogue,
    connection::Hangup,
    control,
    ledger::{CapturedRequest, Ledger},
    native::Format,
    operation::Operation,
    quota::Quotas,
    told::{Telling, Told},
};

/// The largest body in bytes: Bedrock's limit, plus the overhead of base64.
const MAX_BODY: usize = 64 << 20;

/// The headers of traces that are captured.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The state that requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) account: Arc<Account>,
    pub(crate) quotas: Arc<Quotas>,
    /// Whether ordinary models answer without pauses.
    pub(crate) unpaced: bool,
}

pub(crate) fn router(shared: Shared) -> Router {
    let operation = |operation: Operation| {
        post(
            move |State(shared): State<Shared>,
                  Path(model_id): Path<String>,
                  Extension(hangup),
                  headers: HeaderMap,
                  body: Bytes| async move {
                answer(&shared, Call { operation, model_id: &model_id, headers: &headers, body: &body }, hangup).await
            },
        )
    };
    Router::new()
        .route("/model/{model}/converse-stream", operation(Operation::ConverseStream))
        .route("/model/{model}/converse", operation(Operation::Converse))
        .route("/model/{model}/invoke-with-response-stream", operation(Operation::InvokeModelWithResponseStream))
        .route("/model/{model}/invoke", operation(Operation::InvokeModel))
        .route("/model/{model}/count-tokens", operation(Operation::CountTokens))
        .route("/foundation-models", get(account::models))
        .route("/inference-profiles", get(account::profiles))
        .merge(control::router())
        .fallback(async || refuse(404, "UnknownOperationException", "The emulator has no such operation."))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// A request to an operation.
#[derive(Clone, Copy)]
struct Call<'a> {
    operation: Operation,
    model_id: &'a str,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

async fn answer(shared: &Shared, call: Call<'_>, hangup: Hangup) -> Response {
    let Call { operation, model_id, headers, body } = call;
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let is_json = parsed.is_some();
    let request = CapturedRequest {
        operation: operation.name(),
        model_id: model_id.to_owned(),
        authorization: scheme(headers),
        region: region(headers).to_owned(),
        headers: captured_headers(headers),
        raw_body: body.clone(),
        body: parsed.unwrap_or_default(),
    };
    shared.ledger.count(|stats| stats.requests += 1);
    shared.ledger.capture(request.clone());
    let result = if is_json {
        Telling { shared, operation, request: &request }.script()
    } else {
        Err(invalid("The request body is not JSON.").into())
    };
    let answer = Answer { ledger: &shared.ledger, hangup, admitted: None };
    match result {
        Ok(Told { script, admitted }) => {
            let format = Format::of(model_id, &request.body);
            Answer { admitted, ..answer }.respond(operation, &script, &request.body, format).await
        }
        Err(script) => answer.refuse_by(&script),
    }
}

/// The scheme of the authorization without its secret.
fn scheme(headers: &HeaderMap) -> String {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    authorization.split(' ').next().unwrap_or_default().to_owned()
}

/// The region in the scope of the signature: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn region(headers: &HeaderMap) -> &str {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scope = authorization.split_once("Credential=").map(|(_, scope)| scope).unwrap_or_default();
    scope.split('/').nth(2).unwrap_or_default()
}

/// Bedrock's headers, and those of traces.
fn captured_headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let is_captured = |name: &str| name.starts_with("x-amzn-bedrock-") || TRACE_HEADERS.contains(&name);
    let captured = headers.iter().filter(|(name, _)| is_captured(name.as_str()));
    captured.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect()
}
