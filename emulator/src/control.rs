//! The emulator's own operations, below `/_emulator/`: counts, requests and quotas.

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use bytes::Bytes;
use http::StatusCode;

use crate::{
    answer::{json_body, refuse},
    quota::Quota,
    routes::Shared,
};

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/_emulator/stats", get(async |State(shared): State<Shared>| json_body(&shared.ledger.stats_json())))
        .route(
            "/_emulator/last-request",
            get(async |State(shared): State<Shared>| json_body(&shared.ledger.last_request_json())),
        )
        .route("/_emulator/quotas", get(async |State(shared): State<Shared>| json_body(&shared.quotas.json())))
        .route("/_emulator/quotas/{*model}", put(set_quota).delete(remove_quota))
}

/// A bad request to the emulator itself.
fn bad(message: &str) -> Response {
    refuse(400, "ValidationException", message)
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
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => bad(&format!("The quota of {path} cannot be used: {error}.")),
    }
}

async fn remove_quota(State(shared): State<Shared>, Path(path): Path<String>) -> Response {
    let (model_id, region) = model_and_region(&path);
    if shared.quotas.remove(model_id, region) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        refuse(404, "ResourceNotFoundException", &format!("There is no quota of {path}."))
    }
}
