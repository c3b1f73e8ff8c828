//! A service of a test, served by the real edge: the conformance suites call it, because no suite of others knows the contract.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::Extensions;
use tokio::time::Instant;
use tonic::service::Routes;

use super::{App, AppError};
use crate::{
    bedrock::Bedrock,
    config::Settings,
    edge::{
        gates::{Gates, gates},
        grpc::Methods,
    },
    request::timeouts::Deadline,
};

/// Services beside those of the contract, behind the same layers: connections, authentication, deadlines and, for methods that take one
/// message, the gates. No program of Outcrop has one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Mounted {
    /// The services.
    pub routes: Routes,
    /// The descriptor set that declares their methods.
    pub descriptors: &'static [u8],
}

impl App {
    /// As [`App::build`], with services of a test.
    ///
    /// # Errors
    /// See [`AppError`].
    #[doc(hidden)]
    pub async fn build_mounted(settings: &Settings, bedrock: Bedrock, mounted: Mounted) -> Result<Self, AppError> {
        Self::assemble(settings, bedrock, Some(mounted)).await
    }
}

impl Mounted {
    /// The time that is left of the deadline that the edge has read from a request.
    #[doc(hidden)]
    pub fn time_left(extensions: &Extensions) -> Option<Duration> {
        extensions.get().map(|Deadline(at)| at.saturating_duration_since(Instant::now()))
    }

    /// The services behind the gates.
    pub(super) fn behind(self, gates: Arc<Gates>, methods: Methods) -> Router {
        self.routes.into_axum_router().reset_fallback().layer(from_fn_with_state((gates, methods), gated))
    }
}

/// Applies the gates to methods that take one message, which is all that the gates receive.
async fn gated(State((state, methods)): State<(Arc<Gates>, Methods)>, request: Request, next: Next) -> Response {
    if methods.takes_a_stream(request.uri().path()) {
        next.run(request).await
    } else {
        gates(State(state), request, next).await
    }
}
