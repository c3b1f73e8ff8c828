//! The HTTP surface of Bedrock Runtime, and of what programs use of its control plane, its agent runtime and STS.
//!
//! A request is captured, its script is found ([`crate::told`]), and the script is its answer ([`crate::answer`]).

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Path, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use http::HeaderMap;

use crate::{
    account::{self, Account},
    answer::{Answer, invalid, refuse},
    body::Tracked,
    catalogue::Catalogue,
    connection::Hangup,
    control,
    faults::Chance,
    guardrail,
    history::{CapturedRequest, Open},
    ledger::Ledger,
    native::Format,
    operation::Operation,
    quota::Quotas,
    replay::Replays,
    script::Pace,
    service_quotas,
    told::{Telling, Told},
    vectors,
};

/// The largest body in bytes: Bedrock's limit, plus the overhead of base64.
pub(crate) const MAX_BODY: usize = 64 << 20;

/// The state that requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) account: Arc<Account>,
    pub(crate) quotas: Arc<Quotas>,
    /// Whether requests are refused that Bedrock refuses.
    pub(crate) validate: bool,
    /// Recordings in place of ordinary models.
    pub(crate) replays: Option<Arc<Replays>>,
    pub(crate) chance: Arc<Chance>,
    /// The pauses of ordinary models.
    pub(crate) pace: Pace,
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
    let operations =
        Operation::ALL.into_iter().fold(Router::new(), |router, one| router.route(&one.route(), operation(one)));
    operations
        .route("/foundation-models", get(account::models))
        .route("/foundation-models/{*model}", get(account::model))
        .route("/inference-profiles", get(account::profiles))
        .route("/inference-profiles/{*profile}", get(account::profile))
        .route("/guardrail/{guardrail}/version/{version}/apply", post(guardrail::apply))
        .route("/rerank", post(vectors::rerank))
        .route("/", post(service_quotas::answer))
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
    let mut request = CapturedRequest::new(operation, model_id, headers, body);
    let is_json = !request.body.is_null();
    // Before the count, which tests wait for.
    shared.ledger.history.add(&mut request);
    shared.ledger.count(|stats| stats.requests += 1);
    let open = Open::new(Arc::clone(&shared.ledger), request.number);
    let result = if is_json {
        Telling { shared, operation, request: &request }.script()
    } else {
        Err(invalid("The request body is not JSON.").into())
    };
    let mut tracked = Tracked { admitted: None, open: Some(open) };
    let (ledger, number) = (&shared.ledger, request.number);
    let response = match result {
        Ok(Told { script, .. }) if script.refuse.is_some() => {
            Answer { ledger, hangup, number, tracked }.refuse_by(&script)
        }
        Ok(Told { script, admitted }) => {
            let format = Format::of(model_id, &request.body);
            tracked.admitted = admitted;
            Answer { ledger, hangup, number, tracked }.respond(operation, &script, &request.body, format).await
        }
        Err(script) => Answer { ledger, hangup, number, tracked }.refuse_by(&script),
    };
    shared.ledger.history.answered(request.number, response.status().as_u16());
    response
}
