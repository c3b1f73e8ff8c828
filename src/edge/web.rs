//! The web page on the gRPC port: its files, which are built from `web/`, and gRPC-Web for its calls. Connect for other programs is served with it.

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
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
        STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    },
};
use tonic_web::GrpcWebLayer;

use crate::edge::{
    connect::UnaryMethods,
    host::HostKind,
    protocol::{FromWeb, is_grpc, is_grpc_web, not_grpc},
    session::Session,
    tls::OverTls,
};

/// The policy of the page: a browser runs and fetches only what this server serves. Text becomes HTML or the address of a script only by two
/// policies for trusted types: that of the sanitiser, and the page's own, which knows one address.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types dompurify outcrop",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // File names are not versioned, so a browser revalidates each time. The ETag saves the transfer.
    (CACHE_CONTROL, "no-cache"),
];

/// The time for which a browser calls this host by https alone.
const ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Every file of the page: path, content type, content. `build.rs` lists what `web/dist` has.
const FILES: &[(&str, &str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// The files by path, each with the headers of its answer.
type Files = Arc<BTreeMap<&'static str, (HeaderMap, &'static [u8])>>;

/// Adds the page, its sign-in, gRPC-Web and Connect to the methods.
pub(crate) fn around(router: Router, session: Session, unary: UnaryMethods) -> Router {
    router.layer(GrpcWebLayer::new()).layer(from_fn_with_state(Page { files: files(), session, unary }, page))
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

/// The state of the layer. Clones share it.
#[derive(Clone, Debug)]
struct Page {
    files: Files,
    session: Session,
    unary: UnaryMethods,
}

/// The layer.
async fn page(State(state): State<Page>, request: Request, next: Next) -> Response {
    let only_https = is_for_https(&request);
    let mut answer = answer(&state, request, next).await;
    if only_https {
        answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, ONE_YEAR);
    }
    answer
}

/// Whether a browser is told to call this host by https alone. It is not told so of addresses, for which it has no meaning, and not of
/// `localhost`, where other servers without TLS have the same name.
fn is_for_https(request: &Request) -> bool {
    request.extensions().get::<OverTls>().is_some()
        && !is_grpc(request)
        && HostKind::of(request) == Some(HostKind::Domain)
}

async fn answer(state: &Page, mut request: Request, next: Next) -> Response {
    let Page { files, session, unary } = state;
    if is_grpc_web(&request) {
        // The gRPC layer checks the origin, so that a refusal is a gRPC-Web status.
        request.extensions_mut().insert(FromWeb);
    } else if let Some(file) = file(files, &request) {
        return match session.hosts.check_file(&request) {
            Ok(()) => file,
            Err(refused) => {
                let text = format!("{refused}\n");
                (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
            }
        };
    } else if !is_grpc(&request) {
        if session.has(request.uri().path()) {
            return session.answer(request).await;
        }
        if let Some(call) = unary.call(&request) {
            return call.run(request, next).await;
        }
        if let Some(refused) = unary.refuse_verb(&request) {
            return refused;
        }
        return not_grpc(
            &request,
            "It also serves gRPC-Web, a web page at /, and JSON for methods with one answer:\n\
             curl -H 'content-type: application/json' -d '{}' URL/outcrop.v1.GenerationService/ListModels\n",
        );
    }
    next.run(request).await
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

    #[test]
    fn the_files_that_the_page_loads_exist() {
        let index = include_str!("../../web/dist/index.html");
        let named = ["href=\"", "src=\""].map(|start| index.split(start).skip(1)).into_iter().flatten();
        let paths = named.filter_map(|rest| rest.split('"').next()).filter(|name| !name.starts_with('#'));
        let paths: Vec<_> = paths.map(|name| format!("/{name}")).collect();
        assert!(paths.len() >= 4, "{paths:?}");
        for path in paths {
            assert!(files().contains_key(path.as_str()), "{path}");
        }
    }
}
