//! Detects the protocol of a request: gRPC, gRPC-Web or plain HTTP.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Version, header::CONTENT_TYPE};

use crate::edge::tls::OverTls;

/// The content types of gRPC. Others that begin so name another encoding than protobuf.
const GRPC: [&[u8]; 2] = [b"application/grpc", b"application/grpc+proto"];

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
    let without_parameters = content_type(request).split(|byte| *byte == b';').next().unwrap_or_default();
    request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && GRPC.contains(&without_parameters.trim_ascii_end())
}

/// Whether the request is gRPC-Web, over HTTP/1.1 or HTTP/2.
pub(crate) fn is_grpc_web(request: &Request) -> bool {
    request.method() == Method::POST && GRPC_WEB.contains(&content_type(request))
}

/// The response to a request that is neither gRPC nor gRPC-Web. It says what this port serves; `also` is appended.
pub(crate) fn not_grpc(request: &Request, also: &str) -> Response {
    let content_type = content_type(request);
    let names_grpc = content_type.starts_with(b"application/grpc");
    let status = if request.version() == Version::HTTP_2 {
        let is_method = names_grpc && request.method() != Method::POST;
        if is_method { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::UNSUPPORTED_MEDIA_TYPE }
    } else if names_grpc || content_type.is_empty() || request.method() != Method::POST {
        StatusCode::UPGRADE_REQUIRED
    } else {
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    };
    let plaintext = if request.extensions().get::<OverTls>().is_some() { "" } else { "-plaintext " };
    let text = format!(
        "This port speaks gRPC: POST over HTTP/2 with the content type application/grpc.\n\
         Try: grpcurl {plaintext}-d '{{\"prompt\": \"hi\"}}' ADDRESS outcrop.v1.GenerationService/Generate\n\
         {also}"
    );
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn content_type(request: &Request) -> &[u8] {
    request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(version: Version, method: &str, content_type: &str) -> Request {
        let mut request = Request::builder().version(version).method(method);
        if !content_type.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_a_post_of_protobuf_over_http2_is_grpc() {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc ; charset=utf-8"] {
            assert!(is_grpc(&request(Version::HTTP_2, "POST", content_type)), "{content_type}");
            assert!(!is_grpc(&request(Version::HTTP_11, "POST", content_type)), "{content_type}");
            assert!(!is_grpc(&request(Version::HTTP_2, "DELETE", content_type)), "{content_type}");
        }
        for content_type in ["", "application/grpc+json", "application/grpc+foo", "application/grpcx", "image/jpeg"] {
            assert!(!is_grpc(&request(Version::HTTP_2, "POST", content_type)), "{content_type}");
        }
    }

    #[test]
    fn the_status_of_http_says_what_is_not_grpc_about_a_request() {
        for (version, method, content_type, status) in [
            (Version::HTTP_2, "GET", "", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (Version::HTTP_2, "POST", "application/grpc+json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (Version::HTTP_2, "DELETE", "application/grpc", StatusCode::METHOD_NOT_ALLOWED),
            (Version::HTTP_11, "GET", "", StatusCode::UPGRADE_REQUIRED),
            (Version::HTTP_11, "POST", "application/grpc", StatusCode::UPGRADE_REQUIRED),
            (Version::HTTP_11, "GET", "image/jpeg", StatusCode::UPGRADE_REQUIRED),
            (Version::HTTP_11, "POST", "image/jpeg", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            let answer = not_grpc(&request(version, method, content_type), "");
            assert_eq!(answer.status(), status, "{version:?} {method} {content_type}");
        }
    }
}
