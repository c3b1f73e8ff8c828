//! The outermost layer: gives the requests of the API to its router, and all others to the layers of gRPC and of the page.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::Next,
    response::Response,
    routing::{get, post},
};
use http::HeaderValue;
use tower::ServiceExt;
use tracing::debug;

use super::handler;
use crate::{
    edge::{
        authentication::signed::Signatures,
        bedrock_api::{
            call::{ApiCall, COUNT_TOKENS, GENERATE, LIST_MODELS},
            refusal,
        },
        message::Messages,
        protocol::{is_grpc, is_grpc_web},
    },
    error::Error,
    metrics::Metrics,
    request::generation_id::GenerationId,
    service::Service,
};

/// The state of the layer.
#[derive(Debug)]
pub(crate) struct Api {
    /// The operations, by the paths of their methods, behind their layers.
    pub(crate) router: Router,
    /// What is counted.
    pub(crate) metrics: Metrics,
    pub(crate) messages: Messages,
    pub(crate) signatures: Signatures,
}

impl Api {
    /// The request with what its signature came to, if it is signed.
    async fn authenticated(&self, request: Request, call: ApiCall) -> Result<Request, Error> {
        let mut request = Box::pin(self.signatures.verify(request, &call.target, &self.messages)).await?;
        request.extensions_mut().insert(call);
        Ok(request)
    }

    /// The answer to a request that is refused before it is a call.
    fn refused(&self, error: &Error) -> Response {
        debug!(error = %error.for_log(), "refused");
        self.metrics.refused("", error.reason());
        refusal::answer(error)
    }
}

/// The operations, by the paths of the methods that they are.
pub(crate) fn operations(service: Arc<Service>) -> Router {
    Router::new()
        .route(GENERATE, post(handler::generate))
        .route(COUNT_TOKENS, post(handler::at_once))
        .route(LIST_MODELS, get(handler::at_once))
        .with_state(service)
}

/// The layer.
pub(crate) async fn layer(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    if is_grpc(&request) || is_grpc_web(&request) || !ApiCall::is_for_api(&request) {
        return next.run(request).await;
    }
    let mut response = match ApiCall::take(&mut request) {
        Ok(call) => match api.authenticated(request, call).await {
            Ok(request) => api.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
            Err(error) => api.refused(&error),
        },
        Err(error) => api.refused(&error),
    };
    let headers = response.headers_mut();
    if !headers.contains_key(refusal::REQUEST_ID) {
        let own = headers.get(GenerationId::METADATA).cloned();
        let id = own.or_else(|| HeaderValue::from_str(GenerationId::random().as_str()).ok());
        headers.extend(id.map(|id| (refusal::REQUEST_ID, id)));
    }
    response
}
