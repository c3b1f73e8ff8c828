//! The HTTP surface of Bedrock Runtime, the listings of its control plane, and `/_emulator/…`.
//!
//! A request is captured, and the script of its model id ([`crate::catalogue`]) is sent as a stream ([`crate::body`]) or as a whole.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::{
    account::{self, Account},
    body::ScriptBody,
    catalogue::{Catalogue, Entry, SCRIPT_PREFIX},
    connection::Hangup,
    ledger::{CapturedRequest, Ledger},
    native, playback, reply,
    script::{Refusal, Script, Step},
    whole,
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

/// The operations of Bedrock Runtime that the emulator has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    ConverseStream,
    Converse,
    InvokeModelWithResponseStream,
    InvokeModel,
    CountTokens,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::ConverseStream => "ConverseStream",
            Self::Converse => "Converse",
            Self::InvokeModelWithResponseStream => "InvokeModelWithResponseStream",
            Self::InvokeModel => "InvokeModel",
            Self::CountTokens => "CountTokens",
        }
    }

    fn is_converse(self) -> bool {
        matches!(self, Self::ConverseStream | Self::Converse)
    }
}

pub(crate) fn router(shared: Shared) -> Router {
    let operation = |operation: Operation| {
        post(
            move |State(shared): State<Shared>,
                  Path(model_id): Path<String>,
                  Extension(hangup),
                  headers: HeaderMap,
                  body: Bytes| async move {
                answer(&shared, Call { operation, model_id: &model_id, headers: &headers, body: &body }, hangup)
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

fn answer(shared: &Shared, call: Call<'_>, hangup: Hangup) -> Response {
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
    match result {
        Ok((script, body)) => match &script.refuse {
            Some(refusal) => refused(shared, refusal, &script, hangup),
            None => respond(shared, operation, &script, &body, hangup),
        },
        Err(refusal) => refused(shared, &refusal, &Script::default(), hangup),
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
            let script = reply::script(&reply::prompt_of(body), reply::input_tokens(body), shared.unpaced);
            match operation {
                Operation::InvokeModelWithResponseStream | Operation::InvokeModel => {
                    native::script(model_id, body, script).map_err(|message| invalid(&message))
                }
                _ => Ok(script),
            }
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
    if reply::prompt_of(body).len() > MAX_TEXT {
        return Err(invalid("Input is too long for requested model."));
    }
    Ok(())
}

fn respond(shared: &Shared, operation: Operation, script: &Script, body: &Value, hangup: Hangup) -> Response {
    let mut response = match operation {
        _ if operation == Operation::CountTokens && is_bytes(&script.steps) => play(shared, script, hangup),
        Operation::ConverseStream | Operation::InvokeModelWithResponseStream => {
            let mut response = play(shared, script, hangup);
            let content_type = HeaderValue::from_static("application/vnd.amazon.eventstream");
            response.headers_mut().insert("content-type", content_type);
            response.headers_mut().insert("x-amzn-bedrock-content-type", HeaderValue::from_static("application/json"));
            response
        }
        Operation::Converse => json_body(&whole::converse(script)),
        Operation::InvokeModel => json_body(&native::whole(script)),
        Operation::CountTokens => json_body(&json!({"inputTokens": reply::input_tokens(body)})),
    };
    finish_headers(&mut response, shared, script);
    response
}

/// The steps of the script as the body.
fn play(shared: &Shared, script: &Script, hangup: Hangup) -> Response {
    let ledger = Arc::clone(&shared.ledger);
    Response::new(Body::new(ScriptBody::new(playback::actions(script), script.fault.is_some(), ledger, hangup)))
}

/// Whether there are steps, and all are bytes: the body of an answer that is no stream.
fn is_bytes(steps: &[Step]) -> bool {
    let bytes = |step: &Step| match step {
        Step::Bytes(_) => true,
        Step::Repeat { steps, .. } => is_bytes(steps),
        _ => false,
    };
    !steps.is_empty() && steps.iter().all(bytes)
}

fn refused(shared: &Shared, refusal: &Refusal, script: &Script, hangup: Hangup) -> Response {
    shared.ledger.count(|stats| stats.refused += 1);
    let mut response = match &refusal.body {
        _ if is_bytes(&script.steps) => play(shared, script, hangup),
        Some(body) => Response::new(Body::from(body.clone())),
        None => json_body(&json!({"message": refusal.message})),
    };
    *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(exception) = &refusal.exception {
        let value = format!("{exception}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert("x-amzn-errortype", value);
        }
    }
    finish_headers(&mut response, shared, script);
    response
}

/// Adds the AWS request id and the headers of the script.
fn finish_headers(response: &mut Response, shared: &Shared, script: &Script) {
    let number = shared.ledger.stats().requests;
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&id).ok().map(|id| (http::HeaderName::from_static("x-amzn-requestid"), id)));
    for (name, value) in &script.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal { status: 400, exception: Some("ValidationException".into()), body: None, message: message.to_owned() }
}

pub(crate) fn refuse(status: u16, exception: &str, message: &str) -> Response {
    let body = json!({"message": message}).to_string();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    (status, [("content-type", "application/json"), ("x-amzn-errortype", exception)], body).into_response()
}

pub(crate) fn json_body(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}
