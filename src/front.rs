//! What is no call to one of our methods, and what gRPC itself refuses: both get an answer that says what to change.
//!
//! The outermost layer: comes after the connection and before [`crate::service`].

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Version, header::CONTENT_TYPE};
use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;
use tonic::{Code, Status, body::Body};

use crate::error::{self, Error, Reason};

/// The trailer that carries the google.rpc details of a status.
const DETAILS: &str = "grpc-status-details-bin";

/// The paths of all methods: `/package.Service/Method`.
#[derive(Clone, Debug)]
pub(crate) struct Methods(Arc<BTreeSet<String>>);

impl Methods {
    /// Every method that these descriptor sets declare.
    pub(crate) fn of(descriptor_sets: &[&[u8]]) -> Result<Self, DecodeError> {
        let mut paths = BTreeSet::new();
        for set in descriptor_sets {
            for file in FileDescriptorSet::decode(*set)?.file {
                for service in &file.service {
                    let methods = service.method.iter().map(prost_types::MethodDescriptorProto::name);
                    paths.extend(methods.map(|method| format!("/{}.{}/{method}", file.package(), service.name())));
                }
            }
        }
        Ok(Self(Arc::new(paths)))
    }
}

/// The layer.
pub(crate) async fn front(State(methods): State<Methods>, request: Request, next: Next) -> Response {
    if !is_grpc(&request) {
        return not_grpc(&request);
    }
    let path = request.uri().path();
    if !methods.0.contains(path) {
        let known: Vec<_> = methods.0.iter().map(String::as_str).collect();
        let message = format!("there is no method {path}. There are: {}", known.join(", "));
        return grpc(&Error::new(Reason::UnknownMethod, message).into_status());
    }
    with_reason(next.run(request).await)
}

fn is_grpc(request: &Request) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let kind = content_type.strip_prefix(b"application/grpc");
    request.version() == Version::HTTP_2 && matches!(kind, Some([] | [b'+' | b';', ..]))
}

fn not_grpc(request: &Request) -> Response {
    let status = match request.version() {
        Version::HTTP_2 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::UPGRADE_REQUIRED,
    };
    let text = "This port speaks gRPC: HTTP/2 with the content type application/grpc.\n\
                Try: grpcurl -plaintext -d '{\"prompt\": \"hi\"}' ADDRESS outcrop.v1.GenerationService/Generate\n";
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// Gives a status that gRPC itself made its reason. Such a status comes in the headers, before any message.
fn with_reason(response: Response) -> Response {
    let headers = response.headers();
    if headers.contains_key(DETAILS) {
        return response;
    }
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => grpc(&error::from_bare(status.code(), status.message())),
        _ => response,
    }
}

fn grpc(status: &Status) -> Response {
    status.clone().into_http::<Body>().map(axum::body::Body::new)
}
