//! `GET /livez` and `GET /readyz` on the port for metrics, for load balancers and Kubernetes. Both are open, because probes have no credentials, and
//! tell nothing but a word.
//!
//! The store of conversations is no part of readiness. Calls without a conversation need no store, and if all servers were taken out of service
//! because of one store, no call would be served.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

/// The routes. `is_ready` tells whether new calls are served.
pub(crate) fn router<F>(is_ready: impl Fn() -> F + Clone + Send + Sync + 'static) -> Router
where
    F: Future<Output = bool> + Send,
{
    let ready = async move || {
        if is_ready().await {
            answer(StatusCode::OK, "ready\n")
        } else {
            answer(StatusCode::SERVICE_UNAVAILABLE, "not ready: the server shuts down\n")
        }
    };
    Router::new().route("/livez", get(async || answer(StatusCode::OK, "live\n"))).route("/readyz", get(ready))
}

fn answer(status: StatusCode, words: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], words).into_response()
}
