//! The emulator's own operations, below `/_emulator/`: counts, scripts, faults and quotas. `requests` has the history.
//!
//! With the header `x-emulator-session` they are about the requests that have the same header.

mod requests;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::{
    answer::{json_body, refuse},
    catalogue::Layer,
    faults::Faults,
    history::{SESSION, text},
    quota::Quota,
    routes::Shared,
    script::Script,
};

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/_emulator/stats", get(async |State(shared): State<Shared>| json_body(&shared.ledger.stats_json())))
        .route("/_emulator/last-request", get(requests::last))
        .route("/_emulator/requests", get(requests::list).delete(requests::clear))
        .route("/_emulator/reset", post(reset))
        .route("/_emulator/scripts", get(list_scripts))
        .route("/_emulator/scripts/{*model}", put(put_scripts).delete(remove_scripts))
        .route("/_emulator/faults", get(list_faults).put(set_faults))
        .route("/_emulator/quotas", get(async |State(shared): State<Shared>| json_body(&shared.quotas.json())))
        .route("/_emulator/quotas/{*model}", put(set_quota).delete(remove_quota))
}

/// A bad request to the emulator itself.
fn bad(message: &str) -> Response {
    refuse(400, "ValidationException", message)
}

fn missing(message: &str) -> Response {
    refuse(404, "ResourceNotFoundException", message)
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// The session of a request to the emulator itself. `None` is all requests.
fn session(headers: &HeaderMap) -> Option<&str> {
    Some(text(headers, SESSION)).filter(|session| !session.is_empty())
}

/// The layer of a request to the emulator itself.
fn layer(headers: &HeaderMap) -> Layer {
    Layer::of_session(text(headers, SESSION))
}

/// Forgets requests and removes what was put: of a session, or of all. Faults and quotas, which sessions share, are those of the start again
/// only for all.
async fn reset(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let session = session(&headers);
    shared.ledger.history.clear(session);
    shared.catalogue.reset(session);
    if session.is_none() {
        shared.chance.reset(shared.ledger.history.count());
        shared.quotas.reset();
    }
    done()
}

async fn list_scripts(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let (put, own) = (shared.catalogue.put_names(&layer(&headers)), shared.catalogue.put_names(&Layer::Own));
    json_body(&json!({"put": put, "own": own}))
}

async fn put_scripts(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else { return bad("The body is not UTF-8.") };
    match Script::sequence_from_json(text) {
        Ok(scripts) => {
            shared.catalogue.put(layer(&headers), name, scripts);
            done()
        }
        Err(error) => bad(&format!("The body is neither a script nor an array of scripts: {error}")),
    }
}

async fn remove_scripts(State(shared): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if shared.catalogue.remove(layer(&headers), name.clone()) {
        done()
    } else {
        missing(&format!("No script was put for {name}."))
    }
}

async fn list_faults(State(shared): State<Shared>) -> Response {
    json_body(&json!({"seed": shared.chance.seed, "faults": shared.chance.faults()}))
}

async fn set_faults(State(shared): State<Shared>, body: Bytes) -> Response {
    let faults: Faults = match serde_json::from_slice(&body) {
        Ok(faults) => faults,
        Err(error) => return bad(&format!("The body does not have the shares of faults: {error}")),
    };
    if let Err(error) = faults.check() {
        return bad(&format!("The faults cannot be used: {error}."));
    }
    shared.chance.set(faults);
    done()
}

/// `MODEL` or `MODEL@REGION`.
fn model_and_region(path: &str) -> (&str, Option<&str>) {
    path.split_once('@').map_or((path, None), |(model_id, region)| (model_id, Some(region)))
}

async fn set_quota(State(shared): State<Shared>, Path(path): Path<String>, body: Bytes) -> Response {
    let (model_id, region) = model_and_region(&path);
    let quota: Quota = match serde_json::from_slice(&body) {
        Ok(quota) => quota,
        Err(error) => return bad(&format!("The body is not a quota: {error}")),
    };
    match shared.quotas.set(model_id, region, quota) {
        Ok(()) => done(),
        Err(error) => bad(&format!("The quota of {path} cannot be used: {error}.")),
    }
}

async fn remove_quota(State(shared): State<Shared>, Path(path): Path<String>) -> Response {
    let (model_id, region) = model_and_region(&path);
    if shared.quotas.remove(model_id, region) { done() } else { missing(&format!("There is no quota of {path}.")) }
}

#[cfg(test)]
mod tests;
