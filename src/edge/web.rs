//! The web page on the gRPC port: its files, and gRPC-Web for the calls that it makes.
//!
//! The files are built from `web/`.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, ORIGIN,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use tonic_web::GrpcWebLayer;

use crate::edge::protocol::{FromWeb, is_grpc, is_grpc_web, not_grpc};

/// What a browser may do with the page: run and fetch what this server itself serves, and nothing else.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Names do not change with their content, so a browser asks each time; the ETag spares it the bytes.
    (CACHE_CONTROL, "no-cache"),
];

/// Every file of the page: path, content type, content.
const FILES: [(&str, &str, &[u8]); 6] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../web/dist/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("../../web/dist/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_bytes!("../../web/dist/page.js")),
    ("/theme.js", "text/javascript; charset=utf-8", include_bytes!("../../web/dist/theme.js")),
    ("/markdown.js", "text/javascript; charset=utf-8", include_bytes!("../../web/dist/markdown.js")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../../web/dist/icon.svg")),
];

/// The files by path, each with the headers of its answer.
type Files = Arc<BTreeMap<&'static str, (HeaderMap, &'static [u8])>>;

/// Puts the page around the methods.
pub(crate) fn around(router: Router) -> Router {
    router.layer(GrpcWebLayer::new()).layer(from_fn_with_state(files(), page))
}

fn files() -> Files {
    let each = FILES.iter().map(|(path, content_type, content)| {
        let mut headers: HeaderMap =
            HEADERS.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        if let Ok(tag) = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish())) {
            headers.insert(ETAG, tag);
        }
        (*path, (headers, *content))
    });
    Arc::new(each.collect())
}

/// The layer.
async fn page(State(files): State<Files>, mut request: Request, next: Next) -> Response {
    if is_grpc_web(&request) {
        if let Err(origin) = same_origin(&request) {
            let text = format!("The page of {origin:?} may not call this server: only its own page may.\n");
            return (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response();
        }
        request.extensions_mut().insert(FromWeb);
    } else if let Some(file) = file(&files, &request) {
        return file;
    } else if !is_grpc(&request) {
        return not_grpc(&request, "A browser finds a page at /, and gRPC-Web is spoken to it.\n");
    }
    next.run(request).await
}

/// Whether the page that calls is this server's own. A caller without an origin is no page.
fn same_origin(request: &Request) -> Result<(), String> {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return Ok(());
    };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let from = origin.parse::<Uri>().ok().and_then(|uri| Some((uri.scheme()?.clone(), uri.authority()?.clone())));
    let own = match request.headers().get(HOST) {
        Some(host) => host.to_str().ok(),
        // HTTP/2 says it in the address of the request.
        None => request.uri().authority().map(http::uri::Authority::as_str),
    };
    match (from, own) {
        (Some((_, authority)), Some(own)) if authority.as_str().eq_ignore_ascii_case(own) => Ok(()),
        _ => Err(origin.into_owned()),
    }
}

/// The answer to a request for a file of the page.
fn file(files: &Files, request: &Request) -> Option<Response> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    let (headers, content) = files.get(request.uri().path())?;
    let mut headers = headers.clone();
    if headers.get(ETAG).is_some_and(|tag| request.headers().get(IF_NONE_MATCH) == Some(tag)) {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(CONTENT_LENGTH, content.len().into());
    let body = if request.method() == Method::HEAD { Body::empty() } else { Body::from(*content) };
    Some((headers, body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, headers: &[(HeaderName, &str)]) -> Request {
        let builder = Request::builder().method(Method::POST).uri(uri);
        headers.iter().fold(builder, |builder, (name, value)| builder.header(name, *value)).body(Body::empty()).unwrap()
    }

    #[test]
    fn only_the_own_page_may_call() {
        let from = |origin, host| same_origin(&asked("/", &[(ORIGIN, origin), (HOST, host)])).is_ok();
        assert!(from("http://127.0.0.1:50051", "127.0.0.1:50051"));
        assert!(from("https://Chat.Example", "chat.example"));
        assert!(!from("http://evil.example", "127.0.0.1:50051"));
        assert!(!from("http://127.0.0.1:1", "127.0.0.1:50051"));
        assert!(!from("http://127.0.0.1:50051.evil.example", "127.0.0.1:50051"));
        assert!(!from("null", "127.0.0.1:50051"));
        assert!(same_origin(&asked("http://a.example:1/x", &[(ORIGIN, "http://a.example:1")])).is_ok(), "HTTP/2");
        assert!(same_origin(&asked("/", &[(HOST, "a.example")])).is_ok(), "no page");
    }

    #[test]
    fn the_page_asks_for_files_that_are_there() {
        let index = include_str!("../../web/dist/index.html");
        let named = ["href=\"/", "src=\"/"].map(|start| index.split(start).skip(1)).into_iter().flatten();
        let paths: Vec<_> = named.filter_map(|rest| rest.split('"').next()).map(|name| format!("/{name}")).collect();
        assert!(paths.len() >= 4, "{paths:?}");
        for path in paths {
            assert!(files().contains_key(path.as_str()), "{path}");
        }
    }
}
