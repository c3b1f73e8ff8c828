//! Detects the protocol of a request: gRPC, gRPC-Web or plain HTTP.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Version, header::CONTENT_TYPE};

use crate::edge::tls::OverTls;

/// The content types of gRPC-Web that tonic-web reads.
const GRPC_WEB: [&[u8]; 4] = [
    b"application/grpc-web",
    b"application/grpc-web+proto",
    b"application/grpc-web-text",
    b"application/grpc-web-text+proto",
];

/// Marks a request that arrived as gRPC-Web. tonic-web rewrites its content type to that of gRPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromWeb;

/// Whether the request is gRPC over HTTP/2.
pub(crate) fn is_grpc(request: &Request) -> bool {
    let kind = content_type(request).strip_prefix(b"application/grpc");
    request.version() == Version::HTTP_2 && matches!(kind, Some([] | [b'+' | b';', ..]))
}

/// Whether the request is gRPC-Web, over HTTP/1.1 or HTTP/2.
pub(crate) fn is_grpc_web(request: &Request) -> bool {
    request.method() == Method::POST && GRPC_WEB.contains(&content_type(request))
}

/// The response to a request that is neither gRPC nor gRPC-Web. It says what this port serves; `also` is appended.
pub(crate) fn not_grpc(request: &Request, also: &str) -> Response {
    let status = match request.version() {
        Version::HTTP_2 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::UPGRADE_REQUIRED,
    };
    let plaintext = if request.extensions().get::<OverTls>().is_some() { "" } else { "-plaintext " };
    let text = format!(
        "This port speaks gRPC: HTTP/2 with the content type application/grpc.\n\
         Try: grpcurl {plaintext}-d '{{\"prompt\": \"hi\"}}' ADDRESS outcrop.v1.GenerationService/Generate\n\
         {also}"
    );
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn content_type(request: &Request) -> &[u8] {
    request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default()
}
