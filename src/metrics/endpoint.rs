//! `GET /metrics` and `GET /quotas` on the port for metrics. An address that others can reach serves only callers with the permission `metrics`, because metrics
//! and quotas tell about all tenants.

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use tonic::Code;

use super::{Metrics, plain};
use crate::{edge::authentication::Authentication, error::Error};

/// The content type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of Prometheus' own format.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The content type of JSON.
const JSON: &str = "application/json";

/// The routes. Without `authentication` they are open. `quotas` makes the page of quotas as JSON.
pub(crate) fn router(
    metrics: Metrics,
    quotas: impl Fn() -> Option<String> + Clone + Send + Sync + 'static,
    authentication: Option<Authentication>,
) -> Router {
    let quotas = get(async move || match quotas() {
        Some(page) => ([(CONTENT_TYPE, JSON)], page).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    });
    let page = get(async move |headers: HeaderMap| match metrics.text() {
        Ok(text) if takes_plain_alone(&headers) => {
            ([(CONTENT_TYPE, PLAIN)], plain::of_open_metrics(&text)).into_response()
        }
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    });
    let router =
        Router::new().route("/metrics", page).route("/quotas", quotas).fallback(async || StatusCode::NOT_FOUND);
    match authentication {
        Some(authentication) => router.layer(from_fn_with_state(authentication, known)),
        None => router,
    }
}

/// Whether the client takes Prometheus' own format and not OpenMetrics.
fn takes_plain_alone(headers: &HeaderMap) -> bool {
    let takes =
        |kind| headers.get_all(ACCEPT).iter().any(|accepted| accepted.to_str().is_ok_and(|it| it.contains(kind)));
    takes("text/plain") && !takes("application/openmetrics-text")
}

/// The layer around the routes, and around everything that is not there.
async fn known(State(authentication): State<Authentication>, mut request: Request, next: Next) -> Response {
    match Box::pin(authentication.check_metrics(&mut request)).await {
        Ok(()) => next.run(request).await,
        Err(error) => refusal(&error),
    }
}

fn refusal(error: &Error) -> Response {
    let status = match error.reason().code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (WWW_AUTHENTICATE, "Bearer")];
    (status, headers, format!("{error}\n")).into_response()
}
