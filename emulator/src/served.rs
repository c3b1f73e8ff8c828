//! The emulator without a socket, for tests: requests go straight to its routes, so that the time of a test can be paused.

use std::{pin::pin, sync::Arc};

use axum::{Extension, Router, body::Body, response::Response};
use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    connection::Hangup,
    routes::{Shared, router},
};

/// A started emulator.
pub(crate) struct Served {
    pub(crate) shared: Shared,
    router: Router,
}

impl Served {
    /// With the built-in scripts. Ordinary models answer without pauses.
    pub(crate) fn new() -> Self {
        Self::of(Shared::default())
    }

    pub(crate) fn of(shared: Shared) -> Self {
        let router = router(shared.clone()).layer(Extension(Hangup::default()));
        Self { shared, router }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The response to an operation on a model, signed for a region.
    pub(crate) async fn operate(&self, operation: &str, model: &str, region: &str, body: &Value) -> Response {
        let scope = format!("AWS4-HMAC-SHA256 Credential=KEY/20260101/{region}/bedrock/aws4_request, Signature=0");
        let request = Request::post(format!("/model/{model}/{operation}")).header("authorization", scope);
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// The status and the JSON of an operation of the emulator itself.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("/_emulator/{path}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.send(request.body(body.into()).unwrap()).await;
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&all(response).await).unwrap_or_default())
    }
}

/// The whole body. Panics if it is cut.
pub(crate) async fn all(response: Response) -> Bytes {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

pub(crate) async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&all(response).await).unwrap()
}

/// Reads at most this many frames of a body and drops it. Returns whether it has ended, by itself or by an error.
pub(crate) async fn read(response: Response, frames: usize) -> bool {
    let mut body = pin!(response.into_body());
    for _ in 0..frames {
        match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return true,
        }
    }
    false
}

/// A request to Converse with this prompt and this maximum of output tokens.
pub(crate) fn prompt(text: &str, max_tokens: u64) -> Value {
    serde_json::json!({
        "messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": max_tokens},
    })
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            catalogue: Arc::new(crate::catalogue::Catalogue::new()),
            ledger: Arc::default(),
            account: Arc::default(),
            quotas: Arc::default(),
            validate: false,
            replays: None,
            chance: Arc::default(),
            pace: crate::script::Pace::default(),
        }
    }
}
