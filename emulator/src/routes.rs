//! The HTTP surface of Bedrock Runtime, the listings of its control plane, and `/_emulator/…`.
//!
//! A request is captured, and the script of its model id ([`crate::catalogue`]) is its answer ([`crate::answer`]).

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
    answer::{Answer, invalid, json_body, refuse},
    catalogue::{Catalogue, Entry, SCRIPT_PREFIX},
    connection::Hangup,
    ledger::{CapturedRequest, Ledger},
    native::Format,
    operation::Operation,
    prompt, reply,
    script::{Refusal, Script},
    tools,
};

/// The largest body in bytes: Bedrock's limit, plus the overhead of base64.
const MAX_BODY: usize = 64 << 20;

/// The longest text in bytes that any model accepts. The limits of models are 200,000 to 1,000,000 tokens.
const MAX_TEXT: usize = 4_000_000;

/// The headers of traces that are captured.
const TRACE_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// The state that requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) account: Arc<Account>,
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
        .route("/_emulator/stats", get(async |State(shared): State<Shared>| json_body(&shared.ledger.stats_json())))
        .route(
            "/_emulator/last-request",
            get(async |State(shared): State<Shared>| json_body(&shared.ledger.last_request_json())),
        )
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
    shared.ledger.count(|stats| stats.requests += 1);
    shared.ledger.capture(CapturedRequest {
        operation: operation.name(),
        model_id: model_id.to_owned(),
        authorization: scheme(headers),
        region: region(headers).to_owned(),
        headers: captured_headers(headers),
        raw_body: body.clone(),
        body: parsed.clone().unwrap_or_default(),
    });
    let result = match parsed {
        Some(body) => script_for(shared, call, &body).map(|script| (script, body)),
        None => Err(invalid("The request body is not JSON.")),
    };
    let answer = Answer { ledger: &shared.ledger, hangup };
    match result {
        Ok((script, body)) => match &script.refuse {
            Some(refusal) => answer.refuse(refusal, &script),
            None => answer.respond(operation, &script, &body, Format::of(model_id, &body)).await,
        },
        Err(refusal) => answer.refuse(&refusal, &Script::default()),
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

fn script_for(shared: &Shared, call: Call<'_>, body: &Value) -> Result<Script, Refusal> {
    let Call { operation, model_id, headers, .. } = call;
    match shared.catalogue.find(model_id, region(headers)) {
        Entry::Script(script) => Ok(match *script {
            Script { on_tool_result: Some(then), .. } if ends_with_tool_result(body) => *then,
            script => script,
        }),
        Entry::Model => {
            if operation.is_converse() {
                check_conversation(body)?;
            }
            let tokens = prompt::input_tokens(body);
            let call = tools::call(body, tokens).map_err(|message| invalid(&message))?;
            let steps = call.unwrap_or_else(|| reply::said(&prompt::prompt_of(body), tokens));
            Ok(reply::script(steps, shared.unpaced))
        }
        Entry::Unknown => {
            let names = shared.catalogue.names();
            let known: Vec<_> = names.iter().filter_map(|name| name.strip_prefix(SCRIPT_PREFIX)).collect();
            let message =
                format!("There is no script {model_id}. The names after `{SCRIPT_PREFIX}` are: {}", known.join(", "));
            Err(Refusal { status: 404, exception: Some("ResourceNotFoundException".into()), body: None, message })
        }
        Entry::Malformed => Err(invalid("The provided model identifier is invalid.")),
    }
}

/// Whether the request ends with the result of a tool.
fn ends_with_tool_result(body: &Value) -> bool {
    let last = body["messages"].as_array().and_then(|messages| messages.last());
    let blocks = last.and_then(|message| message["content"].as_array());
    blocks.is_some_and(|blocks| blocks.iter().any(|block| block.get("toolResult").is_some()))
}

/// Refuses messages that Bedrock refuses, with Bedrock's messages.
fn check_conversation(body: &Value) -> Result<(), Refusal> {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    match messages.first() {
        Some(first) if first["role"] == "user" => {}
        Some(_) => {
            return Err(invalid(
                "A conversation must start with a user message. Try again with a conversation that starts with a user \
                 message.",
            ));
        }
        None => return Err(invalid("The messages are missing.")),
    }
    if prompt::prompt_of(body).len() > MAX_TEXT {
        return Err(invalid("Input is too long for requested model."));
    }
    Ok(())
}
