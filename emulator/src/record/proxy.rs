//! Forwards a request to Bedrock, and its answer to the client.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State},
    http::Uri,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;

use super::{
    Credentials, RecorderError, Upstream,
    exchange::Exchange,
    tee::{Saver, Tee},
};
use crate::{answer::refuse, operation::Operation, routes::MAX_BODY};

/// What of a request goes to Bedrock. `x-amzn-bedrock-…` goes too. Its authorization is that of the recorder.
const FORWARDED: [&str; 2] = ["accept", "content-type"];

/// What forwards requests.
#[derive(Clone)]
pub(super) struct Proxy {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    upstream: Upstream,
    credentials: Option<Credentials>,
    saver: Saver,
}

impl Proxy {
    pub(super) fn new(
        upstream: Upstream,
        credentials: Option<Credentials>,
        saver: Saver,
    ) -> Result<Self, RecorderError> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(aws_lc_rs::default_provider())
            .map_err(RecorderError::Certificates)?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, upstream, credentials, saver })
    }

    async fn forward(
        &self,
        operation: Operation,
        model_id: String,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        // A page in a browser must not use the credentials.
        if headers.contains_key("origin") {
            return refuse(403, "AccessDeniedException", "The recorder does not answer pages of browsers.");
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        match self.ask(&path, &headers, &body).await {
            Ok(answer) => {
                let (parts, answer) = answer.into_parts();
                let exchange = Exchange {
                    operation,
                    model_id,
                    path,
                    request: body,
                    status: parts.status.as_u16(),
                    headers: parts.headers.clone(),
                    body: Vec::new(),
                    chunks: Vec::new(),
                };
                let mut response = Response::new(Body::new(Tee::new(answer, self.saver.clone(), exchange)));
                *response.status_mut() = parts.status;
                let hop = ["connection", "transfer-encoding", "keep-alive"];
                let kept = parts
                    .headers
                    .into_iter()
                    .filter(|(name, _)| !name.as_ref().is_some_and(|name| hop.contains(&name.as_str())));
                response.headers_mut().extend(kept);
                response
            }
            Err(error) => {
                let message = format!("Bedrock was not reached: {error}");
                self.saver.lost(path, &message);
                refuse(503, "ServiceUnavailableException", &message)
            }
        }
    }

    async fn ask(
        &self,
        path: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::post(self.upstream.uri(path)?).body(Full::new(body.clone()))?;
        let is_forwarded = |name: &str| FORWARDED.contains(&name) || name.starts_with("x-amzn-bedrock-");
        let forwarded = headers.iter().filter(|(name, _)| is_forwarded(name.as_str()));
        request.headers_mut().extend(forwarded.map(|(name, value)| (name.clone(), value.clone())));
        if let Some(credentials) = &self.credentials {
            credentials.authorize(&mut request, body, self.upstream.region())?;
        }
        Ok(self.client.request(request).await?)
    }
}

pub(super) fn router(proxy: Proxy) -> Router {
    let operation = |operation: Operation| {
        post(
            async move |State(proxy): State<Arc<Proxy>>,
                        Path(model): Path<String>,
                        uri: Uri,
                        headers: HeaderMap,
                        body: Bytes| {
                proxy.forward(operation, model, uri, headers, body).await.into_response()
            },
        )
    };
    let mut router = Router::new();
    for one in Operation::ALL {
        router = router.route(&one.route(), operation(one));
    }
    router
        .fallback(async || {
            refuse(404, "UnknownOperationException", "The recorder forwards the operations of models only.")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(proxy))
}
