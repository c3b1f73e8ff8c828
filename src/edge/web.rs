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
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use tonic_web::GrpcWebLayer;
use tower::ServiceExt;

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

/// Every file of the page: path, content type, content, and the content compressed with gzip if that is smaller. `build.rs` lists what
/// `web/dist` has.
type Listed = (&'static str, &'static str, &'static [u8], Option<&'static [u8]>);
const FILES: &[Listed] = &include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// A file as it is sent: the headers of its answer, and its body.
#[derive(Debug)]
struct Sent {
    headers: HeaderMap,
    body: &'static [u8],
}

/// A file of the page, and the same for a browser that takes gzip.
#[derive(Debug)]
struct File {
    plain: Sent,
    gzip: Option<Sent>,
}

/// The files by path.
type Files = BTreeMap<&'static str, File>;

/// Adds the page, its sign-in, gRPC-Web and Connect to the methods.
pub(crate) fn around(router: Router, session: Session, unary: UnaryMethods) -> Router {
    // Beside the methods and not in front of them: it would put the bodies of gRPC into two more boxes, through which every chunk passes.
    let grpc_web = router.clone().layer(GrpcWebLayer::new());
    router.layer(from_fn_with_state(Arc::new(Page { files: files(), session, unary, grpc_web }), page))
}

fn files() -> Files {
    let each = FILES.iter().map(|(path, content_type, content, compressed)| {
        let mut headers: HeaderMap =
            HEADERS.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let gzip = compressed.map(|body| {
            let mut headers = headers.clone();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            tagged(headers, body)
        });
        (*path, File { plain: tagged(headers, content), gzip })
    });
    each.collect()
}

/// The state of the layer.
#[derive(Debug)]
struct Page {
    files: Files,
    session: Session,
    unary: UnaryMethods,
    /// The methods for callers of gRPC-Web.
    grpc_web: Router,
}

/// Adds the tag of the body, which is another one for each encoding.
fn tagged(mut headers: HeaderMap, body: &'static [u8]) -> Sent {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    if let Ok(tag) = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish())) {
        headers.insert(ETAG, tag);
    }
    Sent { headers, body }
}

/// Whether `accept-encoding` has gzip, and not with the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|value| value.split(',')).any(|coding| {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameter.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

/// The layer.
async fn page(State(state): State<Arc<Page>>, request: Request, next: Next) -> Response {
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
    let Page { files, session, unary, grpc_web } = state;
    if is_grpc_web(&request) {
        // The gRPC layer checks the origin, so that a refusal is a gRPC-Web status.
        request.extensions_mut().insert(FromWeb);
        return grpc_web.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
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
    let file = files.get(request.uri().path())?;
    let compressed = file.gzip.as_ref().filter(|_| takes_gzip(request.headers()));
    let Sent { headers, body } = compressed.unwrap_or(&file.plain);
    let mut headers = headers.clone();
    if headers.get(ETAG).is_some_and(|tag| request.headers().get(IF_NONE_MATCH) == Some(tag)) {
        return Some((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(CONTENT_LENGTH, body.len().into());
    let body = if request.method() == Method::HEAD { Body::empty() } else { Body::from(*body) };
    Some((headers, body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_that_take_it() {
        for (value, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, identity", false),
            ("gzip;q=many", false),
            ("identity", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(value))]);
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

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
